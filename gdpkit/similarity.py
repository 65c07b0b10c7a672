"""Structural similarity, place by place: what the metric and the distance of that name share."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

SIDE = 11
SIGMA = 1.5
C1, C2 = 0.01**2, 0.03**2


class Windows:
    """SSIM's Gaussian window of 11x11 pixels and deviation 1.5 about every pixel, normalised over what it holds.

    What lies outside the image, or weighs 0, does not count. With all weights 1, means at 5 pixels and more from the
    border are those of Wang et al. 2004.
    """

    def __init__(self, weight: Tensor) -> None:
        """`weight` of the pixels, broadcastable to the images, (..., H, W)."""
        at = torch.arange(SIDE, dtype=weight.dtype, device=weight.device) - SIDE // 2
        taps = (-0.5 * (at / SIGMA).square()).exp()
        self._taps = taps / taps.sum()
        self._weight = weight
        total = _blur(weight, self._taps)
        self._inverse = (total > 0) / total.clamp_min(1e-30)
        self.spread = _blur(weight.square(), self._taps.square()) * self._inverse.square()
        """The variance of the mean of pixels with independent noise of variance 1."""

    def mean(self, values: Tensor) -> Tensor:
        """Local means, (..., H, W)."""
        return _blur(values * self._weight, self._taps) * self._inverse

    def transpose(self, values: Tensor) -> Tensor:
        """The transpose of `mean`."""
        return _blur(values * self._inverse, self._taps) * self._weight


def dissimilarity(x: Tensor, y: Tensor, windows: Windows) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The two parts of 1 - SSIM about every pixel, and what each is divided by, all (B, C, H, W).

    With d = x - y and local means mu and variances s^2, SSIM = (1 - a) (1 - b), where

        a = mu_d^2 / (mu_x^2 + mu_y^2 + C1),   b = s_d^2 / (s_x^2 + s_y^2 + C2),   C1 = 0.01^2, C2 = 0.03^2.

    This is equation 13 of Wang et al., "Image quality assessment: from error visibility to structural similarity",
    IEEE TIP 2004, in a form that keeps its digits where x and y are nearly the same.
    """
    d = x - y
    mean_x, mean_y, mean_d = windows.mean(x), windows.mean(y), windows.mean(d)
    brightness = mean_x.square() + mean_y.square()
    contrast = (windows.mean(x.square() + y.square()) - brightness).clamp_min(0) + C2
    brightness = brightness + C1
    variance = (windows.mean(d.square()) - mean_d.square()).clamp_min(0)
    return mean_d.square() / brightness, variance / contrast, brightness, contrast


def expected(y: Tensor, variance: float, windows: Windows) -> Tensor:
    """1 - SSIM that is expected between y and the image that y shows with noise of this variance, (B, C, H, W)."""
    mean = windows.mean(y)
    local = (windows.mean(y.square()) - mean.square()).clamp_min(0)
    means, within = variance * windows.spread, variance * (1 - windows.spread)
    a = means / (2 * mean.square() + C1)
    b = within / (torch.maximum(2 * local - within, local) + C2)
    return a + b - a * b


def _blur(planes: Tensor, taps: Tensor) -> Tensor:
    """Both axes by the same taps, 0 outside: (..., H, W)."""
    single = planes.reshape(-1, 1, *planes.shape[-2:])
    reach = len(taps) // 2
    taps = taps.to(single)
    single = F.conv2d(single, taps.view(1, 1, 1, -1), padding=(0, reach))
    return F.conv2d(single, taps.view(1, 1, -1, 1), padding=(reach, 0)).reshape(planes.shape)
