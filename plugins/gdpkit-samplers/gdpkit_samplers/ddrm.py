"""DDRM."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from gdpkit import Objective, Prior, Sampler, Step, param

if TYPE_CHECKING:
    from torch import Tensor

    from gdpkit.components import Noise
    from gdpkit_samplers.functional import Basis


@dataclass(frozen=True)
class Ddrm(Sampler):
    """DDRM: diffusion in the singular basis of the degradation, each coefficient by how noisy it was observed.

    Kawar, Elad, Ermon and Song, "Denoising diffusion restoration models", NeurIPS 2022, equations 7 and 8. With
    xbar = V^T x, ybar = S^+ U^T y and x_theta the denoised x_{t+1}, the coefficient at level sigma_t is drawn with mean

        s = 0:                  xbar_theta + sqrt(1 - eta^2) sigma_t (xbar_{t+1} - xbar_theta) / sigma_{t+1}
        sigma_t < sigma_y / s:  xbar_theta + sqrt(1 - eta^2) sigma_t (ybar - xbar_theta) / (sigma_y / s)
        otherwise:              (1 - eta_b) xbar_theta + eta_b ybar

    and variance eta^2 sigma_t^2 in the first two cases, sigma_t^2 - eta_b^2 sigma_y^2 / s^2 in the third. Takes linear
    degradations with a singular system.
    """

    name = "ddrm"
    needs_spectral = True

    steps: int = param(20, help="Number of network evaluations.", min=1, max=1000)
    eta: float = param(0.85, help="Share of new noise where the observation says little.", min=0, max=1)
    eta_b: float = param(1.0, help="Share of the observation where it says more than the noise level.", min=0, max=1)

    @property
    def evaluations(self) -> int:
        """One a step."""
        return self.steps

    def sample(self, prior: Prior, objective: Objective, noise: Noise) -> Iterator[Step]:
        """From x_T, equation 7, to x_0."""
        import torch

        from gdpkit_samplers import functional

        basis = functional.basis_of(objective, self.name)
        levels = [*functional.ddpm_levels(self.steps), 0.0]
        z = noise.normal(objective.shape, objective.device)
        x = functional.flat(objective) + levels[0] * z
        spread = (levels[0] ** 2 - basis.noise.square()).clamp_min(0).sqrt()
        seen = basis.target + spread * basis.analyse(z)
        x = basis.put(x, torch.where(levels[0] < basis.noise, basis.analyse(x), seen))
        for k, (sigma, below) in enumerate(pairwise(levels), start=1):
            with torch.no_grad():
                clean = prior.denoise(x, sigma).clean
            objective.fit(clean)
            basis = functional.basis_of(objective, self.name)
            z = noise.normal(objective.shape, objective.device) if below else torch.zeros_like(x)
            x = self._step(basis, clean, x, z, sigma, below)
            yield Step(k, self.steps, (clean if below else x).clamp(0, 1))

    def _step(self, basis: Basis, clean: Tensor, x: Tensor, z: Tensor, sigma: float, below: float) -> Tensor:
        """Equation 8, sigma_{t+1} to sigma_t."""
        import torch

        kept = (1 - self.eta**2) ** 0.5
        unseen = clean + below * (kept * (x - clean) / sigma + self.eta * z)
        c, n = basis.analyse(clean), basis.analyse(z)
        towards = basis.target - c
        vague = c + below * (kept * towards / basis.noise + self.eta * n)
        spread = (below**2 - (self.eta_b * basis.noise).square()).clamp_min(0).sqrt()
        clear = c + self.eta_b * towards + spread * n
        return basis.put(unseen, torch.where(below < basis.noise, vague, clear))
