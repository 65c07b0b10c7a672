"""Results as rows of text, as CSV and as JSON."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Row:
    """One picture: its name, its values by metric, and why it has none."""

    picture: str
    values: Mapping[str, float] = field(default_factory=dict)
    against: Mapping[str, str] = field(default_factory=dict)
    error: str | None = None


@dataclass(frozen=True)
class Results:
    """What was measured. `better`: by metric, whether higher is; `of_all`: values of the whole set, such as fid."""

    rows: Sequence[Row]
    better: Mapping[str, bool]
    of_all: Mapping[str, float] = field(default_factory=dict)

    @property
    def names(self) -> list[str]:
        """The metrics, in the order in which they were asked for."""
        return list(self.better)

    def mean(self, name: str) -> float | None:
        """The mean over the pictures that have a value; of a metric of sets its value; None where there is none."""
        if name in self.of_all:
            return self.of_all[name]
        values = [row.values[name] for row in self.rows if name in row.values]
        return sum(values) / len(values) if values else None

    def table(self) -> tuple[list[str], list[list[str]]]:
        """Head and rows: the pictures, then their mean."""
        rows = [[_shown(row.picture), *(text(row.values.get(name)) for name in self.names)] for row in self.rows]
        counts = {sum(name in row.values for row in self.rows) for name in self.names if name not in self.of_all}
        counted = f"{len(self.rows)}"
        if counts and counts != {len(self.rows)}:
            counted = f"{counts.pop()} of {counted}" if len(counts) == 1 else "those measured"
        return ["picture", *self.names], [
            *rows,
            [f"mean of {counted}", *(text(self.mean(name)) for name in self.names)],
        ]

    @property
    def failed(self) -> bool:
        """Whether something could not be measured."""
        return any(row.error for row in self.rows)

    def csv(self, errors: bool | None = None) -> str:
        """The table with all digits; a last column `error` where a picture failed, or where `errors` asks for it."""
        failed = self.failed if errors is None else errors
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(["picture", *self.names, *(["error"] if failed else [])])
        for row in self.rows:
            values = [_digits(row.values.get(name)) for name in self.names]
            writer.writerow([row.picture, *values, *([" ".join((row.error or "").split())] if failed else [])])
        writer.writerow(["mean", *(_digits(self.mean(name)) for name in self.names), *([""] if failed else [])])
        return out.getvalue()

    def record(self) -> dict[str, Any]:
        """An object for JSON. A value that is infinite, as PSNR of equal pictures is, is the text "inf"."""
        metrics = {
            name: {
                "mean": _number(self.mean(name)),
                "count": sum(name in row.values for row in self.rows) or len(self.rows),
                "higher_is_better": higher,
            }
            for name, higher in self.better.items()
        }
        pictures = []
        for row in self.rows:
            values = {name: _number(value) for name, value in row.values.items()}
            record = {"picture": row.picture, **row.against, "values": values}
            pictures.append(record if row.error is None else {**record, "error": row.error})
        return {"metrics": metrics, "pictures": pictures}


def text(value: float | None) -> str:
    """A value for people: four decimals below 10, two from there on.

    >>> text(0.81234), text(27.345), text(None)
    ('0.8123', '27.35', '')
    """
    if value is None:
        return ""
    return f"{value:.4f}" if abs(value) < 10 else f"{value:.2f}"


def _shown(name: str) -> str:
    """A file's name, which need not be valid text, as text that can be printed."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _digits(value: float | None) -> str:
    return "" if value is None else f"{value:.9g}"


def _number(value: float | None) -> float | str | None:
    return value if value is None or math.isfinite(value) else str(value)
