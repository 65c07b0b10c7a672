"""DAPS."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from gdpkit import Objective, Prior, Sampler, Step, param

if TYPE_CHECKING:
    from torch import Tensor

    from gdpkit.components import Noise
    from gdpkit_samplers.functional import Basis

ODE_END = 0.005
PROBE = 0.02  # of the range, in each pixel: what is smaller a degradation that rounds may not notice
STEP = 0.2  # of the longest stable one: Langevin's discretisation adds a tenth to the variance


@dataclass(frozen=True)
class Daps(Sampler):
    """DAPS: at each noise level solve the flow to a clean image, draw that image given the observation, renoise.

    Zhang, Chu, Berner, Meng, Anandkumar and Song, "Improving diffusion inverse problem solving with decoupled noise
    annealing", CVPR 2025, algorithm 1. x0hat(x_t) comes from Euler steps of the probability flow, p(x_0 | x_t) is
    taken as N(x0hat, r_t^2) with r_t = sigma_t, x_0 is drawn from p(x_0 | x_t) p(y | x_0), and x_{t-1} from
    N(x_0, sigma_{t-1}^2).

    The draw is by Langevin steps (equation 9) from the mode of p(x_0 | x_t) p(y | x_0), as long as its sharpest
    direction allows. r_t is far wider than the true p(x_0 | x_t): so many steps that they forgot x0hat would leave
    that noise in all that y does not see. Where the degradation is linear with a singular system, the steps are taken
    all at once, in closed form. The last image is the mode. Takes every degradation, several observations, and
    quality losses.
    """

    name = "daps"
    example_params: ClassVar[Mapping[str, Any]] = {"steps": 20, "ode_steps": 2, "langevin": 10}

    steps: int = param(200, help="Number of noise levels.", min=1, max=1000)
    ode_steps: int = param(5, help="Network evaluations at each noise level.", min=1, max=100)
    langevin: int = param(100, help="Langevin steps at each noise level.", min=1)
    start: float = param(50.0, help="First noise level, as a share of the image's range.", min=0.01, max=100)
    end: float = param(0.05, help="Last noise level.", min=0.001, max=1)

    @property
    def evaluations(self) -> int:
        """`ode_steps` at each level."""
        return self.steps * self.ode_steps

    def sample(self, prior: Prior, objective: Objective, noise: Noise) -> Iterator[Step]:
        """One step a noise level."""
        import torch

        from gdpkit_samplers import functional

        closed = objective.supports("spectral") and not objective.supports("losses")
        levels = functional.polynomial_levels(self.start, self.end, self.steps)
        x = functional.flat(objective) + levels[0] * noise.normal(objective.shape, objective.device)
        for k, sigma in enumerate(levels, start=1):
            with torch.no_grad():
                clean = self._flow(prior, x, sigma)
            objective.fit(clean)
            if k == self.steps:
                yield Step(k, self.steps, objective.prox(clean, sigma).clamp(0, 1))
                return
            if closed:
                basis = functional.basis_of(objective, self.name)
                x = self._at_once(basis, clean, sigma, noise.normal(objective.shape, objective.device))
            else:
                x = self._langevin(objective, clean, sigma, noise)
            x = x + levels[k] * noise.normal(objective.shape, objective.device)
            yield Step(k, self.steps, clean.clamp(0, 1))

    def _flow(self, prior: Prior, x: Tensor, sigma: float) -> Tensor:
        """Euler steps of dx / dsigma = (x - D(x, sigma)) / sigma down to 0."""
        from gdpkit_samplers import functional

        levels = functional.polynomial_levels(sigma, min(ODE_END, sigma), self.ode_steps)
        for level, below in zip(levels, [*levels[1:], 0.0], strict=True):
            clean = prior.denoise(x, level).clean
            x = clean + below / level * (x - clean)
        return x

    def _langevin(self, objective: Objective, clean: Tensor, r: float, noise: Noise) -> Tensor:
        """x <- x + h grad log p + sqrt(2 h) eps, with grad log p = (x0hat - x) / r^2 - grad E / 2."""
        x = objective.prox(clean, r)
        h = STEP / (1 / r**2 + _sharpest(objective, x))
        for _ in range(self.langevin):
            slope = (clean - x) / r**2 - objective.gradient(x) / 2
            x = x + h * slope + (2 * h).sqrt() * noise.normal(objective.shape, objective.device)
        return x

    def _at_once(self, basis: Basis, clean: Tensor, r: float, z: Tensor) -> Tensor:
        """Where `langevin` such steps from the mode lead: a coefficient of curvature l is normal about it.

        Its variance is 2 (1 - (1 - h l)^(2 langevin)) / (l (2 - h l)).
        """
        sharp = 1 / r**2 + basis.noise.square().reciprocal()
        h = STEP / sharp.amax(dim=tuple(range(-min(3, sharp.ndim), 0)), keepdim=True)  # of each image
        c = basis.analyse(clean)
        mode = c + (1 - 1 / (r**2 * sharp)) * (basis.target - c)
        seen = mode + self._spread(h, sharp) * basis.analyse(z)
        return basis.put(clean + self._spread(h, sharp.new_tensor(1 / r**2)) * z, seen)

    def _spread(self, h: Tensor, sharp: Tensor) -> Tensor:
        """The deviation of a coefficient whose distribution has this curvature."""
        import torch

        moved = -torch.expm1(2 * self.langevin * torch.log1p(-h * sharp))
        deviation: Tensor = (2 * moved / (sharp * (2 - h * sharp))).sqrt()
        return deviation


def _sharpest(objective: Objective, x: Tensor, iterations: int = 10) -> Tensor:
    """The largest curvature of E / 2 at x, (B, 1, 1, 1), by power iteration."""
    import torch

    step = PROBE * x[0].numel() ** 0.5
    base = objective.gradient(x)
    direction = base
    found = torch.ones_like(x[:, :1, :1, :1])
    for _ in range(iterations):
        length = torch.linalg.vector_norm(direction.flatten(1), dim=1).view(-1, 1, 1, 1)
        direction = direction / length.clamp_min(1e-30)
        direction = (objective.gradient(x + step * direction) - base) / (2 * step)
        found = torch.linalg.vector_norm(direction.flatten(1), dim=1).view(-1, 1, 1, 1)
    return found
