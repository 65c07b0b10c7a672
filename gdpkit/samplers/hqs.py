"""The default sampler."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from gdpkit.components import Noise, Objective, Prior, Sampler, Step
from gdpkit.params import param


@dataclass(frozen=True)
class Hqs(Sampler):
    """Annealed half-quadratic splitting: denoise, make true to the observations, lower the noise level, repeat."""

    name = "hqs"
    steps: int = param(16, help="Number of network evaluations.", min=1, max=1000)
    start: float = param(0.5, help="First noise level, in units of the image's range.", min=0.01, max=100)
    end: float = param(0.01, help="Last noise level.", min=0.0005, max=1)

    @property
    def evaluations(self) -> int:
        """One a step."""
        return self.steps

    def sample(self, prior: Prior, objective: Objective, noise: Noise) -> Iterator[Step]:
        """z_k = prox(denoise(z_{k-1}, sigma_k), sigma_k) with sigma_k falling geometrically."""
        import torch

        gray = torch.full(objective.shape, 0.5, device=objective.device)
        z = objective.prox(gray, self.start)
        for k in range(self.steps):
            sigma = self.start * (self.end / self.start) ** (k / max(1, self.steps - 1))
            with torch.no_grad():
                clean = prior.denoise(z, sigma).clean
            objective.fit(clean)
            z = objective.prox(clean, sigma)
            yield Step(k + 1, self.steps, z.clamp(0, 1))
