"""How far a prediction is from what was observed: the L of the objective, divided by the noise."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import torch
from torch import Tensor

from gdpkit import similarity
from gdpkit.errors import UnknownNameError, did_you_mean
from gdpkit.solvers import Map

HUBER = 1.345  # the point where Huber's estimator keeps 95 % efficiency on Gaussian noise
SMOOTH = 0.1  # |t| is rounded off below this, where the rounding of the file hides it
LEAST_FACTOR = 0.05  # of SSIM, where it only scales a curvature


class Misfit(Protocol):
    """L of predictions of one observation, summed over its measurements."""

    def energy(self, predicted: Tensor) -> Tensor:
        """Sum of weight L / sigma^2, (B,), differentiable."""

    def expansion(self, predicted: Tensor) -> tuple[Tensor, Map]:
        """Half the gradient of `energy`, and half a positive semi-definite stand-in for its second derivative."""


class Distance(Protocol):
    """A kind of L."""

    @property
    def quadratic(self) -> bool:
        """Whether it is squared error."""

    @property
    def convex(self) -> bool:
        """Whether Newton steps may start anywhere."""

    @property
    def pixelwise(self) -> bool:
        """Whether L of a measurement depends on that measurement alone."""

    @property
    def expected(self) -> float:
        """The mean of L / sigma^2 of a measurement with Gaussian noise."""

    def misfit(self, image: Tensor, sigma: float, weight: Tensor | None) -> Misfit:
        """From this observation, (B, C, h, w), with noise of this deviation and a weight for each value, or None."""


@dataclass(frozen=True)
class Pixelwise:
    """rho(t) of a residual t in units of the noise, and rho'(t) / 2t, its weight in reweighted least squares."""

    energy: Callable[[Tensor], Tensor]
    weight: Callable[[Tensor], Tensor]
    quadratic: bool = False
    convex: bool = True
    pixelwise: bool = True

    @cached_property
    def expected(self) -> float:
        """The mean of rho over standard normal noise, by the trapezoidal rule."""
        t = torch.linspace(-8, 8, 4001, dtype=torch.float64)
        density = (-(t**2) / 2).exp()
        return float((self.energy(t) * density).sum() / density.sum())

    def misfit(self, image: Tensor, sigma: float, weight: Tensor | None) -> Misfit:
        """A sum over pixels."""
        return _PixelwiseMisfit(self, image, sigma, 1 if weight is None else weight)


@dataclass(frozen=True, eq=False)
class _PixelwiseMisfit:
    kind: Pixelwise
    image: Tensor
    sigma: float
    weight: Tensor | int

    def energy(self, predicted: Tensor) -> Tensor:
        residual = (predicted - self.image).div_(self.sigma)
        return self.kind.energy(residual).mul_(self.weight).flatten(1).sum(1)

    def expansion(self, predicted: Tensor) -> tuple[Tensor, Map]:
        residual = (predicted - self.image) / self.sigma
        weight = self.kind.weight(residual) * self.weight / self.sigma**2
        return weight * residual * self.sigma, lambda d: weight * d


@dataclass(frozen=True)
class Structural:
    """1 - SSIM about every pixel, in units of what noise makes of it.

    Noise lowers SSIM most where the picture is flat, and least in texture. L is scaled by one number an image, so that
    on average over the observation the noise costs what it costs as squared error: then neither the balance with the
    prior nor the discrepancy depends on the choice of L, and only where an error is minded changes.
    """

    quadratic: bool = False
    convex: bool = False
    pixelwise: bool = False
    expected: float = 1.0

    def misfit(self, image: Tensor, sigma: float, weight: Tensor | None) -> Misfit:
        """Lost pixels belong to no window."""
        weight = torch.ones_like(image) if weight is None else weight
        windows = similarity.Windows(weight)
        noise = similarity.expected(image, sigma**2, windows)
        mean = (weight * noise).flatten(1).sum(1) / weight.flatten(1).sum(1).clamp_min(1e-30)
        return _StructuralMisfit(image, weight / mean.clamp_min(1e-30).view(-1, 1, 1, 1), windows)


@dataclass(frozen=True, eq=False)
class _StructuralMisfit:
    image: Tensor
    weight: Tensor
    windows: similarity.Windows

    def energy(self, predicted: Tensor) -> Tensor:
        a, b, _, _ = similarity.dissimilarity(predicted, self.image, self.windows)
        return (self.weight * (a + b - a * b)).flatten(1).sum(1)

    def expansion(self, predicted: Tensor) -> tuple[Tensor, Map]:
        """The curvature is that of mu_d^2 and s_d^2 with the other factors held."""
        with torch.enable_grad():
            leaf = predicted.detach().requires_grad_()
            (slope,) = torch.autograd.grad(self.energy(leaf).sum(), leaf)
        a, b, brightness, contrast = similarity.dissimilarity(predicted.detach(), self.image, self.windows)
        of_mean = self.weight * (1 - b).clamp_min(LEAST_FACTOR) / brightness
        of_variance = self.weight * (1 - a).clamp_min(LEAST_FACTOR) / contrast
        diagonal = self.windows.transpose(of_variance)

        def curvature(d: Tensor) -> Tensor:
            return diagonal * d + self.windows.transpose((of_mean - of_variance) * self.windows.mean(d))

        return slope / 2, curvature


def _huber(t: Tensor) -> Tensor:
    size = t.abs()
    return torch.where(size <= HUBER, t.square(), 2 * HUBER * size - HUBER**2)


PIXELWISE = {
    "mse": Pixelwise(torch.square, torch.ones_like, quadratic=True),
    "l1": Pixelwise(lambda t: 2 * (t.square() + SMOOTH**2).sqrt(), lambda t: (t.square() + SMOOTH**2).rsqrt()),
    "huber": Pixelwise(_huber, lambda t: HUBER / t.abs().clamp_min(HUBER)),
}
DISTANCES: dict[str, Distance] = {**PIXELWISE, "ssim": Structural()}


def by_name(name: str) -> Distance:
    """The distance called `name`; an unknown one is an error with a suggestion."""
    if name not in DISTANCES:
        raise UnknownNameError(f"unknown distance {name!r}.{did_you_mean(name, DISTANCES)}")
    return DISTANCES[name]
