"""Which network, parametrisation, noise distribution and optimiser serve the embedded prior best, at equal compute.

    python benchmarks/prior_trials/trial.py PHOTOS [--only NAME]... [--seconds 180]

Every trial trains for the same seconds of processor time on one thread, on the same crops, its learning rate falling to
nothing over the last half; networks are a quarter of the product's in compute. It prints the PSNR on photographs set
aside, of the averaged weights, at noise levels from fine to coarse. One run says little below 0.03 dB.
"""

from __future__ import annotations

import copy
import dataclasses
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import click
import numpy as np
import torch
from designs import BoundedBlock, Built, NafBlock, bias_free
from torch import Tensor

from gdpkit.priors.unet import UNet
from gdpkit.training.optimizers import optimizers
from gdpkit.training.photos import Photos, scaled
from gdpkit.training.recipe import Recipe
from gdpkit.training.trainer import robust

LEVELS = (5, 15, 25, 50, 100, 300)  # of noise, of 255, at which a trial is judged
BATCH = 16
WIDTHS, FLATTER, DEPTHS = (32, 64, 128), (32, 64, 96), (2, 2, 2)

SIGMA_DATA = 0.5  # of photographs in [-1, 1]

Scalings = Callable[[Tensor], tuple[Tensor, Tensor, Tensor]]


def edm(s: Tensor, data: float = SIGMA_DATA) -> tuple[Tensor, Tensor, Tensor]:
    """(input, skip, output) scalings of Karras et al., NeurIPS 2022, table 1."""
    norm = (s**2 + data**2).rsqrt()
    return norm, data**2 * norm**2, s * data * norm


