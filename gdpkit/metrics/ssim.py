"""Structural similarity."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gdpkit.components import Metric
from gdpkit.metrics.pairs import compared
from gdpkit.params import param

if TYPE_CHECKING:
    from torch import Tensor

WINDOW = 11
SIGMA = 1.5
K1, K2 = 0.01, 0.03


@dataclass(frozen=True)
class SSIM(Metric):
    """Structural similarity in [-1, 1], 1 for equal pictures, mean over the channels.

    With local means mu, variances s^2 and covariance s_xy under an 11x11 Gaussian window of deviation 1.5,

        SSIM = (2 mu_x mu_y + C1) (2 s_xy + C2) / ((mu_x^2 + mu_y^2 + C1) (s_x^2 + s_y^2 + C2)),

    C1 = 0.01^2, C2 = 0.03^2 for values in [0, 1] (Wang et al., "Image quality assessment: from error visibility to
    structural similarity", IEEE TIP 2004, equation 13), averaged over every place where the window fits, of each
    channel. As skimage's `structural_similarity(gaussian_weights=True, sigma=1.5, use_sample_covariance=False)`.
    """

    name = "ssim"
    border: int = param(0, help="Pixels left out on every side.", min=0)

    def __call__(self, image: Tensor, reference: Tensor | None) -> Tensor:
        """(B, C, H, W) and the truth, of the same shape, at least 11x11 -> (B,)."""
        import torch

        x, y = compared(self.name, image, reference, self.border, smallest=WINDOW)
        mean_x, mean_y, mean_xx, mean_yy, mean_xy = _blur(torch.stack((x, y, x * x, y * y, x * y))).unbind()
        c1, c2 = K1**2, K2**2
        both = mean_x * mean_y
        squares = mean_x.square() + mean_y.square()
        covariance = mean_xy - both
        variances = mean_xx + mean_yy - squares
        similarity = (2 * both + c1) * (2 * covariance + c2) / ((squares + c1) * (variances + c2))
        return similarity.mean(dim=(1, 2, 3)).to(image.dtype)


def _blur(planes: Tensor) -> Tensor:
    """Weighted local means where the window fits: (..., H, W) -> (..., H - 10, W - 10)."""
    import torch
    from torch.nn import functional as F

    at = torch.arange(WINDOW, dtype=planes.dtype, device=planes.device) - WINDOW // 2
    weights = (-0.5 * (at / SIGMA).square()).exp()
    weights = weights / weights.sum()
    single = planes.reshape(-1, 1, *planes.shape[-2:])
    single = F.conv2d(F.conv2d(single, weights.view(1, 1, 1, -1)), weights.view(1, 1, -1, 1))
    return single.reshape(*planes.shape[:-2], *single.shape[-2:])
