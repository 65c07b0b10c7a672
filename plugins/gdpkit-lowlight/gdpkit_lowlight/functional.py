"""How much longer a dark photograph should have been exposed, and how noisy it is."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from gdpkit import estimate, exposure, functional
from gdpkit.noise import SeededNoise, digest

BLACK = 2 / 255  # a mean of 3x3 pixels below this is a border, or a sky at night
WIDTH = 9  # of the means that tell the level, for noise that depends on it
SAMPLES = 200_000
LEVELS = 2**16 - 1  # as many as files tell apart
MOST_STOPS = 8.0
HALVINGS = 30
LAMP = 3  # pixels: what is as bright in a mean of so many by as many is no noise
BLOTCHES = 2  # pixels: noise is measured again at half the size, where JPEG and noise reduction have left it
FELT = 0.5  # of a level: weaker noise is that of rounding
WHITEST = 1 - 1e-4  # noise that is added makes no value clipped
LIGHTEST, HEAVIEST = 1 / 16, 4.0


def _lit(pixels: Tensor) -> Tensor:
    """Where the photograph is not black, (B, 1, H, W), told from itself and means of 3x3 pixels."""
    grey = pixels.mean(dim=1, keepdim=True)
    return (F.avg_pool2d(functional.pad_reflect(grey, 1, 1, 1, 1), 3, stride=1) > BLACK) & (grey > 0)


def tells(pixels: Tensor) -> bool:
    """Whether there is any light in a photograph, (B, C, H, W)."""
    return bool((pixels > 0).any())


def brightest(pixels: Tensor, noisy: bool = False) -> float:
    """The brightest light in a photograph, (B, C, H, W); of a noisy one, in means of `LAMP` by `LAMP` pixels.

    Noise of a few pixels would else count as light to be rolled off, and the highlights would be grey.
    """
    if noisy and min(pixels.shape[-2:]) >= LAMP:
        pixels = F.avg_pool2d(pixels, LAMP, stride=1)
    return float(exposure.decoded(pixels.max().double()))


def brightness(pixels: Tensor, target: float, noisy: bool = False) -> tuple[float, float]:
    """The gain, from 1 to 256, and the doublings between white and the brightest light after it.

    The gain is that with which the mean of what is not black is `target` in the clean image: sRGB-encoded, its
    highlights rolled off as `exposure.rolled_off` does; how far, `brightest` tells. The photograph is (B, C, H, W) in
    [0, 1].
    """
    lit = _lit(pixels)
    values = pixels.transpose(0, 1).flatten(1)
    kept = lit.flatten().nonzero()[:, 0] if lit.any() else torch.arange(values.shape[1], device=pixels.device)
    kept = kept[:: max(1, len(kept) // SAMPLES)]
    # Few values are as many as there are levels, and what they become need not be found for every pixel.
    counts = (values[:, kept].clamp(0, 1) * LEVELS).round().int().flatten().bincount(minlength=LEVELS + 1)
    found = counts.nonzero()[:, 0]
    light, share = exposure.decoded(found.double() / LEVELS), counts[found].double() / counts.sum()
    most = brightest(pixels, noisy)

    def mean(stops: float) -> float:
        beyond = max(0.0, stops + math.log2(most))
        return float(exposure.encoded(exposure.rolled_off(2**stops * light, beyond)).clamp(0, 1) @ share)

    low, high = 0.0, MOST_STOPS
    if mean(low) >= target:
        high = low
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if mean(middle) < target else (low, middle)
    return 2**high, max(0.0, high + math.log2(most))


def with_hues(image: Tensor, stops: float) -> Tensor:
    """Highlights half way between channels rolled off each by itself, as they are, and all together, (B, C, H, W).

    A blue sky whose blue is rolled off, and whose green is not, is cyan. By one factor for the pixel, that of its
    brightest channel, colours stay what they were photographed. Long exposures by a camera lie between: of three LOL
    pairs each by itself is 2.0 dB nearer, for a bright wall, and half way 1.1 dB farther than that.
    """
    light = exposure.decoded(image.clamp(0, 1))
    radiance = exposure.unrolled(light, stops)
    top = radiance.amax(dim=1, keepdim=True)
    together = radiance * torch.where(top > 0, exposure.rolled_off(top, stops) / top.clamp_min(1e-9), 1)
    return exposure.encoded((light + together) / 2).clamp(0, 1)


def noise(pixels: Tensor, least: float) -> tuple[float, Tensor]:
    """Deviation of the noise in 0..255, at least `least`, and the weight of each value, (B, 3, H, W).

    Each channel has noise of its own, for white balance multiplies them differently; grey counts once in three equal
    channels. Its dependence on the level is that of `estimate.noise_line`, scaled to the noise of quiet blocks.
    The weight is the inverse of the variance, 1 where it is the mean of the channels' variances.
    """
    channels = [_of_channel(pixels[:, c : c + 1], least) for c in range(pixels.shape[1])]
    variances = torch.cat(channels, dim=1)
    if pixels.shape[1] == 1:
        variances = 3 * variances.expand(-1, 3, -1, -1)
    mean = float(variances.mean())
    return math.sqrt(mean), (mean / variances).clamp(LIGHTEST, HEAVIEST).to(pixels)


def whitened(pixels: Tensor, sigma: float, weight: Tensor) -> tuple[Tensor, float]:
    """A colour photograph (B, 3, H, W) whose noise is as strong in every colour, and its deviation in 0..255.

    JPEG and cameras smooth the noise of chroma and leave that of luma. The prior has learned of white noise: what is
    alike in the channels it takes for texture, and a gain makes it a mottle. So what chroma lacks is added, drawn from
    the photograph itself; the noise then is that of luma in each of the three axes. Clipped pixels stay clipped.
    """
    luma, chroma = estimate.noise_of_colour(pixels)
    if chroma >= luma or luma < FELT:
        return pixels, sigma
    unit = 3 * sigma**2 / (luma**2 + 2 * chroma**2)  # sigma counts luma once and chroma twice
    lacking = math.sqrt(unit * (luma**2 - chroma**2)) / 255
    drawn = SeededNoise(0, [digest(image) for image in pixels]).normal(pixels.shape, pixels.device)
    spread = weight.reciprocal().mean(dim=1, keepdim=True).sqrt()
    added = lacking * spread * (drawn - drawn.mean(dim=1, keepdim=True))
    below = (pixels + added).clamp_max(WHITEST)
    return torch.where((pixels >= 1).any(dim=1, keepdim=True), pixels, below), math.sqrt(unit) * luma


def _of_channel(channel: Tensor, least: float) -> Tensor:
    """The variance at every pixel of one channel, (B, 1, H, W), in 0..255."""
    sigma, gain, read = estimate.noise_and_line(channel)
    small = F.avg_pool2d(channel, BLOTCHES)
    if min(small.shape[-2:]) >= 2 * estimate.SIDE:
        sigma = max(sigma, BLOTCHES * estimate.noise_sigma(small))
    side = WIDTH // 2
    rows = F.avg_pool2d(functional.pad_reflect(channel, side, side, side, side), (1, WIDTH), stride=1)
    level = F.avg_pool2d(rows, (WIDTH, 1), stride=1).mul_(255)
    some = level.flatten()[:: max(1, level.numel() // SAMPLES)]
    quiet = float(some.kthvalue(1 + round(0.1 * (len(some) - 1))).values)
    shape = (gain * level + read**2 + least**2) / (gain * quiet + read**2 + least**2)
    return max(sigma, least) ** 2 * shape
