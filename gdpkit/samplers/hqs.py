"""The default sampler."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from gdpkit.components import Noise, Objective, Prior, Sampler, Step
from gdpkit.params import param

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Hqs(Sampler):
    """Annealed half-quadratic splitting: denoise, make true to the observations, lower the noise level, repeat.

    The data step is the proximal one of plug-and-play restoration (Zhang et al., "Plug-and-play image restoration with
    deep denoiser prior", TPAMI 2021), weighed by the noise, and repeated where more residual is left than the noise
    has. Each step shows the prior another of the eight turned and mirrored forms of the image, which removes what a
    network prefers by direction (Terris et al., "Equivariant plug-and-play image reconstruction", CVPR 2024). Below
    fidelity 1 noise is put back before each step, as in DiffPIR (Zhu et al., CVPRW 2023), and the result becomes a
    sample.
    """

    name = "hqs"
    example_params: ClassVar[Mapping[str, Any]] = {"fidelity": 0.5}

    steps: int = param(20, help="Number of network evaluations.", min=1, max=1000)
    fidelity: float = param(1.0, help="1: the most probable faithful image; 0: a sample with the prior's texture.",
                            min=0, max=1)  # fmt: skip
    start: float = param(0.5, help="First noise level, as a share of the image's range.", min=0.01, max=100)
    end: float = param(0.005, help="Last noise level.", min=0.0005, max=1)

    @property
    def evaluations(self) -> int:
        """One a step."""
        return self.steps

    def sample(self, prior: Prior, objective: Objective, noise: Noise) -> Iterator[Step]:
        """x_k = prox(denoise(x_{k-1} + (1 - fidelity) sigma_k n, sigma_k), sigma_k), sigma_k falling geometrically."""
        import torch

        from gdpkit.samplers.guidance import prox_to_noise, prox_within_range

        x = prox_to_noise(objective, torch.full(objective.shape, 0.5, device=objective.device), self.start)
        for k in range(self.steps):
            sigma = self.start * (self.end / self.start) ** (k / max(1, self.steps - 1))
            if self.fidelity < 1:
                x = x + (1 - self.fidelity) * sigma * noise.normal(objective.shape, objective.device)
            with torch.no_grad():
                clean = _turned_back(prior.denoise(_turned(x, k), sigma).clean, k)
            objective.fit(clean)
            if k + 1 == self.steps:
                x = prox_within_range(objective, clean, sigma)
            else:
                x = prox_to_noise(objective, clean, sigma)
            yield Step(k + 1, self.steps, x.clamp(0, 1))


def _turned(x: Tensor, k: int) -> Tensor:
    """The k-th of the eight forms: turned by k quarters, mirrored every other four."""
    x = x.rot90(k % 4, (2, 3))
    return x.flip(3) if k % 8 >= 4 else x


def _turned_back(x: Tensor, k: int) -> Tensor:
    return (x.flip(3) if k % 8 >= 4 else x).rot90(-(k % 4), (2, 3))
