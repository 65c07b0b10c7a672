"""Colour constancy: the three channels should be equally bright on average."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gdpkit.components import QualityLoss

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class ColorConstancy(QualityLoss):
    """Colour constancy: prefer a picture whose channels are equally bright on average (a grey world).

    L_col(x) = sum over (m, n) in (R,G), (R,B), (G,B) of (Y^m - Y^n)^2, Y^c the mean of channel c (Guo et al.,
    "Zero-reference deep curve estimation for low-light image enhancement", CVPR 2020, equation 6). Between 0 and 2.
    Images are in [0, 1] here; in [-1, 1], as in the released code of GDP, the same picture scores 4 times as much.
    """

    name = "color-constancy"

    def __call__(self, image: Tensor, observed: Tensor | None) -> Tensor:
        """(B, 3, H, W) -> (B,). `observed` is not used."""
        red, green, blue = image.mean(dim=(2, 3)).unbind(dim=1)
        return (red - green).square() + (red - blue).square() + (green - blue).square()
