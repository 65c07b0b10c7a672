"""Fitting the unknowns of a degradation to the present estimate of the clean image."""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional as F

from gdpkit import exposure, solvers
from gdpkit.components import Unknowns
from gdpkit.views import View

ITERATIONS = 12
HALVINGS = 4
BLOCK, MOST = 4, 40
"""Pixels a side of a block, and blocks a side, from which several observations are fitted to each other."""


def improved(view: View, x: Tensor, blocks: bool = False) -> Unknowns:
    """One Gauss-Newton step of min_u |r(u)|^2 / m + penalty(u), r the residual and m its present mean square.

    Dividing by m keeps the image's own error, early in a run, from outweighing the penalty. The step needs no rate and
    does not depend on the image's size. It is halved until the sum falls, and not taken where it does not. With
    `blocks`, of a pixelwise degradation, the residual is that of means of the blocks of BLOCK pixels a side that the
    view consists of: an x that is noisy itself would otherwise make every slope look smaller. Where that degradation
    tells its slopes in the unknowns, the normal equations are solved at once; elsewhere by conjugate gradients.
    """
    if blocks and hasattr(view.degradation, "slope_of_unknowns"):
        mean, slopes = view.degradation.slope_of_unknowns(x, **view.unknowns)
        fit = _Fit(view, x, blocks, (view.image - view.capped(mean)) / view.sigma)
        step = _solved(fit, mean, slopes)
    else:
        fit = _Fit(view, x, blocks, view.residual(x))
        step = _iterated(fit)
    return fit.named(solvers.backtracked(fit.energy, fit.start, step, halvings=HALVINGS))


class _Fit:
    """The sum whose minimum is wanted, of unknowns in a row, (B, N)."""

    def __init__(self, view: View, x: Tensor, blocks: bool, residual: Tensor) -> None:
        self.view, self.x = view, x
        self.sizes = {name: u.shape for name, u in view.unknowns.items()}
        self.start = torch.cat([u.flatten(1) for u in view.unknowns.values()], dim=1)
        self.scale = (view.total(residual.square()) / view.count()).clamp_min(1).sqrt().view(-1, 1, 1, 1)
        self.root = None if blocks or view.weight is None else view.weight.sqrt()
        self.weights: Tensor | None = None
        if blocks:
            weight = torch.ones_like(view.image) if view.weight is None else view.weight
            self.weights = F.avg_pool2d(weight, BLOCK, ceil_mode=True, divisor_override=1).clamp_min(1e-6).sqrt()
        self.first = self.weighed(residual).flatten(1)

    def named(self, u: Tensor) -> Unknowns:
        parts = torch.split(u, [size[1:].numel() for size in self.sizes.values()], dim=1)
        return {
            name: part.reshape(len(u), *size[1:]) for (name, size), part in zip(self.sizes.items(), parts, strict=True)
        }

    def weighed(self, values: Tensor) -> Tensor:
        """Of residuals what is squared and summed; of blocks it is the mean over its noise, sum w r / sqrt(sum w)."""
        if self.weights is not None:
            values = values if self.view.weight is None else values * self.view.weight
            values = F.avg_pool2d(values, BLOCK, ceil_mode=True, divisor_override=1) / self.weights
        elif self.root is not None:
            values = values * self.root
        return values / self.scale

    def residual(self, u: Tensor) -> Tensor:
        return self.weighed(self.view.residual(self.x, self.named(u))).flatten(1)

    def penalty(self, u: Tensor) -> Tensor:
        value = self.view.degradation.penalty(**self.named(u))
        return value if isinstance(value, Tensor) else u.new_zeros(len(u))

    def slope(self, u: Tensor) -> Tensor:
        """Of the penalty."""
        found: Tensor = torch.func.grad(lambda v: self.penalty(v).sum())(u)
        return found

    def energy(self, u: Tensor) -> Tensor:
        residual = self.first if u is self.start else self.residual(u)
        return residual.square().sum(1) + self.penalty(u)

    def bend(self) -> tuple[Tensor, Tensor]:
        """The penalty's derivatives at the start, (B, N) and (B, N, N); torch.func would take a second to import."""
        batch, count = self.start.shape
        none = self.start.new_zeros(batch, count, count)
        with torch.enable_grad():
            u = self.start.detach().repeat_interleave(count, dim=0).requires_grad_()  # for every row of the second
            penalty = self.penalty(u)
            if not penalty.requires_grad:
                return none[:, 0], none
            (slope,) = torch.autograd.grad(penalty.sum(), u, create_graph=True)
            first = slope.detach().view_as(none)[:, 0]
            if not slope.requires_grad:
                return first, none
            (rows,) = torch.autograd.grad(
                (slope * torch.eye(count, dtype=u.dtype, device=u.device).repeat(batch, 1)).sum(), u
            )
        return first, rows.view_as(none)


def _iterated(fit: _Fit) -> Tensor:
    """The Gauss-Newton step from products with the derivative."""
    jacobian, curvature = solvers.linearise(fit.residual, fit.start), solvers.linearise(fit.slope, fit.start)

    def normal(u: Tensor) -> Tensor:
        return jacobian.transpose(jacobian.forward(u)) + curvature.forward(u) / 2 + 1e-6 * u

    rhs = -jacobian.transpose(fit.first) - fit.slope(fit.start) / 2
    return solvers.conjugate_gradients(normal, rhs, ITERATIONS, 1e-4)


def _solved(fit: _Fit, mean: Tensor, slopes: Unknowns) -> Tensor:
    """The Gauss-Newton step from the derivative as a matrix, (B, M, N), M values of blocks and N unknowns."""
    view = fit.view
    kept = view.explained(mean)
    columns = []
    for name, size in fit.sizes.items():
        slope = slopes[name] if kept is None else slopes[name].masked_fill(kept, 0)
        columns.append(_columns(fit.weighed(slope / -view.sigma), size, fit.x.shape))
    matrix = torch.cat(columns, dim=2)
    steepness, bend = fit.bend()
    normal = (matrix.mT @ matrix).double() + bend.double() / 2
    normal.diagonal(dim1=1, dim2=2).add_(1e-6)
    rhs = (matrix.mT @ fit.first[..., None])[..., 0] + steepness / 2
    step: Tensor = torch.linalg.solve(normal, rhs.double()).neg().to(fit.start)
    return step


def _columns(slope: Tensor, size: torch.Size, image: torch.Size) -> Tensor:
    """The derivatives of blocks, (B, C, r, s), in the cells of an unknown (B, c, h, w), (B, C r s, c h w).

    `slope`: in its value at the place; c is 1 or C.
    """
    channels = (
        slope.new_ones(1, slope.shape[1])
        if size[1] == 1
        else torch.eye(size[1], dtype=slope.dtype, device=slope.device)
    )
    across, down = (
        _shares(cells, pixels, slope.dtype, slope.device) for cells, pixels in zip(size[2:], image[2:], strict=True)
    )
    found = torch.einsum("bCrs,cC,hr,ws->bCrschw", slope, channels, across, down)
    return found.reshape(len(slope), slope[0].numel(), size[1:].numel())


@lru_cache(maxsize=16)
def _shares(cells: int, pixels: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """How much each cell of a side counts in the blocks of pixels along it, (cells, blocks)."""
    spread = exposure.spread(torch.eye(cells).view(cells, 1, cells, 1), pixels, 1)
    return F.avg_pool2d(spread, (BLOCK, 1), ceil_mode=True)[:, 0, :, 0].to(device, dtype)
