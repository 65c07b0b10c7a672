"""Each sampler against the closed form of a Gaussian prior, and what each says about problems that it cannot take."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from gdpkit_samplers import functional
from gdpkit_samplers.dps import residual_gradient
from torch import Tensor

from gdpkit import Degradation, Denoised, GdpkitError, Observation, Prior, Problem, Sampler, registry, restore, testing
from gdpkit.degradations.downsample import Downsample
from gdpkit.degradations.gray import Gray
from gdpkit.degradations.noise import GaussianNoise
from gdpkit.losses.color import ColorConstancy
from gdpkit.objective import EnergyObjective
from gdpkit.priors.gaussian import GaussianPrior
from gdpkit.testing.sampler import run_checked

SIZE = (12, 12)
DRAWS = 24
PRIOR = GaussianPrior(deviation=0.12)
NAMES = ("daps", "ddnm", "ddrm", "diffpir", "dps", "red", "snips")
SPECTRAL = ("ddnm", "ddrm", "snips")


class Stream:
    """Standard normal noise, one generator for the whole batch: quick for many draws."""

    def __init__(self, seed: int = 0) -> None:
        self._generator = torch.Generator().manual_seed(seed)

    def normal(self, shape: Sequence[int], device: Any = None) -> Tensor:
        return torch.randn(tuple(shape), generator=self._generator)


class Unasked(Prior):
    """A prior that must not be asked."""

    name = "unasked"

    def denoise(self, noisy: Tensor, sigma: float | Tensor) -> Denoised:
        raise AssertionError("the prior is asked although the sampler cannot take the problem")


@dataclass(frozen=True)
class Gamma(Degradation):
    """y = x^1.4."""

    name = "test-gamma"

    def __call__(self, image: Tensor) -> Tensor:  # type: ignore[override]
        return image.clamp_min(1e-3) ** 1.4


@dataclass(frozen=True)
class Veil(Degradation):
    """y = g x with one unknown gain an image."""

    name = "test-veil"
    linear = True

    def __call__(self, image: Tensor, *, gain: Tensor) -> Tensor:  # type: ignore[override]
        return gain * image

    def unknowns(self, observed: Tensor, shape: Any) -> dict[str, Tensor]:
        return {"gain": observed.new_ones(len(observed), 1, 1, 1)}

    def spectral(self, shape: Any, *, gain: Tensor) -> Any:  # type: ignore[override]
        from gdpkit.components import SingularSystem

        return SingularSystem(gain, lambda x: x, lambda c: c, lambda y: y, lambda c: c)


class WithoutSystem(EnergyObjective):
    """An objective that keeps its singular system to itself."""

    def supports(self, what: Any) -> bool:
        return what != "spectral" and super().supports(what)


def made(name: str, **values: Any) -> Sampler:
    cls = registry.load().get("samplers", name)
    found: Sampler = cls(**{**cls.example_params, **values})
    return found


def seen(degradation: Degradation, sigma: float = 5.0, batch: int = 1) -> Observation:
    """One draw of the prior, seen through the degradation and noise, as often as there are to be draws."""
    generator = torch.Generator().manual_seed(3)
    mean = degradation(PRIOR.draw(torch.randn(1, 3, *SIZE, generator=generator)))
    noisy = mean + sigma / 255 * torch.randn(mean.shape, generator=generator)
    return Observation(noisy.expand(batch, -1, -1, -1).contiguous(), degradation, sigma)


def drawn(sampler: Sampler, objective: EnergyObjective) -> Tensor:
    return list(sampler.sample(PRIOR, objective, Stream()))[-1].image.double()


def rms(x: Tensor) -> float:
    return float(x.double().square().mean().sqrt())


def beside_the_posterior(sampler: Sampler, o: Observation, make: Any = EnergyObjective) -> tuple[float, float]:
    """How far the mean of the draws is from the posterior's, and their spread, in deviations of the posterior."""
    matrix = testing.matrix(o.degradation, (1, *SIZE))
    mean, covariance = PRIOR.posterior(matrix, o.image[0].flatten(1), o.sigma / 255, SIZE)
    deviation = float(covariance.diagonal().mean().sqrt())
    draws = drawn(sampler, make(Problem((o,))))
    off = rms(draws.mean(0) - mean.reshape(3, *SIZE)) / deviation
    return off, float(draws.var(0).mean().sqrt()) / deviation


