"""How much memory there is, what a run is told to take, and that the result does not depend on it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor

import gdpkit
from gdpkit import (
    Denoised,
    GdpkitError,
    Prior,
    budget,
    choices,
    coloured_noise,
    dct,
    distances,
    estimate,
    functional,
    memory,
    planning,
    pointwise,
)
from gdpkit.choices import Settings
from gdpkit.objective import EnergyObjective
from gdpkit.priors import cost, tiles
from gdpkit.priors.tiled import TiledPrior
from gdpkit.testing import picture

CPU = torch.device("cpu")


@dataclass(frozen=True)
class Known(Prior):
    """Says what it takes: 100 bytes a pixel."""

    name = "known"
    receptive_field: ClassVar[int] = 3

    def denoise(self, noisy: Tensor, sigma: float | Tensor) -> Denoised:
        return Denoised(torch.nn.functional.avg_pool2d(noisy, 3, 1, 1))

    def work(self, height: int, width: int) -> tuple[float, float]:
        return 9.0 * height * width, 100.0 * height * width


def test_what_may_be_held_is_what_is_held_and_what_is_free(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "free", lambda device: 2**30)
    held = memory.available(CPU)
    assert held is not None and 2**30 + 50 * 2**20 < held < 2**30 + 20 * 2**30
    monkeypatch.setattr(memory, "free", lambda device: None)
    assert memory.available(CPU) is None


def test_shortage_is_told_from_other_failures() -> None:
    assert memory.is_shortage(torch.OutOfMemoryError("CUDA out of memory"))
    assert memory.is_shortage(MemoryError())
    assert not memory.is_shortage(RuntimeError("shapes do not match"))
    with pytest.raises(RuntimeError) as raised:
        torch.empty(2**55)
    assert memory.is_shortage(raised.value)


def test_too_little_memory_is_an_error_with_what_would_do() -> None:
    with pytest.raises(
        GdpkitError, match=r"--memory 1 is too little: 6000x4000 .* --memory (\d[\d.]*) would do"
    ) as raised:
        budget.tiled(Known(), (1, 4000, 6000), CPU, 1)
    would_do = float(str(raised.value).split("; --memory ")[1].split()[0])
    assert 2 < would_do < 4
    budget.tiled(Known(), (1, 4000, 6000), CPU, would_do)


def test_more_than_is_free_is_not_begun_unless_told_to(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "available", lambda device: 2**30)
    with pytest.raises(GdpkitError, match=r"1.0 GB are free, .* try it with --memory (\d[\d.]*)"):
        budget.tiled(Known(), (1, 4000, 6000), CPU, None)
    budget.tiled(Known(), (1, 4000, 6000), CPU, 3.5)
    budget.tiled(Known(), (1, 16, 16), CPU, None)


def test_a_small_run_on_the_cpu_does_not_wait_for_its_memory_to_be_counted() -> None:
    @dataclass(frozen=True)
    class Slow(Known):
        def work(self, height: int, width: int) -> tuple[float, float]:
            raise AssertionError("asked")

    assert gdpkit.restore("denoise", image=picture(1, 3, 24, 24), sigma=25.0, prior=Slow(), steps=1, device="cpu")
    with pytest.raises(AssertionError, match="asked"):
        budget.tiled(Slow(), (1, 16, 16), CPU, 1)


def test_on_a_gpu_memory_says_how_many_tiles_are_done_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    cuda = torch.device("cuda", 0)
    at_once = [budget.tiled(Known(), (1, 4000, 6000), cuda, gb).at_once for gb in (2.5, 3.5, 100)]
    assert (
        at_once[0] < at_once[1] < at_once[2] == len(budget.tiled(Known(), (1, 4000, 6000), cuda, 100).tiles(4000, 6000))
    )
    assert budget.tiled(Known(), (1, 4000, 6000), CPU, 100).at_once == 1


@dataclass(frozen=True)
class Heavy(Known):
    """`Known` with a gigabyte of weights."""

    name = "heavy"

    def work(self, height: int, width: int) -> tuple[float, float]:
        operations, layers = super().work(height, width)
        return operations, layers + 2**30

    @property
    def weight_bytes(self) -> int:
        return 2**30


def test_images_done_at_once_share_the_weights() -> None:
    cuda = torch.device("cuda", 0)
    # Each tile takes 0.3 GB; counted with each of them, weights would leave 5 GB room for three or four.
    tiled = budget.tiled(Heavy(), (1, 4000, 6000), cuda, 5)
    assert tiled.at_once == budget.tiled(Known(), (1, 4000, 6000), cuda, 4).at_once > 5
    one, all_of_them = (TiledPrior(prior=Heavy(), batch=n).work(4000, 6000) for n in (1, tiled.at_once))
    assert one is not None and all_of_them is not None
    assert all_of_them[1] - 2**30 == pytest.approx(tiled.at_once * (one[1] - 2**30))
    # And they are held while no tile is evaluated: a data step that takes more than a tile takes them besides.
    light, heavy = (
        budget.needed(TiledPrior(prior=p), (1, 4000, 6000), cuda, budget.IMAGES["derivative"])
        for p in (Known(), Heavy())
    )
    assert heavy - light == 2**30


@pytest.mark.parametrize("task", ["denoise", "sr"])
def test_the_bytes_of_a_result_do_not_depend_on_memory(monkeypatch: pytest.MonkeyPatch, task: str) -> None:
    monkeypatch.setattr(tiles, "CORE", 64)
    options: dict[str, Any] = {"image": picture(1, 3, 211, 230), "sigma": 25.0}
    if task == "sr":
        options = {"image": picture(1, 3, 120, 97), "scale": 2}
    results = [
        gdpkit.restore(task, **options, prior=Known(), steps=3, fidelity=0.5, device="cpu", memory=gb).tensor
        for gb in (0.5, 2, None)
    ]
    assert all(torch.equal(results[0], other) for other in results[1:])


def test_a_plan_counts_what_tiles_share(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(planning, "_seconds_of_probe", lambda prior, device: 1.0)
    monkeypatch.setattr(tiles, "CORE", 64)
    task = choices.task("denoise", {"image": picture(1, 3, 256, 300), "sigma": 25.0})
    plan = planning.plan(task, Settings(prior=Known(), sampler="gdp", steps=10, device="cpu"))
    assert plan.seconds is not None and plan.memory_mib is not None
    assert plan.seconds > 1.5 * 10 * 256 * 300 / planning.PROBE_SIDE**2
    assert plan.memory_mib < 500
    with pytest.raises(GdpkitError, match="too little"):
        planning.plan(task, Settings(prior=Known(), device="cpu", memory=0.2))


def test_memory_must_be_more_than_nothing() -> None:
    for wrong in (0, float("inf"), float("nan"), "4"):
        with pytest.raises(GdpkitError, match="memory must be more than 0"):
            Settings(memory=wrong)  # type: ignore[arg-type]


# -- what a run holds -------------------------------------------------------------------------------------------------

SIDE = 192


def held(task: str, **parameters: Any) -> float:
    """The most tensors that a run held at once, in images of its result; small ones count as large ones do."""
    with torch.no_grad(), cost._Held(torch.nn.Identity()) as counted:
        result = gdpkit.restore(task, prior=Known(), steps=2, device="cpu", hierarchy="off", memory=4, **parameters)
    return counted.most / (4 * result.tensor.numel())


@pytest.mark.parametrize(
    ("task", "parameters"),
    [
        ("denoise", {"sigma": 25.0}),
        ("sr", {"scale": 2, "kernel": "bicubic"}),
        ("inpaint", {"mask": torch.nn.functional.pad(torch.ones(1, 1, 90, 90), (50, 52, 50, 52))[0]}),
        ("deblur", {"kernel": "gaussian:9,2", "noise": 2.0, "boundary": "reflect"}),
        ("restore", {"stages": ("expose:gain=0.2",)}),
        ("restore", {"stages": ("blur:kernel=gaussian,size=9,sigma=1.5", "jpeg:quality=60")}),
        ("lowlight", {"fit": True}),
    ],
)
def test_a_run_holds_no_more_images_than_are_counted_for_it(
    monkeypatch: pytest.MonkeyPatch, task: str, parameters: dict[str, Any]
) -> None:
    for module in (functional, pointwise, budget):
        monkeypatch.setattr(module, "STRIP", SIDE * SIDE // 8)
    for module in (estimate, coloured_noise):  # of large photographs there are as many
        monkeypatch.setattr(module, "MOST_BLOCKS", 1000)
    monkeypatch.setattr(budget, "HEAP", 0)  # tensors are counted here, not what is left between them
    side = SIDE // 2 if task == "sr" else SIDE
    image = picture(1, 3, side, side) * (0.2 if task in ("restore", "lowlight") else 1)
    problem = choices.task(task, {"image": image, **parameters}).problem()
    told = budget.images(problem, "mse")
    assert told / 2 < held(task, image=image, **parameters) < told


def test_derivatives_of_all_of_the_image_are_counted_where_strips_are_none(monkeypatch: pytest.MonkeyPatch) -> None:
    def counted(guided: bool = False, **options: Any) -> float:
        problem = choices.task("lowlight", {"image": 0.2 * picture(1, 3, 600, 600), **options}).problem()
        return budget.images(problem, "mse", guided)

    assert counted() < counted(fit=True) == counted(guided=True) == 2 * budget.IMAGES["derivative"]
    monkeypatch.setattr(budget, "HEAP", 12 * 600 * 600)
    assert counted() < counted(fit=True) == counted(guided=True) == budget.IMAGES["derivative"]


def test_large_channels_one_by_one_give_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    image = picture(2, 3, 48, 56)
    taps = functional.downsample_taps("bicubic", 4)

    def answers() -> list[Tensor]:
        small = functional.decimate(image, *taps, 4)
        return [small, functional.decimate_transpose(small, *taps, 4), dct.dct(image), dct.idct(image[0, 0])]

    whole = answers()
    monkeypatch.setattr(functional, "STRIP", 100)
    for one, other in zip(whole, answers(), strict=True):
        assert torch.allclose(one, other, atol=1e-6)


@pytest.mark.parametrize("distance", ["mse", "huber", "started"])
def test_large_images_in_strips_give_the_same(monkeypatch: pytest.MonkeyPatch, distance: str) -> None:
    # Of one that is not convex, the data step begins with squared error.
    started = replace(distances.PIXELWISE["huber"], convex=False)
    monkeypatch.setitem(distances.DISTANCES, "started", started)
    problem = choices.task("lowlight", {"image": 0.2 * picture(1, 3, 40, 36)}).problem()
    z = picture(1, 3, 40, 36)

    def answers() -> list[Tensor]:
        objective = EnergyObjective(problem, distance)
        return [objective.gradient(z), objective.prox(z, 0.1)]

    whole = answers()
    monkeypatch.setattr(pointwise, "STRIP", 100)
    for one, other in zip(whole, answers(), strict=True):
        assert torch.allclose(one, other, rtol=1e-5, atol=1e-6)


def test_strips_without_a_clipped_value_take_the_step_of_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    image = 0.5 * picture(1, 3, 40, 36)
    image[..., 0, 0] = 1  # which leaves open what is brighter
    stages = ("expose:gain=2", "noise:sigma=6")
    problem = choices.task("restore", {"image": image, "stages": stages}).problem()
    z = picture(1, 3, 40, 36)
    whole = EnergyObjective(problem, "mse").prox(z, 0.1)
    monkeypatch.setattr(pointwise, "STRIP", 200)
    assert torch.allclose(EnergyObjective(problem, "mse").prox(z, 0.1), whole, atol=1e-5)
