"""Spatial consistency: what was brighter than its neighbour stays so, by as much."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gdpkit.components import QualityLoss
from gdpkit.params import param

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class SpatialConsistency(QualityLoss):
    """Spatial consistency: prefer a picture whose regions differ from their neighbours as in the observation.

    L_spa(x) = mean over regions i of sum over the 4 neighbours j of (|Y_i - Y_j| - |I_i - I_j|)^2, with Y and I the
    mean of the channels in regions of 4x4 pixels of picture and observation (Guo et al., "Zero-reference deep
    curve estimation for low-light image enhancement", CVPR 2020, equation 4). Beyond the border there is no
    neighbour. `gain` multiplies I: a picture meant to be 3 times as bright has 3 times the contrast. 0 without an
    observation of the picture's size.
    """

    name = "spatial-consistency"
    region: int = param(4, help="Side of a region.", min=1, max=256, unit="pixels")
    gain: float = param(
        1.0, help="How much brighter than the observation the picture is meant to be.", min=0.01, max=256
    )

    def __call__(self, image: Tensor, observed: Tensor | None) -> Tensor:
        """(B, 3, H, W) -> (B,)."""
        from gdpkit.losses import patches

        if observed is None:
            return 0 * image.sum(dim=(1, 2, 3))
        new, shares = patches.means(image.mean(dim=1, keepdim=True), self.region)
        old, _ = patches.means(observed.mean(dim=1, keepdim=True), self.region)
        total = image.new_zeros(len(image))
        for axis in (2, 3):
            off = patches.magnitude(new.diff(dim=axis)) - self.gain * patches.magnitude(old.diff(dim=axis))
            total = total + 2 * off.square().sum(dim=(1, 2, 3))  # each pair of neighbours is met from both sides
        return total / shares.numel()
