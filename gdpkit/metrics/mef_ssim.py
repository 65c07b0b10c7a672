"""Structural similarity of a fused picture to the exposures it was made from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from gdpkit.components import Metric
from gdpkit.errors import GdpkitError, ImageError
from gdpkit.params import param

if TYPE_CHECKING:
    from torch import Tensor

WEIGHTS = (0.0448, 0.2856, 0.3001)
"""Exponents of the scales before they are scaled to the sum 1: the first three of MS-SSIM."""


@dataclass(frozen=True)
class MefSSIM(Metric):
    """Structural similarity of a picture to a static bracket of exposures, about 0 to 1; higher is better.

    In every window of 11x11 pixels of luma, each exposure is a mean, a strength (the norm of what differs from the
    mean) and a direction. The window to be seen has the greatest strength of them, and the mean of the directions
    weighted by strength^p, p = tan(pi R / 2), where R says how well they agree. The picture is compared with it by
    the contrast and structure term of SSIM, so that its brightness does not count, and the mean over all windows is
    taken at three scales, whose values are multiplied with exponents 0.0448, 0.2856 and 0.3001 over their sum (Ma,
    Zeng and Wang, "Perceptual quality assessment for multi-exposure image fusion", IEEE TIP 2015, equations 4 to 14).
    The exposures must be aligned and must not move. A scale that contradicts them counts as 0.
    """

    name = "mef-ssim"
    reference: ClassVar[Literal["truth", "input", "exposures", "none"]] = "exposures"
    example_params: ClassVar[Mapping[str, Any]] = {"scales": 2}
    scales: int = param(3, help="Scales; 3 need 44 pixels a side.", min=1, max=3)

    def __call__(self, image: Tensor, reference: Tensor | None) -> Tensor:
        """(B, C, H, W) and K >= 1 exposures of it, (B, K, C, H, W) -> (B,)."""
        import torch

        from gdpkit.metrics import fusion, windows

        if reference is None or reference.ndim != 5:
            raise GdpkitError(f"{self.name} compares a picture with the exposures it was made from, (B, K, C, H, W)")
        (height, width), (rows, columns) = image.shape[-2:], reference.shape[-2:]
        if (height, width) != (rows, columns):
            sizes = f"{width}x{height} and {columns}x{rows}"
            raise ImageError(f"{self.name}: the picture and the exposures differ in size, {sizes} pixels")
        smallest = fusion.SIDE * 2 ** (self.scales - 1)
        if min(height, width) < smallest:
            raise ImageError(f"{self.name}: {width}x{height} is too small; {smallest}x{smallest} pixels are needed")
        fused = 255 * windows.luma(image.double())[:, 0]
        exposures = 255 * torch.stack([windows.luma(one)[:, 0] for one in reference.double().unbind(1)], dim=1)
        product = torch.ones_like(fused[:, 0, 0])
        for scale in range(self.scales):
            quality = fusion.quality(exposures, fused).clamp_min(0)
            product = product * quality ** (WEIGHTS[scale] / sum(WEIGHTS[: self.scales]))
            fused, exposures = windows.halved(fused), windows.halved(exposures)
        return product.to(image.dtype)
