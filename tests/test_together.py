"""Several photographs in one batch: what each would be alone, and nobody's failure is another's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from gdpkit import Denoised, Prior, Restoration, Task, budget, choices, engine, together
from gdpkit.choices import Settings
from gdpkit.engine import Stated
from gdpkit.testing import picture


@dataclass(frozen=True, eq=False)
class Blur(Prior):
    """The mean of 3x3 pixels."""

    name = "blur"
    receptive_field: ClassVar[int] = 3

    def denoise(self, noisy: Tensor, sigma: float | Tensor) -> Denoised:
        return Denoised(F.avg_pool2d(noisy, 3, 1, 1))


def photographs(count: int, *size: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(5)
    return [
        (picture(1, 3, *size) * (k + 1) / count + 0.1 * torch.randn(1, 3, *size, generator=generator)).clamp(0, 1)
        for k in range(count)
    ]


def stated(task: str, images: Sequence[Tensor], prior: Prior | None = None, **options: Any) -> list[Stated]:
    settings = Settings(prior=prior or Blur(), steps=3, fidelity=0.5, seed=4, device="cpu")
    made: list[Task] = [choices.task(task, {"image": image, **options}) for image in images]
    return [engine.state(one, settings) for one in made]


@pytest.mark.parametrize(
    ("task", "options", "prior"),
    [
        ("denoise", {"sigma": 25.0}, None),
        ("sr", {"scale": 2, "noise": 0.0}, None),
        ("sr", {"scale": 2, "noise": 0.0, "kernel": "bicubic"}, None),
        ("sr", {"scale": 2, "noise": 0.0}, "embedded"),
    ],
)
def test_each_is_what_it_is_alone(task: str, options: dict[str, Any], prior: str | None) -> None:
    given = choices.prior(prior) if prior else None
    several = stated(task, photographs(3, 24, 32), given, **options)
    assert all(together.alike(several[0], other) for other in several[1:])
    at_once = together.solve(several)
    for one, found in zip(several, at_once, strict=True):
        (alone,) = engine.solve([one])
        assert isinstance(found, Restoration)
        assert torch.equal(found.tensor, alone.tensor)
        differing = {key for key in alone.record if alone.record[key] != found.record[key]}
        assert differing <= {"seconds", "peak_memory_mib"}
        assert (found.input_image == alone.input_image).all()
    assert not torch.equal(at_once[0].tensor, at_once[1].tensor)  # type: ignore[union-attr]


def test_what_differs_is_not_put_together() -> None:
    (first,) = stated("denoise", photographs(1, 24, 32), sigma=25.0)
    for other in (
        stated("denoise", photographs(1, 24, 32), sigma=20.0),
        stated("denoise", photographs(1, 32, 24), sigma=25.0),
        stated("sr", photographs(1, 24, 32), scale=2),
    ):
        assert not together.alike(first, other[0])
    nonlinear = stated("lowlight", photographs(2, 24, 32))
    assert not together.alike(*nonlinear), "how far they are trusted is told from all of a batch"


def test_one_failure_is_nobody_elses(monkeypatch: pytest.MonkeyPatch) -> None:
    several = stated("denoise", photographs(4, 16, 16), sigma=25.0)
    solve = engine.solve

    def failing(group: Sequence[Stated], on_step: Any = None) -> list[Restoration]:
        if several[2] in group:
            raise ZeroDivisionError("of the third")
        return solve(group, on_step)

    monkeypatch.setattr(engine, "solve", failing)
    found = together.solve(several)
    assert [type(one) for one in found] == [Restoration, Restoration, ZeroDivisionError, Restoration]
    assert not any("memory" in note for one in found if isinstance(one, Restoration) for note in one.notes)


def test_when_memory_runs_out_fewer_are_restored_at_once_and_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    several = stated("denoise", photographs(4, 16, 16), sigma=25.0)
    solve = engine.solve

    def short(group: Sequence[Stated], on_step: Any = None) -> list[Restoration]:
        if len(group) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return solve(group, on_step)

    monkeypatch.setattr(engine, "solve", short)
    for found, one in zip(together.solve(several), several, strict=True):
        assert isinstance(found, Restoration)
        assert any("memory ran out with 4 images at once" in note for note in found.notes)
        assert torch.equal(found.tensor, solve([one])[0].tensor)


def test_memory_says_how_many_at_once_on_a_gpu_and_on_the_cpu_it_is_one() -> None:
    cuda = torch.device("cuda", 0)
    few, many = (budget.at_once(Blur(), (1, 1000, 1000), cuda, gb) for gb in (0.5, 8))
    assert 1 <= few < many <= budget.MOST
    assert together.most(stated("denoise", photographs(1, 16, 16), sigma=25.0)[0]) == 1
