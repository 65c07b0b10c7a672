"""Hierarchical guidance: when it applies, what it observes, and that it brings a smaller answer into a large hole."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import Tensor

from gdpkit import GdpkitError, chain, hierarchy, param, restore
from gdpkit.choices import Settings
from gdpkit.components import (
    Degradation,
    Denoised,
    Noise,
    Objective,
    Observation,
    PhotoTask,
    Prior,
    Problem,
    Sampler,
    Step,
)
from gdpkit.degradations.crop import Crop
from gdpkit.degradations.downsample import Downsample
from gdpkit.degradations.expose import Expose
from gdpkit.degradations.gray import Gray
from gdpkit.degradations.mask import Mask
from gdpkit.noise import digests
from gdpkit.objective import EnergyObjective
from gdpkit.planning import plan
from gdpkit.testing import picture


@dataclass(frozen=True)
class Trained(Prior):
    """Trained on small images of one colour, which it knows: it moves towards that."""

    name = "trained"
    size: int = 16

    @property
    def training_size(self) -> int:
        return self.size

    @property
    def receptive_field(self) -> int:
        return 2 * self.size - 1

    def denoise(self, noisy: Tensor, sigma: float | Tensor) -> Denoised:
        # Of an image of its own size it sees all; of a larger one it changes nothing.
        known = min(noisy.shape[-2:]) < 2 * self.size
        return Denoised(torch.full_like(noisy, 0.8) if known else noisy)


@pytest.fixture(autouse=True)
def small_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hierarchy, "DEEP", 0)


def holed(height: int = 64, width: int = 64, first: int = 20, last: int = 45, batch: int = 1) -> Problem:
    lost = np.zeros((height, width), bool)
    lost[first:last, first:last] = True
    degradation = Mask(file=lost)  # type: ignore[arg-type]
    y = degradation(picture(batch, 3, height, width))
    return Problem((Observation(y, degradation, 0.29, degradation.measured(y)),))


def dark(degradation: Degradation | None = None) -> Problem:
    degradation = degradation or Expose(gain=0.1)
    return Problem((Observation(degradation(picture(1, 3, 64, 64)), degradation, 2.0),))


def test_a_hole_is_seen_at_sizes_down_to_that_of_the_training() -> None:
    problem = holed()
    small, large = hierarchy.levels(problem, Trained())
    assert large is problem
    assert small.shape == (1, 16, 16)
    seen = small.observations[0]
    assert seen.weight is not None
    assert seen.sigma == pytest.approx(0.29 / 4)
    kept = seen.weight > 0
    means = torch.nn.functional.avg_pool2d(picture(1, 3, 64, 64), 4)
    assert torch.allclose(seen.image[kept.expand_as(means)], means[kept.expand_as(means)], atol=1e-6)
    assert not kept[..., 5:12, 5:12].any()
    assert kept[..., :5, :].all()


@pytest.mark.parametrize(
    ("problem", "prior", "wish"),
    [
        (holed(), Trained(), "off"),
        (holed(), Trained(size=17), "auto"),  # not far above the size it was trained on
        (holed(first=21, last=27), Trained(), "on"),  # no whole block is lost
        (dark(), Trained(), "auto"),  # all is seen
        (dark(Gray()), Trained(), "on"),  # has no smaller form
        (holed(first=0, last=63), Trained(), "on"),  # nothing would be left at the smaller size
    ],
)
def test_where_there_is_nothing_to_gain_there_is_one_level(problem: Problem, prior: Prior, wish: str) -> None:
    assert hierarchy.levels(problem, prior, wish) == [problem]


def test_near_its_rim_a_hole_is_left_to_the_prior(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hierarchy, "DEEP", 8)
    weight = hierarchy.wanted(holed(), 4)
    wanted = torch.zeros(1, 1, 16, 16)
    wanted[..., 7:9, 7:9] = 1
    assert weight is not None
    assert torch.equal(weight, wanted)
    assert hierarchy.wanted(holed(first=24, last=40), 4) is None


def test_only_what_nothing_else_tells_is_observed_in_the_small_answer() -> None:
    problem = holed()
    aim = hierarchy.guided(problem, torch.full((1, 3, 16, 16), 0.3))
    assert aim.observations is problem.observations
    assert digests(aim) == digests(problem)  # the noise is that of the input
    assert aim.guide is not None and aim.guide.weight is not None
    wanted = torch.zeros(1, 1, 16, 16)
    wanted[..., 5:11, 5:11] = 1
    assert torch.equal(aim.guide.weight, wanted)
    everything = hierarchy.guided(dark(), torch.full((1, 3, 16, 16), 0.3)).guide
    assert everything is not None and everything.weight is not None
    assert everything.weight.all()


@pytest.mark.parametrize("stages", ["mask", "crop", "gray >> mask"])
def test_a_guide_apart_keeps_the_singular_system(stages: str) -> None:
    """The data step in closed form is that of the dense normal equations: here, one solved by conjugate gradients."""
    problem = holed(18, 21, 3, 15, batch=2)
    if stages == "crop":
        seen = Crop(left=8)
        problem = Problem((Observation(picture(2, 3, 18, 13), seen, 0.29),))
    elif stages == "gray >> mask":
        both = chain(["gray"]) >> problem.observations[0].degradation
        y = both(picture(2, 3, 18, 21))
        problem = Problem((Observation(y, both, 0.29, both.measured(y)),))
    answer = torch.rand(2, 3, 4, 5, generator=torch.Generator().manual_seed(3))
    aim = hierarchy.guided(problem, answer)
    objective = EnergyObjective(aim)
    assert objective.supports("spectral")
    x = picture(2, 3, 18, 21) / 2
    dense = EnergyObjective(Problem((*problem.observations, aim.guide)))  # type: ignore[arg-type]
    assert not dense.supports("spectral")
    assert (objective.prox(x, 0.05) - dense.prox(x, 0.05)).abs().max() < 2e-4
    explained = objective.project(x)
    assert float(objective.discrepancy(explained).max()) < 1e-3
    assert torch.allclose(objective.consistency(x), EnergyObjective(problem).consistency(x))


def test_a_guide_that_tells_what_is_seen_as_well_has_no_singular_system() -> None:
    seen = Observation(picture(1, 3, 64, 63), Crop(left=1), 2.0)
    guide = Observation(torch.full((1, 3, 16, 16), 0.3), Downsample(scale=4), 5.0)
    objective = EnergyObjective(Problem((seen,), guide=guide))
    assert not objective.supports("spectral")
    with pytest.raises(GdpkitError, match=r"small restoration .*--hierarchy off"):
        objective.spectral()


@dataclass(frozen=True, eq=False)
class Fill(PhotoTask):
    """Fill a hole."""

    name = "fill"
    presets: ClassVar[Mapping[str, Mapping[str, str]]] = {"paper": {"sampler": "hqs"}}
    lost: Any = param(help="Where.")

    def degradation(self) -> Degradation:
        return Mask(file=self.lost)


def hole() -> tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_]]:
    lost = np.zeros((66, 70), bool)
    lost[16:52, 16:52] = True
    return np.where(lost[..., None], 0, 0.2).astype(np.float32).repeat(3, 2), lost


def test_what_only_a_small_size_tells_is_in_the_large_result() -> None:
    image, lost = hole()
    task = Fill(image=image, lost=lost)  # type: ignore[arg-type]
    found = {wish: restore(task, prior=Trained(), steps=4, device="cpu", hierarchy=wish) for wish in ("off", "auto")}
    middle = (slice(26, 42), slice(26, 42))
    assert np.abs(found["off"].image[middle] - 0.2).max() < 0.05
    assert np.abs(found["auto"].image[middle] - 0.8).max() < 0.05
    assert np.abs(found["auto"].image[~lost] - 0.2).max() < 1e-6
    assert [found[w].record["network_evaluations"] for w in ("off", "auto")] == [4, 8]
    assert found["auto"].record["unknowns"] == {}


@dataclass(frozen=True)
class InTheBasis(Sampler):
    """Cannot do without a singular system."""

    name = "in-the-basis"
    needs_spectral = True
    evaluations = 1

    def sample(self, prior: Prior, objective: Objective, noise: Noise) -> Iterator[Step]:
        objective.spectral()
        yield Step(1, 1, prior.denoise(torch.full(objective.shape, 0.5), 0.1).clean.clamp(0, 1))


@dataclass(frozen=True, eq=False)
class Lighten(Fill):
    """Fill a hole that two exposures share: they have a singular system together, and none with a guide."""

    name = "lighten"

    def problem(self) -> Problem:
        y = picture(1, 3, 64, 64) / 2
        weight = torch.ones(1, 1, 64, 64)
        weight[..., 20:45, 20:45] = 0
        return Problem(tuple(Observation(gain * y, Expose(gain=gain), 2.0, weight) for gain in (0.5, 1.0)))


def test_a_guide_that_a_sampler_cannot_use_is_left_out_or_an_error_before_anything_is_solved() -> None:
    task = Lighten(image=picture(1, 3, 64, 64), lost=None)  # type: ignore[arg-type]
    settings: dict[str, Any] = {"prior": Trained(), "device": "cpu"}
    assert restore(task, **settings, steps=2).record["network_evaluations"] == 4
    found = restore(task, **settings, sampler=InTheBasis())
    assert found.record["network_evaluations"] == 1
    assert plan(task, Settings(**settings, sampler=InTheBasis())).evaluations == 1
    asked: list[Step] = []
    with pytest.raises(GdpkitError, match=r"--hierarchy on: the sampler in-the-basis needs a singular system"):
        restore(task, **settings, sampler=InTheBasis(), hierarchy="on", on_step=asked.append)
    assert not asked


def test_a_guide_that_such_a_sampler_can_use_is_used() -> None:
    image, lost = hole()
    task = Fill(image=image, lost=lost)  # type: ignore[arg-type]
    found = restore(task, prior=Trained(), sampler=InTheBasis(), device="cpu")
    assert found.record["network_evaluations"] == 2


def test_a_dry_run_counts_every_level() -> None:
    image, lost = hole()
    task = Fill(image=image, lost=lost)  # type: ignore[arg-type]
    evaluations = [
        plan(task, Settings(prior=Trained(), steps=5, device="cpu", preset=preset, hierarchy=wish)).evaluations
        for preset, wish in (("default", "auto"), ("default", "off"), ("paper", "auto"), ("paper", "on"))
    ]
    assert evaluations == [10, 5, 5, 10]


def test_other_wishes_are_an_error() -> None:
    with pytest.raises(GdpkitError, match="hierarchy must be auto, on or off, not 'maybe'"):
        Settings(hierarchy="maybe")


def test_steps_are_numbered_through_all_sizes() -> None:
    lost = np.zeros((64, 64), bool)
    lost[20:45, 20:45] = True
    seen: list[tuple[int, int]] = []
    restore(
        "inpaint",
        image=picture(1, 3, 64, 64),
        mask=lost.astype(np.float32),
        prior=Trained(),
        steps=3,
        device="cpu",
        on_step=lambda step: seen.append((step.index, step.total)),
    )
    assert seen == [(k, 6) for k in range(1, 7)]
