"""SNIPS."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from gdpkit import Objective, Prior, Sampler, Step, param

if TYPE_CHECKING:
    from torch import Tensor

    from gdpkit.components import Noise
    from gdpkit_samplers.functional import Basis


@dataclass(frozen=True)
class Snips(Sampler):
    """SNIPS: annealed Langevin dynamics in the singular basis, with a step size for each coefficient.

    Kawar, Vaksman and Elad, "SNIPS: solving noisy inverse problems stochastically", NeurIPS 2021, algorithm 1. The
    noise of level sigma_i is made part of that of the observation, sigma_0; with the score
    S = (D(x, sigma_i) - x) / sigma_i^2, a coefficient moves by a d + sqrt(2 a) n,

        s = 0:                d = V^T S
                              a = c sigma_i^2
        sigma_i s < sigma_0:  d = V^T S + s (U^T y - s xbar) / (sigma_0^2 - s^2 sigma_i^2)
                              a = c sigma_i^2 (1 - s^2 sigma_i^2 / sigma_0^2)
        sigma_i s > sigma_0:  d = s (U^T y - s xbar) / (s^2 sigma_i^2 - sigma_0^2)
                              a = c (sigma_i^2 - sigma_0^2 / s^2)

    with n standard normal. c is the 3.3e-6 / 0.01^2 of the networks it was published with. The last image is denoised
    once more, as they do. Takes linear degradations with a singular system.
    """

    name = "snips"
    needs_spectral = True
    example_params: ClassVar[Mapping[str, Any]] = {"steps": 50, "inner": 4, "c": 0.2, "start": 5.0}

    steps: int = param(500, help="Number of noise levels.", min=1, max=10000)
    inner: int = param(5, help="Langevin steps, each a network evaluation, at each level.", min=1, max=100)
    c: float = param(0.033, help="Step size; fewer steps want a larger one.", min=1e-6, max=1)
    start: float = param(90.0, help="First noise level, as a share of the image's range.", min=0.01, max=1000)
    end: float = param(0.01, help="Last noise level.", min=0.0005, max=1)

    @property
    def evaluations(self) -> int:
        """`inner` at each level, and one at the end."""
        return self.steps * self.inner + 1

    def sample(self, prior: Prior, objective: Objective, noise: Noise) -> Iterator[Step]:
        """One step a noise level, and one for the last denoising."""
        import torch

        from gdpkit_samplers import functional

        basis = functional.basis_of(objective, self.name)
        levels = functional.geometric_levels(self.start, self.end, self.steps)
        x = functional.flat(objective) + levels[0] * noise.normal(objective.shape, objective.device)
        for k, sigma in enumerate(levels, start=1):
            for _ in range(self.inner):
                with torch.no_grad():
                    clean = prior.denoise(x, sigma).clean
                x = self._move(basis, x, clean, sigma, noise.normal(objective.shape, objective.device))
            objective.fit(clean)
            basis = functional.basis_of(objective, self.name)
            yield Step(k, self.steps + 1, clean.clamp(0, 1))
        with torch.no_grad():
            clean = prior.denoise(x, levels[-1]).clean
        yield Step(self.steps + 1, self.steps + 1, clean.clamp(0, 1))

    def _move(self, basis: Basis, x: Tensor, clean: Tensor, sigma: float, z: Tensor) -> Tensor:
        """The products a d in a form without the poles of d."""
        import torch

        unseen = x + self.c * (clean - x) + (2 * self.c) ** 0.5 * sigma * z
        c, n = basis.analyse(x), basis.analyse(z)
        share = (sigma / basis.noise).square()
        free = (1 - share).clamp_min(0)
        pull = basis.target - c
        vague = c + self.c * (free * (basis.analyse(clean) - c) + share * pull) + (2 * self.c * free).sqrt() * sigma * n
        left = (sigma**2 - basis.noise.square()).clamp_min(0)
        clear = c + self.c * pull + (2 * self.c * left).sqrt() * n
        return basis.put(unseen, torch.where(sigma < basis.noise, vague, clear))
