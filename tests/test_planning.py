"""`--dry-run`: what a run will take, counted without running it."""

from __future__ import annotations

import json
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from gdpkit import chain, param, planning
from gdpkit.choices import Settings
from gdpkit.components import Degradation, Denoised, PhotoTask, Prior
from gdpkit.errors import GdpkitError
from gdpkit.priors.gaussian import GaussianPrior
from gdpkit.testing import picture


@dataclass(frozen=True, eq=False)
class Seen(PhotoTask):
    """A photograph seen through any chain."""

    name = "seen"
    stages: tuple[str, ...] = param(("downsample:scale=2",), help="The chain.")

    def degradation(self) -> Degradation:
        return chain(self.stages)


@dataclass(frozen=True)
class Silent(Prior):
    """Does not say what it costs, and must not be asked for anything else."""

    name = "silent"

    def denoise(self, noisy: Tensor, sigma: float | Tensor) -> Denoised:
        raise AssertionError("a plan runs no network")


def task(*shape: int) -> Seen:
    return Seen(image=picture(*shape))  # type: ignore[arg-type]


def test_it_counts_without_running() -> None:
    plan = planning.plan(task(1, 3, 16, 24), Settings(prior=Silent(), sampler="gdp", steps=7, device="cpu"))
    assert (plan.task, plan.prior, plan.sampler, plan.device) == ("seen", "silent", "gdp", "cpu")
    assert (plan.size, plan.evaluations) == ((48, 32), 7)
    assert (plan.seconds, plan.memory_mib) == (None, None)


@pytest.mark.parametrize(("batch", "steps"), [(1, 10), (4, 10), (1, 1000)])
def test_time_is_operations_over_speed(monkeypatch: pytest.MonkeyPatch, batch: int, steps: int) -> None:
    monkeypatch.setattr(planning, "convolution_rate", lambda device: 1e6)
    prior = GaussianPrior()
    operations, held = prior.work(32, 48)
    plan = planning.plan(task(batch, 3, 16, 24), Settings(prior=prior, sampler="gdp", steps=steps, device="cpu"))
    assert plan.seconds == pytest.approx(steps * batch * operations / (planning.SUSTAINED * 1e6), abs=0.01)
    assert plan.memory_mib == pytest.approx(batch * held / 2**20 + planning.LIBRARIES_MIB, abs=1)


@pytest.mark.parametrize("prior", ["tv", "gaussian"])
def test_a_larger_picture_takes_longer(prior: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(planning, "convolution_rate", lambda device: 1e6)
    settings = Settings(prior=prior, sampler="gdp", steps=10, device="cpu")
    small, large = (planning.plan(task(1, 3, side, side), settings).seconds for side in (16, 32))
    assert small is not None and large is not None
    assert 3.9 < large / small < 6


def test_the_record_is_json_and_says_what_it_is() -> None:
    record = planning.plan(task(1, 1, 16, 16), Settings(prior="tv", device="cpu")).record()
    assert json.loads(json.dumps(record)) == record
    assert record["dry_run"] is True
    assert record["size"] == [32, 32]
    assert record["seconds"] >= 0


def test_what_would_stop_the_run_stops_the_plan() -> None:
    with pytest.raises(GdpkitError, match="needs at least 16x16"):
        planning.plan(task(1, 3, 8, 8), Settings(prior="tv"))
    with pytest.raises(GdpkitError, match="unknown sampler"):
        planning.plan(task(1, 3, 16, 16), Settings(prior="tv", sampler="magic"))


def test_the_speed_of_this_machine_is_a_possible_one() -> None:
    assert 1e7 < planning.convolution_rate(torch.device("cpu")) < 1e14
