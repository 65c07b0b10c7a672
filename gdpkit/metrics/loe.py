"""Lightness order error."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from gdpkit.components import Metric
from gdpkit.metrics.pairs import compared
from gdpkit.params import param

if TYPE_CHECKING:
    from torch import Tensor

SIDE = 50
REACH = 7


@dataclass(frozen=True)
class LightnessOrderError(Metric):
    """How far an enhanced picture changes which of two places is the lighter one; 0 is best.

    L is the largest channel, in whole levels of 255, and U(x, y) = [L(x) >= L(y)]. The picture is brought down until
    its short side has about 50 places, and

        LOE = 1/m sum_x sum_y [U(x, y) != U_e(x, y)]

    over all pairs of the m places that remain, between the input and the enhanced picture (Wang, Zheng, Hu and Li,
    "Naturalness preserved enhancement algorithm for non-uniform illumination images", IEEE TIP 2013, equations 19
    and 20). It grows with m: values compare between pictures of one format.

    Two ways down are in use and give different numbers. `resized`, the usual one: L is reduced by the factor 50 / short
    side with an antialiased bicubic kernel, as MATLAB's imresize does, and rounded to whole levels (Guo, Li and Ling,
    "LIME", IEEE TIP 2017, section IV, and the programs that circulate with the low-light papers). `maximum`: the
    program LOE.m of Wang et al., the maximum over 15x15 pixels, then every s-th row and column,
    s = floor(short side / 50); it follows the noise of the input, so that denoising alone costs hundreds.
    """

    name = "loe"
    reference: ClassVar[Literal["truth", "input", "exposures", "none"]] = "input"
    higher_is_better: ClassVar[bool] = False

    places: str = param("resized", help="How the picture is brought down.", choices=("resized", "maximum"))

    def __call__(self, image: Tensor, reference: Tensor | None) -> Tensor:
        """(B, C, H, W) and the input, of the same shape -> (B,), between 0 and the number of places."""
        import torch

        x, y = compared(self.name, image, reference)
        places = _highest if self.places == "maximum" else _reduced
        return torch.stack([_changed(places(a), places(b)) for a, b in zip(x, y, strict=True)]).to(image.dtype)


def _reduced(image: Tensor) -> Tensor:
    """(C, H, W) -> the lightness of the places compared, (m,), by reduction; smaller pictures stay as they are."""
    from gdpkit import functional

    lightness = (255 * image).round().amax(dim=0)
    height, width = lightness.shape
    scale = min(1.0, SIDE / min(height, width))
    small = functional.resize(lightness[None, None], (round(scale * height), round(scale * width)))
    return small.round().clamp(0, 255).flatten()


def _highest(image: Tensor) -> Tensor:
    """The same by the maximum around and by sampling."""
    from torch.nn import functional as F

    lightness = (255 * image).round().amax(dim=0)
    lightness = F.max_pool2d(lightness[None, None], 2 * REACH + 1, stride=1, padding=REACH)[0, 0]
    step = max(1, min(lightness.shape) // SIDE)
    return lightness[step - 1 :: step, step - 1 :: step].flatten()


def _changed(x: Tensor, y: Tensor) -> Tensor:
    """The mean over places of how many others have changed their order."""
    import torch

    total = torch.zeros((), dtype=torch.float64)
    for one, other in zip(torch.split(x, 1024), torch.split(y, 1024), strict=True):
        total += ((one[:, None] >= x) != (other[:, None] >= y)).sum().cpu()
    return total / len(x)