# Draws of the posterior would be 0.2 off (one over the root of their number) and spread 1.
@pytest.mark.parametrize(
    ("name", "values", "off", "least", "most"),
    [
        ("snips", {"steps": 80}, 0.27, 0.9, 1.1),
        ("daps", {"steps": 40}, 0.3, 0.9, 1.2),
        ("ddrm", {"steps": 60}, 0.3, 0.65, 1.0),
        ("ddnm", {"steps": 60}, 0.3, 0.65, 1.0),
        ("dps", {"steps": 60}, 0.35, 0.6, 1.1),
        ("diffpir", {"steps": 60}, 0.4, 0.3, 0.8),
        ("red", {"steps": 100}, 0.3, 0.3, 0.8),
    ],
)
def test_draws_are_about_the_mean_of_the_posterior(
    name: str, values: dict[str, Any], off: float, least: float, most: float
) -> None:
    """SNIPS and DAPS draw from the posterior; the others are near its mean and vary less than it does."""
    found, spread = beside_the_posterior(made(name, **values), seen(Downsample(scale=2), batch=DRAWS))
    assert found < off
    assert least < spread < most


@pytest.mark.parametrize("name", ["snips", "daps"])
def test_much_noise_is_taken_for_what_it_is(name: str) -> None:
    off, spread = beside_the_posterior(made(name, steps=80), seen(GaussianNoise(sigma=25), 25.0, DRAWS))
    assert off < 0.45
    assert 0.75 < spread < 1.1


def test_langevin_steps_draw_what_the_closed_form_draws() -> None:
    o = seen(Downsample(scale=2), 10.0, DRAWS)
    sampler = made("daps", steps=20, langevin=30)
    exact = beside_the_posterior(sampler, o)
    stepped = beside_the_posterior(sampler, o, WithoutSystem)
    assert stepped == pytest.approx(exact, abs=0.12)


@pytest.mark.parametrize("name", NAMES)
def test_what_is_not_observed_is_the_priors(name: str) -> None:
    """Only the grey is seen: it is kept, and the colours stay within what the prior allows."""
    o = seen(Gray(), 2.0, 4)
    found = drawn(made(name), EnergyObjective(Problem((o,))))
    assert rms(Gray()(found.float()) - o.image) < 8 / 255
    colours = found - found.mean(dim=1, keepdim=True)
    assert rms(colours) < 1.4 * PRIOR.deviation * (2 / 3) ** 0.5


@pytest.mark.parametrize("name", SPECTRAL)
@pytest.mark.parametrize(
    ("objective", "reason"),
    [
        (
            lambda: EnergyObjective(Problem((seen(Downsample(scale=2, kernel="bicubic") >> Gray()),))),
            "downsample >> gray has no singular system; use --sampler hqs",
        ),
        (lambda: EnergyObjective(Problem((seen(Gamma()),))), "test-gamma is not linear .*; use --sampler hqs"),
        (lambda: EnergyObjective(Problem((seen(Gray()), seen(Gray())))), "several observations .*--sampler hqs"),
        (lambda: EnergyObjective(Problem((seen(Gray()),)), "l1"), "--distance mse only.*--sampler hqs"),
        (
            lambda: EnergyObjective(Problem((seen(Gray()),), (ColorConstancy(weight=1.0),))),
            "not --loss; --sampler hqs or diffpir",
        ),
    ],
    ids=["chain", "not linear", "several", "distance", "loss"],
)
def test_what_has_no_singular_system_is_refused_before_starting(
    name: str, objective: Callable[[], EnergyObjective], reason: str
) -> None:
    with pytest.raises(GdpkitError, match=f"^{name} .*{reason}"):
        next(iter(made(name).sample(Unasked(), objective(), Stream())))


def test_dps_says_before_starting_that_it_follows_no_loss() -> None:
    objective = EnergyObjective(Problem((seen(Gray()),), (ColorConstancy(weight=1.0),)))
    with pytest.raises(GdpkitError, match="dps follows the residual alone, not --loss; --sampler hqs or diffpir"):
        next(iter(made("dps").sample(Unasked(), objective, Stream())))


@pytest.mark.parametrize("name", sorted(set(NAMES) - set(SPECTRAL)))
@pytest.mark.parametrize(
    "degradation", [Downsample(scale=2, kernel="bicubic") >> Gray(), Gamma()], ids=["chain", "not linear"]
)
def test_the_others_take_every_degradation(name: str, degradation: Degradation) -> None:
    objective = EnergyObjective(Problem((seen(degradation),)))
    result, _ = run_checked(made(name), PRIOR, objective, Stream())
    assert float(objective.discrepancy(result)) < (8 if name == "dps" else 2.5)


