"""`gdpkit prior train`: photographs -> a prior of one's own."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gdpkit import options, registry, report
from gdpkit.cli.base import Command
from gdpkit.errors import GdpkitError
from gdpkit.meter import meter
from gdpkit.params import Declared, Param

if TYPE_CHECKING:
    from gdpkit.priors.unet import UNet
    from gdpkit.training.recipe import Recipe
    from gdpkit.training.session import Session

_HELP = """Train a prior on PHOTOS, files and folders with all that is in them, or train one further (--from).

The training goes on from its last checkpoint where there is one: after Ctrl-C, a crash or a kill, give the same
command again. Beside the checkpoints, history.csv and history.png show how well it removes noise from photographs
that were set aside."""


def train_command() -> click.Command:
    """The command `gdpkit prior train`."""
    file = options.File()
    minutes = Declared("minutes", float, None, Param("Training time, earlier parts counted in.", min=0))
    steps = Declared("steps", int, None, Param("Train for so many steps instead.", min=1))
    every = Declared("every", int, None, Param("Steps between two validations.  [default: 250]", min=1))
    device = Declared("device", str, None, Param("auto, cpu, cuda or cuda:N."))
    licence = Declared("licence", str, None, Param("Licence of the weights, written into the file."))
    return Command(
        "train",
        _train,
        help=_HELP,
        examples=(
            "gdpkit prior train photos/ -o my-prior.safetensors --minutes 120",
            "gdpkit prior train photos/ -o portraits.safetensors --from embedded --minutes 30",
        ),
        own=[
            click.Argument(["photos"], type=file, nargs=-1, required=True),
            click.Option(["output", "-o", "--output"], type=file, required=True, metavar="FILE", help="The prior."),
            click.Option(["start", "--from"], metavar="PRIOR", help="The name or file of a prior to begin from."),
            options.option(minutes),
            options.option(steps),
            click.Option(["--checkpoints"], type=file, metavar="DIR", help="Their folder.  [default: <FILE>-training]"),
            click.Option(["--resume/--no-resume"], default=True, help="Go on from the last checkpoint, or start anew."),
            options.option(every),
            options.option(device),
            click.Option(
                ["recipe", "--recipe"], type=file, metavar="FILE", help="TOML, what differs from gdpkit's own."
            ),
            options.option(licence),
            click.Option(["--overwrite"], is_flag=True, help="Replace a file that exists."),
        ],
    )


def _train(
    photos: tuple[Path, ...],
    output: Path,
    start: str | None,
    minutes: float | None,
    steps: int | None,
    checkpoints: Path | None,
    resume: bool,
    every: int | None,
    device: str | None,
    recipe: Path | None,
    licence: str | None,
    overwrite: bool,
) -> None:
    _check_output(output, overwrite)
    if minutes is not None and steps is not None:
        raise GdpkitError("--minutes and --steps are two ways to say how long; give one of them")
    from gdpkit import choices
    from gdpkit.training.photos import Photos
    from gdpkit.training.session import Session, claimed
    from gdpkit.training.trainer import Trainer

    chosen = choices.device("auto" if device is None else device)
    begun, origin = _origin(start) if start is not None else (None, {})
    wanted = _recipe(recipe, begun, {"minutes": minutes, "steps": steps or (0 if minutes else None)})
    folder = checkpoints or output.with_name(f"{output.stem}-training")
    read = Photos(photos, wanted.crop, wanted.short_side, _note)
    with claimed(folder):
        session = Session(Trainer(wanted, read, chosen, begun), folder, every or 250)
        session.begin(resume, _note)
        _run(session)
        _finish(session, output, overwrite, {**origin, "licence": licence or ""})


def _note(text: str) -> None:
    report.warn(f"Note: {text}")


def _check_output(output: Path, overwrite: bool) -> None:
    """Raise now what would spoil the result after hours of work."""
    if output.suffix != ".safetensors":
        raise GdpkitError(f"-o {output}: a prior is written as safetensors; let its name end with .safetensors")
    if output.exists() and not overwrite:
        raise GdpkitError(f"{output}: it exists already; --overwrite replaces it")
    if not output.absolute().parent.is_dir():
        raise GdpkitError(f"{output}: the folder {output.parent} does not exist; make it first")
    if not os.access(output.absolute().parent, os.W_OK) or output.is_dir():
        raise GdpkitError(f"{output}: it cannot be written there")


def _origin(start: str) -> tuple[UNet, dict[str, str]]:
    """The network to begin from, and what the result's metadata says about it."""
    from gdpkit.priors import checkpoint, known

    if start != "embedded" and start in registry.load().names("priors") and not Path(start).exists():
        raise GdpkitError(f"--from {start}: it has no weights of its own; name a prior's file, or embedded")
    file = known.checkpoint_file(start)
    if not checkpoint.is_ours(file):
        raise GdpkitError(
            f"--from {start}: only priors that gdpkit trained can be trained further, and this is another"
        )
    return checkpoint.load_unet(file, "cpu").network, {
        "trained_from": f"{file.name}, SHA-256 {checkpoint.sha256(file)}"
    }


