"""`gdpkit eval --protocol`: degrade, restore and measure photographs, beside published results."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import click

from gdpkit import params, report
from gdpkit.atomic import exclusive, whole_file
from gdpkit.choices import Settings
from gdpkit.cli import files
from gdpkit.errors import GdpkitError, ImageError, did_you_mean
from gdpkit.evaluation import measuring, published
from gdpkit.evaluation.measuring import Comparison
from gdpkit.evaluation.protocol import STAGES, Trial
from gdpkit.evaluation.tables import Results, text

DEFAULT = ("psnr", "ssim", "consistency")


def run(
    outputs: Sequence[Path],
    specs: Sequence[str],
    tasks: Sequence[str],
    out: Path | None,
    given: Mapping[str, Any],
    *,
    overwrite: bool,
    as_csv: bool,
    as_json: bool,
) -> None:
    """The whole protocol; `given` are the settings of the restorations."""
    for task in tasks:
        if task not in STAGES:
            raise GdpkitError(f"--task: the protocol has no task {task!r}.{did_you_mean(task, STAGES)}")
    tasks = [task for task in STAGES if task in tasks or not tasks]
    metrics = {spec: measuring.metric(spec) for spec in dict.fromkeys((*DEFAULT, *specs))}
    measuring.check(metrics, {"truth", "input"}, degraded=True)
    photos, _ = files.expand(outputs)
    for photo in photos:
        if not photo.exists():
            raise ImageError(f"{photo}: there is no such file")
    folder = _folder(out)
    debug = bool(click.get_current_context().obj)
    trial = Trial(folder, Settings(**given))
    folder.mkdir(exist_ok=True)
    with exclusive(folder / ".lock", f"{folder}: another gdpkit is at work there; wait for it, or give another -o"):
        failed = _restore(trial, photos, tasks, overwrite)
        results = {}

        def report_error(comparison: Comparison, error: Exception) -> str:
            failed.append(report.failure(error, debug=debug, about=f"{comparison.output}: "))
            return report.explain(error)[0]

        for task in tasks:
            # A component may print; standard output belongs to results.
            with report.counting(f"measuring {task}", "picture") as show, redirect_stdout(sys.stderr):
                results[task] = trial.measure(task, photos, metrics, show, report_error)
        record = {**trial.record(), "tasks": {task: _record(task, found) for task, found in results.items()}}
        _keep(folder / "results.json", json.dumps(record, indent=2) + "\n")
        _keep(folder / "results.csv", _csv(results))
    if as_json:
        report.as_json(record)
    elif as_csv:
        click.echo(_csv(results), nl=False)
    else:
        report.table(*_table(results, list(metrics)))
    if failed:
        wanted = len(photos) * len(tasks)
        report.warn(f"{len(failed)} of {wanted} restorations failed, or could not be measured.")
        nothing = set(failed) == {2} and not any(found.rows for found in results.values())
        click.get_current_context().exit(2 if nothing else 1)


def _folder(out: Path | None) -> Path:
    folder = out or Path("gdp-imagenet")
    if folder.exists() and not folder.is_dir():
        raise ImageError(f"-o {folder}: with --protocol this is the folder of the pictures, and it is a file")
    if not folder.parent.is_dir():
        raise ImageError(f"-o {folder}: the folder {folder.parent} does not exist; make it first")
    if folder.is_dir() and not (folder / "settings.json").exists() and any(folder.glob("[!.]*")):
        raise ImageError(f"-o {folder}: the folder holds other files; name a new one, or an empty one")
    return folder


def _restore(trial: Trial, photos: Sequence[Path], tasks: Sequence[str], overwrite: bool) -> list[int]:
    """Restore what is not there yet; the exit statuses of what failed."""
    jobs = trial.begin(photos, tasks, overwrite)
    done = len(photos) * len(tasks) - len(jobs)
    if done:
        report.warn(f"{trial.folder}: {done} restorations are there already, {len(jobs)} are to be done")
    failed = []
    debug = bool(click.get_current_context().obj)
    with report.counting(str(trial.folder), "restoration") as show, redirect_stdout(sys.stderr):
        for index, job in enumerate(jobs, 1):
            try:
                trial.restore(job)
            except Exception as error:
                # Whatever is wrong with one photograph, the others are still worth doing.
                failed.append(report.failure(error, debug=debug, about=f"{job.task} {job.photo.name}: "))
            show(index, len(jobs))
    return failed


def _table(results: Mapping[str, Results], specs: Sequence[str]) -> tuple[list[str], list[list[str]]]:
    rows = []
    names = [params.parse(spec)[0] for spec in specs]
    columns = [*specs, *(["fid"] if "fid" not in names else [])]
    # A metric with parameters is not the one that was published; only fid has one, a file.
    heads = [*(n if n in (spec, "fid") else "" for n, spec in zip(names, specs, strict=True)), "fid"][: len(columns)]
    for task, found in results.items():
        count = len(found.rows)
        pictures = f"gdpkit, {count} picture{'' if count == 1 else 's'}"
        values = [text(found.mean(c) if c in found.better and count else None) for c in columns]
        rows.append([task, pictures, *values])
        for method, row in published.GDP_IMAGENET[task].items():
            known = dict(zip(published.COLUMNS, row, strict=True))
            rows.append([task, f"{method}, published", *(f"{known[h]:.2f}" if h in known else "" for h in heads)])
    return ["task", "method", *columns], rows


def _record(task: str, found: Results) -> dict[str, Any]:
    rows = published.GDP_IMAGENET[task].items()
    known = {method: dict(zip(published.COLUMNS, row, strict=True)) for method, row in rows}
    return {**found.record(), "published": known}


def _csv(results: Mapping[str, Results]) -> str:
    """All tasks below each other, with the task as first column."""
    lines: list[str] = []
    failed = any(found.failed for found in results.values())
    for task, found in results.items():
        head, *rest = found.csv(failed).splitlines()
        lines += [*([f"task,{head}"] if not lines else []), *(f"{task},{line}" for line in rest)]
    return "".join(f"{line}\n" for line in lines)


def _keep(file: Path, content: str) -> None:
    with whole_file(file) as temporary:
        temporary.write_text(content, encoding="utf-8", errors="surrogateescape")
