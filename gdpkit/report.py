"""What a person sees while and after gdpkit works: progress, tables, side-by-side pictures and error messages."""

from __future__ import annotations

import json
import shutil
import sys
import textwrap
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from gdpkit.errors import GdpkitError, did_you_mean

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray
    from rich.progress import Progress, ProgressColumn
    from torch import Tensor

    from gdpkit.components import Step

_EVERY = 10.0
"""Seconds between two lines of progress in a pipe."""


def warn(message: str) -> None:
    """One line on standard error: standard output belongs to results."""
    click.echo(message, err=True)


def as_json(record: Any) -> None:
    """A record on standard output."""
    click.echo(json.dumps(record, indent=2))


def explain(error: BaseException) -> tuple[str, int]:
    """The message for a person and the exit status: 2 for what they can mend, 1 for what they cannot."""
    if isinstance(error, GdpkitError):
        return str(error), 2
    if isinstance(error, click.UsageError):
        return _usage(error), 2
    text = " ".join(str(error).split())
    # By name, as torch must not be imported for it; on the CPU, torch raises a plain RuntimeError.
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError" or "DefaultCPUAllocator" in text:
        return "there is not enough memory for this image; use a smaller one, or another --device", 1
    if isinstance(error, OSError) and error.strerror:
        name = error.filename.decode() if isinstance(error.filename, bytes) else error.filename
        return f"{name}: {error.strerror}" if name else error.strerror, 2
    return f"{_culprit(error)}: {type(error).__name__}: {text}; run with --debug for the traceback", 1


def _culprit(error: BaseException) -> str:
    """Where a failure that nobody foresaw happened: in the innermost frame that is a plugin's, or in gdpkit."""
    from gdpkit import registry

    for frame, line in reversed(list(traceback.walk_tb(error.__traceback__))):
        plugin = registry.load().plugin_of(frame.f_globals.get("__name__", ""))
        if plugin is not None:
            component = getattr(frame.f_locals.get("self"), "name", None)
            what = f" in {component}" if isinstance(component, str) else ""
            return f"the plugin {plugin} failed{what} ({frame.f_code.co_filename}, line {line})"
    return "internal error"


def failure(error: BaseException, *, debug: bool, about: str = "") -> int:
    """Tell an error on standard error, behind a traceback with `debug`, and return the exit status."""
    if debug:
        traceback.print_exception(error)
    message, status = explain(error)
    warn(f"Error: {about}{message}")
    return status


@contextmanager
def failure_as_json(source: Path, wanted: bool) -> Iterator[None]:
    """Print a record with `input` and `error` where the block fails and JSON is wanted; the error goes on."""
    try:
        yield
    except Exception as error:
        if wanted:
            as_json({"input": str(source), "error": explain(error)[0]})
        raise


def _usage(error: click.UsageError) -> str:
    text = error.format_message()
    if error.ctx is None:
        return text
    option = error.param if isinstance(error, click.MissingParameter) else None
    if isinstance(option, click.Option) and len(option.opts) > 1:  # the short form is what the examples show
        text = f"Missing option '{min(option.opts, key=len)} {option.metavar or 'TEXT'}'."
    if isinstance(error, click.NoSuchOption):
        options = [name for p in error.ctx.command.get_params(error.ctx) for name in p.opts if name.startswith("--")]
        near = did_you_mean(error.option_name, options)
        # Without a near one there would be a list of all options: their help is the better one.
        if "Did you mean" in near:
            return f"there is no option {error.option_name}.{near}"
        text = f"there is no option {error.option_name}."
    return f"{text} See '{error.ctx.command_path} --help'."


def duration(seconds: float) -> str:
    """A time for people.

    >>> duration(0.42), duration(12.3), duration(200)
    ('0.4 s', '12 s', '3 min 20 s')
    """
    if seconds < 10:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


@contextmanager
def progress(label: str) -> Iterator[Callable[[Step], None]]:
    """Show the steps of one run on standard error: a bar on a terminal, a few plain lines in a pipe."""
    with _bar(label) if sys.stderr.isatty() else _lines(label, "step") as show:
        yield lambda step: show(step.index, step.total)


