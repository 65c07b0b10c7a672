"""Progress of long work on standard error: a bar on a terminal, a few plain lines in a pipe."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

from gdpkit import report

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID


class Meter(Protocol):
    """What shows progress."""

    def update(self, share: float, note: str = "") -> None:
        """The share that is done, 0..1, and where that is, in words."""

    def say(self, line: str) -> None:
        """A line to keep."""

    def left(self) -> str:
        """The time left in words, "about 3 min left"; "" where it is not known yet."""


@contextmanager
def meter(label: str, every: float | None = 10.0) -> Iterator[Meter]:
    """A meter for the time of the block. In a pipe: a line `every` so many seconds; None: only what is said."""
    if not sys.stderr.isatty():
        yield _Lines(label, every)
        return
    from rich.progress import TaskProgressColumn, TextColumn

    with report.bar_of(TaskProgressColumn(), TextColumn("{task.fields[note]}", markup=False)) as bar:
        yield _Bar(bar, bar.add_task(label, total=1.0, note=""))


class _Clock:
    """The time left, told from the pace since the first update."""

    def __init__(self) -> None:
        self._first: tuple[float, float] | None = None
        self._share, self._now = 0.0, 0.0

    def tell(self, share: float) -> None:
        self._share, self._now = share, time.monotonic()
        if self._first is None:
            self._first = (share, self._now)

    def left(self) -> str:
        if self._first is None or self._share <= self._first[0] or self._share >= 1:
            return ""
        pace = (self._now - self._first[1]) / (self._share - self._first[0])
        return f"about {report.duration(pace * (1 - self._share))} left"


class _Lines(_Clock):
    def __init__(self, label: str, every: float | None) -> None:
        super().__init__()
        self._label, self._every, self._said = label, every, time.monotonic()

    def update(self, share: float, note: str = "") -> None:
        self.tell(share)
        if self._every is not None and self._now - self._said >= self._every:
            self._said = self._now
            told = ", ".join(part for part in (f"{share:.0%}", note, self.left()) if part)
            self.say(f"{self._label}: {told}")

    def say(self, line: str) -> None:
        report.warn(line)


class _Bar(_Clock):
    def __init__(self, bar: Progress, shown: TaskID) -> None:
        super().__init__()
        self._bar, self._shown = bar, shown

    def update(self, share: float, note: str = "") -> None:
        self.tell(share)
        self._bar.update(self._shown, completed=share, note=note)

    def say(self, line: str) -> None:
        self._bar.console.print(line, markup=False, highlight=False)
