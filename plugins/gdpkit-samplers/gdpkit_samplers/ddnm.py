"""DDNM+."""

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
class Ddnm(Sampler):
    """DDNM+: the denoised image takes its range space from the observation, as far as the noise allows; DDIM steps.

    Wang, Yu and Zhang, "Zero-shot image restoration using denoising diffusion null-space model", ICLR 2023, equations
    17 and 18, with the matrices Sigma_t and Phi_t of its appendix I:

        x0hat = x_{0|t} - V diag(lambda) V^T A^+ (A x_{0|t} - y),
        x_{t-1} = x0hat + sqrt(1 - eta^2) sigma_{t-1} eps_t + V diag(phi)^{1/2} V^T eps,

    lambda = min(1, eta sigma_{t-1} s / sigma_y) and phi = eta^2 sigma_{t-1}^2 - lambda^2 sigma_y^2 / s^2, so that the
    noise that the observation brings and the noise that is added make up that of the level. Where nothing is
    observed (s = 0), phi = eta^2 sigma_{t-1}^2. Without noise this is DDNM, x0hat = x_{0|t} + A^+ (y - A x_{0|t}). The
    steps of time travel are not made. Takes linear degradations with a singular system.
    """

    name = "ddnm"
    needs_spectral = True

    steps: int = param(100, help="Number of network evaluations.", min=1, max=1000)
    eta: float = param(0.85, help="Share of new noise in each step; 0 would ignore a noisy observation.", min=0, max=1)

    @property
    def evaluations(self) -> int:
        """One a step."""
        return self.steps

    def sample(self, prior: Prior, objective: Objective, noise: Noise) -> Iterator[Step]:
        """From noise to x_0, algorithm 2 with the noise of section 3.3."""
        import torch

        from gdpkit_samplers import functional

        basis = functional.basis_of(objective, self.name)
        levels = [*functional.ddpm_levels(self.steps), 0.0]
        x = functional.flat(objective) + levels[0] * noise.normal(objective.shape, objective.device)
        for k, (sigma, below) in enumerate(pairwise(levels), start=1):
            with torch.no_grad():
                clean = prior.denoise(x, sigma).clean
            objective.fit(clean)
            basis = functional.basis_of(objective, self.name)
            z = noise.normal(objective.shape, objective.device) if below else torch.zeros_like(x)
            x = self._step(basis, clean, x, z, sigma, below)
            yield Step(k, self.steps, (clean if below else x).clamp(0, 1))

    def _step(self, basis: Basis, clean: Tensor, x: Tensor, z: Tensor, sigma: float, below: float) -> Tensor:
        new = self.eta * below
        direction = (1 - self.eta**2) ** 0.5 * below * (x - clean) / sigma
        c = basis.analyse(clean)
        share = (new / basis.noise).clamp(max=1)
        spread = (new**2 - (share * basis.noise).square().nan_to_num()).clamp_min(0).sqrt()
        seen = c + share * (basis.target - c) + spread * basis.analyse(z)
        found: Tensor = basis.put(clean + new * z, seen) + direction
        return found
