"""What hierarchical guidance brings: large holes in large photographs, and low light.

    python benchmarks/hierarchy.py PHOTOS [--side 384] [--hole 128] [--steps 20] [--every 1] [--window 64] [--save DIR]
    python benchmarks/hierarchy.py PHOTOS --pairs [--every-pixel 2] [--window 64] [--save DIR]

Every photograph is reduced to `--side` pixels, its middle is taken, rounded to 8 bits, and loses a square of `--hole`
pixels in the middle; PSNR is of the hole. "smooth start" is that of the sampler before the first evaluation of the
network, "without the network below" the same guidance by smooth fills of the smaller sizes, which tells what of the
gain is the prior's. With `--pairs` PHOTOS holds pairs N_low.* and N_high.* for `lowlight`; PSNR is after a gain that
gives the output the mean of the reference. `--window` shows the prior such windows only, as one with attention.
"""

from __future__ import annotations

import time
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

import click
import cv2
import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor
from torch.nn import functional as F

import gdpkit
from gdpkit import Prior, images
from gdpkit.components import Denoised
from gdpkit.hierarchy import guided, levels
from gdpkit.metrics.psnr import PSNR
from gdpkit.objective import EnergyObjective
from gdpkit.samplers import guidance

Scores = dict[str, list[float]]


@dataclass(frozen=True)
class Windowed(Prior):
    """The embedded prior, known to have been trained on images of one size and nothing else."""

    name = "windowed"
    prior: Prior
    size: int

    @property
    def training_size(self) -> int:
        """The windows' side."""
        return self.size

    def denoise(self, noisy: Tensor, sigma: float | Tensor) -> Denoised:
        """Of the other prior."""
        return self.prior.denoise(noisy, sigma)


