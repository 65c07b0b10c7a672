from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from gdpkit.errors import GdpkitError
from gdpkit.schedule import Schedule

RECORDED = np.load(Path(__file__).parent / "data/conformance/schedules.npz")


def agree(ours: torch.Tensor, recorded: str) -> None:
    assert ours.dtype == torch.float64
    np.testing.assert_allclose(ours.numpy(), RECORDED[recorded], rtol=1e-10, atol=1e-12)


def test_linear_schedule_is_the_published_one():
    schedule = Schedule.linear()
    agree(schedule.alphas_cumprod, "alphas_cumprod")
    agree(schedule.c1, "c1")
    agree(schedule.c2, "c2")
    agree(schedule.posterior_log_variance, "post_logvar")
    agree(schedule.betas.sum(), "betas_sum")
    assert schedule.max_log_variance.exp().allclose(schedule.betas)


def test_cosine_schedule_is_the_published_one():
    agree(Schedule.cosine().alphas_cumprod, "cosine_acp")


@pytest.mark.parametrize("spec", ["ddim25", "100", "10,15,20"])
def test_respacing_is_the_published_one(spec):
    respaced = Schedule.linear().respace(spec)
    name = spec.replace(",", "_")
    assert respaced.timesteps.tolist() == RECORDED[f"map_{name}"].tolist()
    agree(respaced.alphas_cumprod, f"acp_{name}")


def test_respacing_twice_keeps_the_original_timesteps():
    twice = Schedule.linear().respace("100").respace(10)
    assert len(twice) == 10
    assert twice.timesteps[0] == 0
    assert twice.timesteps[-1] == 999
    assert twice.alphas_cumprod.equal(Schedule.linear().alphas_cumprod[twice.timesteps])


@pytest.mark.parametrize("spec", ["", "x", "0", "1001", "500,501,1", "ddim3,4", "ddim999", "-5", "5,"])
def test_respacing_refuses(spec):
    with pytest.raises(GdpkitError, match=r"respacing"):
        Schedule.linear().respace(spec)


@pytest.mark.parametrize("schedule", [Schedule.linear(), Schedule.cosine(), Schedule.linear().respace("20")])
def test_posterior_matches_bayes_rule(schedule):
    """The product of two Gaussians: q(x_k | x_{k-1}) and q(x_{k-1} | x_0)."""
    k = len(schedule) // 2
    beta, before = schedule.betas[k], schedule.alphas_cumprod[k - 1]
    precision = (1 - beta) / beta + 1 / (1 - before)
    torch.testing.assert_close(schedule.posterior_log_variance[k], -precision.log())
    torch.testing.assert_close(schedule.c1[k], before.sqrt() / (1 - before) / precision)
    torch.testing.assert_close(schedule.c2[k], (1 - beta).sqrt() / beta / precision)


def test_one_step_is_finite():
    schedule = Schedule.linear().respace("1")
    for values in (schedule.betas, schedule.c1, schedule.c2, schedule.posterior_log_variance, schedule.sigmas):
        assert values.isfinite().all()
    assert schedule.nearest(3.0) == 0


def test_learned_variance_spans_its_range():
    schedule = Schedule.linear().respace("50")
    v = torch.tensor([-1.0, 0.0, 1.0])
    low, middle, high = schedule.log_variance(7, v)
    assert low.dtype == torch.float32
    assert low.item() == pytest.approx(schedule.posterior_log_variance[7].item())
    assert high.item() == pytest.approx(schedule.max_log_variance[7].item())
    assert middle.item() == pytest.approx((low.item() + high.item()) / 2)


@pytest.mark.parametrize("schedule", [Schedule.linear(), Schedule.cosine(), Schedule.linear().respace("ddim25")])
def test_nearest_is_exact_on_its_own_sigmas(schedule):
    own = torch.arange(len(schedule))
    assert schedule.nearest(schedule.sigmas).equal(own)
    assert schedule.nearest(schedule.sigmas.float()).equal(own)
    assert [schedule.nearest(schedule.sigma(k)) for k in (0, 1, len(schedule) - 1)] == [0, 1, len(schedule) - 1]
    assert schedule.sigma(3) == pytest.approx(math.sqrt(1 / schedule.alphas_cumprod[3].item() - 1))


def test_nearest_beyond_the_ends_and_between():
    schedule = Schedule.linear()
    assert schedule.nearest(0.0) == 0
    assert schedule.nearest(1e9) == 999
    between = schedule.sigma(10) * (schedule.sigma(11) / schedule.sigma(10)) ** 0.6
    assert schedule.nearest(between) == 11
    assert schedule.nearest(torch.tensor([[0.0, between]])).tolist() == [[0, 11]]


def test_impossible_schedules_are_refused():
    with pytest.raises(GdpkitError, match="beta"):
        Schedule.linear(20)
    with pytest.raises(GdpkitError, match="at least one"):
        Schedule.cosine(0)
    assert len(Schedule.linear(21)) == 21
