"""Blind degradations: the objective finds their unknowns, with the image known and while it is restored."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from gdpkit import param
from gdpkit.components import Degradation, Observation, Problem, Shape, Unknowns
from gdpkit.degradations.downsample import Downsample
from gdpkit.noise import SeededNoise
from gdpkit.objective import EnergyObjective
from gdpkit.priors.tv import TotalVariationPrior
from gdpkit.samplers.gdp import Gdp
from gdpkit.samplers.hqs import Hqs
from gdpkit.testing import picture

SIGMA = 1.0


@dataclass(frozen=True)
class Haze(Degradation):
    """Mix the scene with air light A: y = t x + (1 - t) A."""

    name = "haze"
    transmission: float = param(0.6, help="Share of light reaching the camera.", min=0, max=1)

    def __call__(self, image: Tensor, *, airlight: Tensor) -> Tensor:  # type: ignore[override]
        return self.transmission * image + (1 - self.transmission) * airlight

    def unknowns(self, observed: Tensor, shape: Shape) -> Unknowns:
        return {"airlight": observed.amax(dim=(2, 3), keepdim=True)}


@dataclass(frozen=True)
class Exposure(Degradation):
    """y = gain x + offset, both unknown, and the gain positive."""

    name = "exposure"
    wanted_gain: float | None = param(None, help="A gain that the penalty draws to.")

    def __call__(self, image: Tensor, *, gain: Tensor, offset: Tensor) -> Tensor:  # type: ignore[override]
        return gain * image + offset

    def unknowns(self, observed: Tensor, shape: Shape) -> Unknowns:
        one = observed.new_ones(len(observed), 1, 1, 1)
        return {"gain": one, "offset": 0 * one}

    def constrain(self, *, gain: Tensor, offset: Tensor) -> Unknowns:  # type: ignore[override]
        return {"gain": gain.clamp_min(1e-3), "offset": offset}

    def penalty(self, *, gain: Tensor, offset: Tensor) -> Tensor | float:  # type: ignore[override]
        return 0.0 if self.wanted_gain is None else 1e8 * (gain - self.wanted_gain).flatten(1).square().sum(1)


@dataclass(frozen=True)
class Gamma(Degradation):
    """y = x^g, g unknown: not linear in it."""

    name = "gamma"

    def __call__(self, image: Tensor, *, exponent: Tensor) -> Tensor:  # type: ignore[override]
        return image.clamp_min(1e-3) ** exponent

    def unknowns(self, observed: Tensor, shape: Shape) -> Unknowns:
        return {"exponent": observed.new_ones(len(observed), 1, 1, 1)}


def values(*each: float) -> Tensor:
    """One value an image."""
    return torch.tensor(each).view(-1, 1, 1, 1)


def objective(d: Degradation, clean: Tensor, sigma: float = SIGMA, **truth: Tensor) -> EnergyObjective:
    mean = d(clean, **truth)
    noise = torch.randn(mean.shape, generator=torch.Generator().manual_seed(0))
    return EnergyObjective(Problem((Observation(mean + sigma / 255 * noise, d, sigma),)))


def test_haze_is_found_in_one_step_where_the_image_is_known() -> None:
    clean = picture(2, 3, 24, 24)
    airlight = torch.tensor([[0.9, 0.87, 0.84], [0.5, 0.6, 0.7]])[:, :, None, None]
    found = objective(Haze(), clean, airlight=airlight)
    assert float((found.unknowns["airlight"] - airlight).abs().max()) > 0.05  # the first guess is not the answer
    found.fit(clean)
    assert float((found.unknowns["airlight"] - airlight).abs().max()) < 1e-3


def test_gain_and_offset_are_found_for_each_image_of_a_batch() -> None:
    clean, gain, offset = picture(2, 3, 24, 24), values(0.4, 1.7), values(0.2, -0.1)
    together = objective(Exposure(), clean, gain=gain, offset=offset)
    for _ in range(3):
        together.fit(clean)
    assert torch.allclose(together.unknowns["gain"], gain, atol=2e-3)
    assert torch.allclose(together.unknowns["offset"], offset, atol=2e-3)
    assert torch.allclose(together.discrepancy(clean), torch.ones(2), atol=0.1)


def test_a_curve_is_found_in_a_few_steps() -> None:
    clean, exponent = picture(2, 3, 24, 24), values(2.2, 0.6)
    found = objective(Gamma(), clean, exponent=exponent)
    for _ in range(6):
        found.fit(clean)
    assert torch.allclose(found.unknowns["exponent"], exponent, atol=5e-3)


def test_unknowns_stay_possible() -> None:
    """An image that is the negative of what was seen asks for a negative gain."""
    clean = picture(1, 3, 24, 24)
    found = objective(Exposure(), clean, gain=values(1.0), offset=values(0.0))
    found.fit(1 - clean)
    assert float(found.unknowns["gain"]) == pytest.approx(1e-3)


def test_the_penalty_speaks_where_the_residual_is_silent() -> None:
    """Of a flat picture, gain and offset are seen only together; the penalty decides."""
    flat = torch.full((1, 3, 16, 16), 0.5)
    found = objective(Exposure(wanted_gain=0.8), flat, gain=values(0.8), offset=values(0.1))
    for _ in range(3):
        found.fit(flat)
    assert float(found.unknowns["gain"]) == pytest.approx(0.8, abs=2e-3)
    assert float(found.unknowns["offset"]) == pytest.approx(0.1, abs=2e-3)


def test_residual_and_penalty_are_weighed_as_in_the_energy() -> None:
    """|r|^2 + penalty, each residual one sigma at first, the penalty as strong as all of them: they meet half way."""

    @dataclass(frozen=True)
    class Lift(Degradation):
        """y = x + offset."""

        name = "lift"

        def __call__(self, image: Tensor, *, offset: Tensor) -> Tensor:  # type: ignore[override]
            return image + offset

        def unknowns(self, observed: Tensor, shape: Shape) -> Unknowns:
            return {"offset": observed.new_zeros(len(observed), 1, 1, 1)}

        def penalty(self, *, offset: Tensor) -> Tensor:  # type: ignore[override]
            return 3 * 16 * 16 * (offset / level).flatten(1).square().sum(1)

    level = SIGMA / 255
    clean = picture(1, 3, 16, 16)
    found = EnergyObjective(Problem((Observation(clean + level, Lift(), SIGMA),)))
    for _ in range(3):
        found.fit(clean)
    assert float(found.unknowns["offset"] / level) == pytest.approx(0.5, abs=0.01)


def test_a_fit_does_not_depend_on_the_size_of_the_image_or_the_rest_of_the_batch() -> None:
    clean, gain, offset = picture(2, 3, 16, 16), values(0.4, 1.7), values(0.2, -0.1)
    both = objective(Exposure(), clean, sigma=1e-3, gain=gain, offset=offset)
    wide = objective(Exposure(), torch.cat([clean[:1]] * 3, dim=3), sigma=1e-3, gain=gain[:1], offset=offset[:1])
    for _ in range(2):
        both.fit(clean)
        wide.fit(torch.cat([clean[:1]] * 3, dim=3))
    for name, value in wide.unknowns.items():
        assert torch.allclose(value, both.unknowns[name][:1], atol=1e-4)


def test_unknowns_of_several_observations_carry_their_number() -> None:
    clean, gains = picture(1, 3, 16, 16), (0.5, 1.5)
    views = tuple(Observation(Exposure()(clean, gain=values(g), offset=values(0.0)), Exposure(), SIGMA) for g in gains)
    found = EnergyObjective(Problem(views))
    for _ in range(3):
        found.fit(clean)
    assert set(found.unknowns) == {"0.gain", "0.offset", "1.gain", "1.offset"}
    assert [float(found.unknowns[f"{k}.gain"]) for k in range(2)] == pytest.approx(gains, abs=1e-3)


def test_unknowns_of_a_chain_are_fitted_through_its_other_stages() -> None:
    clean = picture(1, 3, 32, 32)
    found = objective(Exposure() >> Downsample(scale=2), clean, **{"0.gain": values(0.6), "0.offset": values(0.2)})
    for _ in range(3):
        found.fit(clean)
    assert float(found.unknowns["0.gain"]) == pytest.approx(0.6, abs=5e-3)
    assert float(found.unknowns["0.offset"]) == pytest.approx(0.2, abs=5e-3)


def test_a_degradation_may_fit_its_own_unknowns() -> None:
    @dataclass(frozen=True)
    class Own(Exposure):
        """Knows better."""

        name = "own"

        def fit(self, image: Tensor, observed: Tensor, unknowns: Unknowns) -> Unknowns:
            return {"gain": 0 * unknowns["gain"] - 1, "offset": unknowns["offset"] + 1}

    clean = picture(1, 3, 16, 16)
    found = objective(Own(), clean, gain=values(1.0), offset=values(0.0))
    found.fit(clean)
    assert float(found.unknowns["gain"]) == pytest.approx(1e-3)  # constrained, as any other
    assert float(found.unknowns["offset"]) == 1


@pytest.mark.parametrize("sampler", [Hqs(steps=8), Gdp(steps=25)], ids=lambda s: s.name)
def test_haze_is_found_while_the_image_is_restored(sampler: Hqs | Gdp) -> None:
    """The air light and the scene trade places to a degree, so what counts is that the scene comes nearer."""
    clean = picture(1, 3, 24, 24)
    airlight = torch.full((1, 3, 1, 1), 0.8)
    found = objective(Haze(), clean, airlight=airlight)
    step = list(sampler.sample(TotalVariationPrior(), found, SeededNoise(0, [b""])))[-1]
    hazy = Haze()(clean, airlight=airlight)
    assert float((step.image - clean).square().mean()) < 0.25 * float((hazy - clean).square().mean())
    assert float(found.discrepancy(step.image)) < 4
