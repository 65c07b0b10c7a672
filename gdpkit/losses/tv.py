"""Total variation: the length of the gradient, which favours flat areas between sharp edges."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gdpkit.components import QualityLoss

if TYPE_CHECKING:
    from torch import Tensor

ROUNDING = 1e-3
"""Gradients well below this, a quarter of an 8-bit level, are not edges: there the loss is quadratic, so that its
own gradient exists on a flat area and stays small there."""


@dataclass(frozen=True)
class TotalVariation(QualityLoss):
    """Total variation: prefer flat areas between sharp edges, over noise and ringing.

    Q(x) = mean over pixels and channels of sqrt(|d_h x|^2 + |d_v x|^2 + e^2) - e, with forward differences that are
    0 beyond the border and e = 1e-3 (Rudin, Osher and Fatemi, "Nonlinear total variation based noise removal
    algorithms", Physica D 1992; the smoothing e is that of Acar and Vogel 1994). A flat picture has 0.
    """

    name = "tv"

    def __call__(self, image: Tensor, observed: Tensor | None) -> Tensor:
        """(B, C, H, W) -> (B,). `observed` is not used."""
        from torch.nn import functional as F

        across = F.pad(image[..., :, 1:] - image[..., :, :-1], (0, 1, 0, 0))
        down = F.pad(image[..., 1:, :] - image[..., :-1, :], (0, 0, 0, 1))
        length = (across.square() + down.square() + ROUNDING**2).sqrt() - ROUNDING
        return length.mean(dim=(1, 2, 3))
