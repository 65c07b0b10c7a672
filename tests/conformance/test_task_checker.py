"""The checker of tasks passes a right one and says what is wrong with broken ones; examples are made for it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import pytest
from torch import Tensor
from torch.nn import functional as F

from gdpkit import testing
from gdpkit.components import Degradation, Observation, Problem, Result, Task
from gdpkit.params import param


@dataclass(frozen=True)
class Half(Degradation):
    """y = x / 2."""

    name = "half"
    linear: ClassVar[bool] = True

    def __call__(self, image: Tensor) -> Tensor:  # type: ignore[override]
        return image / 2


@dataclass(frozen=True)
class WrongShape(Degradation):
    """y = half-size means, but it does not say that it shrinks."""

    name = "shrink"

    def __call__(self, image: Tensor) -> Tensor:  # type: ignore[override]
        return F.avg_pool2d(image, 2)


@dataclass(frozen=True, eq=False)
class Brighten(Task):
    """Restore a picture of half the brightness."""

    name = "brighten"
    examples: ClassVar[tuple[str, ...]] = ("gdpkit run brighten dark.png",)
    image: Path = param(help="The dark picture.")

    def problem(self) -> Problem:
        return Problem((Observation(testing.picture(1, 3, 16, 16) / 2, Half(), 1.0),))


@dataclass(frozen=True, eq=False)
class WrongSize(Brighten):
    """Its degradation does not give the size that was observed."""

    def problem(self) -> Problem:
        return Problem((Observation(testing.picture(1, 3, 16, 16) / 2, WrongShape(), 1.0),))


@dataclass(frozen=True, eq=False)
class InLevels(Brighten):
    """It reads pictures in 0..255."""

    def problem(self) -> Problem:
        return Problem((Observation(testing.picture(1, 3, 16, 16) * 255, Half(), 1.0),))


@dataclass(frozen=True, eq=False)
class ForgetsBatch(Brighten):
    """Its output has no batch."""

    def finish(self, result: Result) -> Tensor:
        return result.image[0]


@dataclass(frozen=True, eq=False)
class OtherExample(Brighten):
    """Its example is of another task."""

    examples: ClassVar[tuple[str, ...]] = ("gdpkit run darken bright.png",)


def test_a_right_task_passes(tmp_path: Path) -> None:
    testing.check_task(testing.example(Brighten, tmp_path))
    assert (tmp_path / "image.png").is_file()


@pytest.mark.parametrize(
    ("broken", "complaint"),
    [
        (WrongSize, "its degradation of"),
        (InLevels, r"not within \[0, 1\]"),
        (ForgetsBatch, "finish"),
        (OtherExample, "is not a `gdpkit run"),
    ],
)
def test_broken_tasks_are_told_so(broken: type[Task], complaint: str, tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match=complaint):
        testing.check_task(testing.example(broken, tmp_path))


def test_examples_fill_required_files_only(tmp_path: Path) -> None:
    @dataclass(frozen=True)
    class Masked(Half):
        """Needs a file and several."""

        example_params: ClassVar[dict[str, int]] = {"count": 3}
        file: Path = param(help="A mask.")
        bracket: tuple[Path, ...] = param(help="Exposures.")
        count: int = param(help="A number.", min=2)
        other: Path | None = param(None, help="Not required.")

    Masked.__annotations__.update(file=Path, bracket=tuple[Path, ...], count=int, other=Path | None)
    masked = testing.example(Masked, tmp_path)
    assert masked.file == tmp_path / "file.png" and masked.file.is_file()
    assert [path.name for path in masked.bracket] == ["bracket0.png", "bracket1.png", "bracket2.png"]
    assert (masked.count, masked.other) == (3, None)
    assert testing.example(Masked, tmp_path, count=5).count == 5
