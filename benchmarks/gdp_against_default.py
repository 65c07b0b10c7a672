"""GDP with 1000 steps, as published, beside the default sampler: same prior, same photographs, one table.

    python benchmarks/gdp_against_default.py PHOTOS [--crop 64] [--every 8]

The first row of each task is `--preset paper`, the second the defaults. Every photograph is degraded, rounded to 8
bits, restored, and rounded again, as files would be. Consistency is the mean squared difference, in 0..255, between the
rounded result degraded again and what was observed.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import numpy as np
from rich.console import Console
from rich.table import Table
from torch import Tensor

import gdpkit
from gdpkit import Degradation, images
from gdpkit.degradations.downsample import Downsample
from gdpkit.degradations.mask import Mask
from gdpkit.metrics.psnr import PSNR
from gdpkit.metrics.ssim import SSIM

SCALE, LOST, SEED = 4, 0.25, 0
PRESETS = ("paper", "default")


@click.command()
@click.argument("photos", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--crop", default=64, show_default=True, help="Use the middle of each photograph, this many pixels wide.")
@click.option("--every", default=1, show_default=True, help="Use every so many photographs.")
@click.option("--prior", default=None)
def main(photos: Path, crop: int, every: int, prior: str | None) -> None:
    """Print two rows for each task, over the photographs of a folder."""
    files = sorted(f for f in photos.iterdir() if f.suffix.lower() in (".png", ".jpg"))[::every]
    truths = [_middle(images.read_image(f), crop) for f in files]
    table = Table("task", "preset", "evaluations", "PSNR dB", "SSIM", "consistency", "seconds")
    tasks: dict[str, Degradation] = {"sr": Downsample(scale=SCALE), "inpaint": Mask(missing=LOST, seed=SEED)}
    for task, degradation in tasks.items():
        for preset in PRESETS:
            rows = [_measured(task, degradation, truth, preset, prior) for truth in truths]
            evaluations, psnr, ssim, consistency, seconds = np.mean(rows, axis=0)
            table.add_row(
                task, preset, f"{evaluations:g}", f"{psnr:.2f}", f"{ssim:.4f}", f"{consistency:.3f}", f"{seconds:.1f}"
            )
    Console().print(f"{len(files)} photographs, the middle {crop}x{crop} pixels", table)


def _measured(task: str, degradation: Degradation, truth: Tensor, preset: str, prior: str | None) -> list[float]:
    """Evaluations, PSNR, SSIM, consistency and seconds of one photograph."""
    observed = _rounded(degradation(truth))
    own: dict[str, Any] = {"scale": SCALE} if isinstance(degradation, Downsample) else {}
    if isinstance(degradation, Mask):
        own["mask"] = 1 - degradation.kept(*truth.shape[-2:])[0]
    result = gdpkit.restore(task, image=observed, preset=preset, prior=prior, **own)
    output = _rounded(result.tensor)
    error = float((255 * (degradation(output) - observed)).square().mean())
    found = [PSNR()(output, truth).item(), SSIM()(output, truth).item(), error]
    return [result.record["network_evaluations"], *found, result.record["seconds"]]


def _middle(image: Tensor, side: int) -> Tensor:
    top, left = ((size - side) // 2 for size in image.shape[-2:])
    return image[..., top : top + side, left : left + side]


def _rounded(image: Tensor) -> Tensor:
    return (255 * image.clamp(0, 1)).round() / 255


if __name__ == "__main__":
    main()
