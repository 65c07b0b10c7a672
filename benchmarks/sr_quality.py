"""Super-resolution beside interpolation, and samplers beside each other: PSNR, SSIM, consistency, evaluations, time.

    python benchmarks/sr_quality.py PHOTOS [--scale 4] [--sampler hqs --sampler gdp:steps=1000 ...] [--crop 128]

Every photograph is made small by block means, rounded to 8 bits, restored, and rounded again, as files would be.
"""

from __future__ import annotations

import time
from pathlib import Path

import click
import cv2
import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor

import gdpkit
from gdpkit import images
from gdpkit.degradations.downsample import Downsample
from gdpkit.metrics.psnr import PSNR
from gdpkit.metrics.ssim import SSIM


@click.command()
@click.argument("photos", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--scale", default=4, show_default=True)
@click.option("--sampler", "samplers", multiple=True, default=("hqs",), show_default=True)
@click.option("--prior", default=None)
@click.option("--crop", default=None, type=int, help="Use the middle of each photograph only, this many pixels wide.")
@click.option("--every", default=1, show_default=True, help="Use every so many photographs.")
def main(photos: Path, scale: int, samplers: tuple[str, ...], prior: str | None, crop: int | None, every: int) -> None:
    """Print the table over the photographs of a folder."""
    compare(photos, scale, samplers, prior, crop, every)


def compare(
    photos: Path,
    scale: int,
    samplers: tuple[str, ...],
    prior: str | None = None,
    crop: int | None = None,
    every: int = 1,
) -> dict[str, float]:
    """Restore every photograph with every sampler, print the table, and return the PSNR of each row."""
    files = sorted(f for f in photos.iterdir() if f.suffix.lower() in (".png", ".jpg"))[::every]
    truths = [_whole_blocks(_middle(images.read_image(f), crop), scale) for f in files]
    degradation = Downsample(scale=scale)
    smalls = [_rounded(degradation(truth)) for truth in truths]
    console, progress = Console(), Console(stderr=True)
    table = Table("method", "PSNR dB", "over bicubic", "SSIM", "consistency", "evaluations", "s a photograph")
    found: dict[str, float] = {}

    def row(name: str, outputs: list[Tensor], evaluations: int, seconds: float) -> None:
        found[name] = psnr = _mean(PSNR(), outputs, truths)
        error = [float((255 * (degradation(o) - s)).square().mean()) for o, s in zip(outputs, smalls, strict=True)]
        cells = (f"{psnr:.2f}", f"{psnr - found['bicubic (cv2)']:+.2f}", f"{_mean(SSIM(), outputs, truths):.4f}",
                 f"{np.mean(error):.3f}", str(evaluations), f"{seconds:.1f}")  # fmt: skip
        table.add_row(name, *cells)
        progress.print(name, *cells)

    for name, mode in (("bicubic (cv2)", cv2.INTER_CUBIC), ("lanczos (cv2)", cv2.INTER_LANCZOS4)):
        row(name, [_interpolated(small, scale, mode) for small in smalls], 0, 0.0)
    for sampler in samplers:
        started = time.perf_counter()
        results = [gdpkit.restore("sr", image=small, scale=scale, sampler=sampler, prior=prior) for small in smalls]
        seconds = (time.perf_counter() - started) / len(smalls)
        outputs = [_rounded(result.tensor) for result in results]
        row(sampler, outputs, results[0].record["network_evaluations"], seconds)
    console.print(f"{len(files)} photographs, scale {scale}", table)
    return found


def _middle(image: Tensor, side: int | None) -> Tensor:
    if side is None:
        return image
    top, left = ((size - side) // 2 for size in image.shape[-2:])
    return image[..., top : top + side, left : left + side]


def _whole_blocks(image: Tensor, scale: int) -> Tensor:
    height, width = (size - size % scale for size in image.shape[-2:])
    return image[..., :height, :width]


def _rounded(image: Tensor) -> Tensor:
    return (255 * image.clamp(0, 1)).round() / 255


def _interpolated(small: Tensor, scale: int, mode: int) -> Tensor:
    pixels = small[0].permute(1, 2, 0).numpy()
    large = cv2.resize(pixels, None, fx=scale, fy=scale, interpolation=mode)
    return _rounded(torch.from_numpy(large).permute(2, 0, 1)[None])


def _mean(metric: gdpkit.Metric, outputs: list[Tensor], truths: list[Tensor]) -> float:
    return float(np.mean([metric(o, t).item() for o, t in zip(outputs, truths, strict=True)]))


if __name__ == "__main__":
    main()
