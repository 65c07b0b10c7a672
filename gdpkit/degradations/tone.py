"""Changing the brightness: gain and gamma."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from gdpkit.components import Degradation, Noise, Shape, SingularSystem
from gdpkit.params import param

if TYPE_CHECKING:
    from torch import Tensor

TOE = 2.0**-12
"""Below this, a 16th of an 8-bit level, gamma is a straight line: the power's slope at 0 is infinite, or nothing."""


@dataclass(frozen=True)
class Gain(Degradation):
    """Multiply the encoded values: y = g x. What exceeds white is clipped when it is recorded.

    White values of the observation weigh nothing where g > 1: the clean ones may be anything from 1 / g up.
    """

    name = "gain"
    linear: ClassVar[bool] = True
    pixelwise: ClassVar[bool] = True
    factor: float = param(0.5, help="g: below 1 darkens.", min=0.01, max=16)

    def __call__(self, image: Tensor) -> Tensor:  # type: ignore[override]
        """(B, C, H, W) -> the same, g times as bright; not clipped, so that it is linear."""
        return self.factor * image

    def simulate(self, image: Tensor, noise: Noise, **unknowns: Tensor) -> Tensor:
        """Clipped to [0, 1], as a camera would."""
        return self(image).clamp(0, 1)

    def adjoint(self, observed: Tensor) -> Tensor:
        """The transpose: the same factor."""
        return self(observed)

    def pinv(self, observed: Tensor) -> Tensor:
        """The inverse: y / g."""
        return observed / self.factor

    def spectral(self, shape: Shape, **unknowns: Tensor) -> SingularSystem:
        """One singular value: g."""
        from gdpkit import spectra

        return spectra.tight(self, self.adjoint, self.factor**2)

    def measured(self, observed: Tensor) -> Tensor | None:
        """Where g > 1, clipped values weigh 0."""
        return (observed < 1).to(observed) if self.factor > 1 else None

    def propagate(self, sigma: float) -> float:
        """Noise is multiplied as well."""
        return self.factor * sigma

    def at_scale(self, s: int) -> Degradation:
        """The same."""
        return self


@dataclass(frozen=True)
class Gamma(Degradation):
    """Bend the encoded values: y = x^gamma; above 1 darkens the middle tones and leaves black and white.

    Continued with a straight line through 0 below 1/4096, so that its slope stays finite and values below 0 keep their
    sign. Noise before it is taken to pass unchanged, as it does on average over the range: the mean slope is 1.
    """

    name = "gamma"
    pixelwise: ClassVar[bool] = True
    exponent: float = param(2.2, help="gamma: above 1 darkens.", min=0.1, max=10)

    def __call__(self, image: Tensor) -> Tensor:  # type: ignore[override]
        """(B, C, H, W) -> the same."""
        import torch

        line = TOE ** (self.exponent - 1) * image
        return torch.where(image < TOE, line, image.clamp_min(TOE) ** self.exponent)

    def simulate(self, image: Tensor, noise: Noise, **unknowns: Tensor) -> Tensor:
        """Clipped to [0, 1], as a camera would."""
        return self(image).clamp(0, 1)

    def at_scale(self, s: int) -> Degradation:
        """The same, nearly: the mean of powers is the power of the mean where the image is smooth."""
        return self
