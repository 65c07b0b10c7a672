"""`python -m gdpkit.training PHOTOS... -o PRIOR`: train a prior, or go on training one."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import click
import torch

from gdpkit import choices
from gdpkit.priors import checkpoint
from gdpkit.training.photos import Photos
from gdpkit.training.recipe import Recipe
from gdpkit.training.trainer import Trainer


@click.command()
@click.argument("photos", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), help="The prior, a safetensors file.")
@click.option("--minutes", default=Recipe.minutes, show_default=True, help="Training time, earlier parts counted in.")
@click.option("--checkpoints", default=Path("runs/prior"), type=click.Path(path_type=Path), show_default=True)
@click.option("--device", default="auto", show_default=True)
@click.option("--every", default=500, show_default=True, help="Steps between checkpoints.")
@click.option("--licence", default="", help="Licence of the weights, written into the file.")
def main(
    photos: tuple[Path, ...], output: Path, minutes: float, checkpoints: Path, device: str, every: int, licence: str
) -> None:
    """Train on the photographs below PHOTOS; goes on from the last checkpoint where there is one."""
    recipe = Recipe(minutes=minutes)
    trainer = Trainer(recipe, Photos(photos, recipe.crop), choices.device(device))
    checkpoints.mkdir(parents=True, exist_ok=True)
    last = checkpoints / "last.pt"
    if last.exists():
        trainer.resume(last)
    trainer.run(last, every, click.echo)
    about = {"recipe": json.dumps(asdict(recipe)), "steps": str(trainer.step), "licence": licence}
    about["trained_with"] = f"torch {torch.__version__}, {trainer.device.type}, {trainer.seconds / 60:.0f} minutes"
    checkpoint.save_unet(output, trainer.average, about)
    click.echo(f"{output}: {trainer.step} steps, SHA-256 {checkpoint.sha256(output)}")


if __name__ == "__main__":
    main()
