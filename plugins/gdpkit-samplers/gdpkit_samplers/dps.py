"""DPS."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, ClassVar

from gdpkit import GdpkitError, Objective, Prior, Sampler, Step, param

if TYPE_CHECKING:
    from torch import Tensor

    from gdpkit.components import Noise

PUBLISHED_VALUES = 3 * 256 * 256


@dataclass(frozen=True)
class Dps(Sampler):
    """DPS: ancestral steps, moved down the gradient of the residual through the network.

    Chung, Kim, McCann, Klasky and Ye, "Diffusion posterior sampling for general noisy inverse problems", ICLR 2023,
    algorithm 1:

        x_{i-1} = x'_{i-1} - zeta_i grad_{x_i} |y - A(x0hat(x_i))|^2,   zeta_i = zeta' / |y - A(x0hat(x_i))|,

    with x' the ancestral step. The norm grows with the number of pixels; it is brought to that of a 256x256 image, so
    that zeta' means the same at every size. A step costs two to three times a plain evaluation, and the memory of the
    network's activations. Takes every degradation.
    """

    name = "dps"
    example_params: ClassVar[Mapping[str, Any]] = {"steps": 100, "zeta": 20.0}

    steps: int = param(1000, help="Number of network evaluations, each with its gradient.", min=1, max=1000)
    zeta: float = param(1.0, help="The step size zeta'; fewer steps want a larger one.", min=0)

    @property
    def evaluations(self) -> int:
        """One a step."""
        return self.steps

    def sample(self, prior: Prior, objective: Objective, noise: Noise) -> Iterator[Step]:
        """In units of [0, 1] the published step becomes zeta' / (2 sqrt(abar_i abar_{i-1})) grad |r|^2 / |r|."""
        import torch

        from gdpkit_samplers import functional

        if objective.supports("losses"):
            raise GdpkitError(
                f"{self.name} follows the residual alone, not --loss; --sampler hqs or diffpir follows both"
            )
        levels = [*functional.ddpm_levels(self.steps), 0.0]
        x = functional.flat(objective) + levels[0] * noise.normal(objective.shape, objective.device)
        for k, (sigma, below) in enumerate(pairwise(levels), start=1):
            with torch.enable_grad():
                leaf = x.detach().requires_grad_()
                denoised = prior.denoise(leaf, sigma).clean
            clean = denoised.detach()
            objective.fit(clean)
            (gradient,) = torch.autograd.grad(denoised, leaf, residual_gradient(objective, clean))
            ratio = (below / sigma) ** 2
            x = clean + ratio * (x - clean)
            if below:
                x = x + below * (1 - ratio) ** 0.5 * noise.normal(objective.shape, objective.device)
            x = x - self.zeta / 2 * ((1 + 4 * sigma**2) * (1 + 4 * below**2)) ** 0.5 * gradient
            yield Step(k, self.steps, (clean if below else x).clamp(0, 1))


def residual_gradient(objective: Objective, clean: Tensor) -> Tensor:
    """The gradient of |y - D(x)|^2 over |y - D(x)|, that of an image of 256x256, in the units of the image.

    With E = |y - D(x)|^2 / sigma^2 it is sigma grad E / sqrt(E); what the mean over pixels leaves of the gradient tells
    sigma.
    """
    import torch

    slope, mean = objective.gradient(clean), objective.gradient(clean, reduction="mean")
    energy = objective.energy(clean)
    count = energy / objective.discrepancy(clean).clamp_min(1e-30)
    size = torch.linalg.vector_norm(slope.flatten(1), dim=1)
    sigma = (count * torch.linalg.vector_norm(mean.flatten(1), dim=1) / size.clamp_min(1e-30)).sqrt()
    larger = (clean[0].numel() / PUBLISHED_VALUES) ** 0.5
    scale: Tensor = larger * sigma / energy.clamp_min(1e-30).sqrt()
    return scale.view(-1, 1, 1, 1) * slope
