"""Colour Gaussian denoising with one evaluation of a prior: mean PSNR at sigma 15, 25 and 50.

    python benchmarks/denoising.py PHOTOS [--prior FILE]

Noise is neither clipped nor rounded, as in the published tables.
"""

from __future__ import annotations

from pathlib import Path

import click
import numpy as np
import torch

import gdpkit
from gdpkit.metrics.psnr import PSNR
from gdpkit.noise import SeededNoise, digest


@click.command()
@click.argument("photos", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--prior", default=None)
def main(photos: Path, prior: str | None) -> None:
    """Print one line for each noise level."""
    files = sorted(f for f in photos.iterdir() if f.suffix.lower() in (".png", ".jpg"))
    truths = [gdpkit.read_image(f) for f in files]
    loaded = gdpkit.load_prior(prior, device="cpu")
    for level in (15, 25, 50):
        found = []
        for truth in truths:
            colour = truth.expand(-1, 3, -1, -1)
            noisy = colour + level / 255 * SeededNoise(0, [digest(truth[0])]).normal(colour.shape)
            with torch.no_grad():
                found.append(PSNR()(loaded.denoise(noisy, level / 255).clean, colour).item())
        click.echo(f"sigma {level}: {np.mean(found):.2f} dB over {len(files)} photographs")


if __name__ == "__main__":
    main()
