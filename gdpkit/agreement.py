"""The unknowns of several pixelwise observations, each fitted to what the others say of the clean image."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from gdpkit import fitting, pointwise
from gdpkit.views import View

ROUNDS = 12
SETTLED = 1e-3  # unknowns that move less are a tenth of that from where they would stand still
FEW = 28  # blocks a side, for rounds that take little time


def reached(views: Sequence[View]) -> None:
    """Move the unknowns until they stand still: of few blocks of pixels, and once more of those that `fitting` asks.

    The image plays no part.
    """
    fitted = [view for view in views if view.unknowns]
    for most, rounds in ((FEW, ROUNDS), (fitting.MOST, 1)) if fitted else ():
        some = [view.thinned(fitting.BLOCK, most)[0] for view in views]
        mean = None
        for _ in range(rounds):
            moved, mean = _round(some, mean)
            if moved < SETTLED:
                break
        for view, thin in zip(views, some, strict=True):
            if view in fitted:
                view.move(thin.unknowns)


def _round(views: Sequence[View], near: Tensor | None) -> tuple[float, Tensor]:
    """Fit each once to what the others say now; how far the unknown moved that moved most, and what all say together.

    near: what all said together the last time.
    """
    moved = 0.0
    mean, _ = pointwise.told(views, near)
    for view, (weighed, told) in zip(views, _told_by_others(views, mean), strict=True):
        if view.unknowns:
            before = view.unknowns
            view.move(fitting.improved(weighed, told, blocks=True))
            moved = max(moved, *(float((view.unknowns[n] - u).abs().max()) for n, u in before.items()))
    return moved, mean


def _told_by_others(views: Sequence[View], mean: Tensor) -> list[tuple[View, Tensor]]:
    """For each of several observations what the others say of the clean image, and a view that weighs by it.

    Where the others see nothing the weight is 0: there the image follows the observation itself, and an unknown fitted
    to it would drift with the prior. Elsewhere it is P / (P + p) of the others' precision P and its own p, as of a
    difference of two measurements.
    """
    asked = list(pointwise.pulls(views, mean, [pointwise.bounds(view) for view in views]))
    pull = sum((own for own, _ in asked), start=torch.zeros_like(mean))
    total = sum((p for _, p in asked), start=torch.zeros_like(mean))
    found = []
    for view, (own, precision) in zip(views, asked, strict=True):
        others = (total - precision).clamp_min_(0)
        share = others / total.clamp_min(pointwise.UNSEEN)
        share.mul_((share - 1e-6).clamp_min_(0).sign_())
        told = (pull - own).div_(others.clamp_min_(pointwise.UNSEEN)).mul_(share.sign()).add_(mean)
        found.append((view.weighed(share), told))
    return found
