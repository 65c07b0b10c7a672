"""The paper's samplers: GDP-x0 and GDP-xt."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from gdpkit.components import Noise, Objective, Prior, Sampler, Step
from gdpkit.errors import GdpkitError
from gdpkit.params import param

if TYPE_CHECKING:
    from torch import Tensor

    from gdpkit.schedule import Schedule


@dataclass(frozen=True)
class Gdp(Sampler):
    """GDP-x0: DDPM steps whose mean is shifted by the gradient at the predicted clean image.

    Fei et al., "Generative diffusion prior for unified image restoration and enhancement", CVPR 2023, algorithm 2.
    With `scale` the shift is -s grad L, L the mean over pixels, as published; without it the predicted clean image
    goes down the gradient until the residual is the noise's; where the distance is not squared error, along which one
    gradient leads nowhere near, by proximal steps. `eta` 0 gives the deterministic steps of DDIM.
    """

    name = "gdp"
    example_params: ClassVar[Mapping[str, Any]] = {"steps": 50}

    steps: int = param(1000, help="Number of network evaluations.", min=1, max=1000)
    respacing: str | None = param(None, help="Which of the 1000 timesteps to take, e.g. ddim25; --steps by default.")
    scale: float | None = param(None, help="The paper's guidance scale s; by default the noise sets the strength.",
                                min=0)  # fmt: skip
    eta: float = param(1.0, help="1: ancestral steps; 0: DDIM (Song et al. 2021, equation 16).", min=0, max=1)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.respacing is not None and self.steps != 1000:
            raise GdpkitError(f"{self.name}: give either steps or respacing, not both")

    @property
    def evaluations(self) -> int:
        """One a step."""
        return len(self._schedule())

    def sample(self, prior: Prior, objective: Objective, noise: Noise) -> Iterator[Step]:
        """x_{t-1} ~ N(mu(x_t, x_0) + shift, Sigma), images in [-1, 1]."""
        import torch

        schedule = self._schedule()
        x = noise.normal(objective.shape, objective.device)
        for k in reversed(range(len(schedule))):
            level, signal = schedule.sigma(k), float(schedule.alphas_cumprod[k]) ** 0.5
            with torch.no_grad():
                denoised = prior.denoise((x / signal + 1) / 2, level / 2)
            clean = denoised.clean.clamp(0, 1)
            objective.fit(clean)
            weight, mean, spread = self._step(schedule, k, 2 * clean - 1, x, denoised.variance_fraction)
            shift = self._shift(objective, clean, x, weight, level / 2)
            x = mean + shift
            if k > 0 and self.eta > 0:
                x = x + spread * noise.normal(objective.shape, objective.device)
            image = (x + 1) / 2 if k == 0 else clean
            yield Step(len(schedule) - k, len(schedule), image.clamp(0, 1))

    def _shift(self, objective: Objective, clean: Tensor, x: Tensor, weight: float, sigma: float) -> Tensor:
        """What guidance adds to the mean, in [-1, 1] units; the gradient is taken at the predicted clean image."""
        return self._guide(objective, clean, weight, sigma)

    def _guide(self, objective: Objective, at: Tensor, weight: float, sigma: float) -> Tensor:
        if self.scale is not None:
            return -self.scale / 2 * objective.gradient(at, reduction="mean")
        from gdpkit.samplers.guidance import descend_to_noise, prox_to_noise

        if objective.supports("squares"):
            return 2 * weight * descend_to_noise(objective, at)
        return 2 * weight * (prox_to_noise(objective, at, sigma) - at)

    def _schedule(self) -> Schedule:
        from gdpkit.schedule import Schedule

        try:
            return Schedule.linear().respace(self.steps if self.respacing is None else self.respacing)
        except GdpkitError as error:
            raise GdpkitError(f"{self.name}: {error}") from None

    def _step(
        self, schedule: Schedule, k: int, clean: Tensor, x: Tensor, fraction: Tensor | None
    ) -> tuple[float, Tensor, Tensor | float]:
        """The weight of the clean image in the mean, the mean, and the deviation of the k-th step."""
        if self.eta < 1:
            return self._ddim(schedule, k, clean, x)
        mean = schedule.c1[k] * clean + schedule.c2[k] * x
        if fraction is None:
            return float(schedule.c1[k]), mean, (schedule.posterior_log_variance[k] / 2).exp()
        return float(schedule.c1[k]), mean, (schedule.log_variance(k, 2 * fraction - 1) / 2).exp()

    def _ddim(self, schedule: Schedule, k: int, clean: Tensor, x: Tensor) -> tuple[float, Tensor, float]:
        """The same by DDIM, equations 12 and 16."""
        here = float(schedule.alphas_cumprod[k])
        below = float(schedule.alphas_cumprod[k - 1]) if k else 1.0
        spread = self.eta * ((1 - below) / (1 - here) * (1 - here / below)) ** 0.5
        kept = (max(0.0, 1 - below - spread**2) / (1 - here)) ** 0.5
        weight = below**0.5 - kept * here**0.5
        return weight, weight * clean + kept * x, spread


@dataclass(frozen=True)
class GdpXt(Gdp):
    """GDP-xt: as `gdp`, with the gradient taken at the noisy image itself (algorithm 1 of the paper)."""

    name = "gdp-xt"

    def _shift(self, objective: Objective, clean: Tensor, x: Tensor, weight: float, sigma: float) -> Tensor:
        return self._guide(objective, (x + 1) / 2, weight, sigma)
