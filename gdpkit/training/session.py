"""A training in its folder: checkpoints, their history and its plot, and an end that leaves all of them whole."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

from gdpkit.atomic import exclusive, remove_leftovers
from gdpkit.errors import GdpkitError
from gdpkit.training import history, plot
from gdpkit.training.history import Row
from gdpkit.training.trainer import VALIDATION_SIGMAS, Progress, Trainer

LONGEST_UNSAVED = 300.0
"""Seconds after which a checkpoint is written though no validation is due: what a kill may cost at most."""


@dataclass
class Session:
    """A trainer and the folder of its files.

    last.pt is the state; last-steady.pt the state before the learning rate began to fall, from where a longer training
    can go on; history.csv holds the validations, and history.png shows them.
    """

    trainer: Trainer
    folder: Path
    every: int
    rows: list[Row] = field(default_factory=list)

    @property
    def last(self) -> Path:
        """The checkpoint from which a training goes on."""
        return self.folder / "last.pt"

    @property
    def steady(self) -> Path:
        """The one from before the learning rate fell."""
        return self.folder / "last-steady.pt"

    def begin(self, resume: bool, note: Callable[[str], None]) -> None:
        """Go on from the last checkpoint where there is one; without `resume`, remove what an earlier training left."""
        remove_leftovers(self.folder)  # of a training that was killed while it wrote
        if resume and self.last.exists():
            for line in self.trainer.resume(self.last):
                note(line)
            self.rows = history.read(self._table, self.trainer.step)
            note(f"going on from step {self.trainer.step}, {self.last}")
        elif not resume:
            for file in (self.last, self.steady, self._table, self._picture):
                file.unlink(missing_ok=True)

    def run(self, on_step: Callable[[Progress], None], on_row: Callable[[Row], None]) -> None:
        """Train to the end, or to Ctrl-C or SIGTERM, which raise KeyboardInterrupt once all is saved."""
        trainer, losses, skipped = self.trainer, [], 0
        saved, share = time.monotonic(), trainer.share
        falls = 1 - trainer.recipe.decay
        with closing(trainer.feed), _asked_to_stop() as asked:
            for progress in trainer.run():
                on_step(progress)
                skipped += progress.loss is None
                losses += [progress.loss] if progress.loss is not None else []
                ended = progress.share >= 1
                if share < falls <= progress.share:
                    trainer.save(self.steady)
                share = progress.share
                if progress.step % self.every == 0 or ended:
                    loss = sum(losses) / len(losses) if losses else float("nan")
                    on_row(self._record(Row(progress.step, progress.seconds / 60, loss, skipped, *trainer.validate())))
                    losses, skipped = [], 0
                if progress.step % self.every == 0 or ended or asked() or time.monotonic() - saved > LONGEST_UNSAVED:
                    trainer.save(self.last)
                    saved = time.monotonic()
                if asked() and not ended:
                    raise KeyboardInterrupt

    def _record(self, row: Row) -> Row:
        self.rows.append(row)
        history.write(self._table, self.rows)
        steps = [r.step for r in self.rows]
        psnrs = zip(*[(r.psnr_15, r.psnr_25, r.psnr_50) for r in self.rows], strict=True)
        curves = [(f"sigma {sigma}", steps, p) for sigma, p in zip(VALIDATION_SIGMAS, psnrs, strict=True)]
        plot.draw(self._picture, "PSNR in dB of photographs set aside, denoised", "step", curves)
        return row

    @property
    def _table(self) -> Path:
        return self.folder / "history.csv"

    @property
    def _picture(self) -> Path:
        return self.folder / "history.png"


@contextmanager
def claimed(folder: Path) -> Iterator[None]:
    """Make the folder and keep other trainings out of it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        what = "it is a file, not a folder" if folder.is_file() else error.strerror
        raise GdpkitError(f"--checkpoints {folder}: {what}") from error
    with exclusive(folder / ".lock", f"{folder}: another training is at work in this folder; give other --checkpoints"):
        yield


@contextmanager
def _asked_to_stop() -> Iterator[Callable[[], bool]]:
    """Whether Ctrl-C or SIGTERM came: a step is finished first. The second one stops at once, as ever."""
    asked: list[int] = []
    before: dict[int, Any] = {}

    def handler(number: int, frame: FrameType | None) -> None:
        asked.append(number)
        for known, old in before.items():
            signal.signal(known, old)

    try:
        for wanted in (signal.SIGINT, signal.SIGTERM):
            before[wanted] = signal.signal(wanted, handler)
    except ValueError:  # not in the main thread, where nobody can send any
        pass
    try:
        yield lambda: bool(asked)
    finally:
        for number, old in before.items():
            signal.signal(number, old)
