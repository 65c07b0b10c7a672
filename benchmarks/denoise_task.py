"""`gdpkit run denoise` beside non-local means and one step of the prior: PSNR, the estimated noise, seconds.

    python benchmarks/denoise_task.py PHOTOS [--sigma 25 --sigma 50 ...] [--quality 10 ...] [--every 4] [--save FOLDER]

Photographs get noise, are clipped and rounded to 8 bits, and the results are rounded again, as files would be.
Non-local means has the best strength of several for each noise level; JPEG files are made by Pillow, with 4:2:0 chroma.
"""

from __future__ import annotations

import io
import time
from pathlib import Path

import click
import cv2
import numpy as np
import torch
from PIL import Image
from rich.console import Console
from rich.table import Table
from torch import Tensor

import gdpkit
from gdpkit import estimate, images
from gdpkit.metrics.psnr import PSNR
from gdpkit.metrics.ssim import SSIM

STRENGTHS = (0.4, 0.6, 0.8, 1.0, 1.2)  # of cv2.fastNlMeansDenoisingColored, in sigmas


@click.command()
@click.argument("photos", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--sigma", "sigmas", multiple=True, default=(25.0,), show_default=True, type=float)
@click.option("--quality", "qualities", multiple=True, default=(10,), show_default=True, type=int)
@click.option("--sampler", default=None)
@click.option("--prior", default=None)
@click.option("--every", default=1, show_default=True, help="Use every so many photographs.")
@click.option("--save", default=None, type=click.Path(path_type=Path), help="Folder for the pictures, side by side.")
def main(
    photos: Path,
    sigmas: tuple[float, ...],
    qualities: tuple[int, ...],
    sampler: str | None,
    prior: str | None,
    every: int,
    save: Path | None,
) -> None:
    """Print the table over the photographs of a folder."""
    files = sorted(f for f in photos.iterdir() if f.suffix.lower() in (".png", ".jpg"))[::every]
    truths = [images.read_image(f).expand(-1, 3, -1, -1) for f in files]
    table = Table("input", "method", "PSNR dB", "over the input", "SSIM", "s a photograph", "sigma found")
    settings = {"sampler": sampler, "prior": prior}
    for sigma in sigmas:
        noisy = [_rounded(t + sigma / 255 * _noise(t, k)) for k, t in enumerate(truths)]
        found = [estimate.noise_sigma(n) for n in noisy]
        rows = {"input": noisy}
        by_strength = [[_nlm(n, s * sigma) for n in noisy] for s in STRENGTHS]
        rows["cv2 non-local means, best strength"] = max(by_strength, key=lambda o: _mean(PSNR(), o, truths))
        loaded = gdpkit.load_prior(prior, device="cpu")
        with torch.no_grad():
            rows["one step of the prior"] = [_rounded(loaded.denoise(n, sigma / 255).clean) for n in noisy]
        given, seconds = _restored(noisy, {"sigma": sigma, **settings})
        rows["denoise, sigma given"] = given
        rows["denoise, sigma estimated"], _ = _restored(noisy, settings)
        for name, outputs in rows.items():
            spread = f"{min(found):.1f} to {max(found):.1f}" if "estimated" in name else ""
            _add(table, f"sigma {sigma:g}", name, outputs, rows["input"], truths, seconds, spread)
        _save(save, f"sigma{sigma:g}", files, [truths, *rows.values()])
    for quality in qualities:
        coded = [_coded(t, quality) for t in truths]
        restored, seconds = _restored(coded, {"jpeg": str(quality), **settings})
        for name, outputs in {"input": coded, f"denoise --jpeg {quality}": restored}.items():
            _add(table, f"JPEG {quality}", name, outputs, coded, truths, seconds, "")
        _save(save, f"jpeg{quality}", files, [truths, coded, restored])
    Console().print(f"{len(files)} photographs", table)


def _restored(seen: list[Tensor], options: dict[str, object]) -> tuple[list[Tensor], float]:
    started = time.perf_counter()
    outputs = [_rounded(gdpkit.restore("denoise", image=s, **options).tensor) for s in seen]  # type: ignore[arg-type]
    return outputs, (time.perf_counter() - started) / len(seen)


def _add(
    table: Table,
    case: str,
    name: str,
    outputs: list[Tensor],
    seen: list[Tensor],
    truths: list[Tensor],
    seconds: float,
    spread: str,
) -> None:
    psnr = _mean(PSNR(), outputs, truths)
    over = psnr - _mean(PSNR(), seen, truths)
    took = f"{seconds:.1f}" if name.startswith("denoise") else ""
    table.add_row(case, name, f"{psnr:.2f}", f"{over:+.2f}", f"{_mean(SSIM(), outputs, truths):.4f}", took, spread)


def _noise(image: Tensor, seed: int) -> Tensor:
    return torch.randn(image.shape, generator=torch.Generator().manual_seed(seed))


def _rounded(image: Tensor) -> Tensor:
    return (255 * image.clamp(0, 1)).round() / 255


def _bytes(image: Tensor) -> np.ndarray:
    return np.ascontiguousarray((255 * image[0]).round().byte().permute(1, 2, 0).numpy())


def _nlm(image: Tensor, strength: float) -> Tensor:
    clean = cv2.fastNlMeansDenoisingColored(_bytes(image), None, strength, strength, 7, 21)
    return torch.from_numpy(clean).permute(2, 0, 1)[None].float() / 255


def _coded(image: Tensor, quality: int) -> Tensor:
    file = io.BytesIO()
    Image.fromarray(_bytes(image)).save(file, "JPEG", quality=quality, subsampling="4:2:0")
    return torch.from_numpy(np.array(Image.open(file))).permute(2, 0, 1)[None].float() / 255


def _save(folder: Path | None, case: str, files: list[Path], columns: list[list[Tensor]]) -> None:
    if folder is None:
        return
    folder.mkdir(parents=True, exist_ok=True)
    for k, file in enumerate(files):
        images.save(folder / f"{case}_{file.stem}.png", torch.cat([c[k] for c in columns], dim=3), overwrite=True)


def _mean(metric: gdpkit.Metric, outputs: list[Tensor], truths: list[Tensor]) -> float:
    return float(np.mean([metric(o, t).item() for o, t in zip(outputs, truths, strict=True)]))


if __name__ == "__main__":
    main()
