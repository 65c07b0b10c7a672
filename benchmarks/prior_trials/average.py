"""The mean of two priors of one architecture, with its gains, offsets and biases fitted anew.

python benchmarks/prior_trials/average.py ONE.safetensors OTHER.safetensors PHOTOS -o MEAN.safetensors [--steps 300]

The averaged weights restore better than those of either network (docs/prior.md), as means do better on what a network
was not trained for (Rame et al., "Diverse weight averaging for out-of-distribution generalization", NeurIPS 2022). But
the features of the mean vary less than those of the two (Jordan et al., "REPAIR", ICLR 2023), so it denoises worse,
until what scales and shifts them is fitted again; the weights of the convolutions stay as they are.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import click
import torch
from torch import nn

from gdpkit.priors.checkpoint import load_unet, save_unet
from gdpkit.priors.unet import UNet
from gdpkit.training.photos import Photos
from gdpkit.training.recipe import EMBEDDED, Recipe
from gdpkit.training.trainer import Trainer

# Without crops of less noise: taught on them, the network leaves pictures alone again.
CHANGES = {"minutes": 0.0, "warmup_steps": 20, "decay": 1.0, "average": 0.99, "less_noise": 0.0}


class Scales(Trainer):
    """A training of everything but the weights of the convolutions."""

    def __init__(self, recipe: Recipe, photos: Photos, start: UNet) -> None:
        super().__init__(recipe, photos, torch.device("cpu"), start)
        for module in self.network.modules():
            if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
                module.weight.requires_grad_(False)
        trained = [parameter for parameter in self.network.parameters() if parameter.requires_grad]
        self.optimizers = [torch.optim.AdamW(trained, lr=recipe.learning_rate, betas=(0.9, 0.99), weight_decay=0)]


@click.command()
@click.argument("files", nargs=2, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.argument("photos", type=click.Path(exists=True, path_type=Path))
@click.option("-o", "--output", required=True, type=click.Path(dir_okay=False, path_type=Path))
@click.option("--steps", default=300, show_default=True)
@click.option("--learning-rate", default=5e-4, show_default=True)
def main(files: tuple[Path, Path], photos: Path, output: Path, steps: int, learning_rate: float) -> None:
    """Write the mean, and print its PSNR on photographs set aside before and after."""
    torch.set_num_threads(1)  # as the sums of a step, and with them the file, depend on it
    one, other = (load_unet(file, "cpu").network for file in files)
    mean = UNet(**one.architecture)
    weights = other.state_dict()
    mean.load_state_dict({key: (value + weights[key]) / 2 for key, value in one.state_dict().items()})
    recipe = Recipe.read(EMBEDDED, **CHANGES, steps=steps, learning_rate=learning_rate)
    trainer = Scales(recipe, Photos([photos], recipe.crop, recipe.short_side), mean)
    click.echo("before: {:.2f} / {:.2f} / {:.2f} dB at sigma 15 / 25 / 50".format(*trainer.validate()))
    for _ in trainer.run():
        pass
    trainer.feed.close()
    click.echo("after: {:.2f} / {:.2f} / {:.2f} dB".format(*trainer.validate()))
    digests = " and ".join(hashlib.sha256(file.read_bytes()).hexdigest() for file in files)
    about = {
        "averaged": f"half of each of the weights with SHA-256 {digests}; then {steps} steps at {learning_rate:g} "
        "of all but the weights of convolutions, without crops of less noise",
        "licence": "MIT",
        "trained_on": f"{len(trainer.photos.training)} photographs",
        "trained_with": f"torch {torch.__version__}, cpu",
    }
    save_unet(output, trainer.average, about)
    click.echo(f"{output}: SHA-256 {hashlib.sha256(output.read_bytes()).hexdigest()}")


if __name__ == "__main__":
    main()
