"""Illumination smoothness: brightness should change slowly."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gdpkit.components import QualityLoss
from gdpkit.params import param

if TYPE_CHECKING:
    from torch import Tensor

ROUNDING = 1e-5
"""About the square of an 8-bit level: products of smaller differences are not edges."""


@dataclass(frozen=True)
class IlluminationSmoothness(QualityLoss):
    """Illumination smoothness: prefer a picture, or the illumination between two, that changes slowly.

    L_tv(A) = mean over pixels of sum over channels of (|d_h A| + |d_v A|)^2, with forward differences that are 0 beyond
    the border (Guo et al., "Zero-reference deep curve estimation for low-light image enhancement", CVPR 2020, equation
    7; in Fei et al., CVPR 2023, of the map M). `of=change` takes A = x - y, what was added to the observation, which
    leaves texture that was photographed alone; where there is no observation of the image's size, and with
    `of=image`, A = x. The mixed term 2 |d_h A| |d_v A| is rounded off where it is below 1e-5.
    """

    name = "illumination-smoothness"
    of: str = param("change", help="What is to be smooth.", choices=("change", "image"))

    def __call__(self, image: Tensor, observed: Tensor | None) -> Tensor:
        """(B, 3, H, W) -> (B,)."""
        from torch.nn import functional as F

        map_ = image if observed is None or self.of == "image" else image - observed
        across, down = F.pad(map_.diff(dim=3), (0, 1, 0, 0)), F.pad(map_.diff(dim=2), (0, 0, 0, 1))
        mixed = ((across * down).square() + ROUNDING**2).sqrt() - ROUNDING
        return (across.square() + down.square() + 2 * mixed).sum(dim=1).mean(dim=(1, 2))
