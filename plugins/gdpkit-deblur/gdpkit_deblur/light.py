"""Whether light was blurred, as by a lens or a hand, or the values of a file, as by a program."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from gdpkit import functional, overexposure, weighed_blur
from gdpkit import grey as grey_noise
from gdpkit.blind_spectrum import Spectrum
from gdpkit_deblur.noise import CLEAR, middle
from gdpkit_deblur.roughly import borderless

MISFIT, ROUGHER, BEYOND, SHIFT = 2.5, 4.8, 0.42, 3.7
"""Of a logistic regression over 12 photographs, four kernels, two exposures and two noises; judged on 12 others, three
kernels, with JPEG, noise, and a kernel a tenth too wide."""

CUT, STEEP, STEEPEST = 3.0, 5.0, 20.0
"""A program blurs what was white already, and white fades by a level or two from pixel to pixel, by 8 next to it with a
short motion; what a sensor clips is as steep next to white as elsewhere: 8 to 25 levels for light twice as bright as
white. Only what is steep says anything: next to white, JPEG takes most of it."""
FEW = 60  # white values that tell nothing

SIDE = 512  # pixels: of larger pictures, the middle
LEAST = 0.35 / 255  # noise that rounding leaves
NEAR = 20  # pixels from white, where sharpened edges are the sensor's
EDGE = 12  # pixels from the border


def odds(image: Tensor, kernel: Tensor, sigma: float) -> float:
    """The logarithm of the odds that light was blurred, where both are as likely before it is looked at.

    Of a wrong law, edges between dark and bright are no sum of shifted copies: undone, they ring, so that gradients
    are larger and more lies beyond black and white. And frequencies that the kernel takes out of the light are in the
    values all the same. Gaussians, which take out none, hardly tell. What is white and sharply cut off was clipped by a
    sensor, after the blur.

    Args:
        image: (B, C, H, W) in [0, 1].
        kernel: (h, w).
        sigma: the noise of a channel, in the units of the image.
    """
    image = middle(image, SIDE)
    grey = image.mean((0, 1))[None, None]
    light, noise = functional.srgb_decoded(grey), max(LEAST, sigma / math.sqrt(grey_noise.channels(image)))
    values = borderless(grey, kernel, noise)
    lit = weighed_blur.encoded(borderless(light, kernel, noise))
    clear = _clear(image)
    rougher = math.log(_gradients(values, clear) / _gradients(lit, clear))
    beyond = math.log(_beyond(values, clear) / _beyond(lit, clear))
    misfit = _misfit(grey[0, 0], kernel) - _misfit(light[0, 0], kernel)
    return MISFIT * misfit + ROUGHER * rougher + BEYOND * beyond + SHIFT + _cut_off(image)


def _cut_off(image: Tensor) -> float:
    """What white adds to the odds, by how much darker the values next to it are."""
    white = (image >= overexposure.WHITE).to(image)
    beside = F.max_pool2d(white, 3, 1, 1) > white
    if white.sum() < FEW or not beside.any():
        return 0.0
    levels = 255 * float((1 - image[beside]).mean())
    return CUT * math.log(min(max(levels, STEEP), STEEPEST) / STEEP)


def _clear(image: Tensor) -> Tensor:
    """Pixels (1, 1, H, W) away from white and from the border, 1 there and 0 elsewhere."""
    white = (image >= overexposure.WHITE).any(1).any(0)[None, None].to(image)
    clear = 1 - F.max_pool2d(white, 2 * NEAR + 1, 1, NEAR)
    if clear.mean() < CLEAR:
        clear = torch.ones_like(clear)
    inner = torch.zeros_like(clear)
    edge = min(EDGE, min(clear.shape[-2:]) // 4)
    inside = (..., slice(edge, clear.shape[-2] - edge), slice(edge, clear.shape[-1] - edge))
    inner[inside] = clear[inside]
    return inner if inner.any() else clear


def _gradients(image: Tensor, clear: Tensor) -> float:
    seen = image.clamp(0, 1)
    square = seen.diff(dim=-1)[..., 1:, :].square() + seen.diff(dim=-2)[..., :, 1:].square()
    return float((square * clear[..., 1:, 1:]).sum() / clear.sum()) + 1e-9


def _beyond(image: Tensor, clear: Tensor) -> float:
    return float(((image - image.clamp(0, 1)).square() * clear).mean()) + 1e-7


def _misfit(grey: Tensor, kernel: Tensor) -> float:
    """Of the law of photographs and the kernel, (H, W); it does not depend on the units of the values."""
    spectrum = Spectrum.of(grey)
    whole = spectrum.weight > 0
    return spectrum.misfit(kernel) - float(spectrum.level[whole].mean())
