"""What several of the samplers need: noise levels, and one linear observation in its singular basis."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from gdpkit import GdpkitError, Objective
from gdpkit.components import Measured, SingularSystem
from gdpkit.components.singular import LEAST
from gdpkit.schedule import Schedule


def ddpm_levels(steps: int) -> list[float]:
    """sigma_t at `steps` timesteps of the linear schedule, evenly spread, falling from 78 to 0.005."""
    return _of_schedule(Schedule.linear().respace(steps))


def quadratic_levels(steps: int) -> list[float]:
    """The same at timesteps T sqrt(j / (steps - 1)): close together where there is much noise."""
    full = Schedule.linear()
    wanted = torch.linspace(0, 1, steps, dtype=torch.float64).sqrt() if steps > 1 else torch.ones(1)
    kept = (wanted * (len(full) - 1)).round().long()
    return _of_schedule(Schedule(full.alphas_cumprod[kept], full.timesteps[kept]))


def _of_schedule(schedule: Schedule) -> list[float]:
    return [schedule.sigma(k) / 2 for k in reversed(range(len(schedule)))]


def polynomial_levels(start: float, end: float, steps: int, rho: float = 7.0) -> list[float]:
    """`steps` levels from start to end, even in sigma^(1/rho) (Karras et al., NeurIPS 2022, equation 5)."""
    first, last = start ** (1 / rho), end ** (1 / rho)
    return [(first + k / max(1, steps - 1) * (last - first)) ** rho for k in range(steps)]


def geometric_levels(start: float, end: float, steps: int) -> list[float]:
    """`steps` levels from start to end, each the same share of the one before."""
    return [start * (end / start) ** (k / max(1, steps - 1)) for k in range(steps)]


def flat(objective: Objective) -> Tensor:
    """Mid grey: 0 in [-1, 1]."""
    return torch.full(objective.shape, 0.5, device=objective.device)


@dataclass(frozen=True, eq=False)
class Basis:
    """y = U diag(s) V^T x + sigma_y n, read as a noisy view of the coefficients V^T x.

    target: ybar = S^+ U^T y.
    noise: sigma_y / s, the deviation of ybar; infinite where s = 0.
    """

    system: SingularSystem
    target: Tensor
    noise: Tensor

    @classmethod
    def of(cls, measured: Measured) -> Basis:
        """From what the objective gives."""
        s = measured.system.values.to(measured.observed)
        seen = s > LEAST * s.max()
        noise = torch.where(seen, measured.sigma / s.clamp_min(1e-30), torch.full_like(s, math.inf))
        target = torch.where(seen, measured.observed / s.clamp_min(1e-30), torch.zeros_like(measured.observed))
        return cls(measured.system, target, noise)

    def analyse(self, x: Tensor) -> Tensor:
        """V^T x; anything where s = 0."""
        return self.system.analyse(x)

    def put(self, x: Tensor, coefficients: Tensor) -> Tensor:
        """x with these coefficients where s > 0, and as it is elsewhere."""
        change = torch.where(self.noise.isfinite(), coefficients - self.analyse(x), torch.zeros_like(coefficients))
        return x + self.system.synthesise(change)


def basis_of(objective: Objective, sampler: str) -> Basis:
    """The observation in its singular basis; an error that names another sampler where there is none."""
    if objective.supports("losses"):
        raise GdpkitError(f"{sampler} follows the observation alone, not --loss; --sampler hqs or diffpir follows both")
    try:
        return Basis.of(objective.spectral())
    except GdpkitError as error:
        raise GdpkitError(f"{sampler} works in the singular basis of one linear degradation, but {error}") from error
