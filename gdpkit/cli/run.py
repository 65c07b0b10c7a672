"""`gdpkit run TASK`: argv -> task -> restoration -> file, for each input."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import click

from gdpkit import options, params, registry, report
from gdpkit.cli import files, jobs
from gdpkit.cli.base import Command, Lazy, manual, summary
from gdpkit.cli.jobs import Job
from gdpkit.components import PhotoTask, Task
from gdpkit.errors import PluginError
from gdpkit.params import Declared, Param

# Options of every run whose values are the engine's settings, by the names of its fields. Left out, the engine decides.
_SETTINGS = (
    Declared("prior", str, None, Param("The diffusion prior: NAME[:key=value,...], or a checkpoint's FILE.")),
    Declared("sampler", str, None, Param("How the image is drawn from the prior: NAME[:key=value,...].")),
    Declared("steps", int, None, Param("Steps of the sampler; more are slower.", min=1)),
    Declared(
        "fidelity",
        float,
        None,
        Param("1: the most probable picture, the same for every seed; 0: a sample, with texture.", min=0, max=1),
    ),
    Declared("distance", str, None, Param("How the result is compared with the input: mse, ssim, l1 or huber.")),
    Declared("seed", int, None, Param("Seed of the noise: the same seed gives the same bytes.", min=0)),
    Declared("device", str, None, Param("auto, cpu, cuda or cuda:N.")),
    Declared("memory", float, None, Param("GB of memory that may be used; all that is free by default.", min=0.1)),
    Declared(
        "hierarchy",
        str,
        None,
        Param("Whether smaller sizes are restored first, as guides; auto by default.", choices=("auto", "on", "off")),
    ),
    Declared("preset", str, None, Param("default, or paper: the constants of the publication.")),
)

# Repeatable, which a declared parameter is not, and so an option of its own.
_LOSSES = "losses"

_SETTING_NAMES = frozenset(declared.name for declared in _SETTINGS) | {_LOSSES}
"""What of a command line is for the engine; the rest are the task's own parameters."""

_IMAGE = (
    "IMAGE is a photograph, or a folder of them. Several are restored one after the other; on a GPU, those of one size "
    "together."
)


def run_command() -> click.Group:
    """The group `gdpkit run`; its commands are the registry's tasks."""
    return Lazy(
        "run",
        "task",
        _tasks,
        task_command,
        help="Restore photographs. Every task has a help of its own: gdpkit run TASK --help.",
        examples=("gdpkit run sr small.jpg --scale 4 -o large.png", "gdpkit run sr holiday/ --scale 2 -o larger/"),
        hint=lambda: registry.load().hidden(),
        subcommand_metavar="TASK IMAGE... [OPTIONS]",
    )


def task_command(name: str) -> click.Command:
    """The command of one task: its fields, then the options of every run."""
    cls: type[Task] = registry.load().get("tasks", name)
    common = _common()
    taken = {parameter.name for parameter in common} | {"debug", "help"}
    for declared in params.declared(cls):
        if declared.name in taken:
            raise PluginError(f"task {name}: its parameter {declared.name!r} is also an option of every run; rename it")
    own = options.parameters(cls)
    return Command(
        name,
        partial(_run, cls),
        help=f"{manual(cls)}\n\n{_IMAGE}" if issubclass(cls, PhotoTask) else manual(cls),
        examples=_examples(cls),
        own=own,
        common=common,
    )


def _tasks() -> dict[str, str]:
    table = registry.load()
    found = {}
    for name in table.names("tasks"):
        try:
            found[name] = summary(table.get("tasks", name))
        except PluginError as error:
            found[name] = f"({error})"
    return found


def _common() -> list[click.Option]:
    path = options.File()
    out = "The result's file; a folder with several inputs.  [default: <input>_<task> in the current folder]"
    loss = "A quality loss that guides besides: NAME[:key=value,...]. Repeatable."
    settings = {d.name: options.option(d) for d in _SETTINGS}
    settings["hierarchy"].metavar = "auto|on|off"
    settings["preset"].metavar = "default|paper"
    return [
        click.Option(["out", "-o", "--output"], type=path, metavar="OUT", help=out),
        *(settings[name] for name in ("prior", "sampler", "steps", "fidelity", "distance")),
        click.Option([_LOSSES, "--loss"], multiple=True, metavar="TEXT", help=loss),
        *(settings[name] for name in ("seed", "device", "memory", "hierarchy", "preset")),
        click.Option(
            ["--compare"], type=path, metavar="FILE", help="Also write input and result side by side, as PNG."
        ),
        click.Option(["--overwrite"], is_flag=True, help="Replace files that exist."),
        click.Option(["--dry-run"], is_flag=True, help="Say what it would take, without running."),
        click.Option(["as_json", "--json"], is_flag=True, help="Print a record of the run as JSON, and only that."),
    ]


