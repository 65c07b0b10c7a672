"""How much of a run the engine costs: everything but the network, as a share of a default run.

python benchmarks/engine_overhead.py [--size 256] [--kernel average]
"""

from __future__ import annotations

import time

import click
import torch

import gdpkit
from gdpkit.speed import Timed


@click.command()
@click.option("--size", default=256, show_default=True, help="Side of the restored picture.")
@click.option("--kernel", default="average", show_default=True)
@click.option("--runs", default=5, show_default=True)
def main(size: int, kernel: str, runs: int) -> None:
    """Print the median share over some runs, after one to warm up."""
    small = torch.rand(1, 3, size // 4, size // 4, generator=torch.Generator().manual_seed(0))
    shares = []
    for run in range(runs + 1):
        timed = Timed(prior=gdpkit.load_prior())
        started = time.perf_counter()
        gdpkit.restore("sr", image=small, scale=4, kernel=kernel, prior=timed)
        whole = time.perf_counter() - started
        if run:
            shares.append(1 - sum(timed.seconds) / whole)
            click.echo(f"run {run}: {whole:.2f} s, of which {sum(timed.seconds):.2f} s in the network")
    shares.sort()
    click.echo(f"everything but the network: {100 * shares[len(shares) // 2]:.1f} % at {size}x{size}, kernel {kernel}")


if __name__ == "__main__":
    main()
