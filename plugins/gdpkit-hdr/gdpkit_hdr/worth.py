"""What each value of one exposure says, and how much it can be trusted."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from gdpkit_hdr import channels, response
from gdpkit_hdr.channels import Table
from gdpkit_hdr.response import Response

Array = NDArray[Any]

FADING, CLIPPED, FULL = 0.90, 0.985, 0.995
"""Encoded values: from the first one is trusted less and less, above the others it is a bound."""
ROLLED = 0.8  # of the encoded range: from here on a camera may have rolled off what it recorded
MORE = 0.2  # in the logarithm of light: so much more is no error of the curve yet, and twice that is
LOG_SLOPE = 2.2  # of light by encoded values, both in logarithms
BLACK = 0.012  # below this a value may be the camera's black, and any other exposure knows better
AROUND = 1.5  # pixels, over which noise is averaged where it is asked whether a value is black or clipped
NOISY = 2.0  # deviations of its noise that a value may be from that mean
STEP = 32  # of `channels.LEVELS`, over which a slope is taken to either side: a 510th of the encoded range
STRIP = 2**14  # pixels that are worked on at once: a processor's cache holds what is found of them by the way


@dataclass(frozen=True, eq=False)
class Judged:
    """One exposure, all (H, W, 3) but for the tables.

    image: encoded as recorded.
    recorded: its values brought to sRGB's curve and to the colour balance of the reference, 1 where it is clipped.
    deviation: of their noise. level: encoded as recorded, averaged over a few pixels.
    trust: 0 where a value is clipped or black, 1 where it is neither. clipped: where it is a bound.
    light_of: of encoded values, in units of the reference's white. alike_of: that encoded, as the reference shows it.
    """

    image: Array
    recorded: Array
    deviation: Array
    level: Array
    trust: Array
    clipped: NDArray[np.bool_]
    light_of: Table
    alike_of: Table


def judged(
    image: Array, known: NDArray[np.bool_], noise: tuple[float, float], curve: Response, factor: Array, gain: float
) -> Judged:
    """What an exposure (H, W, 3) says.

    Args:
        image: aligned, encoded.
        known: where it reaches, (H, W).
        noise: (gain, read) in 0..255.
        curve: the camera's.
        factor: of light, per channel: the balance of the reference over its own.
        gain: its light in units of the reference's.
    """
    light = curve.light(channels.LEVELS[None, :, None].repeat(3, axis=2))[0] * factor
    straight = response.encoded(light)
    spread = noise_of(noise, channels.LEVELS)[:, None] * _slope(straight)
    straight_of, deviation_of, light_of, alike_of = (
        channels.table(curves) for curves in (straight, spread, light / gain, response.encoded(light / gain))
    )
    recorded, deviation = np.empty_like(image), np.empty_like(image)
    clipped = np.empty(image.shape, bool)
    # Beside a bright sky a dark leaf is no less well seen, so the level around counts as far as noise explains it.
    level = cv2.GaussianBlur(image, (0, 0), AROUND)
    for rows in strips(image):
        part, around = image[rows], level[rows]
        sigma = noise_of(noise, part)
        np.clip(around, part - NOISY * sigma, part + NOISY * sigma, out=around)
        over = (part >= FULL) | ((around >= CLIPPED - sigma) & (part >= CLIPPED - 3 * sigma))
        np.logical_and(over, channels.thrice(known[rows]), out=clipped[rows])
        places = channels.places(part)
        np.maximum(straight_of(places), clipped[rows], out=recorded[rows])
        deviation[rows] = deviation_of(places)
    top = cv2.dilate(channels.brightest(level), np.ones((3, 3), np.uint8))
    whole = channels.thrice((0.2 + 0.8 * ramp((1 - top) / (1 - FADING))).astype(np.float32))
    trust = np.empty_like(image)
    for rows in strips(image):
        trust[rows] = _trust(level[rows], whole[rows], noise_of(noise, image[rows]), clipped[rows])
    return Judged(image, recorded, deviation, level, trust, clipped, light_of, alike_of)


def strips(image: Array) -> Iterator[slice]:
    """Rows of an image that are worked on at once."""
    height, width = image.shape[:2]
    lines = max(1, STRIP // width)
    return (slice(top, top + lines) for top in range(0, height, lines))


def noise_of(noise: tuple[float, float], image: Array) -> Array:
    """The deviation of noise (gain, read) at encoded values, in their units."""
    gain, read = noise
    variance = np.maximum(image, 0)
    variance *= gain / 255
    variance += (read / 255) ** 2
    return np.sqrt(variance, out=variance)


def _slope(straight: Array) -> Array:
    """How much more the value brought to sRGB varies than the recorded one, both (LEVELS, 3)."""
    ends = np.pad(straight, ((STEP, STEP), (0, 0)), mode="edge")
    slope: Array = np.clip((ends[2 * STEP :] - ends[: -2 * STEP]) * ((len(straight) - 1) / (2 * STEP)), 0.2, 5)
    return slope


def _trust(level: Array, whole: Array, sigma: Array, clipped: NDArray[np.bool_]) -> Array:
    """0 where a value is clipped or black, 1 where it is neither.

    Told from the level around: a noisy value's own would favour values whose noise went one way. A channel that is
    clipped takes some trust from the others, which cameras mix when they make colours: `whole` is what it leaves.
    """
    white = np.maximum(CLIPPED - 2 * sigma, 0.5)
    fading = ramp((white - level) / (white - FADING + 2 * sigma)) * whole
    found: Array = fading * ramp(level / np.maximum(BLACK, 3 * sigma)) * ~clipped
    return found


def compressed(one: Judged, darker: Judged, noise: tuple[float, float], rows: slice) -> Array:
    """1 where nearly white values stand for far more light than the curve says, as a darker exposure tells, else 0.

    Cameras roll highlights off, each channel by itself: of a white window whose red is clipped and whose blue is not
    yet a yellow one would be made. Where one channel is rolled off the others are wrong beside it, (H, W, 1), of some
    rows.

    noise: (gain, read) of the darker one.
    """
    level, less = one.level[rows], darker.level[rows]
    rolled = ramp((level - ROLLED) * np.float32(1 / (FADING - ROLLED)))
    rolled *= level < CLIPPED
    if not rolled.any():
        return rolled[..., :1]
    light, says = (
        np.maximum(of(channels.places(at)), 1e-5) for of, at in ((one.light_of, level), (darker.light_of, less))
    )
    more = np.asarray(cv2.log(np.divide(says, light, out=says)))
    relative = noise_of(noise, less)
    relative /= np.maximum(less, BLACK)
    relative *= NOISY * LOG_SLOPE
    more -= relative
    rolled *= ramp(more / MORE - 1)
    return channels.brightest(rolled)[..., None]


def ramp(x: Array) -> Array:
    """From 0 at 0 to 1 at 1, smoothly."""
    x = np.clip(x, 0, 1)
    risen: Array = 3 - 2 * x
    x *= x
    risen *= x
    return risen
