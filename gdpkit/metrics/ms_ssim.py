"""Structural similarity at several scales."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from gdpkit.components import Metric
from gdpkit.metrics.pairs import compared
from gdpkit.params import param

if TYPE_CHECKING:
    from torch import Tensor

WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
"""Exponents of the scales, finest first (Wang, Simoncelli and Bovik 2003, section 3.2)."""


@dataclass(frozen=True)
class MultiScaleSSIM(Metric):
    """Structural similarity at five scales in [0, 1], 1 for equal pictures, mean over the channels.

    MS-SSIM = l_M prod_j cs_j^w_j, with the contrast and structure term cs of SSIM at each scale and its luminance
    term l at the coarsest, 11x11 Gaussian windows of deviation 1.5 where they fit, and means over 2x2 pixels from a
    scale to the next (Wang, Simoncelli and Bovik, "Multi-scale structural similarity for image quality assessment",
    Asilomar 2003, equation 7; l and cs of the coarsest scale are multiplied before their mean). A negative term
    counts as 0. Five scales need 161 pixels a side; with fewer the exponents are scaled to the same sum, 1.0001.
    """

    name = "ms-ssim"
    example_params: ClassVar[Mapping[str, Any]] = {"scales": 2}
    scales: int = param(5, help="Scales; 5 need 161 pixels a side, 4 need 81, 3 need 41.", min=1, max=5)

    def __call__(self, image: Tensor, reference: Tensor | None) -> Tensor:
        """(B, C, H, W) and the truth, of the same shape -> (B,)."""
        import torch

        from gdpkit import similarity
        from gdpkit.metrics import windows

        least = [(similarity.SIDE - 1) * 2**coarser + 1 for coarser in range(self.scales)]
        fitting = sum(side <= min(image.shape[-2:]) for side in least)
        instead = f", or fewer scales: ms-ssim:scales={fitting}" if 0 < fitting < self.scales else ""
        x, y = compared(self.name, image, reference, smallest=least[-1], instead=instead)
        taps = windows.gaussian(similarity.SIDE, similarity.SIGMA)
        share = sum(WEIGHTS) / sum(WEIGHTS[: self.scales])
        product = torch.ones_like(x[:, :, 0, 0])
        for scale in range(self.scales):
            mean_x, mean_y = windows.filtered(x, taps), windows.filtered(y, taps)
            squares = windows.filtered(x.square() + y.square(), taps) - mean_x.square() - mean_y.square()
            both = windows.filtered(x * y, taps) - mean_x * mean_y
            term = (2 * both + similarity.C2) / (squares + similarity.C2)
            if scale == self.scales - 1:
                brightness = mean_x.square() + mean_y.square() + similarity.C1
                term = term * (2 * mean_x * mean_y + similarity.C1) / brightness
            product = product * term.mean(dim=(2, 3)).clamp_min(0) ** (share * WEIGHTS[scale])
            x, y = windows.halved(x), windows.halved(y)
        return product.mean(dim=1).to(image.dtype)