def velocity(s: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """v of Salimans and Ho, ICLR 2022, in the variance-exploding frame: EDM with data of unit deviation."""
    return edm(s, 1.0)


def wide(s: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """EDM with data of deviation 2: closer yet to telling the noise where there is little of it."""
    return edm(s, 2.0)


def noise(s: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The network tells the noise: clean = noisy - s * F."""
    return (s**2 + SIGMA_DATA**2).rsqrt(), torch.ones_like(s), -s


@dataclass(frozen=True)
class Trial:
    """One row of the table."""

    name: str
    make: Callable[[], UNet] = lambda: UNet(WIDTHS, DEPTHS)
    scalings: Scalings = edm
    noise: dict[str, float] = dataclasses.field(default_factory=dict)  # what of the recipe it has otherwise
    rate: float = 1e-3
    muon: bool = False


TRIALS = [
    Trial("residual U-Net, FiLM, SiLU"),
    Trial("bounded gains", lambda: Built(WIDTHS, DEPTHS, BoundedBlock)),
    Trial("bias-free, ReLU", lambda: bias_free(WIDTHS, DEPTHS)),
    Trial("NAFNet blocks", lambda: Built((32, 64, 128), (4, 4, 6), NafBlock)),
    Trial("four levels", lambda: UNet((32, 48, 80, 128), (2, 2, 2, 2))),
    Trial("flatter widths", lambda: UNet(FLATTER, DEPTHS)),
    Trial("parametrisation v", scalings=velocity),
    Trial("parametrisation eps", scalings=noise),
    Trial("sigma log-normal (-1.2, 1.2)", noise={"sigma_log_deviation": 1.2, "spread": 0.0}),
    Trial("sigma log-normal (-1.0, 1.5)", noise={"sigma_log_mean": -1.0, "spread": 0.0}),
    Trial("sigma log-uniform", noise={"spread": 1.0}),
    Trial("parametrisation EDM, data 2", scalings=wide),
    Trial("Muon", muon=True),
    Trial("v, Muon, flatter widths", lambda: UNet(FLATTER, DEPTHS), velocity, muon=True),
    Trial("the same at twice the rate", lambda: UNet(FLATTER, DEPTHS), velocity, rate=2e-3, muon=True),
    Trial("v, Muon, even widths", lambda: UNet((48, 64, 64), DEPTHS), velocity, muon=True),
    Trial("v, Muon, deep at the finest", lambda: UNet((32, 64, 96), (4, 2, 1)), velocity, muon=True),
]


class Run:
    """A trial as it trains."""

    def __init__(self, trial: Trial, photos: Photos, recipe: Recipe) -> None:
        torch.manual_seed(0)
        self.trial, self.photos, self.recipe = trial, photos, dataclasses.replace(recipe, **trial.noise)
        self.network = trial.make().to(memory_format=torch.channels_last)
        self.average = copy.deepcopy(self.network)
        self.random = np.random.default_rng(0)
        self.optimisers = (
            optimizers(self.network, trial.rate, 1e-4)
            if trial.muon
            else [torch.optim.AdamW(self.network.parameters(), lr=trial.rate, betas=(0.9, 0.99), weight_decay=1e-4)]
        )
        self.steps = 0

    def train(self, seconds: float) -> None:
        """Train for so many seconds of processor time."""
        start = time.process_time()
        while (share := (time.process_time() - start) / seconds) < 1:
            rate = self.trial.rate * min(1.0, (self.steps + 1) / 50) * min(1.0, 2 * (1 - share))
            for optimiser in self.optimisers:
                for group in optimiser.param_groups:
                    group["lr"] = rate
            self._step()

    def _step(self) -> None:
        clean = scaled(self.photos.batch(BATCH, self.recipe.grey, self.random))
        sigma = self._levels()
        s = sigma[:, None, None, None]
        into, skip, out = self.trial.scalings(s)
        noisy = clean + s * torch.from_numpy(self.random.standard_normal(clean.shape, np.float32))
        with torch.autocast("cpu", torch.bfloat16):
            raw = self.network.raw((noisy * into).contiguous(memory_format=torch.channels_last), sigma)
        loss = robust((raw.float() - (clean - skip * noisy) / out).square().flatten(1).mean(1)).mean()
        if loss.isfinite():
            for optimiser in self.optimisers:
                optimiser.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
            for optimiser in self.optimisers:
                optimiser.step()
        self.steps += 1
        kept = min(0.99, self.steps / (self.steps + 10))
        with torch.no_grad():
            torch._foreach_lerp_(list(self.average.parameters()), list(self.network.parameters()), 1 - kept)

    def _levels(self) -> Tensor:
        recipe, draw = self.recipe, self.random
        least, most = math.log(recipe.sigma_least), math.log(recipe.sigma_most)
        levels = (recipe.sigma_log_mean + recipe.sigma_log_deviation * draw.standard_normal(BATCH)).clip(least, most)
        levels = np.where(draw.random(BATCH) < recipe.spread, draw.uniform(least, most, BATCH), levels)
        return torch.from_numpy(np.exp(levels)).float()

    @torch.no_grad()
    def judge(self) -> list[float]:
        """Mean PSNR in dB at each of `LEVELS`."""
        return [float(np.mean([self._psnr(clean, level) for clean in self.photos.validation])) for level in LEVELS]

    def _psnr(self, clean: Tensor, level: int) -> float:
        s = torch.tensor(level / 127.5)
        into, skip, out = self.trial.scalings(s)
        noisy = clean + s * torch.randn(clean.shape, generator=torch.Generator().manual_seed(level))
        denoised = skip * noisy + out * self.average.raw(noisy * into, s[None])
        return 10 * math.log10(4 / float((denoised - clean).square().mean()))


@click.command()
@click.argument("photos", type=click.Path(exists=True, path_type=Path))
@click.option("--only", multiple=True, help="Names of trials.")
@click.option("--seconds", default=180.0)
def main(photos: Path, only: Sequence[str], seconds: float) -> None:
    """Train each and print its row as Markdown."""
    torch.set_num_threads(1)
    recipe = Recipe.read()
    pictures = Photos([photos], recipe.crop, recipe.short_side)
    click.echo(f"| trial | parameters | steps | {' | '.join(f'sigma {level}' for level in LEVELS)} |")
    click.echo("| --- " * (3 + len(LEVELS)) + "|")
    for trial in TRIALS:
        if only and trial.name not in only:
            continue
        run = Run(trial, pictures, recipe)
        run.train(seconds)
        size = sum(p.numel() for p in run.network.parameters()) / 1e6
        click.echo(f"| {trial.name} | {size:.2f} M | {run.steps} | {' | '.join(f'{p:.2f}' for p in run.judge())} |")


if __name__ == "__main__":
    main()
