"""Deblurring beside regularised Wiener filters: known kernels from 8 and 16 bits and with noise, and unknown ones.

    python benchmarks/deblur.py PHOTOS [--every 4] [--only known|blind|camera] [--sampler hqs:steps=30]

Photographs are blurred with reflecting borders and rounded as files would be, restored with the default settings,
and rounded again. The Wiener filters know the noise and the border; they use the cosine transform, a spectrum
that falls with the square of the frequency, and the strength that is best on average over the photographs.
As of a camera, the light of photographs is blurred, twice as bright, without borders and then clipped; unsharp masks
have the strength that is best on average.
"""

from __future__ import annotations

import time
from pathlib import Path

import click
import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor

import gdpkit
from gdpkit import convolution, functional, kernels, spectra
from gdpkit.blind_spectrum import correlation
from gdpkit.metrics.psnr import PSNR
from gdpkit.noise import SeededNoise, digest

KNOWN = (("8 bits", 8, 0.0), ("16 bits", 16, 0.0), ("8 bits, noise 5", 8, 5.0))
BLIND = {"gaussian:9,2": kernels.gaussian(2.0, 9), "motion:15,30": kernels.motion(15, 30)}

CAMERA = {
    "disk:3": "kernel=disk,radius=3",
    "motion:15,30": "kernel=motion,length=15,angle=30",
    "gaussian:sigma=2": "kernel=gaussian,sigma=2",
}