def _recipe(file: Path | None, begun: UNet | None, duration: dict[str, Any]) -> Recipe:
    """gdpkit's own, changed by what a further training needs, by the file, and by the options."""
    from gdpkit.training.recipe import FINE_TUNE, Recipe

    files = [*([FINE_TUNE] if begun is not None else []), *([file] if file is not None else [])]
    recipe = Recipe.read(*files, **options.given(duration))
    # The network is what it is, whatever a recipe says of fresh ones.
    return (
        recipe
        if begun is None
        else replace(recipe, widths=begun.widths, depths=begun.depths, sigma_data=begun.sigma_data)
    )


def _run(session: Session) -> None:
    from gdpkit.training.history import Row
    from gdpkit.training.trainer import Progress

    trainer = session.trainer
    report.warn(
        f"Training {sum(p.numel() for p in trainer.network.parameters()) / 1e6:.1f} million parameters on "
        f"{len(trainer.photos.training)} photographs ({len(trainer.photos.validation)} more set aside) with "
        f"{trainer.device}; checkpoints in {session.folder}"
    )
    with meter("training", every=None) as shown:
        latest = f"{session.rows[-1].psnr}" if session.rows else ""

        def on_step(progress: Progress) -> None:
            loss = "" if progress.loss is None else f", loss {progress.loss:.3f}"
            shown.update(progress.share, f"step {progress.step}{loss}{latest and ', PSNR '}{latest}")

        def on_row(row: Row) -> None:
            nonlocal latest
            latest = row.psnr
            skipped = f", {row.skipped} steps skipped" * bool(row.skipped)
            left = shown.left() and f", {shown.left()}"
            shown.say(f"step {row.step} ({trainer.share:.0%}): loss {row.loss:.4f}, PSNR {row.psnr}{skipped}{left}")

        try:
            session.run(on_step, on_row)
        except KeyboardInterrupt:
            shown.say(f"Step {trainer.step} is saved; the same command goes on from there.")
            raise


def _finish(session: Session, output: Path, overwrite: bool, about: dict[str, str]) -> None:
    """Write the prior, and say what gdpkit's list has to say of it where it is gdpkit's own."""
    import torch

    from gdpkit.priors import checkpoint, known

    trainer, photos = session.trainer, session.trainer.photos
    spent = report.duration(trainer.seconds)
    about["recipe"] = json.dumps(asdict(trainer.recipe))
    about["steps"] = str(trainer.step)
    # Where the steps were given, the time says nothing of the network, and the same training is to be the same file.
    took = "" if trainer.recipe.steps else f", {spent}"
    about["trained_with"] = f"torch {torch.__version__}, {trainer.device.type}{took}"
    about["trained_on"] = f"{len(photos.training)} photographs"
    if session.rows:
        about["validation"] = f"PSNR {session.rows[-1].psnr} at sigma 15 / 25 / 50, {len(photos.validation)} set aside"
    checkpoint.save_unet(output, trainer.average, about, overwrite=overwrite)
    digest = checkpoint.sha256(output)
    report.warn(f"{trainer.step} steps in {spent}, SHA-256 {digest}")
    own = known.checkpoint_file("embedded")
    if output.resolve() == own:
        entry = {"file": own.name, "bytes": output.stat().st_size, "sha256": digest, "licence": about["licence"]}
        report.warn(f'gdpkit/priors/known.json needs:\n  "embedded": {json.dumps(entry, indent=2)}')
    click.echo(os.fsencode(output))
