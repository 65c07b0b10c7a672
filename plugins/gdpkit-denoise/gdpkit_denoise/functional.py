"""What the task needs besides gdpkit: stabilised noise, and what a JPEG file says about its own compression."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image, JpegImagePlugin
from torch import Tensor

from gdpkit import GdpkitError
from gdpkit.images.metadata import ORIENTATION, upright

SAMPLINGS = {0: "4:4:4", 1: "4:2:2", 2: "4:2:0"}


@dataclass(frozen=True)
class Coding:
    """How a file is compressed: the 128 steps of luma and chroma, the reduction of chroma, EXIF's orientation."""

    steps: tuple[int, ...]
    chroma: str
    orientation: int


def coding(path: Path) -> Coding | None:
    """Of a JPEG file; None for a file that is something else. `GdpkitError` where it is coded as no photograph is."""
    with Image.open(path) as file:
        if not isinstance(file, JpegImagePlugin.JpegImageFile):
            return None
        sampling = JpegImagePlugin.get_sampling(file)
        if file.mode not in ("L", "RGB") or (file.mode == "RGB" and sampling not in SAMPLINGS):
            raise GdpkitError(
                f"{path}: --jpeg knows grey and YCbCr files of 4:4:4, 4:2:2 or 4:2:0, not this {file.mode}"
            )
        luma = file.quantization[0]
        chroma = file.quantization.get(1, luma)
        orientation = file.getexif().get(ORIENTATION, 1)
        known = orientation if orientation in range(1, 9) else 1
        return Coding((*luma, *chroma), SAMPLINGS.get(sampling, "4:4:4"), known)


def as_stored(image: Tensor, orientation: int) -> Tensor:
    """The inverse of turning a picture upright."""
    return upright(image, {6: 8, 8: 6}.get(orientation, orientation))


def misfit(seen: Tensor, again: Tensor) -> float:
    """Root mean square difference in 0..255: small where compressing a decoded picture again changes nothing."""
    return 255 * float((seen - again).square().mean().sqrt())


def stabilised(image: Tensor, gain: float, read: float) -> Tensor:
    """Levels whose noise is white, 0 to 0 and 1 to 1, for a variance of gain x + read^2 (levels of 0..255).

    The generalised Anscombe transformation, f(x) = 2/gain sqrt(gain x + 3/8 gain^2 + read^2) (Starck, Murtagh and
    Bijaoui, "Image processing and data analysis", 1998), divided by its range.
    """
    return _root(255 * image, gain, read) / _range(gain, read)


def stabilised_sigma(gain: float, read: float) -> float:
    """The noise, in 0..255, of `stabilised` levels."""
    return 255 / _range(gain, read)


def unstabilised(image: Tensor, gain: float, read: float) -> Tensor:
    """The mean whose stabilised level has this mean: not the inverse, which would be too dark by gain / 4.

    The closed form of Mäkitalo and Foi ("A closed-form approximation of the exact unbiased inverse of the Anscombe
    variance-stabilizing transformation", IEEE TIP 2011; for read-out noise, 2013).
    """
    if not gain:
        return image
    least = 2 * math.sqrt(3 / 8 + (read / gain) ** 2)
    d = (image * _range(gain, read) + least).clamp_min(2 * math.sqrt(3 / 8))
    root = math.sqrt(3 / 2)
    photons = d**2 / 4 + root / (4 * d) - 11 / (8 * d**2) + 5 * root / (8 * d**3) - 1 / 8
    return gain * (photons - (read / gain) ** 2) / 255


def _root(level: Tensor, gain: float, read: float) -> Tensor:
    """f(x) - f(0), without its division by gain."""
    offset = 3 / 8 * gain**2 + read**2
    return 2 * level / ((gain * level + offset).clamp_min(0).sqrt() + math.sqrt(offset))


def _range(gain: float, read: float) -> float:
    return float(_root(torch.tensor(255.0), gain, read))
