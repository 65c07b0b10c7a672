"""The default sampler."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from gdpkit.components import Noise, Objective, Prior, Sampler, Step
from gdpkit.errors import GdpkitError
from gdpkit.params import param

if TYPE_CHECKING:
    from torch import Tensor

FORMS = 8  # of an image turned by quarters and mirrored
USUAL = 20  # steps, for which the relaxation was chosen


@dataclass(frozen=True)
class Hqs(Sampler):
    """Annealed half-quadratic splitting: denoise, make true to the observations, lower the noise level, repeat.

    Plug-and-play restoration (Zhang et al., "Plug-and-play image restoration with deep denoiser prior", TPAMI 2021).
    The data step takes from the observations every component that they know better than the noise level, as in DDRM
    (Kawar et al., NeurIPS 2022), and mixes pixels whose noise differs to the level that comes next; without a singular
    system it is the proximal one. The levels end where the observations know no component better: going on would only
    sharpen, to the most probable picture and away from the truth. Each step shows the prior another of the eight turned
    and mirrored forms of the image, which removes what a network prefers by direction (Terris et al., "Equivariant
    plug-and-play image reconstruction", CVPR 2024). How far a step goes follows from how much of the prior's change the
    observations take back (`guidance.relaxation`). Below fidelity 1 the levels go on and noise is put back before each
    step, as in DiffPIR (Zhu et al., CVPRW 2023), and every step goes all the way: the result becomes a sample.

    Where noise ends the levels, the last evaluations (eight, less below fidelity 1) see the same image, of linear
    degradations, and the result is the mean of its forms. A photograph that is only noisy is all one level. A grey
    observation's noise is alike in the three channels, which a prior that learned of white noise takes for the picture;
    so the colours that the observation does not tell get as much before each step.
    """

    name = "hqs"
    example_params: ClassVar[Mapping[str, Any]] = {"fidelity": 0.5}

    steps: int = param(USUAL, help="Number of network evaluations.", min=1, max=1000)
    fidelity: float = param(1.0, help="1: the most probable faithful image; 0: a sample with the prior's texture.",
                            min=0, max=1)  # fmt: skip
    start: float = param(0.5, help="First noise level, as a share of the image's range.", min=0.01, max=100)
    end: float = param(0.005, help="Last noise level, at the least.", min=0.0005, max=1)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.end > self.start:
            raise GdpkitError(f"hqs: end must not be above start, but {self.end:g} is above {self.start:g}")

    @property
    def evaluations(self) -> int:
        """One a step, at most."""
        return self.steps

    def sample(self, prior: Prior, objective: Objective, noise: Noise) -> Iterator[Step]:
        """x_k = informed(denoise(x_{k-1} + (1 - fidelity) sigma_k n, sigma_k), sigma_k); sigma_k falls."""
        import torch

        from gdpkit.samplers import guidance

        best, worst = guidance.known_noise(objective)
        end = self.end * max(1.0, best / self.end) ** self.fidelity
        start = max(end, min(self.start, worst))
        one_level, noisy = start <= end, best > self.end and guidance.is_noisy(objective)
        total = min(self.steps, FORMS) if one_level else self.steps
        repeated = min(round(FORMS * self.fidelity), total // 2) if noisy else 0
        falling = 0 if one_level else total - repeated
        seen = guidance.axis_of_colour(objective) if noisy else None
        # Where nothing is left open, there is nothing to fill in, and what is observed is the noisy image itself.
        x = guidance.known(objective, start) if worst <= start else guidance.smooth(objective, start)
        told = None if worst <= start else guidance.told(objective, start)
        mean = torch.zeros(())
        levels = [start * (end / start) ** min(1.0, k / max(1, falling - 1)) for k in range(total + 1)]
        for k, sigma in enumerate(levels[:total]):
            put = self._put_back(objective, noise, sigma, min(sigma, best), seen)
            # Of large images every tensor counts: none is held on to by a name that is not needed any more.
            before, noised = x, put is not None
            shown = _turned(x if put is None else x + put, k)
            del x, put
            if not noised:
                del before
            with torch.no_grad():
                x = prior.denoise(shown, sigma).clean
            x = _turned_back(x, k)
            if not noised:
                before = x if one_level else _turned_back(shown, k)
            del shown
            objective.fit(x)
            if k >= falling:
                mean = mean + (x - mean) / (k - falling + 1)
            if k + 1 == total:
                found = mean if k >= falling else x
                del before, x
                x = guidance.faithful(objective, found, self.end)
            elif one_level:
                del before, x
                x = guidance.informed(objective, mean, sigma, levels[k + 1])
            elif k >= falling:
                x = before
            else:
                x = self._moved(before, x, guidance.blended(objective, x, told, sigma, levels[k + 1]))
            yield Step(k + 1, total, x.clamp(0, 1))

    def _moved(self, before: Tensor, denoised: Tensor, informed: Tensor) -> Tensor:
        """From `before` to `informed` as far as the relaxation says; all the way at fidelity 0."""
        from gdpkit.samplers import guidance

        # Of many steps each goes less far, of few further, so that together they go as far; six go 3/2 in any case.
        factor = USUAL / self.steps * guidance.relaxation(before, denoised, informed)
        factor = 1 + self.fidelity * (factor.clamp(max=guidance.FURTHEST) - 1)
        return before.lerp_(informed, factor)

    def _put_back(
        self, objective: Objective, noise: Noise, sigma: float, known: float, seen: Tensor | None
    ) -> Tensor | None:
        """The noise that x lacks: 1 - fidelity of the level's, and in the colours not seen that of what is seen."""
        from gdpkit.samplers import guidance

        if self.fidelity == 1 and seen is None:
            return None
        drawn = noise.normal(objective.shape, objective.device)
        put = (1 - self.fidelity) * sigma * drawn
        if seen is not None:
            put = put + self.fidelity * known * guidance.noise_of_colour(objective, seen, drawn)
        return put


def _turned(x: Tensor, k: int) -> Tensor:
    """The k-th of the eight forms: turned by k quarters, mirrored every other four."""
    x = x.rot90(k % 4, (2, 3))
    return x.flip(3) if k % 8 >= 4 else x


def _turned_back(x: Tensor, k: int) -> Tensor:
    return (x.flip(3) if k % 8 >= 4 else x).rot90(-(k % 4), (2, 3))
