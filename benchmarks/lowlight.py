"""`gdpkit run lowlight` beside a global gain, with and without one step of the prior: PSNR, SSIM, LOE, seconds.

    python benchmarks/lowlight.py FOLDER [--target 0.4] [--every-pixel 1] [--save FOLDER]

FOLDER holds pairs N_low.* and N_high.*. "gain" multiplies the sRGB-encoded values to a mean of 0.4, "light" multiplies
linear light; one step of the prior has the best of several noise levels for all pairs together. PSNR is that of
8-bit RGB; "matched" is the same after a gain that gives the output the mean of the reference. LOE is the metric `loe`
of the 8-bit output against the input (`gdpkit describe loe`).
"""

from __future__ import annotations

import time
from pathlib import Path

import click
import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor

import gdpkit
from gdpkit import exposure, images
from gdpkit.metrics.loe import LightnessOrderError
from gdpkit.metrics.psnr import PSNR
from gdpkit.metrics.ssim import SSIM

LEVELS = (10.0, 20.0, 30.0)  # of the one step, in 0..255


@click.command()
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--target", default=0.4, show_default=True)
@click.option("--every-pixel", "stride", default=1, show_default=True, help="Use every so many pixels, to be quick.")
@click.option("--sampler", default=None)
@click.option("--save", default=None, type=click.Path(path_type=Path), help="Folder for the pictures, side by side.")
def main(folder: Path, target: float, stride: int, sampler: str | None, save: Path | None) -> None:
    """Print the table over the pairs of a folder."""
    names = sorted(f for f in folder.iterdir() if f.stem.endswith("_low"))
    pairs = [(f, f.with_name(f.name.replace("_low", "_high"))) for f in names]
    pairs = [pair for pair in pairs if pair[1].exists()]
    if not pairs:
        raise click.UsageError(f"{folder} holds no pair N_low.* and N_high.*")
    lows, truths = ([images.read_image(p[k])[..., ::stride, ::stride] for p in pairs] for k in (0, 1))
    prior = gdpkit.load_prior(None, device="cpu")
    rows: dict[str, list[Tensor]] = {"gain": [_gain(low, target) for low in lows]}
    rows["light"] = [_light(low, target) for low in lows]
    for name in ("gain", "light"):
        with torch.no_grad():
            tried = [[prior.denoise(x, s / 255).clean for x in rows[name]] for s in LEVELS]
        rows[f"{name}, one step"] = max(tried, key=lambda o: _mean(_psnr, o, truths))
    started = time.perf_counter()
    results = [gdpkit.restore("lowlight", image=x, target=target, sampler=sampler) for x in lows]
    seconds = (time.perf_counter() - started) / len(lows)
    rows["lowlight"] = [result.tensor for result in results]
    table = Table("method", "PSNR dB", "matched dB", "SSIM", "LOE", "evaluations", "s a photograph")
    for name, outputs in rows.items():
        ours = name == "lowlight"
        table.add_row(
            name,
            f"{_mean(_psnr, outputs, truths):.2f}",
            f"{_mean(_matched, outputs, truths):.2f}",
            f"{_mean(_ssim, outputs, truths):.3f}",
            f"{_mean(_loe, outputs, lows):.1f}",
            str(results[0].record["network_evaluations"]) if ours else str(int("step" in name)),
            f"{seconds:.1f}" if ours else "",
        )
    table.add_row("the long exposure", "", "", "", f"{_mean(_loe, truths, lows):.1f}", "", "")
    Console().print(f"{len(pairs)} pairs", table)
    for k, (low, _) in enumerate(pairs):
        if save is not None:
            save.mkdir(parents=True, exist_ok=True)
            columns = [lows[k], *(outputs[k].clamp(0, 1) for outputs in rows.values()), truths[k]]
            images.save(save / f"{low.stem}.png", torch.cat(columns, dim=3), overwrite=True)


def _gain(low: Tensor, target: float) -> Tensor:
    return (low * (target / low.mean())).clamp(0, 1)


def _light(low: Tensor, target: float) -> Tensor:
    light = exposure.decoded(low)
    return exposure.encoded(light / exposure.gain_for(light, target, "srgb", 0.0).exp()).clamp(0, 1)


def _rounded(image: Tensor) -> Tensor:
    return (255 * image.clamp(0, 1)).round() / 255


def _psnr(image: Tensor, truth: Tensor) -> float:
    return PSNR()(_rounded(image), truth).item()


def _matched(image: Tensor, truth: Tensor) -> float:
    rounded = _rounded(image)
    return _psnr(rounded * (truth.mean() / rounded.mean()), truth)


def _ssim(image: Tensor, truth: Tensor) -> float:
    return SSIM()(_rounded(image), truth).item()


def _loe(image: Tensor, low: Tensor) -> float:
    return LightnessOrderError()(_rounded(image), low).item()


def _mean(metric: object, outputs: list[Tensor], others: list[Tensor]) -> float:
    return sum(metric(o, t) for o, t in zip(outputs, others, strict=True)) / len(outputs)  # type: ignore[operator]


if __name__ == "__main__":
    main()
