"""The inputs of one `gdpkit run`: each restored and written, or planned; what fails of one stops no other."""

from __future__ import annotations

import os
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gdpkit import report
from gdpkit.cli import files
from gdpkit.components import Task

if TYPE_CHECKING:
    from gdpkit.restoration import Restoration


@dataclass(frozen=True)
class Job:
    """One input: the task, and where its results go."""

    task: Task
    source: Path
    output: Path
    notes: tuple[str, ...]
    compare: Path | None


@dataclass(frozen=True)
class Run:
    """What all inputs have in common, the record of each by its number, and the exit status of what failed."""

    settings: Mapping[str, Any]
    overwrite: bool
    as_json: bool
    debug: bool
    results: dict[int, dict[str, Any]] = field(default_factory=lambda: defaultdict(dict))
    failed: list[int] = field(default_factory=list)

    @contextmanager
    def failing(self, k: int, job: Job) -> Iterator[None]:
        """Whatever is wrong with one photograph, the others are still worth doing."""
        self.results[k] = {"input": str(job.source)}
        try:
            yield
        except Exception as error:
            self.failed.append(report.failure(error, debug=self.debug))
            self.results[k]["error"] = report.explain(error)[0]


def _check_files(job: Job, overwrite: bool) -> None:
    files.check_writable(job.output, overwrite)
    if job.compare is not None:
        files.check_writable(job.compare, overwrite)


def restore(job: Job, run: Run) -> dict[str, Any]:
    """Restore and write the only input; its record."""
    from gdpkit import engine

    _check_files(job, run.overwrite)
    # A component may print; standard output belongs to results.
    with report.progress(job.source.name) as on_step, redirect_stdout(sys.stderr):
        result = engine.restore(job.task, on_step=on_step, **run.settings)
    return _write(job, result, run)


def restore_all(jobs: Sequence[Job], run: Run) -> None:
    """Those that are alike, and come one after the other, at once, as many as there is memory for."""
    from gdpkit import engine, together
    from gdpkit.choices import Settings

    settings = Settings(**run.settings)
    waiting: dict[int, engine.Stated] = {}
    most = 1

    def solve() -> None:
        numbers = [*waiting]
        names = ", ".join(jobs[k].source.name for k in numbers)
        label = f"({'-'.join(str(k + 1) for k in dict.fromkeys((numbers[0], numbers[-1])))}/{len(jobs)}) {names}"
        with report.progress(label) as on_step, redirect_stdout(sys.stderr):
            found = together.solve([*waiting.values()], on_step)
        waiting.clear()
        for k, result in zip(numbers, found, strict=True):
            with run.failing(k, jobs[k]):
                if isinstance(result, Exception):
                    raise result
                run.results[k] |= _write(jobs[k], result, run)

    for k, job in enumerate(jobs):
        with run.failing(k, job):
            _check_files(job, run.overwrite)
            with redirect_stdout(sys.stderr):
                stated = engine.state(job.task, settings)
            if waiting and not together.alike(next(iter(waiting.values())), stated):
                solve()
            if not waiting:
                most = together.most(stated)  # of a large network it takes seconds to tell
            waiting[k] = stated
        if len(waiting) >= most:
            solve()
    if waiting:
        solve()


def _write(job: Job, result: Restoration, run: Run) -> dict[str, Any]:
    from gdpkit import choices, images

    departure = choices.departure(job.task, choices.Settings(**run.settings))
    notes = [*departure, *result.notes, *result.save(job.output, overwrite=run.overwrite)]
    record = dict(result.record)
    if job.compare is not None:
        sheet = report.side_by_side(result.input_image, result.image)
        images.save(job.compare, sheet, overwrite=run.overwrite)
        record["compare"] = str(job.compare)
    for note in dict.fromkeys([*job.notes, *notes]):
        report.warn(f"Note: {job.source.name}: {note}")
    if not run.as_json:
        click.echo(os.fsencode(job.output))  # as bytes: a name need not be valid text
    return record


def plan(job: Job, label: str, run: Run) -> dict[str, Any]:
    """Say what an input would take; its record."""
    from gdpkit import choices, planning

    _check_files(job, run.overwrite)
    planned = planning.plan(job.task, choices.Settings(**run.settings))
    if not run.as_json:
        width, height = planned.size
        work = f"{planned.evaluations} evaluations of {planned.prior} by {planned.sampler} on {planned.device}"
        cost = "an unknown time"
        if planned.seconds is not None and planned.memory_mib is not None:
            cost = f"about {report.duration(planned.seconds)} and {planned.memory_mib:.0f} MiB"
        click.echo(f"{label} -> {job.output}: {width}x{height}, {work}, {cost}")
    return {**planned.record(), "outputs": [str(job.output)]}
