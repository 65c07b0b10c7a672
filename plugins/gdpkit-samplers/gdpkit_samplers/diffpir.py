"""DiffPIR."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, ClassVar

from gdpkit import Objective, Prior, Sampler, Step, param

if TYPE_CHECKING:
    from gdpkit.components import Noise


@dataclass(frozen=True)
class DiffPir(Sampler):
    """DiffPIR: denoise, solve the proximal data step, renoise with part of the old noise and part new.

    Zhu, Zhang, Liang, Cao, Wen, Timofte and Van Gool, "Denoising diffusion models for plug-and-play image restoration",
    CVPR workshops 2023, algorithm 1:

        x0hat = argmin_x |y - H(x)|^2 + rho_t |x - x_0|^2,   rho_t = lambda sigma_n^2 / sigma_t^2,
        x_{t-1} = x0hat + sigma_{t-1} (sqrt(1 - zeta) (x_t - x0hat) / sigma_t + sqrt(zeta) eps).

    Takes every degradation, several observations, and quality losses.
    """

    name = "diffpir"
    example_params: ClassVar[Mapping[str, Any]] = {"steps": 20}

    steps: int = param(100, help="Number of network evaluations.", min=1, max=1000)
    lam: float = param(1.0, help="lambda: trust in the network's answer against the observation.", min=1e-3, max=1e4)
    zeta: float = param(0.1, help="Share of new noise in each step.", min=0, max=1)

    spacing: str = param("quadratic", help="Timesteps: evenly spread, or closer together where there is more noise.",
                         choices=("uniform", "quadratic"))  # fmt: skip

    @property
    def evaluations(self) -> int:
        """One a step."""
        return self.steps

    def sample(self, prior: Prior, objective: Objective, noise: Noise) -> Iterator[Step]:
        """The proximal step is `objective.prox` with a trust of sigma_t / sqrt(lambda)."""
        import torch

        from gdpkit_samplers import functional

        spaced = functional.ddpm_levels if self.spacing == "uniform" else functional.quadratic_levels
        levels = [*spaced(self.steps), 0.0]
        x = functional.flat(objective) + levels[0] * noise.normal(objective.shape, objective.device)
        for k, (sigma, below) in enumerate(pairwise(levels), start=1):
            with torch.no_grad():
                clean = prior.denoise(x, sigma).clean
            objective.fit(clean)
            found = objective.prox(clean, sigma / self.lam**0.5)
            x = found + below * (1 - self.zeta) ** 0.5 * (x - found) / sigma
            if below and self.zeta:
                x = x + below * self.zeta**0.5 * noise.normal(objective.shape, objective.device)
            yield Step(k, self.steps, found.clamp(0, 1))
