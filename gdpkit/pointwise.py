"""Degradations that treat every value by itself: what such observations say together of each clean value."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from gdpkit.components import Measured, SingularSystem
from gdpkit.views import View

STRIP = 2**18
"""Pixels whose derivatives are held at once."""

STEPS = 2
BEYOND = 1e-3  # how far beyond black or white a bound is taken to be kept
UNSURE = 1e-6  # what a bound counts in the first mean: it decides where there is nothing else


def combined(views: Sequence[View]) -> Measured:
    """All observations in one: sqrt(p) m = sqrt(p) x + n with unit noise, for each value.

    m minimises sum_i weight_i (y_i - D_i(m))^2 / sigma_i^2 and p is the curvature there, by Gauss-Newton steps from
    the mean of what each observation says alone. The Hessian is diagonal, so a step is a division. Where nothing is
    seen, p is 0. A value that was clipped counts for nothing where what the others say keeps its bound; where all were
    clipped it counts as the bound itself.
    """
    image = views[0].image
    told = in_strips(views, lambda few, _: torch.cat(_told(few), dim=1), torch.cat([image, image], dim=1))
    mean, precision = _told(views) if told is None else told.chunk(2, dim=1)
    root = precision.sqrt()
    system = SingularSystem(values=root, analyse=_same, synthesise=_same, observe=_same, render=_same, pixelwise=True)
    return Measured(system, root * mean, 1.0)


def _told(views: Sequence[View]) -> tuple[Tensor, Tensor]:
    """m and p."""
    says = [view.inverse() for view in views]
    low, high = torch.stack(says).amin(0), torch.stack(says).amax(0)
    alone = [_seen(view, at, at) for view, at in zip(views, says, strict=True)]
    mean, precision = _mean(
        [(at, torch.where(_bound(view), UNSURE * p, p)) for view, (at, p) in zip(views, alone, strict=True)]
    )
    for _ in range(STEPS):
        # A noisy value's own slope would favour values whose noise went up; the slope at the mean does not.
        mean, precision = _mean([_seen(view, mean, None) for view in views])
        mean = torch.minimum(torch.maximum(mean, low), high)
    return mean, precision


def in_strips(views: Sequence[View], ask: Callable[[list[View], Tensor], Tensor], x: Tensor) -> Tensor | None:
    """`ask` of the views of each strip of rows and of these rows of x, put together; (B, C, H, W) as x.

    Derivatives hold tens of images by the way, and of a strip they are small. None where x is one strip, or where a
    view is not divisible.
    """
    height, width = x.shape[-2:]
    lines = max(1, STRIP // width)
    if height <= lines or not all(view.divisible for view in views):
        return None
    whole = torch.empty_like(x)
    for top in range(0, height, lines):
        rows = slice(top, min(top + lines, height))
        whole[..., rows, :] = ask([view.rows(rows) for view in views], x[..., rows, :])
    return whole


def told_by_others(views: Sequence[View], mean: Tensor) -> list[tuple[View, Tensor]]:
    """For each of several observations what the others say of the clean image, and a view that weighs by it.

    Where the others see nothing the weight is 0: there the image follows the observation itself, and an unknown fitted
    to it would drift with the prior. Elsewhere it is P / (P + p) of the others' precision P and its own p, as of a
    difference of two measurements.
    """
    seen = [_seen(view, mean, None) for view in views]
    total = sum((p for _, p in seen), start=torch.zeros_like(mean))
    weighted = sum((says * p for says, p in seen), start=torch.zeros_like(mean))
    found = []
    for view, (says, own) in zip(views, seen, strict=True):
        others = (total - own).clamp_min(0)
        told = torch.where(others > 1e-6 * total, (weighted - own * says) / others.clamp_min(1e-30), mean)
        share = torch.where(others > 1e-6 * total, others / total.clamp_min(1e-30), 0)
        found.append((view.weighed(share), told))
    return found


def _seen(view: View, at: Tensor, says: Tensor | None) -> tuple[Tensor, Tensor]:
    """What an observation says of the clean image, linearised at `at`, and its precision."""
    predicted, slope = slopes(view, at)
    precision = (slope / view.sigma).square()
    if view.weight is not None:
        precision = precision * view.weight
    if view.degradation.clips:
        kept = torch.where(view.image >= 1, predicted > 1 + BEYOND, predicted < -BEYOND)
        precision = torch.where(_bound(view) & kept, 0, precision)
    if says is None:
        says = at + (view.image - predicted) / slope.clamp_min(1e-6)
    return says, precision


def _bound(view: View) -> Tensor:
    """Which observed values were clipped, and so say no more than "at least" or "at most", (B, C, H, W)."""
    clipped = view.image >= 1
    if not view.coloured:  # else noise that was added went below black, which is no bound
        clipped |= view.image <= 0
    return clipped if view.degradation.clips else torch.zeros_like(clipped)


def slopes(view: View, at: Tensor) -> tuple[Tensor, Tensor]:
    """D(x) and its derivative for each value, both (B, C, H, W)."""
    with torch.enable_grad():
        leaf = at.detach().requires_grad_()
        predicted = view.degradation(leaf, **view.unknowns)
        (slope,) = torch.autograd.grad(predicted.sum(), leaf)
    return predicted.detach(), slope


def _mean(seen: Sequence[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    total = sum((precision for _, precision in seen), start=torch.zeros_like(seen[0][1]))
    weighted = sum((says * precision for says, precision in seen), start=torch.zeros_like(total))
    plain = sum((says for says, _ in seen), start=torch.zeros_like(total)) / len(seen)
    return torch.where(total > 0, weighted / total.clamp_min(1e-30), plain), total


def _same(values: Tensor) -> Tensor:
    return values
