"""Degradations that treat every value by itself: what such observations say together of each clean value."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from gdpkit.components import Measured, SingularSystem
from gdpkit.views import View

STRIP = 2**18
"""Pixels whose derivatives are held at once."""

CACHED = 2**16
"""Pixels that a CPU works on at once where that is a matter of speed alone."""

NEAR = 0.1  # within which a step from what is nearly the mean ends
BEYOND = 1e-3  # how far beyond black or white a bound is taken to be kept
UNSURE = 1e-6  # what a bound counts in the first mean: it decides where there is nothing else
FAR = 1e30  # beyond what is predicted of any value
UNSEEN = 1e-30  # less than any precision

TOGETHER = 0.3  # of 3x3 values: where more of them are clipped, what noise makes brighter is nearly white itself

Bounds = tuple[Tensor | None, Tensor | None]


def combined(views: Sequence[View]) -> Measured:
    """All observations in one: sqrt(p) m = sqrt(p) x + n with unit noise, for each value.

    m minimises sum_i weight_i (y_i - D_i(m))^2 / sigma_i^2 and p is the curvature there, by a Gauss-Newton step from
    the mean of what each observation says alone. The Hessian is diagonal, so a step is a division. Where nothing is
    seen, p is 0. A value that was clipped counts for nothing where what the others say keeps its bound; where all were
    clipped it counts as the bound itself.
    """
    image = views[0].image
    mean, root = torch.empty_like(image), torch.empty_like(image)
    for rows, few in _cut(views):
        mean[..., rows, :], precision = told(few) if len(views) > 1 else _alone(few[0])
        root[..., rows, :] = precision.sqrt_()
    system = SingularSystem(values=root, analyse=_same, synthesise=_same, observe=_same, render=_same, pixelwise=True)
    return Measured(system, mean.mul_(root), 1.0)


def told(views: Sequence[View], near: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """m and p of `combined`; `near`, where it is given, is m for almost the same unknowns."""
    limits = [bounds(view) for view in views]
    mean, low, high = _first(views, limits) if near is None else (near, near - NEAR, near + NEAR)
    # A noisy value's own slope would favour values whose noise went up; the slope at the mean does not. One step leaves
    # a hundredth of the noise.
    pull, total = torch.zeros_like(mean), torch.zeros_like(mean)
    for own, precision in pulls(views, mean, limits):
        pull.add_(own)
        total.add_(precision)
    mean = torch.minimum(pull.div_(total.clamp_min(UNSEEN)).add_(mean).maximum(low), high)
    return mean, total


def _first(views: Sequence[View], limits: Sequence[Bounds]) -> tuple[Tensor, Tensor, Tensor]:
    """The mean of what each observation says alone, and the least and the most that any says."""
    total = weighted = low = high = views[0].image
    for k, (view, limit) in enumerate(zip(views, limits, strict=True)):
        says, slope = _inverse_slope(view)
        precision = _weighed(view, slope).mul_(slope)
        for sign, bound in zip((-1, 1), limit, strict=True):
            if bound is not None:
                precision.mul_(bound.mul(sign).sub_(2).clamp_(UNSURE, 1))
        if k == 0:
            low, high, total, weighted = says, says, precision, says * precision
        else:
            low, high = torch.minimum(low, says), torch.maximum(high, says)
            total.add_(precision)
            weighted.addcmul_(says, precision)
    return weighted.div_(total.clamp_min_(UNSEEN)), low, high


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


def least(view: View) -> Tensor:
    """The least that values clipped at white leave possible of the clean image, 0 where none is clipped or counts.

    Of an invertible D. Where others beside it are clipped too it is the bound itself, and else what twice its noise
    leaves of it, for noise clips values now and then.
    """
    weight = torch.ones_like(view.image) if view.weight is None else view.weight
    clipped = (view.image >= 1) & (weight > 0)
    if not (view.degradation.clips and clipped.any()):
        return torch.zeros_like(view.image)
    noise = view.sigma / weight.clamp_min(1e-12).sqrt()
    share = F.avg_pool2d(clipped.to(view.image), 3, stride=1, padding=1, count_include_pad=False)
    doubt = noise.mul_(2).mul_((TOGETHER - share).sign_().clamp_min_(0))
    return view.inverse(doubt.neg_().add_(1).clamp_(0, 1)).clamp_(0, 1).mul_(clipped)


def squares(view: View, x: Tensor) -> Tensor:
    """The weighted sum of (D(x) - y)^2, in 0..255, of one observation of any kind, (B,)."""
    if not view.slanted or view.recorder is not None:
        return view.total(view.deviation(x).mul_(255).square_())
    sums = [few.total(few.deviation(x[..., rows, :]).mul_(255).square_()) for rows, (few,) in _cut([view])]
    return torch.stack(sums).sum(0)


def pulls(views: Sequence[View], at: Tensor, limits: Sequence[Bounds]) -> Iterator[tuple[Tensor, Tensor]]:
    """What each observation asks of a clean image: minus half the slope of its part of E, and half the curvature.

    The curvature is the precision of what it says, and the slope over that how far it would move the image.
    """
    first = views[0].degradation
    common = hasattr(first, "inner") and all(first.shares_inner(view.degradation) for view in views)  # type: ignore[attr-defined]
    inner = first.inner(at) if common else None  # type: ignore[attr-defined]
    for view, bounds in zip(views, limits, strict=True):
        yield _pull(view, *view.slope(at, inner), bounds)


def _pull(view: View, predicted: Tensor, slope: Tensor, bounds: Bounds) -> tuple[Tensor, Tensor]:
    pull = _weighed(view, slope)
    low, high = bounds
    # A bound that is kept counts for nothing. Signs are -1 and 1 there, and 0 elsewhere; masks would take longer.
    if high is not None:
        pull.addcmul_(pull, torch.minimum(predicted, high).sub_(predicted).sign_())
    if low is not None:
        pull.addcmul_(pull, torch.maximum(predicted, low).sub_(predicted).sign_(), value=-1)
    precision = slope.mul_(pull)
    return pull.mul_(predicted.neg_().add_(view.image)), precision


def _alone(view: View) -> tuple[Tensor, Tensor]:
    """What one observation says, and how precisely."""
    says, slope = _inverse_slope(view)
    return says, _weighed(view, slope).mul_(slope)


def _inverse_slope(view: View) -> tuple[Tensor, Tensor]:
    """The clean image that explains each value, and D's derivative there."""
    if hasattr(view.degradation, "inverse_slope"):
        found: tuple[Tensor, Tensor] = view.degradation.inverse_slope(view.image, **view.unknowns)
        return found
    says = view.inverse()
    return says, view.slope(says)[1]


def _weighed(view: View, slope: Tensor) -> Tensor:
    found = slope / view.sigma**2
    return found if view.weight is None else found.mul_(view.weight)


def bounds(view: View) -> Bounds:
    """Between which predictions a value counts, those of a few clipped ones being narrow; None where none is clipped.

    What was clipped says no more than "at least" or "at most".
    """
    image, low, high = view.image, None, None
    if view.degradation.clips and float(image.amax()) >= 1:
        high = image.neg().add_(1).clamp_min_(0).sign_().mul_(FAR).add_(1 + BEYOND)
    # Where noise was added black is no bound: it went below.
    if view.degradation.clips and not view.coloured and float(image.amin()) <= 0:
        low = image.clamp_min(0).sign_().mul_(-FAR).sub_(BEYOND)
    return low, high


def _same(values: Tensor) -> Tensor:
    return values
