"""An old photograph, grey, small, scratched and noisy at once: restored in one pass, and one fault after the other.

    python benchmarks/chain.py PHOTOS [--every 4] [--side DIR] [--sampler hqs ...]

Every photograph is made grey (the mean of its channels), twice as small (block means), noisy (sigma 5) and loses a
quarter of its pixels, and is rounded to 8 bits. "one pass" is `gdpkit run restore` with that chain, "gdpkit's tasks"
inpaint, denoise, sr and colorize, each on the 8-bit result of the one before. "classical" is OpenCV's inpainting (the
better method), NLM (the best strength) and bicubic enlargement; it stays grey. PSNR is of the grey value, and of all
three channels, where a grey picture has none of the colour and a coloured one may have the wrong one.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click
import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from torch import Tensor

import gdpkit
from gdpkit import images

Levels = NDArray[np.uint8]
FAULTS = ("gray", "downsample:scale=2", "mask:missing=0.25", "noise:sigma=5")
STRENGTHS = (2, 3, 4, 5, 6, 8)  # of NLM
INPAINTING = {"TELEA": cv2.INPAINT_TELEA, "NS": cv2.INPAINT_NS}


@click.command()
@click.argument("photos", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--every", default=1, show_default=True, help="Use every so many photographs.")
@click.option("--sampler", default=None)
@click.option("--prior", default=None)
@click.option("--side", default=None, type=click.Path(path_type=Path), help="Write the pictures here.")
def main(photos: Path, every: int, sampler: str | None, prior: str | None, side: Path | None) -> None:
    """Print the table over the photographs of a folder."""
    files = sorted(f for f in photos.iterdir() if f.suffix.lower() in (".png", ".jpg"))[::every]
    truths = [gdpkit.read_image(f).expand(-1, 3, -1, -1) for f in files]
    seen = [_degraded(truth, k) for k, truth in enumerate(truths)]
    lost = 1 - gdpkit.chain(["mask:missing=0.25"])(torch.ones(1, 1, *seen[0].shape[:2]))[0, 0].numpy()
    settings = {"sampler": sampler, "prior": prior}
    methods: dict[str, Callable[[Levels], Levels]] = {
        f"classical: {name}, NLM {h}": _classical(lost, method, h)
        for name, method in INPAINTING.items()
        for h in STRENGTHS
    }
    methods["gdpkit's tasks"] = lambda y: _tasks(y, lost, settings)
    methods["one pass"] = lambda y: _restored("restore", y, stages=FAULTS, **settings)
    rows = {}
    for name, method in methods.items():
        started = time.perf_counter()
        found = [method(y) for y in seen]
        scores = [_scores(z, x) for z, x in zip(found, truths, strict=True)]
        rows[name] = (*np.mean(scores, axis=0), (time.perf_counter() - started) / len(files))
        if side is not None and not name.startswith("classical"):
            _write(side, name, files, found)
    best = max((name for name in rows if name.startswith("classical")), key=lambda name: rows[name][0])
    table = Table("method", "grey", "over classical", "colour", "s a photograph")
    for name in (best, "gdpkit's tasks", "one pass"):
        grey, colour, seconds = rows[name]
        table.add_row(name, f"{grey:.2f}", f"{grey - rows[best][0]:+.2f}", f"{colour:.2f}", f"{seconds:.1f}")
    Console().print(f"{' >> '.join(FAULTS)}, {len(files)} photographs: PSNR in dB", table)


def _degraded(truth: Tensor, seed: int) -> Levels:
    """The 8-bit picture, grey, (H, W)."""
    mean = gdpkit.chain(FAULTS)(truth)
    noise = torch.randn(mean.shape, generator=torch.Generator().manual_seed(seed))
    return _levels((mean + 5 / 255 * noise)[0, 0].numpy())


def _classical(lost: NDArray[np.floating], method: int, strength: int) -> Callable[[Levels], Levels]:
    def restored(y: Levels) -> Levels:
        filled = cv2.inpaint(y, (lost > 0).astype(np.uint8), 3, method)
        quiet = cv2.fastNlMeansDenoising(filled, None, strength)
        return np.asarray(cv2.resize(quiet, None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC), np.uint8)

    return restored


def _tasks(y: Levels, lost: NDArray[np.floating], settings: dict[str, Any]) -> Levels:
    y = _restored("inpaint", y, mask=lost, **settings)
    y = _restored("denoise", y, sigma=5.0, **settings)
    y = _restored("sr", y, scale=2, **settings)
    return _restored("colorize", y, weights="mean", **settings)


def _restored(task: str, y: Levels, **parameters: Any) -> Levels:
    return _levels(gdpkit.restore(task, image=y, **parameters).image)


def _levels(values: NDArray[Any]) -> Levels:
    return np.asarray((255 * values.clip(0, 1)).round(), np.uint8)


def _scores(found: Levels, truth: Tensor) -> tuple[float, float]:
    """PSNR of the grey value and of all channels."""
    true = truth[0].permute(1, 2, 0).numpy()
    colours = np.repeat(found[..., None], 3, 2) if found.ndim == 2 else found
    error = colours / 255 - true
    grey, colour = np.square(error.mean(2)).mean(), np.square(error).mean()
    return float(-10 * np.log10(grey)), float(-10 * np.log10(colour))


def _write(folder: Path, name: str, files: Sequence[Path], found: Sequence[Levels]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for file, levels in zip(files, found, strict=True):
        pixels = torch.from_numpy(levels / 255).float()
        pixels = pixels[None, None] if pixels.ndim == 2 else pixels.permute(2, 0, 1)[None]
        images.save(folder / f"{file.stem}-{name.replace(' ', '-')}.png", pixels, overwrite=True)


if __name__ == "__main__":
    main()