def _examples(cls: type[Task]) -> Sequence[str]:
    """The task's own examples, filled up to two."""
    image = "photo.jpg " if issubclass(cls, PhotoTask) else ""
    needed = "".join(
        f"{options.flag(d)} {options.metavar(d)} " for d in params.declared(cls) if d.required and d.name != "image"
    )
    start = f"gdpkit run {cls.name} {image}{needed}"
    made = (f"{start}-o result.png", f"{start}--seed 1 --compare compare.png -o result.png")
    return (*cls.examples, *made)[: max(2, len(cls.examples))]


def _run(
    cls: type[Task],
    *,
    out: Path | None,
    compare: Path | None,
    overwrite: bool,
    dry_run: bool,
    as_json: bool,
    **values: Any,
) -> None:
    settings: dict[str, Any] = {}
    fields: dict[str, Any] = {}
    for name, value in options.given(values).items():
        (settings if name in _SETTING_NAMES else fields)[name] = value
    inputs, several = _jobs(cls, fields, out, compare)
    if several:
        _check_settings(inputs[0].task, settings)
    run = jobs.Run(settings, overwrite, as_json, bool(click.get_current_context().obj))
    if not several:
        job = inputs[0]
        with report.failure_as_json(job.source, as_json):
            record = jobs.plan(job, job.source.name, run) if dry_run else jobs.restore(job, run)
        if as_json:
            report.as_json(record)
        return
    if dry_run:
        for k, job in enumerate(inputs):
            with run.failing(k, job):
                run.results[k] |= jobs.plan(job, f"({k + 1}/{len(inputs)}) {job.source.name}", run)
    else:
        jobs.restore_all(inputs, run)
    if as_json:
        report.as_json({"results": [run.results[k] for k in range(len(inputs))]})
    if run.failed:
        report.warn(f"{len(run.failed)} of {len(inputs)} failed.")
        click.get_current_context().exit(2 if run.failed == [2] * len(inputs) else 1)


def _jobs(cls: type[Task], fields: dict[str, Any], out: Path | None, compare: Path | None) -> tuple[list[Job], bool]:
    """All tasks, constructed: what is wrong with an option shows once, before any work."""
    if issubclass(cls, PhotoTask):
        sources, several = files.expand(fields.pop("image"))
        tasks: list[Task] = [cls(**fields, image=source) for source in sources]
    else:
        sources, several = [_first_file(cls, fields)], False
        tasks = [cls(**fields)]
    targets = [files.target(source, cls.name, out, several) for source in sources]
    files.distinct(sources, [path for path, _ in targets])
    beside = [files.comparison(source, cls.name, compare, several) for source in sources]
    read = [*sources, *files.files_in(tuple(fields.values()))]
    files.protect(read, [path for path, _ in targets], [path for path in beside if path is not None])
    return [
        Job(task, source, path, note, pair)
        for task, source, (path, note), pair in zip(tasks, sources, targets, beside, strict=True)
    ], several


def _first_file(cls: type[Task], fields: Mapping[str, Any]) -> Path:
    """The file that lends its name to the output of a task about several files."""
    for declared in params.declared(cls):
        value = fields.get(declared.name)
        for item in value if isinstance(value, tuple) else (value,):
            if isinstance(item, Path):
                return item
    return Path(f"{cls.name}.png")


def _check_settings(task: Task, settings: Mapping[str, Any]) -> None:
    """What is wrong with an option of the run fails here, once, and not with every input."""
    from gdpkit import choices, distances

    wanted = choices.Settings(**settings)
    distances.by_name(wanted.distance)
    chosen = choices.choose(task, wanted)
    chosen.prior.load(chosen.device)
    _ = chosen.sampler.evaluations  # says what is wrong with its steps
