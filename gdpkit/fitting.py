"""Fitting the unknowns of a degradation to the present estimate of the clean image."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from gdpkit import solvers
from gdpkit.components import Unknowns
from gdpkit.views import View

ITERATIONS = 12
HALVINGS = 4
BLOCK, MOST = 4, 80
"""Pixels a side of a block, and blocks a side, from which `blocks` fits."""


def improved(view: View, x: Tensor, blocks: bool = False) -> Unknowns:
    """One Gauss-Newton step of min_u |r(u)|^2 / m + penalty(u), r the residual and m its present mean square.

    Dividing by m keeps the image's own error, early in a run, from outweighing the penalty. The step needs no rate and
    does not depend on the image's size. It is halved until the sum falls, and not taken where it does not. With
    `blocks`, of a pixelwise degradation, the residual is that of means of small blocks, some of them: an x that is
    noisy itself would otherwise make every slope look smaller.
    """
    if blocks:
        view, thin = view.thinned(BLOCK, MOST)
        x = thin(x)
    names = list(view.unknowns)
    sizes = [view.unknowns[n].shape for n in names]
    batch = len(x)
    start = torch.cat([view.unknowns[n].reshape(batch, -1) for n in names], dim=1)
    scale = (view.total(view.residual(x).square()) / view.count()).clamp_min(1).sqrt()[:, None]
    root = None if view.weight is None else view.weight.sqrt()

    def named(u: Tensor) -> Unknowns:
        parts = torch.split(u, [s.numel() // batch for s in sizes], dim=1)
        return {n: p.reshape(s) for n, p, s in zip(names, parts, sizes, strict=True)}

    def residual(u: Tensor) -> Tensor:
        r = view.residual(x, named(u))
        if blocks:
            r = _of_blocks(r, view.weight)
        elif root is not None:
            r = r * root
        return r.flatten(1) / scale

    def penalty(u: Tensor) -> Tensor:
        value = view.degradation.penalty(**named(u))
        return value if isinstance(value, Tensor) else u.new_zeros(batch)

    slope = torch.func.grad(lambda u: penalty(u).sum())
    jacobian, curvature = solvers.linearise(residual, start), solvers.linearise(slope, start)

    def normal(u: Tensor) -> Tensor:
        return jacobian.transpose(jacobian.forward(u)) + curvature.forward(u) / 2 + 1e-6 * u

    rhs = -jacobian.transpose(residual(start)) - slope(start) / 2
    step = solvers.conjugate_gradients(normal, rhs, ITERATIONS, 1e-4)
    return named(
        solvers.backtracked(lambda u: residual(u).square().sum(1) + penalty(u), start, step, halvings=HALVINGS)
    )


def _of_blocks(residual: Tensor, weight: Tensor | None) -> Tensor:
    """The weighted means of blocks, in units of their noise: sum w r / sqrt(sum w)."""
    if weight is None:
        weight = torch.ones_like(residual)
    total = F.avg_pool2d(weight * residual, BLOCK, ceil_mode=True, divisor_override=1)
    weights = F.avg_pool2d(weight, BLOCK, ceil_mode=True, divisor_override=1)
    return total / weights.clamp_min(1e-6).sqrt()
