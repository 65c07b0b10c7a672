"""The checkers of quality losses and metrics."""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor

from gdpkit.components import Metric, QualityLoss
from gdpkit.testing.common import check_component, check_derivative, picture, require, require_close, require_finite


def check_loss(q: QualityLoss, size: tuple[int, int] = (32, 32)) -> None:
    """Raise an AssertionError that says what a quality loss does wrong, for images of this (H, W).

    (B, 3, H, W) gives (B,), finite, each image by itself, with and without the observation; `weight` is left to the
    objective; the gradient agrees with a finite difference and is finite on a flat picture, too; a picture tiled 2x2
    by its mirror images, which has no new edges, scores the same within a quarter: a mean over pixels, not a sum.
    """
    check_component(q, QualityLoss)
    image = picture(2, 3, *size) + 0.02 * torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(0))
    for observed in (None, picture(2, 3, *size, seed=1)):
        value = q(image, observed)
        require(value.shape == (2,), f"{q.name} gives shape {tuple(value.shape)}, not (B,)")
        require_finite(value, f"{q.name}: the loss")
        for i in range(2):
            alone = q(image[i : i + 1], None if observed is None else observed[i : i + 1])
            require_close(alone, value[i : i + 1], 1e-5, f"{q.name}: image {i} alone and in a batch")
        heavier = dataclasses.replace(q, weight=2 * q.weight + 1)(image, observed)
        require_close(
            heavier, value, 1e-6, f"{q.name}: the loss must not contain its weight, which the objective applies"
        )
        check_derivative(lambda x, seen=observed: q(x, None if seen is None else seen.to(x)), image, q.name)  # type: ignore[misc]
    for level in (0.0, 0.5, 1.0):
        flat = torch.full((1, 3, *size), level, requires_grad=True)
        (gradient,) = torch.autograd.grad(q(flat, None).sum(), flat)
        require_finite(gradient, f"{q.name}: the gradient on a flat picture of {level}")
    small, large = q(image, None), q(_mirrored(image), None)
    change = float((large - small).abs().max())
    require(
        change <= 0.25 * float(small.abs().max()) + 1e-4,
        f"{q.name} depends on the size: {small.tolist()} becomes {large.tolist()} when the picture is tiled 2x2",
    )


def _mirrored(image: Tensor) -> Tensor:
    wide = torch.cat((image, image.flip(-1)), dim=-1)
    return torch.cat((wide, wide.flip(-2)), dim=-2)


def check_metric(m: Metric, size: tuple[int, int] = (32, 32)) -> None:
    """Raise an AssertionError that says what a metric does wrong, for images of this (H, W).

    (B, C, H, W) gives (B,), finite, each image by itself, the input left alone; one that compares with the truth or
    the input is best for equal pictures and worse the more noise is added, in the sense of `higher_is_better`. A
    metric of exposures is given (B, 3, 3, H, W), three of each.
    """
    check_component(m, Metric)
    kinds = ("truth", "input", "exposures", "none")
    require(m.reference in kinds, f"{m.name}: reference is {m.reference!r}, not one of {', '.join(kinds)}")
    truth = picture(2, 3, *size)
    noise = torch.randn(truth.shape, generator=torch.Generator().manual_seed(0))
    reference = {
        "truth": truth,
        "input": truth,
        "exposures": torch.stack([truth * gain for gain in (0.25, 0.5, 1.0)], dim=1),
        "none": None,
    }[m.reference]
    noisy = (truth + 0.05 * noise).clamp(0, 1)
    before = noisy.clone()
    value = m(noisy, reference)
    require(torch.equal(noisy, before), f"{m.name} changes its input in place")
    require(value.shape == (2,), f"{m.name} gives shape {tuple(value.shape)}, not (B,)")
    require_finite(value, f"{m.name}: the value")
    require(torch.equal(value, m(noisy, reference)), f"{m.name} gives another value the second time")
    for i in range(2):
        alone = m(noisy[i : i + 1], None if reference is None else reference[i : i + 1])
        require_close(alone, value[i : i + 1], 1e-5, f"{m.name}: image {i} alone and in a batch")
    if m.reference in ("truth", "input"):
        sign = 1 if m.higher_is_better else -1
        best, worse = m(truth, reference), m((truth + 0.15 * noise).clamp(0, 1), reference)
        order = f"{best.tolist()} for equal pictures, {value.tolist()} with noise, {worse.tolist()} with more"
        falls = bool((sign * best > sign * value).all() and (sign * value > sign * worse).all())
        require(falls, f"{m.name}: higher_is_better is {m.higher_is_better}, but it gives {order}")
