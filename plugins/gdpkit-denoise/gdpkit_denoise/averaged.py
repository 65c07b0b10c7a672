"""The sampler of the task `denoise`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from gdpkit import Sampler, Step, param
from gdpkit.samplers.hqs import Hqs

if TYPE_CHECKING:
    from torch import Tensor

    from gdpkit import Objective, Prior
    from gdpkit.components import Noise

MASK = 0.8  # of the level: what is left of the errors makes up the rest
BELIEF = 1.5  # levels: what a denoised image is worth to the data step
WARMING = 4  # one in so many steps comes before the mean


@dataclass(frozen=True)
class Mean(Sampler):
    """A mean over noise put in: for errors that are no noise, as those of JPEG. Of linear degradations, `hqs`.

    What compression leaves is edges of blocks and ripples, which a prior takes for the picture. Under noise a little
    stronger it takes them for noise. Each step adds noise, removes it, and brings the result back to what was observed;
    what differs from step to step is chance, and the mean over the steps is nearer to the truth than any of them
    (after Kadkhodaie and Simoncelli, "Stochastic solutions for linear inverse problems using the prior implicit in a
    denoiser", NeurIPS 2021, at an almost constant level). Noise comes in pairs of opposite sign.
    """

    name = "mean"
    example_params: ClassVar[Mapping[str, Any]] = {"steps": 8}

    steps: int = param(16, help="Number of network evaluations.", min=1, max=1000)
    fidelity: float = param(1.0, help="As of hqs, which serves below 1.", min=0, max=1)
    start: float = param(0.14, help="First noise level, as a share of the image's range.", min=0.01, max=1)
    end: float = param(0.09, help="Last noise level.", min=0.005, max=1)

    @property
    def evaluations(self) -> int:
        """One a step, at most."""
        return self.steps

    def sample(self, prior: Prior, objective: Objective, noise: Noise) -> Iterator[Step]:
        """c_k = denoise(x_{k-1} + 0.8 sigma_k n_k, sigma_k), x_k = prox(c_k, 1.5 sigma_k); at last prox(mean c_k)."""
        if self.fidelity < 1 or objective.supports("linear"):
            yield from Hqs(steps=self.steps, fidelity=self.fidelity).sample(prior, objective, noise)
            return
        import torch

        x = objective.prox(torch.full(objective.shape, 0.5, device=objective.device), self.start)
        mean, drawn = torch.zeros_like(x), torch.zeros_like(x)
        skipped = self.steps // WARMING
        for k in range(self.steps):
            sigma = self.start * (self.end / self.start) ** (k / max(1, self.steps - 1))
            drawn = -drawn if k % 2 else noise.normal(objective.shape, objective.device)
            with torch.no_grad():
                clean = _turned(prior, x + MASK * sigma * drawn, sigma, k)
            objective.fit(clean)
            x = objective.prox(clean, BELIEF * sigma)
            if k >= skipped:
                mean = mean + (clean - mean) / (k - skipped + 1)
            shown = x if k + 1 < self.steps else objective.prox(mean, sigma)
            yield Step(k + 1, self.steps, shown.clamp(0, 1))


def _turned(prior: Prior, x: Tensor, sigma: float, k: int) -> Tensor:
    """Denoised in another of the eight turned and mirrored forms every two steps."""
    turns, mirrored = k // 2 % 4, k // 2 % 8 >= 4
    x = x.rot90(turns, (2, 3))
    clean = prior.denoise(x.flip(3) if mirrored else x, sigma).clean
    return (clean.flip(3) if mirrored else clean).rot90(-turns, (2, 3))
