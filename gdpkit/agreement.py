"""The unknowns of several pixelwise observations, each fitted to what the others say of the clean image."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from gdpkit import fitting, pointwise
from gdpkit.views import View

ROUNDS = 12
SETTLED = 1e-4  # unknowns that move less stand still


def reached(views: Sequence[View]) -> bool:
    """Move the unknowns until they stand still; whether there are any.

    The image plays no part, and some blocks of pixels tell enough of a few unknowns, so it takes little time.
    """
    fitted = [k for k, view in enumerate(views) if view.unknowns]
    if not fitted:
        return False
    few = [view.thinned(fitting.BLOCK, fitting.MOST)[0] for view in views]
    for _ in range(ROUNDS):
        mean, _ = pointwise.told(few)
        moved = 0.0
        for k, (weighed, told) in enumerate(_told_by_others(few, mean)):
            if k in fitted:
                before = few[k].unknowns
                few[k].move(fitting.improved(weighed, told, blocks=True))
                moved = max(moved, *(float((few[k].unknowns[n] - u).abs().max()) for n, u in before.items()))
        if moved < SETTLED:
            break
    for k in fitted:
        views[k].move(few[k].unknowns)
    return True


def _told_by_others(views: Sequence[View], mean: Tensor) -> list[tuple[View, Tensor]]:
    """For each of several observations what the others say of the clean image, and a view that weighs by it.

    Where the others see nothing the weight is 0: there the image follows the observation itself, and an unknown fitted
    to it would drift with the prior. Elsewhere it is P / (P + p) of the others' precision P and its own p, as of a
    difference of two measurements.
    """
    seen = [pointwise.seen(view, mean, None, pointwise.bounds_of(view)) for view in views]
    total = sum((p for _, p in seen), start=torch.zeros_like(mean))
    weighted = sum((says * p for says, p in seen), start=torch.zeros_like(mean))
    found = []
    for view, (says, own) in zip(views, seen, strict=True):
        others = (total - own).clamp_min(0)
        told = torch.where(others > 1e-6 * total, (weighted - own * says) / others.clamp_min(1e-30), mean)
        share = torch.where(others > 1e-6 * total, others / total.clamp_min(1e-30), 0)
        found.append((view.weighed(share), told))
    return found
