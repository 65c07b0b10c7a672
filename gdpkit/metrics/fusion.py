"""The window that a fused picture should show, and how well it does: the mathematics of MEF-SSIM.

Ma, Zeng and Wang, "Perceptual quality assessment for multi-exposure image fusion", IEEE TIP 2015. With box means,
everything about the desired window is a quadratic form in the exposures, so no window is ever cut out.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from gdpkit.metrics import windows

SIDE = 11
SIGMA = 1.5
C = (0.03 * 255) ** 2
STRONGEST = 10.0
"""The largest exponent p: it takes the strongest exposure alone."""
AT_ONCE = 2**24
"""Numbers in the covariances of one strip."""
LEAST = 1e-3
"""Added to strengths, in levels, so that a flat window has a direction: 0."""


def quality(exposures: Tensor, fused: Tensor) -> Tensor:
    """The mean over all windows of the contrast and structure term: (B, K, H, W), (B, H, W) in 0..255 -> (B,)."""
    batch, count, height, width = exposures.shape
    rows = max(1, AT_ONCE // (batch * count**2 * width))  # windows are local: strips of them take less memory
    total = torch.zeros(batch, dtype=torch.float64, device=fused.device)
    for top in range(0, height - SIDE + 1, rows):
        strip = (..., slice(top, top + rows + SIDE - 1), slice(None))
        total += _terms(exposures[strip], fused[strip]).sum(dim=(1, 2))
    return total / ((height - SIDE + 1) * (width - SIDE + 1))


def _terms(exposures: Tensor, fused: Tensor) -> Tensor:
    """The term of every window that fits, (B, h, w)."""
    box = torch.full((SIDE,), 1 / SIDE, dtype=torch.float64)
    bell = windows.gaussian(SIDE, SIGMA)
    flat = SIDE**2 * _covariances(exposures, box)
    strength = flat.diagonal(dim1=0, dim2=1).clamp_min(0).sqrt().movedim(-1, 1)
    together = flat.sum(dim=(0, 1)).clamp_min(0).sqrt()
    agreement = (together / strength.sum(dim=1).clamp_min(1e-12)).clamp(0, 1)
    power = (math.pi / 2 * agreement).tan().clamp(0, STRONGEST)
    power = torch.where(agreement < 1, power, STRONGEST)
    strength = strength + LEAST
    # In shares of the strongest: the sum over exposures takes them out again, and no power overflows.
    greatest = strength.amax(dim=1)
    weight = (strength / greatest[:, None]) ** power[:, None]
    weight = weight / weight.sum(dim=1, keepdim=True) / strength
    length = _quadratic(weight, flat).sqrt()
    weight = weight * torch.where(length > 0, greatest / length.clamp_min(1e-30), 0)[:, None]
    variance = _quadratic(weight, _covariances(exposures, bell))
    level = windows.filtered(fused, bell)
    seen = windows.filtered(exposures, bell)
    both = windows.filtered(exposures * fused[:, None], bell) - seen * level[:, None]
    own = (windows.filtered(fused.square(), bell) - level.square()).clamp_min(0)
    return (2 * (weight * both).sum(dim=1) + C) / (variance + own + C)


def _quadratic(weight: Tensor, form: Tensor) -> Tensor:
    """w^T A w at every window, at least 0: (B, K, h, w) and (K, K, B, h, w) -> (B, h, w)."""
    return torch.einsum("bjhw,bkhw,jkbhw->bhw", weight, weight, form).clamp_min(0)


def _covariances(exposures: Tensor, taps: Tensor) -> Tensor:
    """Of each pair of exposures under every window, (K, K, B, h, w)."""
    mean = windows.filtered(exposures, taps)
    rows = []
    for one, level in zip(exposures.unbind(1), mean.unbind(1), strict=True):
        rows.append((windows.filtered(one[:, None] * exposures, taps) - level[:, None] * mean).transpose(0, 1))
    return torch.stack(rows)
