"""Means of patches, and a size that has a gradient: what quality losses share."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

ROUNDING = 1e-3
"""Differences well below this, a quarter of an 8-bit level, count by their square."""


def means(image: Tensor, side: int) -> tuple[Tensor, Tensor]:
    """The mean of each patch, (B, C, H, W) -> (B, C, h, w), and its share of a whole one, (1, 1, h, w).

    The last patches are cut by the border.
    """
    height, width = image.shape[-2:]
    pad = (0, -width % side, 0, -height % side)
    inside = F.pad(torch.ones_like(image[:1, :1]), pad)
    share = F.avg_pool2d(inside, side)
    return F.avg_pool2d(F.pad(image, pad), side) / share, share


def magnitude(difference: Tensor) -> Tensor:
    """|t|, rounded off near 0 so that it has a gradient there: sqrt(t^2 + e^2) - e."""
    return (difference.square() + ROUNDING**2).sqrt() - ROUNDING
