"""The priors without weights: the Gaussian field against dense algebra, total variation against its definition."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import pytest
import torch
from torch import Tensor

from gdpkit import Prior, testing
from gdpkit.degradations.downsample import Downsample
from gdpkit.priors.gaussian import GaussianPrior
from gdpkit.priors.tv import TotalVariationPrior
from gdpkit.priors.wrapped import WrappedPrior

# -- Gaussian field ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(8, 8), (7, 10), (1, 6)])
@pytest.mark.parametrize("length", [0.0, 2.0])
def test_the_covariance_is_stationary_symmetric_and_positive(size: tuple[int, int], length: float) -> None:
    height, width = size
    covariance = GaussianPrior(length=length, deviation=0.3).covariance(height, width)
    assert torch.allclose(covariance.diagonal(), torch.full((height * width,), 0.09, dtype=torch.float64))
    assert torch.allclose(covariance, covariance.T, atol=1e-15)
    assert float(torch.linalg.eigvalsh(covariance).min()) > 0
    image = covariance.reshape(height, width, height, width)
    shifted = image.roll((1, 1), (0, 2)).roll((1, 1), (1, 3))
    assert torch.allclose(image, shifted, atol=1e-15)


def test_the_covariance_falls_as_an_exponential() -> None:
    row = GaussianPrior(length=4.0).covariance(48, 48)[0, :48] / 0.04
    assert float(row[4]) == pytest.approx(math.exp(-1), abs=0.1)
    assert float(row[8] / row[4]) == pytest.approx(math.exp(-1), abs=0.1)


@pytest.mark.parametrize("size", [(6, 8), (7, 5)])
@pytest.mark.parametrize("sigma", [0.02, 0.3, 20.0])
def test_denoising_is_the_dense_posterior_mean(size: tuple[int, int], sigma: float) -> None:
    prior = GaussianPrior(mean=0.4)
    height, width = size
    noisy = torch.randn(2, 3, height, width, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    matrix = torch.eye(height * width, dtype=torch.float64)
    mean, _ = prior.posterior(matrix, noisy.flatten(2), sigma, size)
    assert torch.allclose(prior.denoise(noisy, sigma).clean.flatten(2), mean, atol=1e-10)
    assert torch.allclose(prior.denoise(noisy.float(), sigma).clean.double().flatten(2), mean, atol=1e-4)


def test_the_posterior_of_a_linear_observation_is_that_of_its_precision_form() -> None:
    prior, sigma, size = GaussianPrior(length=1.0), 0.05, (6, 6)
    matrix = testing.matrix(Downsample(scale=2), (1, *size))
    generator = torch.Generator().manual_seed(1)
    truth = prior.draw(torch.randn(1, 1, *size, dtype=torch.float64, generator=generator)).flatten()
    observed = matrix @ truth
    mean, covariance = prior.posterior(matrix, observed, sigma, size)
    precision = torch.linalg.inv(prior.covariance(*size)) + matrix.T @ matrix / sigma**2
    assert torch.allclose(covariance, torch.linalg.inv(precision), atol=1e-10)
    shift = matrix.T @ (observed - 0.5 * matrix.sum(dim=1)) / sigma**2
    assert torch.allclose(mean, 0.5 + torch.linalg.solve(precision, shift), atol=1e-8)


def test_draws_have_the_covariance() -> None:
    prior, size = GaussianPrior(length=1.5), (4, 5)
    noise = torch.randn(20_000, 1, *size, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    draws = prior.draw(noise).flatten(1)
    assert float(draws.mean()) == pytest.approx(0.5, abs=0.01)
    assert torch.allclose(torch.cov(draws.T), prior.covariance(*size), atol=0.003)


def test_denoising_attains_the_error_it_must() -> None:
    prior, sigma = GaussianPrior(), 0.1
    clean, noise = torch.randn(2, 64, 3, 16, 16, generator=torch.Generator().manual_seed(3))
    clean = prior.draw(clean)
    error = (prior.denoise(clean + sigma * noise, sigma).clean - clean).square().mean()
    _, covariance = prior.posterior(torch.eye(256, dtype=torch.float64), torch.zeros(256), sigma, (16, 16))
    assert float(error) == pytest.approx(float(covariance.diagonal().mean()), rel=0.03)


# -- total variation --------------------------------------------------------------------------------------------------


def objective(x: Tensor, noisy: Tensor, weight: float) -> float:
    across = torch.nn.functional.pad(x[..., :, 1:] - x[..., :, :-1], (0, 1, 0, 0))
    down = torch.nn.functional.pad(x[..., 1:, :] - x[..., :-1, :], (0, 0, 0, 1))
    tv = (across.square() + down.square()).sum(dim=1).sqrt().sum()
    return float((x - noisy).square().sum() / 2 + weight * tv)


@pytest.mark.parametrize("sigma", [0.05, 0.1, 0.2])
def test_tv_reaches_the_minimum_that_many_more_iterations_reach(sigma: float, monkeypatch: pytest.MonkeyPatch) -> None:
    clean = testing.picture(1, 3, 32, 32)
    noisy = clean + sigma * torch.randn(clean.shape, generator=torch.Generator().manual_seed(4))
    prior = TotalVariationPrior(strength=10)
    weight = 10 * sigma**2
    found = objective(prior.denoise(noisy, sigma).clean, noisy, weight)
    monkeypatch.setattr("gdpkit.priors.tv.ITERATIONS", 500)
    best = objective(prior.denoise(noisy, sigma).clean, noisy, weight)
    assert best <= found <= 1.02 * best


@pytest.mark.parametrize(("iterations", "tolerance"), [(None, 1 / 255), (1000, 1e-4)])
def test_tv_lowers_a_step_by_what_theory_says(
    iterations: int | None, tolerance: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each side of a straight step moves towards the other by weight / its width: to one level of 8 bits in the
    iterations that a run takes, and to any accuracy in more."""
    if iterations is not None:
        monkeypatch.setattr("gdpkit.priors.tv.ITERATIONS", iterations)
    step = torch.zeros(1, 1, 8, 40)
    step[..., 20:] = 1.0
    clean = TotalVariationPrior(strength=10).denoise(step, 0.1).clean
    assert float((clean[..., :20] - 0.1 / 20).abs().max()) < tolerance
    assert float((clean[..., 20:] - (1 - 0.1 / 20)).abs().max()) < tolerance


