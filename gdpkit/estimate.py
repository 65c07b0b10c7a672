"""Estimates from one photograph alone."""

from __future__ import annotations

from torch import Tensor

MEDIAN = 0.6744898
"""The median of |n| for normal n of deviation 1."""


def noise_sigma(image: Tensor) -> float:
    """Deviation in 0..255 of the noise of (B, C, H, W), by the median of its finest diagonal details.

    The details are second differences in both directions (Immerkaer, "Fast noise variance estimation", 1996), which
    edges and smooth shades hardly reach; the median leaves texture out where it covers less than half. Pixels at 0 or
    1 do not count, for there noise is cut off.
    """
    inner = image.double().diff(n=2, dim=-1).diff(n=2, dim=-2) / 6
    middle = image[..., 1:-1, 1:-1]
    telling = inner[(middle > 0) & (middle < 1)]
    if telling.numel() == 0:
        return 0.0
    return 255 * float(telling.abs().median()) / MEDIAN
