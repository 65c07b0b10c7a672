"""What the task needs besides gdpkit: stabilised noise, and whether a picture was compressed as is said."""

from __future__ import annotations

import math

import torch
from torch import Tensor


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