@contextmanager
def counting(label: str, what: str) -> Iterator[Callable[[int, int], None]]:
    """Show on standard error how many of how many are done, as `progress` does; `what` they are, in the singular."""
    with _bar(label) if sys.stderr.isatty() else _lines(label, what) as show:
        yield show


@contextmanager
def _bar(label: str) -> Iterator[Callable[[int, int], None]]:
    from rich.progress import MofNCompleteColumn

    with bar_of(MofNCompleteColumn()) as bar:
        shown = bar.add_task(label, total=None)
        yield lambda index, total: bar.update(shown, completed=index, total=total)


def bar_of(done: ProgressColumn, *behind: ProgressColumn) -> Progress:
    """A bar on standard error that goes when it is done: a name, how far it is, the time left, and what is `behind`."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = TextColumn("{task.description}", markup=False), BarColumn(), done, TimeRemainingColumn(), *behind
    # rich would otherwise send what is written to standard output to its own console, standard error.
    return Progress(
        *columns, console=Console(stderr=True), transient=True, redirect_stdout=False, redirect_stderr=False
    )


@contextmanager
def _lines(label: str, what: str) -> Iterator[Callable[[int, int], None]]:
    started = said = time.monotonic()
    first: tuple[int, float] | None = None

    def show(index: int, total: int) -> None:
        nonlocal said, first
        now = time.monotonic()
        if first is None:
            # Not before: a picture that cannot be read is told in one line. And the first step also pays for loading,
            # so that the time left is told from the later ones.
            first = (index, now)
            warn(f"{label}: {what} {index} of {total}")
        if now - said >= _EVERY and index > first[0] and index < total:
            said = now
            left = (now - first[1]) / (index - first[0]) * (total - index)
            warn(f"{label}: {what} {index} of {total}, about {duration(left)} left")

    yield show
    warn(f"{label}: done in {duration(time.monotonic() - started)}")


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a table: fitted to a terminal, or in a pipe as plain text that is never cut or wrapped."""
    lines = [list(map(str, row)) for row in rows]
    if sys.stdout.isatty():
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text

        fitted = Table(*head, box=None, pad_edge=False, header_style="bold")
        for line in lines:
            fitted.add_row(*(Text(cell, overflow="fold") for cell in line))
        Console().print(fitted)
        return
    widths = [max(len(line[i]) for line in [list(head), *lines]) for i in range(len(head))]
    for line in [list(head), *lines]:
        click.echo("  ".join(f"{cell:<{width}}" for cell, width in zip(line, widths, strict=True)).rstrip())


def facts(values: Mapping[str, str]) -> None:
    """Print names and values, one a line: on a terminal long values go on below themselves, in a pipe on their line."""
    width = max(map(len, values))
    for name, value in values.items():
        lines = [value]
        if sys.stdout.isatty():
            room = max(20, shutil.get_terminal_size().columns - width - 2)
            lines = textwrap.wrap(value, room, break_on_hyphens=False) or [""]
        for first, line in zip((name, *("" for _ in lines)), lines, strict=False):
            click.echo(f"{first:<{width}}  {line}".rstrip())


def side_by_side(before: NDArray[Any], after: NDArray[Any]) -> Tensor:
    """The input, brought to the output's size as a viewer would show it, left of the result; (1, 3, H, W) in [0, 1].

    Both are H x W x 3 or H x W in [0, 1]; values outside are clipped.
    """
    import numpy as np
    import torch
    from PIL import Image, ImageDraw, ImageFont

    def photo(array: NDArray[Any]) -> Image.Image:
        return Image.fromarray(np.rint(np.clip(array, 0, 1) * 255).astype(np.uint8)).convert("RGB")

    right = photo(after)
    width, height = right.size
    left = photo(before).resize(right.size, Image.Resampling.BICUBIC)
    gap = max(2, width // 100)
    size = max(10, min(24, height // 16))
    sheet = Image.new("RGB", (2 * width + gap, height + size + 8), "white")
    sheet.paste(left, (0, size + 8))
    sheet.paste(right, (width + gap, size + 8))
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(size)
    for x, caption in ((0, "input"), (width + gap, "restored")):
        draw.text((x + 4, 2), caption, fill="black", font=font)
    return torch.from_numpy(np.asarray(sheet).copy()).permute(2, 0, 1)[None] / 255
