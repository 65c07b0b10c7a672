"""The checker of degradations passes right ones and says what is wrong with broken ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from gdpkit import testing
from gdpkit.components import Degradation, Shape, Unknowns
from gdpkit.params import param


@dataclass(frozen=True)
class Shrink(Degradation):
    """y = half-size means, times an unknown gain."""

    name = "shrink"
    step: int = param(2, help="How many times smaller.", min=1)

    def __call__(self, image: Tensor, *, gain: Tensor) -> Tensor:  # type: ignore[override]
        return F.avg_pool2d(image, self.step) * gain

    def unknowns(self, observed: Tensor, shape: Shape) -> Unknowns:
        return {"gain": 0.5 + observed.mean(dim=(1, 2, 3), keepdim=True)}

    def constrain(self, **unknowns: Tensor) -> Unknowns:
        return {"gain": unknowns["gain"].clamp(min=0.1)}

    def clean_shape(self, observed_shape: Shape) -> Shape:
        channels, height, width = observed_shape
        return channels, self.step * height, self.step * width


@dataclass(frozen=True)
class Half(Degradation):
    """y = x / 2."""

    name = "half"
    linear: ClassVar[bool] = True

    def __call__(self, image: Tensor) -> Tensor:  # type: ignore[override]
        return image / 2

    def adjoint(self, observed: Tensor) -> Tensor:
        return observed / 2

    def pinv(self, observed: Tensor) -> Tensor:
        return 2 * observed

    def propagate(self, sigma: float) -> float:
        return sigma / 2


@dataclass(frozen=True)
class WrongAdjoint(Half):
    """Its adjoint is its inverse."""

    def adjoint(self, observed: Tensor) -> Tensor:
        return 2 * observed


@dataclass(frozen=True)
class WrongPinv(Half):
    """Its pseudo-inverse is its adjoint."""

    def pinv(self, observed: Tensor) -> Tensor:
        return observed / 2


@dataclass(frozen=True)
class NotLinear(Half):
    """It has an offset."""

    def __call__(self, image: Tensor) -> Tensor:  # type: ignore[override]
        return image / 2 + 0.1


@dataclass(frozen=True)
class WrongNoise(Half):
    """It says that noise passes unchanged."""

    def propagate(self, sigma: float) -> float:
        return sigma


@dataclass(frozen=True)
class MixesBatch(Half):
    """It normalises over the batch."""

    def __call__(self, image: Tensor) -> Tensor:  # type: ignore[override]
        return image - image.mean()


@dataclass(frozen=True)
class Random(Half):
    """It draws noise in the call."""

    def __call__(self, image: Tensor) -> Tensor:  # type: ignore[override]
        return image + torch.randn_like(image)


@dataclass(frozen=True)
class InPlace(Half):
    """It writes into its input."""

    def __call__(self, image: Tensor) -> Tensor:  # type: ignore[override]
        return image.mul_(0.5)


@dataclass(frozen=True)
class Detached(Half):
    """Its gradient is missing a factor."""

    def __call__(self, image: Tensor) -> Tensor:  # type: ignore[override]
        return image * image.detach()


@dataclass(frozen=True)
class WrongShape(Shrink):
    """It does not say that it shrinks."""

    def clean_shape(self, observed_shape: Shape) -> Shape:
        return observed_shape


@dataclass(frozen=True)
class DriftingConstraint(Shrink):
    """Constraining twice is more than once."""

    def constrain(self, **unknowns: Tensor) -> Unknowns:
        return {"gain": unknowns["gain"] * 0.9}


@dataclass(frozen=True)
class SharedUnknown(Shrink):
    """One gain for all images."""

    def unknowns(self, observed: Tensor, shape: Shape) -> Unknowns:
        return {"gain": torch.ones(1, 1, 1, 1)}


@dataclass(frozen=True)
class NoDocstring(Half):
    name = "undocumented"


@dataclass(frozen=True)
class NoHelp(Half):
    """A field without help."""

    name = "helpless"
    amount: float = 1.0


def test_right_degradations_pass() -> None:
    testing.check_degradation(Shrink())
    testing.check_degradation(Shrink(step=3))
    testing.check_degradation(Half())
    testing.check_degradation(Half() >> Shrink() >> Half())


@pytest.mark.parametrize(
    ("broken", "complaint"),
    [
        (WrongAdjoint(), "adjoint: <D x, y>"),
        (WrongPinv(), "pinv"),
        (NotLinear(), r"D\(2x - 3z\)"),
        (WrongNoise(), "propagate"),
        (MixesBatch(), "in a batch"),
        (Random(), "random"),
        (InPlace(), "in place"),
        (Detached(), "finite difference"),
        (WrongShape(), "clean_shape"),
        (DriftingConstraint(), "once and twice"),
        (SharedUnknown(), "lead with B"),
        (NoDocstring(), "no docstring"),
        (NoHelp(), "no help"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Degradation) else "",
)
def test_broken_degradations_are_told_so(broken: Degradation, complaint: str) -> None:
    with pytest.raises(AssertionError, match=complaint):
        testing.check_degradation(broken)


def test_matrix() -> None:
    assert torch.equal(testing.matrix(Half(), (1, 2, 3)), torch.eye(6, dtype=torch.float64) / 2)


@dataclass(frozen=True)
class Brighter(Degradation):
    """y = g x^2, g unknown, with its slopes."""

    name = "brighter"
    pixelwise: ClassVar[bool] = True

    def __call__(self, image: Tensor, *, gain: Tensor) -> Tensor:  # type: ignore[override]
        return gain * image.square()

    def unknowns(self, observed: Tensor, shape: Shape) -> Unknowns:
        return {"gain": 0.5 + observed.mean(dim=(1, 2, 3), keepdim=True)}

    def slope(self, image: Tensor, *, gain: Tensor) -> tuple[Tensor, Tensor]:
        return self(image, gain=gain), 2 * gain * image

    def slope_of_unknowns(self, image: Tensor, *, gain: Tensor) -> tuple[Tensor, Unknowns]:
        return self(image, gain=gain), {"gain": image.square()}


def test_slopes_that_are_not_derivatives_are_told() -> None:
    @dataclass(frozen=True)
    class Steep(Brighter):
        """Its slopes are wrong."""

        def slope(self, image: Tensor, *, gain: Tensor) -> tuple[Tensor, Tensor]:
            return self(image, gain=gain), gain * image

    @dataclass(frozen=True)
    class Other(Brighter):
        """Its slopes are wrong."""

        def slope(self, image: Tensor, *, gain: Tensor) -> tuple[Tensor, Tensor]:
            return self(image, gain=gain + 1e-3), 2 * gain * image

    @dataclass(frozen=True)
    class Wrong(Brighter):
        """Its slopes are wrong."""

        def slope_of_unknowns(self, image: Tensor, *, gain: Tensor) -> tuple[Tensor, Unknowns]:
            return self(image, gain=gain), {"gain": image}

    @dataclass(frozen=True)
    class Silent(Brighter):
        """Its slopes are wrong."""

        def slope_of_unknowns(self, image: Tensor, *, gain: Tensor) -> tuple[Tensor, Unknowns]:
            return self(image, gain=gain), {}

    testing.check_degradation(Brighter())
    told = {
        Steep: r"slope\(\) and the derivative in the image",
        Other: r"slope\(\) gives D\(x\)",
        Wrong: "derivative in 'gain'",
        Silent: "tells of",
    }
    for broken, says in told.items():
        with pytest.raises(AssertionError, match=says):
            testing.check_degradation(broken())
