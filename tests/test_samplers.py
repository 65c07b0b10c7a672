"""Samplers against what is known in closed form: a Gaussian prior and linear observations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Tensor

from gdpkit import registry, testing
from gdpkit.choices import DEFAULT_SAMPLER
from gdpkit.components import Observation, Problem, Sampler
from gdpkit.degradations.downsample import Downsample
from gdpkit.degradations.gray import Gray
from gdpkit.degradations.noise import GaussianNoise
from gdpkit.noise import SeededNoise
from gdpkit.objective import EnergyObjective
from gdpkit.priors.gaussian import GaussianPrior
from gdpkit.samplers.gdp import Gdp, GdpXt

SIZE = (16, 16)
PRIOR = GaussianPrior(deviation=0.12)


class Stream:
    """Standard normal noise, one generator for the whole batch: quick for many images."""

    def __init__(self, seed: int) -> None:
        self._generator = torch.Generator().manual_seed(seed)
        self.draws = 0

    def normal(self, shape: Sequence[int], device: Any = None) -> Tensor:
        self.draws += 1
        return torch.randn(tuple(shape), generator=self._generator)


def result(sampler: Sampler, problem: Problem, noise: Any, prior: GaussianPrior = PRIOR) -> Tensor:
    return list(sampler.sample(prior, EnergyObjective(problem), noise))[-1].image


def rms(x: Tensor) -> float:
    return float(x.double().square().mean().sqrt())


# -- the prior alone --------------------------------------------------------------------------------------------------


def unconditional(batch: int) -> Problem:
    """Nothing observed: every pixel is lost."""
    nothing = torch.zeros(batch, 3, 8, 8)
    return Problem((Observation(nothing, GaussianNoise(), 1.0, weight=torch.zeros(1, 1, 1, 1)),))


@pytest.mark.parametrize(
    "sampler",
    [Gdp(steps=1000), Gdp(steps=250, eta=0), Gdp(respacing="ddim250", eta=0), Gdp(steps=500, eta=0.5)],
    ids=["gdp", "ddim", "respaced", "between"],
)
def test_unconditional_samples_have_the_mean_and_covariance_of_the_prior(sampler: Gdp) -> None:
    """Over 384 fields of 8x8, within 6 % of a pixel's variance; measured: 3.5 %.

    Fewer steps give too little variance, as discretised chains do: 12 % less with 250 ancestral steps.
    """
    prior = GaussianPrior(mean=0.45, deviation=0.1, length=1.5)
    fields = result(sampler, unconditional(128), Stream(0), prior).double().flatten(0, 1) - 0.45
    assert abs(float(fields.mean())) < 0.1 * prior.deviation
    # the covariance at each shift, averaged over the places, which all are alike
    found = torch.fft.irfft2(torch.fft.rfft2(fields).abs().square().mean(0), s=(8, 8)) / 64
    wanted = prior.covariance(8, 8)[0].reshape(8, 8)
    assert float((found - wanted).abs().max()) < 0.06 * prior.deviation**2


def test_ddim_draws_noise_once_and_ancestral_steps_draw_it_each_step() -> None:
    for eta, draws in ((0.0, 1), (1.0, 20), (0.5, 20)):
        noise = Stream(0)
        result(Gdp(steps=20, eta=eta), unconditional(1), noise)
        assert noise.draws == draws  # the last step of an ancestral chain adds none


def test_gdp_and_gdp_xt_without_observations_are_the_same_chain() -> None:
    found = [result(cls(steps=10), unconditional(1), Stream(0)) for cls in (Gdp, GdpXt)]
    assert torch.equal(*found)


# -- with an observation ----------------------------------------------------------------------------------------------


def posed(degradation: Any, sigma: float, seed: int = 3) -> tuple[Problem, Tensor]:
    """Two draws of the prior, seen through the degradation and noise; and the truth."""
    generator = torch.Generator().manual_seed(seed)
    truth = PRIOR.draw(torch.randn(2, 3, *SIZE, generator=generator))
    mean = degradation(truth)
    noisy = mean + sigma / 255 * torch.randn(mean.shape, generator=generator)
    return Problem((Observation(noisy, degradation, sigma),)), truth


def posterior(problem: Problem) -> tuple[Tensor, float]:
    """Mean (2, 3, H, W) and the deviation of a pixel, for an observation of each channel by itself."""
    (o,) = problem.observations
    matrix = testing.matrix(o.degradation, (1, *SIZE))
    mean, covariance = PRIOR.posterior(matrix, o.image.flatten(2), o.sigma / 255, SIZE)
    return mean.reshape(2, 3, *SIZE), float(covariance.diagonal().mean().sqrt())


SEEN = {
    "small": (Downsample(scale=2), 5.0),
    "bicubic": (Downsample(scale=2, kernel="bicubic"), 2.0),
    "noisy": (Downsample(scale=2), 10.0),
    "noise-only": (GaussianNoise(sigma=25), 25.0),
}


@pytest.mark.parametrize("name", SEEN)
def test_the_default_sampler_comes_near_the_posterior_mean(name: str) -> None:
    """Within a quarter of the posterior's deviation, which costs 3 % of the least error that is possible."""
    problem, truth = posed(*SEEN[name])
    mean, deviation = posterior(problem)
    sampler = registry.load().build("samplers", DEFAULT_SAMPLER)
    found = result(sampler, problem, SeededNoise.of(0, problem))
    assert rms(found - mean) < 0.25 * deviation
    assert rms(found - truth) < 1.03 * rms(mean - truth)


