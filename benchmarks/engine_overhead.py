"""How much of a run the engine costs: everything but the network, as a share of a run.

python benchmarks/engine_overhead.py [--size 256] [--case "sr average"] [--steps 20]
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

import gdpkit
from gdpkit.noise import SeededNoise
from gdpkit.speed import Timed

CASES: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "sr average": ("sr", {"scale": 4, "kernel": "average"}),
    "sr bicubic": ("sr", {"scale": 4, "kernel": "bicubic"}),
    "deblur reflect": ("deblur", {"kernel": "gaussian:9,2", "boundary": "reflect", "noise": 2.0}),
    "deblur valid": ("deblur", {"kernel": "gaussian:9,2", "boundary": "valid", "noise": 2.0}),
    "deblur white": ("deblur", {"kernel": "gaussian:9,2", "boundary": "valid", "noise": 2.0}),
    "deblur blind": ("deblur", {"blind": True, "size": 9, "boundary": "valid", "noise": 2.0}),
    "blur grid": ("restore", {"stages": ("blur-grid:file=kernels.npy,rows=2,columns=2", "noise:sigma=2")}),
    "denoise jpeg": ("denoise", {"jpeg": "30"}),
    "lowlight": ("lowlight", {}),
    "hdr": ("hdr", {"times": (0.25, 1.0, 4.0), "align": False}),
    "chain": ("restore", {"stages": ("downsample:scale=2", "noise:sigma=5", "jpeg:quality=30")}),
}


@click.command()
@click.option("--size", default=256, show_default=True, help="Side of the restored picture.")
@click.option("--case", "cases", type=click.Choice(list(CASES)), multiple=True, default=["sr average"])
@click.option("--steps", default=20, show_default=True)
@click.option("--runs", default=5, show_default=True)
def main(size: int, cases: tuple[str, ...], steps: int, runs: int) -> None:
    """Print the median share over some runs, after a short one to warm up."""
    with tempfile.TemporaryDirectory() as folder:
        _measure(size, cases, steps, runs, _kernels(Path(folder)))


def _measure(size: int, cases: tuple[str, ...], steps: int, runs: int, kernels: Path) -> None:
    for case in cases:
        task, options = _case(case, kernels)
        shares = []
        for run in range(runs + 1):
            picture = _observed(case, size, kernels, run)  # another each time: what is found of one is found only once
            named = {"exposures": list(picture)} if task == "hdr" else {"image": picture}
            timed = Timed(prior=gdpkit.load_prior())
            started = time.perf_counter()
            gdpkit.restore(task, **named, prior=timed, steps=steps if run else 1, **options)
            whole = time.perf_counter() - started
            if run:
                shares.append(1 - sum(timed.seconds) / whole)
                click.echo(f"run {run}: {whole:.2f} s, of which {sum(timed.seconds):.2f} s in the network")
        share = sorted(shares)[len(shares) // 2]
        click.echo(f"everything but the network: {100 * share:.1f} % at {size}x{size}, {case}, {steps} steps")


def _case(case: str, kernels: Path) -> tuple[str, Mapping[str, Any]]:
    """The task and its options, with the file of the kernels in its place."""
    task, options = CASES[case]
    stages = options.get("stages", ())
    return task, {
        **options,
        "stages": tuple(s.replace("kernels.npy", str(kernels)) for s in stages),
    } if stages else options


def _kernels(folder: Path) -> Path:
    """Four Gaussians of different width."""
    at = np.arange(9) - 4.0
    made = [np.exp(-(at[:, None] ** 2 + at**2) / (2 * s**2)) for s in (1.0, 1.5, 2.0, 2.5)]
    np.save(folder / "kernels.npy", np.stack(made).reshape(2, 2, 9, 9))
    return folder / "kernels.npy"


def _observed(case: str, size: int, kernels: Path, seed: int = 0) -> Tensor:
    """What the degradation makes of smooth colours with fine detail, noise and rounding included."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(1, 3, size // 32, size // 32, generator=generator)
    picture = F.interpolate(coarse, (size, size), mode="bicubic").clamp(0, 1)
    picture = (picture + 0.05 * torch.randn(picture.shape, generator=generator)).clamp(0, 1)
    task, options = _case(case, kernels)
    if options.get("boundary") == "valid" and case != "deblur white":
        picture = 0.8 * picture  # what is white takes other data steps
    if task == "sr":
        return F.avg_pool2d(picture, options["scale"])
    if task == "hdr":
        return torch.stack([(picture[0] * t).clamp(0, 1) ** (1 / 2.2) for t in options["times"]])
    boundary = options.get("boundary", "reflect")
    stages = {
        "restore": options.get("stages"),
        "denoise": ["jpeg:quality=30"],
        "lowlight": ["gain:factor=0.1", "noise:sigma=2"],
    }.get(task, [f"blur:kernel=gaussian,size=9,sigma=2,boundary={boundary}", "noise:sigma=2"])
    return gdpkit.chain(stages).simulate(picture, SeededNoise(0, [case.encode()])).clamp(0, 1)


if __name__ == "__main__":
    main()