@click.command()
@click.argument("photos", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--side", default=384, show_default=True)
@click.option("--hole", default=128, show_default=True)
@click.option("--steps", default=20, show_default=True)
@click.option("--sampler", default="hqs", show_default=True, help="For holes.")
@click.option("--every", default=1, show_default=True, help="Use every so many photographs.")
@click.option("--pairs", is_flag=True, help="Low light instead of holes.")
@click.option("--every-pixel", "stride", default=1, show_default=True, help="Of pairs, use every so many pixels.")
@click.option("--window", default=None, type=int, help="Show the prior windows of this side only.")
@click.option("--save", default=None, type=click.Path(path_type=Path), help="Folder for pictures, side by side.")
def main(
    photos: Path,
    side: int,
    hole: int,
    steps: int,
    sampler: str,
    every: int,
    pairs: bool,
    stride: int,
    window: int | None,
    save: Path | None,
) -> None:
    """Print the table over the photographs of a folder."""
    prior = gdpkit.load_prior(None, device="cpu")
    if window is not None:
        prior = Windowed(prior, window)
    if pairs:
        scores, seconds, count = low_light(photos, stride, prior, save)
    else:
        scores, seconds, count = holes(photos, side, hole, steps, sampler, every, prior, save)
    table = Table("method", "PSNR dB", "over off", "least", "most", "s a photograph")
    for name, found in scores.items():
        gains = [a - b for a, b in zip(found, scores["off"], strict=True)]
        table.add_row(
            name,
            f"{np.mean(found):.2f}",
            f"{np.mean(gains):+.2f}",
            f"{min(gains):+.2f}",
            f"{max(gains):+.2f}",
            f"{seconds[name] / count:.1f}" if name in seconds else "",
        )
    Console().print(f"{count} photographs", table)


def holes(
    folder: Path, side: int, hole: int, steps: int, sampler: str, every: int, prior: Prior, save: Path | None
) -> tuple[Scores, dict[str, float], int]:
    """A square hole in each photograph of a folder."""
    files = sorted(f for f in folder.iterdir() if f.suffix.lower() in (".png", ".jpg"))[::every]
    lost = torch.zeros(1, 1, side, side, dtype=torch.bool)
    first = (side - hole) // 2
    lost[..., first : first + hole, first : first + hole] = True
    scores: Scores = defaultdict(list)
    seconds: dict[str, float] = defaultdict(float)
    for file in files:
        truth = _square(images.read_image(file).expand(-1, 3, -1, -1), side)
        damaged = torch.where(lost, 0, truth)
        array = (255 * images.to_array(damaged)).round().astype(np.uint8)
        telea = cv2.inpaint(array, lost[0, 0].numpy().astype(np.uint8), 3, cv2.INPAINT_TELEA)
        shown = {"cv2 TELEA": torch.from_numpy(telea).movedim(-1, 0)[None] / 255}
        settings = {"off": "off", "without the network below": "auto", "auto": "auto"}
        for name, wish in settings.items():
            started = time.perf_counter()
            task = gdpkit.registry.load().get("tasks", "inpaint")(image=damaged, mask=lost[0])
            if name == "without the network below":
                *smaller, problem = levels(task.problem(), prior)
                answer = None
                for level in smaller:
                    aim = level if answer is None else guided(level, answer)
                    answer = guidance.smooth(EnergyObjective(aim), 0.3)
                problem = problem if answer is None else guided(problem, answer)
                with mock.patch.object(type(task), "problem", lambda _, found=problem: found):
                    result = gdpkit.restore(task, prior=prior, sampler=sampler, steps=steps, hierarchy="off")
            else:
                result = gdpkit.restore(task, prior=prior, sampler=sampler, steps=steps, hierarchy=wish)
            shown[name] = result.tensor
            seconds[name] += time.perf_counter() - started
            if name == "off":
                shown["smooth start"] = guidance.smooth(EnergyObjective(task.problem()), 0.3)
        for name, image in shown.items():
            inside = lost.expand_as(truth)
            found, wanted = (_rounded(i)[inside].view(1, 3, hole, hole) for i in (image, truth))
            scores[name].append(PSNR()(found, wanted).item())
        _show(save, file.stem, [damaged, *shown.values(), truth])
    return scores, seconds, len(files)


def low_light(folder: Path, stride: int, prior: Prior, save: Path | None) -> tuple[Scores, dict[str, float], int]:
    """`lowlight` with and without guidance, for each pair of a folder."""
    lows = sorted(f for f in folder.iterdir() if f.stem.endswith("_low"))
    scores: Scores = defaultdict(list)
    seconds: dict[str, float] = defaultdict(float)
    for file in lows:
        low, truth = (
            images.read_image(f)[..., ::stride, ::stride]
            for f in (file, file.with_name(file.name.replace("_low", "_high")))
        )
        shown = {}
        for wish in ("off", "on"):
            started = time.perf_counter()
            shown[wish] = gdpkit.restore("lowlight", image=low, prior=prior, hierarchy=wish).tensor
            seconds[wish] += time.perf_counter() - started
        for name, image in shown.items():
            matched = _rounded(image) * (truth.mean() / _rounded(image).mean())
            scores[name].append(PSNR()(matched.clamp(0, 1), truth).item())
        _show(save, file.stem, [low, *shown.values(), truth])
    return scores, seconds, len(lows)


def _square(photo: Tensor, side: int) -> Tensor:
    """The middle of a photograph whose shorter side is reduced to `side`, of 8 bits."""
    height, width = photo.shape[-2:]
    ratio = side / min(height, width)
    small = F.interpolate(photo, (max(side, round(height * ratio)), max(side, round(width * ratio))), mode="area")
    top, left = (small.shape[-2] - side) // 2, (small.shape[-1] - side) // 2
    return _rounded(small[..., top : top + side, left : left + side])


def _rounded(image: Tensor) -> Tensor:
    return (255 * image.clamp(0, 1)).round() / 255


def _show(folder: Path | None, stem: str, columns: list[Tensor]) -> None:
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        images.save(folder / f"{stem}.png", torch.cat([c.clamp(0, 1) for c in columns], dim=3), overwrite=True)


if __name__ == "__main__":
    main()
