"""Colourisation: the error of the chroma with and without strokes, beside grey, and how well the grey is kept.

    python benchmarks/colorize.py PHOTOS [--size 256] [--every 1] [--save FOLDER]

Every photograph is turned grey, rounded to 8 bits, coloured, and rounded again, as files would be. The strokes are
five discs taken from the truth by a fixed rule: its chroma is divided into five clusters, and each gets one disc at its
pixel farthest from other clusters, in the median colour of the truth there. The error is the mean distance in CIELAB
(a, b). The palette of each photograph is the next one, which has nothing to do with it: it shows what that does.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import cv2
import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

import gdpkit
from gdpkit import images

Array = NDArray[np.float32]
STROKES = 5


@click.command()
@click.argument("photos", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--size", default=256, show_default=True, help="Side to which the photographs are made smaller.")
@click.option("--every", default=1, show_default=True, help="Use every so many photographs.")
@click.option("--weights", default="mean", show_default=True)
@click.option("--palettes/--no-palettes", default=True, show_default=True)
@click.option("--save", default=None, type=click.Path(path_type=Path), help="Write the pictures side by side here.")
def main(photos: Path, size: int, every: int, weights: str, palettes: bool, save: Path | None) -> None:
    """Print the table over the photographs of a folder."""
    files = sorted(f for f in photos.iterdir() if f.suffix.lower() in (".png", ".jpg"))[::every]
    truths = [_resized(images.to_array(images.read_image(f)), size) for f in files]
    gray = gdpkit.chain([f"gray:weights={weights}"])
    rows: dict[str, list[tuple[float, float, float]]] = {}
    for k, (file, truth) in enumerate(zip(files, truths, strict=True)):
        grey = np.round(255 * images.to_array(gray(images.from_array(truth).pixels))).astype(np.uint8)
        hints = np.round(255 * strokes(truth)).astype(np.uint8)
        ways: dict[str, dict[str, Any]] = {"the prior alone": {}, f"{STROKES} strokes": {"hints": hints}}
        if palettes:
            ways["another photograph as palette"] = {"palette": truths[(k + 1) % len(truths)]}
        pictures = {"grey": np.repeat(grey[..., None], 3, axis=2).astype(np.float32) / 255}
        for name, options in ways.items():
            result = gdpkit.restore("colorize", image=grey, weights=weights, **options)
            pictures[name] = (np.round(255 * result.image) / 255).astype(np.float32)
        for name, picture in pictures.items():
            kept = images.to_array(gray(images.from_array(picture).pixels))
            off = float(np.abs(255 * kept - grey).max())
            psnr = -10 * np.log10(float(np.square(picture - truth).mean()))
            rows.setdefault(name, []).append((chroma_error(picture, truth), psnr, off))
        if save is not None:
            marked = np.where(hints[..., 3:] > 0, hints[..., :3] / np.float32(255), pictures["grey"])
            row = np.hstack([marked, *list(pictures.values())[1:], truth])
            cv2.imwrite(str(save / f"{file.stem}.png"), np.round(255 * row[..., ::-1]).astype(np.uint8))
    table = Table("", "error of a, b", "of that of grey", "PSNR dB", "grey off by at most, levels")
    base = np.mean([error for error, _, _ in rows["grey"]])
    for name, found in rows.items():
        error, psnr, _ = np.mean(found, axis=0)
        off = max(off for _, _, off in found)
        table.add_row(name, f"{error:.2f}", f"{error / base:.2f}", f"{psnr:.2f}", f"{off:.2f}")
    Console().print(f"{len(files)} photographs, grey by {weights}", table)


def strokes(truth: Array) -> Array:
    """Five discs of colour on transparency, (H, W, 4)."""
    height, width = truth.shape[:2]
    radius = max(2, round(min(height, width) / 64))
    chroma = cv2.cvtColor(truth, cv2.COLOR_RGB2LAB)[..., 1:].reshape(-1, 2)
    cv2.setRNGSeed(0)
    rule = (cv2.TERM_CRITERIA_EPS + cv2.TERM_CRITERIA_MAX_ITER, 30, 0.1)
    _, labels, _ = cv2.kmeans(chroma, STROKES, None, rule, 2, cv2.KMEANS_PP_CENTERS)  # type: ignore[call-overload]
    found = np.zeros((height, width, 4), np.float32)
    rows, columns = np.mgrid[:height, :width]
    for k in range(STROKES):
        inside = (labels.reshape(height, width) == k).astype(np.uint8)
        opened = cv2.morphologyEx(inside, cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
        inside = opened if opened.any() else inside
        depth = cv2.distanceTransform(np.pad(inside, 1), cv2.DIST_L2, 5)[1:-1, 1:-1]
        row, column = np.unravel_index(depth.argmax(), depth.shape)
        disc = (rows - row) ** 2 + (columns - column) ** 2 <= radius**2
        found[disc] = [*np.median(truth[disc], axis=0), 1]
    return found


def chroma_error(image: Array, truth: Array) -> float:
    """Mean distance of a and b in CIELAB."""
    first, second = (cv2.cvtColor(np.ascontiguousarray(x), cv2.COLOR_RGB2LAB)[..., 1:] for x in (image, truth))
    return float(np.linalg.norm(first - second, axis=2).mean())


def _resized(image: Array, size: int) -> Array:
    height, width = image.shape[:2]
    if image.ndim == 2:
        image = np.repeat(image[..., None], 3, axis=2)
    scale = min(1.0, size / min(height, width))
    if scale < 1:
        image = cv2.resize(image, (round(width * scale), round(height * scale)), interpolation=cv2.INTER_AREA)
    return (np.round(255 * image.clip(0, 1)) / 255).astype(np.float32)


if __name__ == "__main__":
    main()
