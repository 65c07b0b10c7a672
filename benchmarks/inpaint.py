"""Inpainting beside OpenCV and scikit-image: lost pixels, thin scratches and a large hole.

    python benchmarks/inpaint.py PHOTOS [--sampler hqs --sampler hqs:steps=40 ...] [--crop 128] [--every 3] [--side DIR]

Every photograph is rounded to 8 bits, loses its pixels, is repaired, and rounded again, as files would be. Lost are: a
quarter of the pixels at random; seven polylines of 1 to 3 pixels; a disc with a fifth of the side as radius. PSNR is of
the whole photograph; every method sees the same damage. "over best" is the gain on the best of the three others, each
taken by its average.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import click
import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from skimage.restoration import inpaint_biharmonic

import gdpkit
from gdpkit import images
from gdpkit.metrics.psnr import PSNR

Levels = NDArray[np.uint8]
Lost = NDArray[np.bool_]


@click.command()
@click.argument("photos", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--sampler", "samplers", multiple=True, default=("hqs",), show_default=True)
@click.option("--prior", default=None)
@click.option("--crop", default=None, type=int, help="Use the middle of each photograph only, this many pixels wide.")
@click.option("--every", default=1, show_default=True, help="Use every so many photographs.")
@click.option("--side", default=None, type=click.Path(path_type=Path), help="Write pictures side by side here.")
def main(
    photos: Path, samplers: tuple[str, ...], prior: str | None, crop: int | None, every: int, side: Path | None
) -> None:
    """Print the table over the photographs of a folder."""
    files = sorted(f for f in photos.iterdir() if f.suffix.lower() in (".png", ".jpg"))[::every]
    truths = [_levels(images.read_image(f), crop) for f in files]
    damages = {"25 % at random": scattered, "scratches": scratches, "a large hole": hole}
    table = Table("method", *(column for name in damages for column in (name, "over best")), "s a photograph")
    methods: dict[str, Callable[[Levels, Lost], Levels]] = {
        "cv2 TELEA": partial(_opencv, method=cv2.INPAINT_TELEA),
        "cv2 NS": partial(_opencv, method=cv2.INPAINT_NS),
        "skimage biharmonic": _biharmonic,
    }
    others = list(methods)
    methods |= {name: partial(_ours, sampler=name, prior=prior) for name in samplers}
    found: dict[str, list[float]] = {}
    seconds: dict[str, float] = {}
    for method, repair in methods.items():
        started = time.perf_counter()
        found[method] = []
        for damage in damages.values():
            scores = []
            for k, (file, truth) in enumerate(zip(files, truths, strict=True)):
                lost = damage(truth.shape[0], truth.shape[1], k)
                y = np.where(lost[..., None], 0, truth).astype(np.uint8)
                repaired = np.where(lost[..., None], repair(y, lost), truth)
                scores.append(_psnr(repaired, truth))
                if side is not None:
                    _show(side, f"{file.stem}-{damage.__name__}-{method}", repaired)
            found[method].append(float(np.mean(scores)))
        seconds[method] = (time.perf_counter() - started) / len(files) / len(damages)
    best = np.max([found[name] for name in others], axis=0)
    for method, scores in found.items():
        cells = [c for score, b in zip(scores, best, strict=True) for c in (f"{score:.2f}", f"{score - b:+.2f}")]
        table.add_row(method, *cells, f"{seconds[method]:.1f}")
    Console().print(f"{len(files)} photographs, PSNR in dB", table)


def scattered(height: int, width: int, seed: int) -> Lost:
    """A quarter of the pixels, each by itself."""
    return np.random.default_rng(seed).random((height, width)) < 0.25


def scratches(height: int, width: int, seed: int) -> Lost:
    """Seven polylines that wander across the picture, 1 to 3 pixels wide."""
    random = np.random.default_rng(seed)
    drawn = np.zeros((height, width), np.uint8)
    for _ in range(7):
        at, angle = random.uniform((0, 0), (width, height)), random.uniform(0, 2 * math.pi)
        points = [at]
        for _ in range(int(random.integers(3, 7))):
            angle += random.normal(0, 0.35)
            at = at + random.uniform(0.15, 0.35) * max(height, width) * np.array([math.cos(angle), math.sin(angle)])
            points.append(at)
        cv2.polylines(drawn, [np.rint(points).astype(np.int32)], False, 1, int(random.integers(1, 4)), cv2.LINE_8)
    return drawn > 0


def hole(height: int, width: int, seed: int) -> Lost:
    """A disc in the middle."""
    rows, columns = np.mgrid[:height, :width]
    away = (rows - height // 2) ** 2 + (columns - width // 2) ** 2
    return np.asarray(away <= (min(height, width) // 5) ** 2)


def _levels(pixels: torch.Tensor, crop: int | None) -> Levels:
    height, width = pixels.shape[-2:]
    side = crop or max(height, width)
    top, left = max(0, height - side) // 2, max(0, width - side) // 2
    colour = pixels.expand(-1, 3, -1, -1)[..., top : top + side, left : left + side]
    return (255 * images.to_array(colour)).round().astype(np.uint8)


def _opencv(y: Levels, lost: Lost, method: int) -> Levels:
    return np.asarray(cv2.inpaint(y, lost.astype(np.uint8), 3, method), np.uint8)


def _biharmonic(y: Levels, lost: Lost) -> Levels:
    return _rounded(inpaint_biharmonic(y / 255, lost, channel_axis=-1))


def _ours(y: Levels, lost: Lost, sampler: str, prior: str | None) -> Levels:
    return _rounded(gdpkit.restore("inpaint", image=y, mask=lost, sampler=sampler, prior=prior).image)


def _rounded(values: NDArray[np.floating]) -> Levels:
    return (255 * values.clip(0, 1)).round().astype(np.uint8)


def _psnr(found: Levels, truth: Levels) -> float:
    one, other = (torch.from_numpy(levels / 255).float().permute(2, 0, 1)[None] for levels in (found, truth))
    return PSNR()(one, other).item()


def _show(folder: Path, name: str, levels: Levels) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    pixels = torch.from_numpy(levels / 255).float().permute(2, 0, 1)
    images.save(folder / f"{name.replace(' ', '_').replace(':', '_')}.png", pixels, overwrite=True)


if __name__ == "__main__":
    main()
