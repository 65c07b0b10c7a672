"""The course of a training: a CSV file with a line for each validation, and its plot."""

from __future__ import annotations

import csv
from contextlib import suppress
from dataclasses import astuple, dataclass, fields
from pathlib import Path

from gdpkit.atomic import whole_file


@dataclass(frozen=True)
class Row:
    """One validation: the mean loss since the last one, steps skipped, PSNR in dB at three noise levels."""

    step: int
    minutes: float
    loss: float
    skipped: int
    psnr_15: float
    psnr_25: float
    psnr_50: float

    @property
    def psnr(self) -> str:
        """For people."""
        return f"{self.psnr_15:.2f} / {self.psnr_25:.2f} / {self.psnr_50:.2f} dB"


def read(file: Path, until: int) -> list[Row]:
    """The rows up to a step; [] where there is no file. What is no row is left out.

    A training that was killed may have written rows after its last checkpoint; it will write them again.
    """
    rows = []
    with suppress(OSError, UnicodeDecodeError, csv.Error):
        for line in csv.reader(file.read_text(encoding="utf-8").splitlines()[1:]):
            with suppress(ValueError, LookupError):
                minutes, loss, at_15, at_25, at_50 = map(float, line[1:3] + line[4:])
                rows.append(Row(int(line[0]), minutes, loss, int(line[3]), at_15, at_25, at_50))
    return [row for row in rows if row.step <= until]


def write(file: Path, rows: list[Row]) -> None:
    """All rows, whole or not at all."""
    with whole_file(file) as temporary, temporary.open("w", newline="", encoding="utf-8") as opened:
        writer = csv.writer(opened, lineterminator="\n")
        writer.writerow([f.name for f in fields(Row)])
        writer.writerows([f"{v:.4f}" if isinstance(v, float) else v for v in astuple(row)] for row in rows)
