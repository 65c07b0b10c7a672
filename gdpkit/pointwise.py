"""Degradations that treat every value by itself: what such observations say together of each clean value."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

from gdpkit.components import Measured, SingularSystem
from gdpkit.views import View

STRIP = 2**18
"""Pixels whose derivatives are held at once."""

CACHED = 2**16
"""Pixels that a CPU works on at once where that is a matter of speed alone."""

STEPS = 2
BEYOND = 1e-3  # how far beyond black or white a bound is taken to be kept
UNSURE = 1e-6  # what a bound counts in the first mean: it decides where there is nothing else

Bounds = tuple[Tensor, Tensor]


def combined(views: Sequence[View]) -> Measured:
    """All observations in one: sqrt(p) m = sqrt(p) x + n with unit noise, for each value.

    m minimises sum_i weight_i (y_i - D_i(m))^2 / sigma_i^2 and p is the curvature there, by Gauss-Newton steps from
    the mean of what each observation says alone. The Hessian is diagonal, so a step is a division. Where nothing is
    seen, p is 0. A value that was clipped counts for nothing where what the others say keeps its bound; where all were
    clipped it counts as the bound itself.
    """
    image = views[0].image
    mean, root = torch.empty_like(image), torch.empty_like(image)
    for rows, few in _cut(views):
        mean[..., rows, :], precision = told(few)
        root[..., rows, :] = precision.sqrt_()
    system = SingularSystem(values=root, analyse=_same, synthesise=_same, observe=_same, render=_same, pixelwise=True)
    return Measured(system, mean.mul_(root), 1.0)


def told(views: Sequence[View]) -> tuple[Tensor, Tensor]:
    """m and p of `combined`."""
    says = [view.inverse() for view in views]
    limits = [bounds(view) for view in views]
    if len(views) == 1:
        return says[0], seen(views[0], says[0], says[0], limits[0])[1]
    low, high = says[0], says[0]
    for own in says[1:]:
        low, high = torch.minimum(low, own), torch.maximum(high, own)
    alone = [seen(view, at, at, limit) for view, at, limit in zip(views, says, limits, strict=True)]
    for limit, (_, precision) in zip(limits, alone, strict=True):
        if limit is not None:
            precision.mul_(torch.where(torch.minimum(-limit[0], limit[1]).isfinite(), UNSURE, 1.0))
    mean, precision = _mean(alone)
    for _ in range(STEPS):
        # A noisy value's own slope would favour values whose noise went up; the slope at the mean does not.
        mean, precision = _mean([seen(view, mean, None, limit) for view, limit in zip(views, limits, strict=True)])
        mean = torch.minimum(mean.maximum(low), high)
    return mean, precision


def _cut(views: Sequence[View]) -> Iterator[tuple[slice, Sequence[View]]]:
    """The views of strips of rows: small enough for a processor's cache, or for memory where derivatives are found."""
    height, width = views[0].image.shape[-2:]
    if all(view.slanted for view in views):
        pixels = min(STRIP, CACHED) if views[0].image.device.type == "cpu" else STRIP
        views = [view.spread() for view in views]
    else:
        pixels = STRIP if all(view.divisible for view in views) else height * width
    lines = max(1, pixels // width)
    for top in range(0, height, lines):
        rows = slice(top, min(top + lines, height))
        yield rows, views if lines >= height else [view.rows(rows) for view in views]


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


def seen(view: View, at: Tensor, says: Tensor | None, bounds: Bounds | None) -> tuple[Tensor, Tensor]:
    """What an observation says of the clean image, linearised at `at`, and its precision."""
    predicted, slope = view.slope(at)
    precision = (slope / view.sigma).square_()
    if view.weight is not None:
        precision.mul_(view.weight)
    if bounds is not None:
        kept = predicted.clamp(*bounds).sub_(predicted).sign_()  # 0 where the bound is not kept
        precision.addcmul_(precision * kept, kept, value=-1)
    if says is None:
        says = torch.sub(view.image, predicted).div_(slope.clamp_min_(1e-6)).add_(at)
    return says, precision


def bounds(view: View) -> Bounds | None:
    """Between which predictions a value counts, those of a few clipped ones being narrow; None where none is clipped.

    What was clipped says no more than "at least" or "at most".
    """
    image = view.image
    if not view.degradation.clips:
        return None
    # Where noise was added black is no bound: it went below.
    if float(image.amax()) < 1 and (view.coloured or float(image.amin()) > 0):
        return None
    low, high = torch.full_like(image, -torch.inf), torch.full_like(image, torch.inf)
    high.masked_fill_(image >= 1, 1 + BEYOND)
    if not view.coloured:
        low.masked_fill_(image <= 0, -BEYOND)
    return low, high


def _mean(told: Sequence[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    """The mean by precision, or the plain one where that is 0, and the sum of the precisions."""
    (says, precision), *rest = told
    total, weighted = precision.clone(), says * precision
    for says, precision in rest:
        total.add_(precision)
        weighted.addcmul_(says, precision)
    mean = weighted.div_(total.clamp_min(1e-30))
    if float(total.amin()) > 0:
        return mean, total
    plain = sum((says for says, _ in told), start=torch.zeros_like(total)) / len(told)
    return torch.where(total > 0, mean, plain), total


def _same(values: Tensor) -> Tensor:
    return values
