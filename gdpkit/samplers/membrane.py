"""What the observations leave open over wide areas, filled from all around: a membrane, on grids of blocks.

The pull-push of Gortler et al., "The lumigraph", SIGGRAPH 1996, with relaxation towards the membrane on every grid.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from gdpkit.components import Objective

BLOCK = 8
"""Side of the blocks, in pixels: what is narrower the smooth start fills by itself."""

RELAXATIONS = 24  # on each grid, which starts from the answer of the next coarser one
STIFF = 0.05  # of a block: where less of it is known, its neighbours tell more than that


def filled(objective: Objective, known: Tensor, sigma: float) -> tuple[Tensor, Tensor] | None:
    """A smooth fill where the observations leave whole blocks open, and of which images, (B, 1, 1, 1).

    `known`, (B, 3, H, W), is the proximal step from grey, 0.5; images without such blocks stay as they are in it. None
    where there are no such blocks at all. What is open is what comes through that step as it went in.
    """
    share = 1 - 2 * (objective.prox(torch.ones_like(known), sigma) - known)
    told = means(share)
    weight, wide = told.clamp(0, 1), open_wide(told)
    if not bool(wide.any()):
        return None
    # Of `known` 1 - share is the grey it began with; what is left is share times what was observed.
    mean = means(share.sub_(1).div_(2).add_(known)) / told.clamp_min(1e-6)
    del share
    return torch.where(wide, objective.prox(_full(_membrane(mean, weight), known), sigma), known), wide


def open_wide(told: Tensor) -> Tensor:
    """Of which images a block is open, (B, 1, 1, 1), by the share of each that is known, (B, 3, h, w)."""
    return (told <= STIFF).flatten(1).any(1).view(-1, 1, 1, 1)


def continued(change: Tensor, told: Tensor) -> Tensor:
    """A change of what is known, (B, 3, H, W) and 0 where nothing is, as a membrane that goes on into what is not.

    `told` is the share of each block that is known, (B, 3, h, w). 0 for images of which no block is open.
    """
    mean = means(change) / told.clamp_min(1e-6)
    return _full(open_wide(told) * _membrane(mean, told.clamp(0, 1)), change)


def _full(blocks: Tensor, like: Tensor) -> Tensor:
    height, width = like.shape[-2:]
    return F.interpolate(blocks, scale_factor=float(BLOCK), mode="bilinear")[..., :height, :width]


def _membrane(mean: Tensor, weight: Tensor) -> Tensor:
    """A membrane through blocks whose mean is known with these weights, (B, C, h, w)."""
    u = mean
    if max(mean.shape[-2:]) > 1:
        coarser = means(weight, 2)
        start = _membrane(means(weight * mean, 2) / coarser.clamp_min(1e-6), coarser)
        u = F.interpolate(start, scale_factor=2.0, mode="bilinear")[..., : mean.shape[-2], : mean.shape[-1]]
    trust = weight / (weight + STIFF)
    for _ in range(RELAXATIONS):
        u = torch.lerp(u, mean, trust)
        u = F.avg_pool2d(F.pad(u, (1, 1, 1, 1), mode="replicate"), 3, 1)
    return torch.lerp(u, mean, trust)


def means(x: Tensor, side: int = BLOCK) -> Tensor:
    """Of blocks, (B, C, h, w); those at the right and at the bottom may be smaller."""
    return F.avg_pool2d(x, side, ceil_mode=True, count_include_pad=False)
