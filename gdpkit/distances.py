"""How far a prediction is from what was observed: the L of the objective, on residuals divided by the noise."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from gdpkit.errors import UnknownNameError, did_you_mean

HUBER = 1.345  # the point where Huber's estimator keeps 95 % efficiency on Gaussian noise
SMOOTH = 0.1  # |t| is rounded off below this, where the rounding of the file hides it


@dataclass(frozen=True)
class Distance:
    """rho(t) of a residual t in units of the noise, and rho'(t) / 2t, its weight in reweighted least squares."""

    energy: Callable[[Tensor], Tensor]
    weight: Callable[[Tensor], Tensor]
    quadratic: bool = False

    @cached_property
    def expected(self) -> float:
        """The mean of rho over standard normal noise, by the trapezoidal rule."""
        t = torch.linspace(-8, 8, 4001, dtype=torch.float64)
        density = (-(t**2) / 2).exp()
        return float((self.energy(t) * density).sum() / density.sum())


def _huber(t: Tensor) -> Tensor:
    size = t.abs()
    return torch.where(size <= HUBER, t.square(), 2 * HUBER * size - HUBER**2)


DISTANCES = {
    "mse": Distance(torch.square, torch.ones_like, quadratic=True),
    "l1": Distance(lambda t: 2 * (t.square() + SMOOTH**2).sqrt(), lambda t: (t.square() + SMOOTH**2).rsqrt()),
    "huber": Distance(_huber, lambda t: HUBER / t.abs().clamp_min(HUBER)),
}


def by_name(name: str) -> Distance:
    """The distance called `name`; an unknown one is an error with a suggestion."""
    if name not in DISTANCES:
        raise UnknownNameError(f"unknown distance {name!r}.{did_you_mean(name, DISTANCES)}")
    return DISTANCES[name]
