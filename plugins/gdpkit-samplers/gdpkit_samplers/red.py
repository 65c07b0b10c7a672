"""RED-diff."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from gdpkit import Objective, Prior, Sampler, Step, param

if TYPE_CHECKING:
    from gdpkit.components import Noise


@dataclass(frozen=True)
class RedDiff(Sampler):
    """RED-diff: one image, moved by Adam down the residual and the denoiser's regularisation.

    Mardani, Song, Kautz and Vahdat, "A variational perspective on solving inverse problems with diffusion models",
    ICLR 2024, algorithm 1; the diffusion form of RED (Romano, Elad and Milanfar, SIIMS 2017). At each level, for
    x_t = mu + sigma_t eps, mu goes down the gradient of

        |y - f(mu)|^2 / 2n + lambda_t sg[eps_theta(x_t) - eps]^T mu / N,   lambda_t = lambda sigma_t,

    whose second part is lambda (mu - D(x_t, sigma_t)) / N. The weights are the published ones and know nothing of the
    noise in y, which the result follows: for observations with little noise. Takes every degradation, several
    observations, and quality losses.
    """

    name = "red"
    example_params: ClassVar[Mapping[str, Any]] = {"steps": 100}

    steps: int = param(1000, help="Number of network evaluations.", min=1, max=1000)
    lam: float = param(0.25, help="lambda: weight of the denoiser against the residual.", min=0)
    lr: float = param(0.1, help="Adam's step size, for images in [-1, 1].", min=1e-5, max=10)

    @property
    def evaluations(self) -> int:
        """One a step."""
        return self.steps

    def sample(self, prior: Prior, objective: Objective, noise: Noise) -> Iterator[Step]:
        """Starts at the image that the observation alone suggests."""
        import torch

        from gdpkit_samplers import functional

        mu = objective.prox(functional.flat(objective), 0.5).detach().clone()
        adam = torch.optim.Adam([mu], lr=self.lr / 2, betas=(0.9, 0.99))
        values = mu[0].numel()
        for k, sigma in enumerate(functional.ddpm_levels(self.steps), start=1):
            with torch.no_grad():
                x = mu + sigma * noise.normal(objective.shape, objective.device)
                clean = prior.denoise(x, sigma).clean
            objective.fit(mu)
            mu.grad = values / 2 * objective.gradient(mu, reduction="mean") + self.lam * (mu - clean)
            adam.step()
            yield Step(k, self.steps, mu.detach().clamp(0, 1))
