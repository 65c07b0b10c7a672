"""Peak signal-to-noise ratio."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gdpkit.components import Metric
from gdpkit.metrics.pairs import compared
from gdpkit.params import param

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class PSNR(Metric):
    """Peak signal-to-noise ratio in dB, over all pixels and all channels.

    PSNR = -10 log10 mean (x - y)^2, the mean over C, H and W, values in [0, 1] and so a peak of 1, no conversion to
    luma and no rounding to 8 bits. Infinite for equal pictures.
    """

    name = "psnr"
    border: int = param(0, help="Pixels left out on every side; papers on super-resolution often use 4.", min=0)

    def __call__(self, image: Tensor, reference: Tensor | None) -> Tensor:
        """(B, C, H, W) and the truth, of the same shape -> (B,) in dB."""
        x, y = compared(self.name, image, reference, self.border)
        return (-10 * (x - y).square().mean(dim=(1, 2, 3)).log10()).to(image.dtype)
