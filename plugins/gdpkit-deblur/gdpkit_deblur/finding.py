"""With an unknown blur: which kernel explains a photograph, whether it is to be trusted, and what if not."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from gdpkit import Observation, estimate, functional, grey, weighed_blur
from gdpkit.degradations.blind_blur import BlindBlur
from gdpkit_deblur import trust

if TYPE_CHECKING:
    from torch import Tensor

    from gdpkit.images import Picture

LOUD = 2.0
"""Noise, in 0..255, of a file that was lossy, or with which less is told."""
LOUDEST = 7.0  # estimated noise with which undoing an unknown kernel takes more texture than it gives edges
CLEARLY = 0.05  # so much better one law must explain the spectrum than the other that was more likely before
FAR = 0.25
"""So much less a kernel found in values explains the light, by `BlindBlur.gained`, only where values were blurred.
The gain of the one found in light was .05 to .3 larger in 5 of 7 photographs of which light was blurred, and .03 to .6
smaller in all of 9 of which values were."""


def found(
    observation: Observation, blur: BlindBlur, *, noise: float | None, light: str, camera: bool
) -> tuple[BlindBlur, bool]:
    """The blur whose kernel explains the photograph, of light or of values, and whether it is a simple one.

    Args:
        observation: with the rounding, or what JPEG took, as its noise.
        blur: its size and boundary are kept.
        noise: as given, in 0..255; None: estimated.
        light: auto, linear or encoded.
        camera: whether the file tells a camera's settings.
    """
    pixels = observation.image
    known = max(observation.sigma, estimate.noise_sigma(pixels) if noise is None else noise)
    white = known < LOUD  # and so smaller in grey values, which are means of the channels
    blur = replace(blur, noise=known / grey.channels(pixels) ** 0.5 if white else known)
    if light != "auto":
        blur = replace(blur, light=light)
        return blur, blur.guess(pixels)[1]
    kernel, simple = blur.guess(pixels)
    gained, other = blur.gained(pixels, kernel), replace(blur, light="linear")
    # Who asks for a blur that nobody knows has a photograph, and a JPEG is a camera's rather than a program's.
    lossy = observation.sigma >= LOUD
    asked = -CLEARLY if lossy or camera else CLEARLY
    least = asked if known >= LOUD and not lossy else -FAR
    if other.gained(pixels, kernel) < gained + least:
        return blur, simple
    lit, also = other.guess(pixels)
    return (other, also) if other.gained(pixels, lit) > gained + asked else (blur, simple)


def is_trusted(pixels: Tensor, kernel: Tensor, blur: BlindBlur, noise: float, *, estimated: bool, simple: bool) -> bool:
    """Whether undoing the kernel that was found makes the photograph better. noise: in 0..255."""
    if noise > LOUDEST and estimated:
        return False
    if not blur.linear:
        noise = noise * weighed_blur.spread(pixels)
    seen = pixels if blur.linear else weighed_blur.decoded(pixels)
    return trust.is_trusted(seen, kernel, noise, simple=simple, gained=blur.gained(pixels, kernel))


def left(observation: Observation, size: int, source: Picture | None) -> Observation:
    """The photograph as it is, of which nothing is known but its rounding."""
    rounding = max(functional.LEAST_SIGMA, source.rounding_sigma if source is not None else 0.0)
    return replace(observation, degradation=BlindBlur(size=size, search=False), sigma=rounding, recorder=None)