@pytest.mark.parametrize("name", ["small", "noisy"])
@pytest.mark.parametrize("sampler", [Gdp(steps=100), Gdp(steps=100, eta=0)], ids=["gdp", "ddim"])
def test_gdp_draws_around_the_posterior_mean_and_stops_at_the_noise(sampler: Gdp, name: str) -> None:
    """Each draw is about the posterior's deviation away from its mean, their average much nearer."""
    problem, _ = posed(*SEEN[name])
    mean, deviation = posterior(problem)
    draws = [result(sampler, problem, Stream(seed)) for seed in range(12)]
    for draw in draws:
        assert 0.5 < rms(draw - mean) / deviation < 1.5
        assert torch.allclose(EnergyObjective(problem).discrepancy(draw), torch.ones(2), atol=0.15)
    assert rms(torch.stack(draws).mean(0) - mean) < 0.5 * deviation


@pytest.mark.parametrize("sampler", ["gdp:steps=100", "gdp:steps=100,eta=0", DEFAULT_SAMPLER])
def test_what_was_not_observed_is_the_priors(sampler: str) -> None:
    """Only the grey is observed: it is kept, and the colours vary as the prior's do, or stay at its mean."""
    problem, _ = posed(Gray(), 2.0)
    found = result(registry.load().build("samplers", sampler), problem, SeededNoise.of(0, problem))
    assert rms(Gray()(found) - problem.observations[0].image) < 3 / 255
    colours = found - found.mean(dim=1, keepdim=True)
    assert rms(colours) < 1.3 * PRIOR.deviation * (2 / 3) ** 0.5
    assert abs(float(colours.mean(dim=(0, 2, 3)).abs().max())) < 0.5 * PRIOR.deviation


@pytest.mark.parametrize("name", registry.load().names("samplers"))
def test_an_image_is_restored_alike_alone_and_in_a_batch(name: str) -> None:
    """To the byte, on this prior: noise, prox and guidance of an image know nothing of the others."""
    problem, _ = posed(Downsample(scale=2, kernel="gaussian"), 5.0)
    (o,) = problem.observations
    cls = registry.load().get("samplers", name)
    sampler = cls(**{"steps": 8} if "steps" in cls.__dataclass_fields__ else cls.example_params)
    together = result(sampler, problem, SeededNoise.of(0, problem))
    for i in range(2):
        one = Problem((Observation(o.image[i : i + 1], o.degradation, o.sigma),))
        assert torch.equal(result(sampler, one, SeededNoise.of(0, one))[0], together[i])
