"""What metrics over windows share: filters where the window fits, half the size, and luma."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def gaussian(side: int, sigma: float) -> Tensor:
    """The taps of a normalised Gaussian of `side` pixels, float64."""
    at = torch.arange(side, dtype=torch.float64) - (side - 1) / 2
    taps = (-0.5 * (at / sigma).square()).exp()
    return taps / taps.sum()


def filtered(planes: Tensor, taps: Tensor) -> Tensor:
    """Both axes by the same taps, where they fit: (..., H, W) -> (..., H - n + 1, W - n + 1)."""
    single = planes.reshape(-1, 1, *planes.shape[-2:])
    taps = taps.to(single)
    single = F.conv2d(F.conv2d(single, taps.view(1, 1, 1, -1)), taps.view(1, 1, -1, 1))
    return single.reshape(*planes.shape[:-2], *single.shape[-2:])


def halved(planes: Tensor) -> Tensor:
    """Means over blocks of 2x2, (..., H, W); the last row or column of an odd side counts twice."""
    single = planes.reshape(-1, 1, *planes.shape[-2:])
    single = F.pad(single, (0, single.shape[-1] % 2, 0, single.shape[-2] % 2), mode="replicate")
    single = F.avg_pool2d(single, 2)
    return single.reshape(*planes.shape[:-2], *single.shape[-2:])


def luma(image: Tensor) -> Tensor:
    """0.299 R + 0.587 G + 0.114 B (ITU-R BT.601) of (B, 3, H, W), or a grey image as it is: (B, 1, H, W)."""
    if image.shape[1] == 1:
        return image
    weights = torch.tensor([0.299, 0.587, 0.114], dtype=image.dtype, device=image.device)
    return (image * weights.view(1, 3, 1, 1)).sum(dim=1, keepdim=True)
