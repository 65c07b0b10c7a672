"""The noise of a sensor that counts photons."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from gdpkit.components import Degradation, Noise, Shape, SingularSystem
from gdpkit.params import param

if TYPE_CHECKING:
    from torch import Tensor

SMOOTHED = 7


@dataclass(frozen=True)
class PoissonGaussian(Degradation):
    """Count photons and read them out: y = gain P(x / gain) + n, n ~ N(0, read^2), in levels of 0..255.

    The mean is the image, the variance gain x + read^2 (Foi et al., "Practical Poissonian-Gaussian noise modeling and
    fitting", IEEE TIP 2008). Dark pixels are measured better than bright ones: `measured` weighs each by the inverse of
    its variance.
    """

    name = "poisson-gaussian"
    linear: ClassVar[bool] = True
    pixelwise: ClassVar[bool] = True
    gain: float = param(1.0, help="Levels for each photon: the variance grows by this for each level.", min=0, max=255)
    read: float = param(2.0, help="Deviation of the read-out noise.", min=0, max=255, unit="0..255")

    @property
    def noise_sigma(self) -> float:
        """At middle grey."""
        return math.sqrt(self.gain * 127.5 + self.read**2)

    def __call__(self, image: Tensor) -> Tensor:  # type: ignore[override]
        """The image."""
        return image

    def simulate(self, image: Tensor, noise: Noise, **unknowns: Tensor) -> Tensor:
        """Photons, then read-out noise, from two draws."""
        from gdpkit import functional

        arrived, read = (noise.normal(image.shape, image.device) for _ in range(2))
        if self.gain:
            image = self.gain / 255 * functional.poisson(255 / self.gain * image.clamp_min(0), arrived)
        return image + self.read / 255 * read

    def measured(self, observed: Tensor) -> Tensor | None:
        """(Noise at middle grey / noise here)^2, the brightness here being a mean of 7x7 pixels."""
        from torch.nn import functional as F

        from gdpkit import functional

        if not self.gain:
            return None
        side = SMOOTHED // 2
        smooth = F.avg_pool2d(functional.pad_reflect(observed, side, side, side, side), SMOOTHED, stride=1)
        # A mean of nothing but black says no more than that it is below one photon a patch.
        variance = self.gain * (255 * smooth).clamp_min(self.gain / SMOOTHED**2) + self.read**2
        return self.noise_sigma**2 / variance

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
