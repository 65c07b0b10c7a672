"""`--dry-run`: what a run will take, counted without running it."""

from __future__ import annotations

import json
from dataclasses import dataclass

import pytest
from torch import Tensor

from gdpkit import chain, param, planning
from gdpkit.choices import Settings
from gdpkit.components import Degradation, Denoised, PhotoTask, Prior, Sampler
from gdpkit.errors import GdpkitError
from gdpkit.testing import picture


@dataclass(frozen=True, eq=False)
class Seen(PhotoTask):
    """A photograph seen through any chain."""

    name = "seen"
    stages: tuple[str, ...] = param(("downsample:scale=2",), help="The chain.")

    def degradation(self) -> Degradation:
        return chain(self.stages)


@dataclass(frozen=True)
class Small(Prior):
    """Does not say what it costs, and may be asked for no more than the probe."""

    name = "small"

    def denoise(self, noisy: Tensor, sigma: float | Tensor) -> Denoised:
        assert noisy.shape == (1, 3, planning.PROBE_SIDE, planning.PROBE_SIDE)
        return Denoised(noisy)


@dataclass(frozen=True)
class Endless(Sampler):
    """Cannot tell how long it takes."""

    name = "endless"


def task(*shape: int) -> Seen:
    return Seen(image=picture(*shape))  # type: ignore[arg-type]


def test_it_counts_without_running() -> None:
    plan = planning.plan(task(1, 3, 16, 24), Settings(prior=Small(), sampler="gdp", steps=7, device="cpu"))
    assert (plan.task, plan.prior, plan.sampler, plan.device) == ("seen", "small", "gdp", "cpu")
    assert (plan.size, plan.evaluations, plan.memory_mib) == ((48, 32), 7, None)
    assert plan.seconds is not None and plan.seconds >= 0


@pytest.mark.parametrize(("batch", "steps"), [(1, 10), (4, 10), (1, 1000)])
def test_time_is_that_of_the_probe_for_every_evaluation_and_pixel(
    monkeypatch: pytest.MonkeyPatch, batch: int, steps: int
) -> None:
    monkeypatch.setattr(planning, "_seconds_of_probe", lambda prior, device: 3.0)
    monkeypatch.setattr(planning, "_seconds_of_a_step", lambda problem, chosen: 0.5)
    plan = planning.plan(task(batch, 3, 16, 24), Settings(prior="tv", sampler="gdp", steps=steps, device="cpu"))
    of_steps = steps * (0.5 + 3.0 * batch * 32 * 48 / planning.PROBE_SIDE**2)
    assert plan.seconds is not None and of_steps - 0.01 < plan.seconds < of_steps + 2  # and reading the picture


def test_a_plan_counts_reading_and_the_rest_of_a_step(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(planning, "_seconds_of_probe", lambda prior, device: 0.0)
    now = iter([0.0, 7.0, 10.0, 12.0])
    monkeypatch.setattr(planning.time, "perf_counter", lambda: next(now))
    plan = planning.plan(task(1, 3, 16, 24), Settings(prior="tv", sampler="gdp", steps=5, device="cpu"))
    assert plan.seconds == 7 + 5 * 2


def test_memory_grows_with_the_picture() -> None:
    settings = Settings(prior="gaussian", sampler="gdp", steps=1, device="cpu")
    small, large = (planning.plan(task(1, 3, side, side), settings).memory_mib for side in (16, 256))
    assert small is not None and large is not None
    assert small < large


def test_what_cannot_be_told_is_not() -> None:
    plan = planning.plan(task(1, 3, 16, 16), Settings(prior="tv", sampler=Endless(), device="cpu"))
    assert (plan.evaluations, plan.seconds) == (None, None)


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
