"""Sensor noise."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from gdpkit.components import Degradation, Shape, SingularSystem
from gdpkit.params import param

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class GaussianNoise(Degradation):
    """Add white Gaussian noise: y = x + n, n ~ N(0, sigma^2). Its mean is the image itself."""

    name = "noise"
    linear: ClassVar[bool] = True
    pixelwise: ClassVar[bool] = True
    sigma: float = param(25.0, help="Deviation of the noise.", min=0, max=255, unit="0..255")

    @property
    def noise_sigma(self) -> float:
        """`sigma`."""
        return self.sigma

    def __call__(self, image: Tensor) -> Tensor:  # type: ignore[override]
        """The image."""
        return image

    def adjoint(self, observed: Tensor) -> Tensor:
        """The transpose: the identity."""
        return observed

    def pinv(self, observed: Tensor) -> Tensor:
        """The pseudo-inverse: the identity."""
        return observed

    def spectral(self, shape: Shape, **unknowns: Tensor) -> SingularSystem:
        """That of the identity."""
        from gdpkit import spectra

        return spectra.IDENTITY
