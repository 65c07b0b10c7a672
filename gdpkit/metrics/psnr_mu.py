"""PSNR of radiance after the mu-law."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from gdpkit.components import Metric
from gdpkit.errors import GdpkitError
from gdpkit.metrics.pairs import compared
from gdpkit.params import param

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class PsnrMu(Metric):
    """PSNR in dB of scene-linear radiance compressed by the mu-law, which weighs shadows as the eye does.

    PSNR-mu = -10 log10 mean (T(x) - T(y))^2 with T(r) = log(1 + mu r / w) / log(1 + mu), mu = 5000, over all pixels
    and channels; the white w is the largest value of the truth (Kalantari and Ramamoorthi, "Deep high dynamic range
    imaging of dynamic scenes", SIGGRAPH 2017, section 3). Both pictures are linear and not bounded. A merge knows
    radiance up to a factor only: `scale=fit` multiplies the picture by the one factor that makes the median over
    pixels of truth / picture 1, each the mean of its channels, pixels at 0 left out; `scale=none` takes the numbers
    as they are. Negative values count as 0.
    """

    name = "psnr-mu"
    radiance: ClassVar[bool] = True
    mu: float = param(5000.0, help="Strength of the compression.", min=1)
    scale: str = param("fit", help="The picture's factor: the median ratio, or 1.", choices=("fit", "none"))

    def __call__(self, image: Tensor, reference: Tensor | None) -> Tensor:
        """(B, C, H, W) and the truth, of the same shape, linear, at least 0 -> (B,) in dB."""
        import torch

        x, y = (radiance.clamp_min(0) for radiance in compared(self.name, image, reference))
        white = y.amax(dim=(1, 2, 3), keepdim=True)
        if not bool((white > 0).all()):
            raise GdpkitError(f"{self.name}: the truth is black, so there is nothing to measure against")
        if self.scale == "fit":
            x = x * torch.stack([_ratio(a, b) for a, b in zip(x, y, strict=True)]).view(-1, 1, 1, 1)
        difference = (self.mu * x / white).log1p() - (self.mu * y / white).log1p()
        error = (difference / math.log1p(self.mu)).square().mean(dim=(1, 2, 3))
        return (-10 * error.log10()).to(image.dtype)


def _ratio(image: Tensor, truth: Tensor) -> Tensor:
    """The median over pixels of truth / image; 1 where no pixel of either is above 0."""
    light, wanted = image.mean(dim=0).flatten(), truth.mean(dim=0).flatten()
    lit = (light > 0) & (wanted > 0)
    return (wanted[lit] / light[lit]).median() if bool(lit.any()) else light.new_ones(())
