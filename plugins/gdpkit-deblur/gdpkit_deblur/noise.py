"""What the spectrum of a blurred photograph tells about its noise, and about errors that are none.

Where the kernel leaves next to nothing of the scene, what is seen there is noise, and undoing the blur would
multiply it by as much as the kernel divides. White noise shows in the frequencies that are left least. What a lossy
file, a change of size or a kernel that is not quite the right one put in shows in between: as more than the law of
photographs, that power falls with a power of the frequency, and the kernel allow.
"""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from gdpkit import overexposure
from gdpkit.blind_spectrum import TOLD, fall

LOST = 0.02  # the share of the frequencies where the kernel leaves least
LOW = 0.1  # lower frequencies, of the sampling rate, are never lost
LARGEST = 1024  # pixels: of larger pictures, the middle
LOBE = 3  # frequencies on either side into which the window spreads one
GROUPS = 16
NEAR = 12  # pixels
CLEAR = 0.1  # so much of a picture must be away from white, or it is looked at as a whole
STRUCTURE = 15.0
"""A power so many times the expected one may be the scene's: with three kernels, one of 24 photographs was taken to
have errors that it had not, of a third of a level."""
MEASURED = 1.25  # what errors add to the variance of white noise shows above this
ROUGH = 4.0
"""So many deviations errors of other kinds count for: they keep to edges and to places, so that they are stronger there
than their mean, and worse than white noise (files cut out of JPEGs, resized JPEGs, kernels a fifth too wide)."""


def noise_behind(image: Tensor, kernel: Tensor) -> tuple[float, float]:
    """Deviations of the white noise of a blurred image (B, C, H, W) and of its other errors, in its units.

    Args:
        image: in [0, 1].
        kernel: what blurred it, (h, w).
    """
    image = middle(image).double()
    height, width = image.shape[-2:]
    window = _window(height)[:, None] * _window(width)
    window = window * _apart_from_white(image) if bool((image >= overexposure.WHITE).any()) else window
    mean = (image * window).sum((2, 3), keepdim=True) / window.sum()
    power = torch.fft.fft2((image - mean) * window).abs().square() / window.square().sum()
    blur = _spectrum(kernel, height, width)
    down, across = torch.fft.fftfreq(height).double()[:, None], torch.fft.fftfreq(width).double()
    frequency = (down**2 + across**2).sqrt()
    white = _white(power, blur, frequency)
    return math.sqrt(white), math.sqrt(_unexplained(power.flatten(0, 1), blur, frequency, white))


def _white(power: Tensor, blur: Tensor, frequency: Tensor) -> float:
    """The variance where the kernel leaves least of the scene.

    Its spectrum is assumed to fall with the square of the frequency. The median of the power, which is exponentially
    distributed, is ln 2 of the mean.
    """
    left = torch.where(frequency > LOW, blur / frequency.clamp_min(LOW), math.inf)
    chosen = left <= left.flatten().kthvalue(max(8, round(LOST * left.numel()))).values
    return float(power[..., chosen].median() / math.log(2))


def _unexplained(power: Tensor, blur: Tensor, frequency: Tensor, white: float) -> float:
    """The variance of ROUGH times what neither the scene nor the white noise explains, 0 where they do.

    power: (channels, H, W). A pattern of the scene has few strong frequencies, errors have many: medians tell them
    apart.
    """
    height, width = power.shape[-2:]
    mean = power.mean(0)  # of channels
    inside = frequency > (LOBE + 1) / min(height, width)
    distance = frequency.clamp_min(1e-12).log()
    weight = ((blur > TOLD) & inside) / frequency.clamp_min(1e-12)
    if int((weight > 0).sum()) < GROUPS:
        return 0.0
    law = fall(distance, mean.clamp_min(1e-30).log() - 2 * blur.clamp_min(1e-30).log(), weight)
    expected = (law.slope * (distance - law.distance) + law.level).exp() * blur.square()
    expected = _spread(torch.where(inside, expected, mean))[inside]
    order = expected.argsort(descending=True)
    seen = power[:, inside][:, order].tensor_split(GROUPS, dim=1)
    excess = [
        float(p.median(1).values.mean() / math.log(2) - STRUCTURE * e.mean()) - MEASURED * white
        for e, p in zip(expected[order].tensor_split(GROUPS), seen, strict=True)
    ]
    lasting = max(min(pair) for pair in pairwise(excess))
    return ROUGH**2 * max(0.0, lasting)


def _apart_from_white(image: Tensor) -> Tensor:
    """A window (H, W) without what is clipped, whose edges, being made by the sensor, no kernel has softened."""
    import cv2

    white = (image >= overexposure.WHITE).any(1).any(0).numpy().astype("uint8")
    near = cv2.dilate(white, np.ones((2 * NEAR + 1, 2 * NEAR + 1), "uint8"))
    clear = 1.0 - near
    if clear.mean() < CLEAR:
        return torch.ones(image.shape[-2:], dtype=image.dtype)
    return torch.from_numpy(cv2.GaussianBlur(clear, (0, 0), NEAR / 3))


def _spread(power: Tensor) -> Tensor:
    """As the window's main lobe spreads it."""
    for axis in (0, 1):
        lobe = torch.fft.fft(_window(power.shape[axis])).abs().square().roll(LOBE)[: 2 * LOBE + 1]
        lobe = lobe / lobe.sum()
        power = torch.stack([w * power.roll(i - LOBE, axis) for i, w in enumerate(lobe.tolist())]).sum(0)
    return power


def _spectrum(kernel: Tensor, height: int, width: int) -> Tensor:
    """|K| at the frequencies of the picture; 1 where it is smaller than the kernel."""
    rows, columns = kernel.shape
    if rows > height or columns > width:
        return torch.ones(height, width, dtype=torch.float64)
    found: Tensor = torch.fft.fft2(F.pad(kernel.double(), (0, width - columns, 0, height - rows)))
    return found.abs()


def middle(image: Tensor, largest: int = LARGEST) -> Tensor:
    """So many pixels of it each way, or all that there are."""
    cut = [(max(0, side - largest) // 2, min(side, largest)) for side in image.shape[-2:]]
    (top, height), (left, width) = cut
    return image[..., top : top + height, left : left + width]


def _window(size: int) -> Tensor:
    """Hann's, squared: what it lets through from far frequencies is below the rounding of 16 bits."""
    return torch.hann_window(size, periodic=False, dtype=torch.float64).square()