def test_tv_keeps_the_colours_of_an_edge_together() -> None:
    """One gradient length for all channels: a strong edge in red protects a weak one in blue at the same place."""
    sigma, prior = 0.1, TotalVariationPrior()
    weak = torch.zeros(1, 3, 8, 8)
    weak[:, 2, :, 4:] = 0.02
    together = weak.clone()
    together[:, 0, :, 4:] = 0.9
    alone = prior.denoise(weak, sigma).clean[0, 2]
    protected = prior.denoise(together, sigma).clean[0, 2]
    assert float((alone[:, 7] - alone[:, 0]).mean()) < 0.002
    assert float((protected[:, 7] - protected[:, 0]).mean()) > 0.01


@pytest.mark.parametrize("size", [(16, 16), (17, 31), (128, 96)])
def test_tv_gives_a_flat_image_within_range_when_nothing_can_be_seen(size: tuple[int, int]) -> None:
    clean = testing.picture(1, 3, *size)
    noisy = clean + 78 * torch.randn(clean.shape, generator=torch.Generator().manual_seed(5))
    found = TotalVariationPrior().denoise(noisy, 78.0).clean
    assert float(found.flatten(2).std(dim=2).max()) < 0.01
    assert float(found.min()) > -0.1
    assert float(found.max()) < 1.1


def test_tv_with_no_strength_or_no_noise_changes_nothing() -> None:
    noisy = torch.rand(1, 3, 9, 9, generator=torch.Generator().manual_seed(6))
    assert torch.allclose(TotalVariationPrior(strength=0).denoise(noisy, 0.01).clean, noisy, atol=1e-4)
    assert torch.equal(TotalVariationPrior().denoise(noisy, 0.0).clean, noisy)


@pytest.mark.parametrize("weight", [0.01, 0.02, 0.16])
def test_tv_changes_little_where_the_pyramid_gains_a_level(weight: float) -> None:
    """The number of levels is a step function of sigma; the answer should not be."""
    clean = testing.picture(1, 3, 64, 64)
    noise = torch.randn(clean.shape, generator=torch.Generator().manual_seed(7))
    prior = TotalVariationPrior(strength=10)
    sigma = math.sqrt(weight / 10)
    below, above = (prior.denoise(clean + sigma * noise, sigma * f).clean for f in (0.999, 1.001))
    assert float((below - above).abs().max()) < 0.02


# -- A prior that stands for another ----------------------------------------------------------------------------------


def test_a_wrapped_prior_answers_as_the_one_it_stands_for() -> None:
    @dataclass(frozen=True, eq=False)
    class Telling(GaussianPrior):
        name = "telling"
        receptive_field = 9
        training_size = 64
        notes = ("a note",)
        sha256 = "0123"
        weight_bytes = 2
        loaded: list[str] = field(default_factory=list)

        def load(self, device: object) -> None:
            self.loaded.append(str(device))

        def work(self, height: int, width: int) -> tuple[float, float]:
            return float(height), float(width)

    told = {name for name, value in vars(Prior).items() if isinstance(value, property)}
    assert told == {"receptive_field", "training_size", "notes", "sha256", "weight_bytes"}
    prior = Telling()
    wrapped = WrappedPrior(prior=WrappedPrior(prior=prior))
    for name in told:
        assert getattr(wrapped, name) == getattr(prior, name)
    assert wrapped.work(3, 4) == (3.0, 4.0)
    wrapped.load("cpu")
    assert prior.loaded == ["cpu"]
    noisy = torch.rand(1, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    assert torch.equal(wrapped.denoise(noisy, 0.2).clean, prior.denoise(noisy, 0.2).clean)