@click.command()
@click.argument("photos", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--every", default=1, show_default=True, help="Use every so many photographs.")
@click.option("--only", type=click.Choice(["known", "blind", "camera"]), default=None)
@click.option("--sampler", default=None)
@click.option("--prior", default=None)
def main(photos: Path, every: int, only: str | None, sampler: str | None, prior: str | None) -> None:
    """Print the tables over the photographs of a folder."""
    files = sorted(f for f in photos.iterdir() if f.suffix.lower() in (".png", ".jpg"))[::every]
    truths = [gdpkit.read_image(f).expand(-1, 3, -1, -1) for f in files]
    settings = {"sampler": sampler, "prior": prior}
    if only in (None, "camera"):
        Console().print(f"as of a camera, {len(files)} photographs: PSNR in dB", _camera(truths, settings))
    if only in (None, "known"):
        Console().print(f"9x9 Gaussian of sigma 2, {len(files)} photographs: PSNR in dB", _known(truths, settings))
    if only in (None, "blind"):
        Console().print(f"unknown kernels, {len(files)} photographs: PSNR in dB", _blind(truths, settings))


def _known(truths: list[Tensor], settings: dict[str, str | None]) -> Table:
    table = Table("files", "blurred", "best Wiener", "deblur", "s a photograph")
    kernel = kernels.gaussian(2.0, 9)
    for name, bits, noise in KNOWN:
        blurred = [_blurred(truth, kernel, bits, noise) for truth in truths]
        started = time.perf_counter()
        restored = [_deblurred(y, settings, kernel="gaussian:9,2") for y in blurred]
        seconds = (time.perf_counter() - started) / len(truths)
        found, plain = ([_psnr(y, x, bits) for x, y in zip(truths, ys, strict=True)] for ys in (restored, blurred))
        cells = (np.mean(plain), _best_wiener(truths, blurred, kernel, bits), np.mean(found), seconds)
        table.add_row(name, *(f"{value:.2f}" for value in cells))
    return table


def _blind(truths: list[Tensor], settings: dict[str, str | None]) -> Table:
    table = Table("kernel", "blurred", "kernel known", "--blind", "least correlation", "mean", "s a photograph")
    for name, kernel in BLIND.items():
        blurred = [_blurred(truth, kernel, 8, 0.0) for truth in truths]
        known = [_psnr(_deblurred(y, settings, kernel=name), x, 8) for x, y in zip(truths, blurred, strict=True)]
        started, blind, alike = time.perf_counter(), [], []
        for x, y in zip(truths, blurred, strict=True):
            result = gdpkit.restore("deblur", image=y, blind=True, size=21, **settings)
            blind.append(_psnr(result.tensor, x, 8))
            alike.append(correlation(torch.from_numpy(result.unknowns["kernel"])[0].double(), kernel))
        seconds = (time.perf_counter() - started) / len(truths)
        plain = [_psnr(y, x, 8) for x, y in zip(truths, blurred, strict=True)]
        cells = (np.mean(plain), np.mean(known), np.mean(blind), min(alike), np.mean(alike), seconds)
        table.add_row(name, *(f"{value:.2f}" for value in cells))
    return table


def _camera(truths: list[Tensor], settings: dict[str, str | None]) -> Table:
    table = Table(
        "kernel", "blurred", "best unsharp mask", "deblur", "linear", "encoded", "told as light", "s a photograph"
    )
    for name, stage in CAMERA.items():
        blur = gdpkit.chain([f"blur:{stage},boundary=valid,light=linear"])
        scenes = [functional.srgb_encoded(2 * functional.srgb_decoded(x)) for x in truths]
        seen = [_rounded(blur(scene), 8) for scene in scenes]
        wanted = [_middle(scene.clamp(0, 1), y) for scene, y in zip(scenes, seen, strict=True)]
        started = time.perf_counter()
        results = [gdpkit.restore("deblur", image=y, kernel=name, **settings) for y in seen]
        seconds = (time.perf_counter() - started) / len(truths)
        light, values = ([_deblurred(y, settings, kernel=name, light=o) for y in seen] for o in ("linear", "encoded"))
        told = [r.problem.observations[0].degradation.light == "linear" for r in results]
        rows = (seen, [r.tensor for r in results], light, values)
        plain, *found = (np.mean([_psnr(y, x, 8) for x, y in zip(wanted, row, strict=True)]) for row in rows)
        cells = (plain, _best_unsharp(wanted, seen), *found, np.mean(told), seconds)
        table.add_row(name, *(f"{value:.2f}" for value in cells))
    return table


def _best_unsharp(wanted: list[Tensor], seen: list[Tensor]) -> float:
    def masked(y: Tensor, sigma: float, amount: float) -> Tensor:
        soft = convolution.convolve(y, kernels.gaussian(sigma), "reflect")
        return y + amount * (y - soft)

    strengths = [(s, a) for s in (1.0, 2.0, 3.0) for a in (0.5, 1.0, 2.0)]
    means = [np.mean([_psnr(masked(y, *s), x, 8) for x, y in zip(wanted, seen, strict=True)]) for s in strengths]
    return float(max(means))


def _middle(image: Tensor, like: Tensor) -> Tensor:
    top, left = ((a - b) // 2 for a, b in zip(image.shape[-2:], like.shape[-2:], strict=True))
    return image[..., top : top + like.shape[-2], left : left + like.shape[-1]]


def _deblurred(blurred: Tensor, settings: dict[str, str | None], **parameters: object) -> Tensor:
    return gdpkit.restore("deblur", image=blurred, **settings, **parameters).tensor


def _blurred(truth: Tensor, kernel: Tensor, bits: int, noise: float) -> Tensor:
    mean = convolution.convolve(truth, kernel, "reflect")
    return _rounded(mean + noise / 255 * SeededNoise(0, [digest(truth[0])]).normal(truth.shape), bits)


def _rounded(image: Tensor, bits: int) -> Tensor:
    levels = 2**bits - 1
    return (levels * image.clamp(0, 1)).round() / levels


def _psnr(image: Tensor, truth: Tensor, bits: int) -> float:
    return PSNR()(_rounded(image, bits), truth).item()


def _best_wiener(truths: list[Tensor], blurred: list[Tensor], kernel: Tensor, bits: int) -> float:
    height, width = truths[0].shape[-2:]
    system = spectra.cosine_filter(kernel, height, width)
    down, across = torch.arange(height)[:, None] / height, torch.arange(width) / width
    falling = (down**2 + across**2).clamp_min(1e-6)
    best = 0.0
    for strength in np.logspace(-9, 2, 45):
        gain = system.values / (system.values.square() + strength * falling)
        found = [
            _psnr(system.synthesise(gain.to(y) * system.observe(y)), x, bits)
            for x, y in zip(truths, blurred, strict=True)
        ]
        best = max(best, float(np.mean(found)))
    return best


if __name__ == "__main__":
    main()
