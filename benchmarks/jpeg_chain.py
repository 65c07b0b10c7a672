"""Blurred or small photographs that were stored as JPEG: restored in one pass, and one fault after the other.

    python benchmarks/jpeg_chain.py PHOTOS [--every 4] [--side DIR] [--sampler hqs ...]

"the file" is what is given, enlarged where need be by bicubic interpolation. "NLM" is OpenCV's, of the best strength,
before that. "gdpkit's tasks" are `denoise --jpeg` and then `sr` or `deblur`, each on the 8-bit result of the one
before; "one pass" is `gdpkit run restore` with the chain. PSNR in dB.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import click
import cv2
import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor

import gdpkit
from gdpkit import functional, images
from gdpkit.metrics.psnr import PSNR
from gdpkit.noise import SeededNoise

CHAINS: dict[tuple[str, ...], tuple[str, dict[str, Any]]] = {
    ("blur:kernel=gaussian,size=9,sigma=1.5", "jpeg:quality=60"): ("deblur", {"kernel": "gaussian:9,1.5"}),
    ("downsample:scale=2", "jpeg:quality=80"): ("sr", {"scale": 2, "kernel": "average"}),
    ("downsample:scale=2", "noise:sigma=5", "jpeg:quality=30"): ("sr", {"scale": 2, "kernel": "average"}),
}
STRENGTHS = (2, 3, 4, 5, 6, 8, 10)  # of NLM


@click.command()
@click.argument("photos", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--every", default=1, show_default=True, help="Use every so many photographs.")
@click.option("--sampler", default=None)
@click.option("--prior", default=None)
@click.option("--side", default=None, type=click.Path(path_type=Path), help="Write the pictures here.")
def main(photos: Path, every: int, sampler: str | None, prior: str | None, side: Path | None) -> None:
    """Print a table over the photographs of a folder for each chain."""
    files = sorted(f for f in photos.iterdir() if f.suffix.lower() in (".png", ".jpg"))[::every]
    truths = [gdpkit.read_image(f).expand(-1, 3, -1, -1) for f in files]
    settings: dict[str, Any] = {"sampler": sampler, "prior": prior}
    for k, (stages, (task, options)) in enumerate(CHAINS.items()):
        seen = [_rounded(gdpkit.chain(stages).simulate(t, SeededNoise(i, [b"file"]))) for i, t in enumerate(truths)]
        methods: dict[str, Callable[[Tensor], Tensor]] = {"the file": lambda y: y}
        methods |= {f"NLM {h}": partial(_nlm, strength=h) for h in STRENGTHS}
        methods["gdpkit's tasks"] = partial(_tasks, stages=stages, task=task, options=options, settings=settings)
        methods["one pass"] = partial(_one_pass, stages=stages, settings=settings)
        table = Table("method", "PSNR", "least", "seconds")
        found = {}
        for name, method in methods.items():
            started = time.perf_counter()
            made = [_large(_rounded(method(y)), t) for y, t in zip(seen, truths, strict=True)]
            scores = [PSNR()(m, t).item() for m, t in zip(made, truths, strict=True)]
            found[name] = np.mean(scores), min(scores), (time.perf_counter() - started) / len(files), made
        best = max((n for n in found if n.startswith("NLM")), key=lambda n: found[n][0])
        for name in ("the file", best, "gdpkit's tasks", "one pass"):
            psnr, least, seconds, made = found[name]
            table.add_row(name, f"{psnr:.2f}", f"{least:.2f}", f"{seconds:.1f}")
            if side is not None:
                side.mkdir(parents=True, exist_ok=True)
                for file, picture in zip(files, made, strict=True):
                    images.save(side / f"{k}_{file.stem}_{name.replace(' ', '_')}.png", picture, overwrite=True)
        Console().print(f"{len(files)} photographs, {' >> '.join(stages)}", table)


def _one_pass(seen: Tensor, stages: Sequence[str], settings: dict[str, Any]) -> Tensor:
    return gdpkit.restore("restore", image=seen, stages=stages, **settings).tensor


def _tasks(seen: Tensor, stages: Sequence[str], task: str, options: dict[str, Any], settings: dict[str, Any]) -> Tensor:
    quality = stages[-1].removeprefix("jpeg:quality=")
    clean = gdpkit.restore("denoise", image=seen, jpeg=quality, prior=settings["prior"]).tensor
    return gdpkit.restore(task, image=_rounded(clean), **options, **settings).tensor


def _nlm(seen: Tensor, strength: int) -> Tensor:
    levels = (255 * images.to_array(seen)).round().astype(np.uint8)
    clean = cv2.fastNlMeansDenoisingColored(levels, None, strength, strength, 7, 21)
    return torch.from_numpy(clean).movedim(-1, 0)[None] / 255


def _large(image: Tensor, truth: Tensor) -> Tensor:
    return _rounded(functional.resize(image, truth.shape[-2:]))


def _rounded(image: Tensor) -> Tensor:
    return (255 * image.clamp(0, 1)).round() / 255


if __name__ == "__main__":
    main()
