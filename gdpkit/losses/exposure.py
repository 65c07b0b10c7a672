"""Exposure control: patches of the picture should have a given mean."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gdpkit.components import QualityLoss
from gdpkit.params import param

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class ExposureControl(QualityLoss):
    """Exposure control: prefer a picture whose patches are as bright as `target` on average.

    L_exp(x) = mean over patches k of |R_k - E|, R_k the mean of the three channels in the k-th patch of 16x16 pixels, E
    the target, 0.6 by default (Guo et al., "Zero-reference deep curve estimation for low-light image enhancement", CVPR
    2020, equation 5). Patches do not overlap; those that the border cuts count by their area. |t| is rounded off within
    1e-3 of the target. Between 0 and 1.
    """

    name = "exposure"
    target: float = param(0.6, help="E: the mean wanted.", min=0, max=1)
    patch: int = param(16, help="Side of a patch.", min=1, max=4096, unit="pixels")

    def __call__(self, image: Tensor, observed: Tensor | None) -> Tensor:
        """(B, 3, H, W) -> (B,). `observed` is not used."""
        from gdpkit.losses import patches

        means, areas = patches.means(image.mean(dim=1, keepdim=True), self.patch)
        off = patches.magnitude(means - self.target)
        return (areas * off).sum(dim=(1, 2, 3)) / areas.sum()