@pytest.mark.parametrize("name", NAMES)
def test_unknowns_are_fitted_while_sampling(name: str) -> None:
    """A gain of 0.8 is guessed as 1 at first; the prior's mean tells."""
    generator = torch.Generator().manual_seed(3)
    truth = PRIOR.draw(torch.randn(1, 3, *SIZE, generator=generator))
    objective = EnergyObjective(Problem((Observation(0.8 * truth, Veil(), 1.0),)))
    values = {"steps": 20} if name not in ("red", "snips") else {}
    result = drawn(made(name, **values), objective)
    assert float(objective.unknowns["gain"]) == pytest.approx(0.8, abs=0.08)
    assert rms(result - truth) < 0.1


@pytest.mark.parametrize("name", NAMES)
def test_one_step_is_enough_to_run(name: str) -> None:
    result, _ = run_checked(made(name, steps=1), PRIOR, EnergyObjective(Problem((seen(Gray()),))), Stream())
    assert result.shape == (1, 3, *SIZE)


def test_the_gradient_of_dps_is_that_of_the_norm_at_256_pixels() -> None:
    """|r|^2 / |r| differentiated by hand, and the norm of an image of 256x256 values like these."""
    o = seen(Downsample(scale=2), 7.0)
    x = (o.image.repeat_interleave(2, 2).repeat_interleave(2, 3) * 0.9).requires_grad_()
    square = (o.image - o.degradation(x)).square().sum()
    (gradient,) = torch.autograd.grad(square, x)
    wanted = gradient / (square.sqrt() * (3 * 256 * 256 / x.numel()) ** 0.5)
    assert torch.allclose(residual_gradient(EnergyObjective(Problem((o,))), x.detach()), wanted, rtol=1e-3, atol=1e-7)


def test_dps_differentiates_the_prior() -> None:
    """With a prior whose answer does not depend on its input there is nothing to guide."""

    class Deaf(GaussianPrior):
        def denoise(self, noisy: Tensor, sigma: float | Tensor) -> Denoised:
            return Denoised(0.5 + 0 * noisy)

    objective = EnergyObjective(Problem((seen(Gray()),)))
    last = [list(made("dps", zeta=z).sample(Deaf(), objective, Stream()))[-1].image for z in (0.0, 30.0)]
    assert torch.equal(*last)


def test_diffpir_ends_true_to_the_observation() -> None:
    """Its last image is the result of a data step, and lambda is the trust in the network's answer there."""
    objective = EnergyObjective(Problem((seen(Downsample(scale=2), 1.0),)))
    found = [objective.discrepancy(drawn(made("diffpir", lam=lam), objective).float()).item() for lam in (1.0, 100.0)]
    assert found[0] < 1 < found[1]


@pytest.mark.parametrize("levels", [functional.ddpm_levels, functional.quadratic_levels])
def test_noise_levels_are_those_of_the_linear_schedule(levels: Callable[[int], list[float]]) -> None:
    found = levels(50)
    assert len(found) == 50
    assert found == sorted(found, reverse=True)
    assert found[0] == pytest.approx(78.7, rel=0.01)  # sqrt((1 - 4.04e-5) / 4.04e-5) / 2
    assert found[-1] == pytest.approx(0.005, rel=0.01)


@pytest.mark.parametrize("name", NAMES)
def test_they_are_chosen_by_name_in_a_run(name: str) -> None:
    small = np.full((16, 16, 3), 0.25, np.float32)
    small[4:12, 6:] = 0.7
    result = restore("sr", image=small, scale=2, sampler=name, steps=3, prior="tv", device="cpu")
    assert result.record["sampler"] == name
    assert result.record["network_evaluations"] == registry.load().build("samplers", f"{name}:steps=3").evaluations
    assert result.image.shape == (32, 32, 3)


@pytest.mark.parametrize(
    ("spec", "reason"),
    [
        ("ddrm:eta=1.5", "ddrm: eta must be at most 1, not 1.5"),
        ("ddnm:eta_b=1", "ddnm has no parameter 'eta_b'. Did you mean 'eta'?"),
        ("diffpir:lam=0", "diffpir: lam must be at least 0.001"),
        ("diffpir:lambda=2", "diffpir has no parameter 'lambda'. Did you mean 'lam'?"),
        ("dps:zeta=-1", "dps: zeta must be at least 0"),
        ("daps:ode_steps=0", "daps: ode_steps must be at least 1"),
        ("red:lr=0", "red: lr must be at least"),
        ("snips:c=2", "snips: c must be at most 1"),
        ("ddrm:steps=many", "ddrm: steps must be a whole number"),
    ],
)
def test_what_the_user_can_mend_is_told(spec: str, reason: str) -> None:
    with pytest.raises(GdpkitError) as caught:
        registry.load().build("samplers", spec)
    assert reason in str(caught.value)
