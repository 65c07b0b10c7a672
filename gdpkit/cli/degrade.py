"""`gdpkit degrade`: the forward model, to make test pictures and to see what a restoration assumes."""

from __future__ import annotations

import json
import os
import sys
from contextlib import redirect_stdout
from pathlib import Path

import click

from gdpkit import options, params, registry, report
from gdpkit.cli import files
from gdpkit.cli.base import Command
from gdpkit.params import Declared, Param


def degrade_command() -> click.Command:
    """The command `gdpkit degrade`."""
    file = options.File()
    stage = "A stage, NAME[:key=value,...]; repeat it for a chain, first stage first. See gdpkit list degradations."
    seed = Declared("seed", int, None, Param("Seed of the noise.", min=0))
    out = "The file to write.  [default: <input>_degraded in the current folder]"
    return Command(
        "degrade",
        _degrade,
        help="Damage a photograph the way a restoration assumes it was, e.g. to try one on IMAGE.",
        examples=(
            "gdpkit degrade photo.png -d downsample:scale=4 -o small.png",
            "gdpkit degrade photo.png -d gray -d noise:sigma=10 --seed 1 -o old.png",
        ),
        own=[
            click.Argument(["image"], type=file),
            click.Option(["stages", "-d", "--degradation"], multiple=True, required=True, metavar="STAGE", help=stage),
            click.Option(["out", "-o", "--output"], type=file, metavar="OUT", help=out),
            options.option(seed),
            click.Option(["--overwrite"], is_flag=True, help="Replace a file that exists."),
            click.Option(["as_json", "--json"], is_flag=True, help="Print a record as JSON, and only that."),
        ],
    )


def _degrade(
    image: Path, stages: tuple[str, ...], out: Path | None, seed: int | None, overwrite: bool, as_json: bool
) -> None:
    for stage in stages:
        registry.load().get("degradations", params.parse(stage)[0])
    output, notes = files.target(image, "degraded", out, several=False)
    files.protect([image, *files.files_in(stages)], [output])
    from gdpkit import images, simulate

    with report.failure_as_json(image, as_json):
        files.check_writable(output, overwrite)
        with redirect_stdout(sys.stderr):  # a component may print; standard output belongs to results
            picture = simulate.degrade(image, stages, seed=seed or 0)
        notes += (*picture.notes, *images.save(output, picture.pixels, like=picture, overwrite=overwrite))
    for note in dict.fromkeys(notes):
        report.warn(f"Note: {image.name}: {note}")
    height, width = picture.pixels.shape[-2:]
    record = {
        "input": str(image),
        "outputs": [str(output)],
        "size": [width, height],
        "stages": list(stages),
        "seed": seed or 0,
    }
    click.echo(json.dumps(record, indent=2) if as_json else os.fsencode(output))
