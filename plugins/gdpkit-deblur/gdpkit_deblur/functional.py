"""What a blurred photograph tells about its noise."""

from __future__ import annotations

import math

import torch
from torch import Tensor

LOST = 0.02  # the share of the frequencies where the kernel leaves least
LOW = 0.1  # lower frequencies, of the sampling rate, are never lost


def noise_behind(image: Tensor, kernel: Tensor) -> float:
    """Deviation of the noise of a blurred image (B, C, H, W), in its units.

    Taken at the frequencies where the kernel leaves least of the scene, whose spectrum is assumed to fall with the
    square of the frequency; what is left there is noise. The median of its power, which is exponentially distributed,
    is ln 2 of the mean.
    """
    height, width = image.shape[-2:]
    window = _window(height)[:, None] * _window(width)
    power = torch.fft.fft2((image.double() - image.double().mean((2, 3), keepdim=True)) * window).abs().square()
    power = power / window.square().sum()
    size = [max(length, side) for length, side in zip((height, width), kernel.shape, strict=True)]
    padded = torch.zeros(size, dtype=torch.float64)
    padded[: kernel.shape[0], : kernel.shape[1]] = kernel
    down, across = torch.fft.fftfreq(height).double()[:, None], torch.fft.fftfreq(width).double()
    frequency = (down**2 + across**2).sqrt()
    blur = torch.fft.fft2(padded, s=(height, width)) if size == [height, width] else torch.ones(height, width)
    left = torch.where(frequency > LOW, blur.abs() / frequency.clamp_min(LOW), math.inf)
    chosen = left <= left.flatten().kthvalue(max(8, round(LOST * left.numel()))).values
    return float((power[..., chosen].median() / math.log(2)).sqrt())


def _window(size: int) -> Tensor:
    """Hann's, squared: what it lets through from far frequencies is below the rounding of 16 bits."""
    return torch.hann_window(size, periodic=False, dtype=torch.float64).square()
