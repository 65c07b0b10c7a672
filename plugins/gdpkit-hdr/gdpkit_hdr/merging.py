"""From aligned exposures to observations: what each value is worth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from gdpkit_hdr import channels, motion, response, surmise
from gdpkit_hdr.response import Fit

Array = NDArray[Any]

FADING, CLIPPED, FULL = 0.90, 0.985, 0.995
"""Encoded values: from the first one is trusted less and less, above the others it is a bound."""
ROLLED = 0.8  # of the encoded range: from here on a camera may have rolled off what it recorded
MORE = 0.2  # in the logarithm of light: so much more is no error of the curve yet, and twice that is
LOG_SLOPE = 2.2  # of light by encoded values, both in logarithms
BLACK = 0.012  # below this a value may be the camera's black, and any other exposure knows better
AROUND = 1.5  # pixels, over which noise is averaged where it is asked whether a value is black or clipped
NOISY = 2.0  # deviations of its noise that a value may be from that mean
GUESS = 0.15  # of the encoded range: how well a value is known that every exposure clips, at its bound
SURMISE = 0.05  # likewise where the surroundings tell what the darkest exposure would have shown
BLEND = 1 / 60  # of the longer side, over which an exposure comes in where it ends or moved: no edge shall show
HEADROOM = 2.0  # radiance may be that many times what the shortest exposure records as white
MARGIN = 5.0  # stops below white at which the longest exposure's radiance meets the straight toe of the tone curve
RISE, MOST = 1 / 400, 4.0
"""At what share of the longer side inside a burnt place light is twice what its rim shows, and how often at most."""
BURNT = 0.3  # share of the values around that are clipped, from which on a place is


@dataclass(frozen=True, eq=False)
class Seen:
    """One exposure as it is observed: brought to sRGB's curve and to the colour balance of the reference.

    image: (H, W, 3), encoded, 1 where it is clipped.
    weight: (H, W, 3), of its precision 1 / sigma^2, so that a value of weight w has a noise of sigma / sqrt(w).
    sigma: in 0..255.
    gain: its light in units of the reference's.
    noise: near white, in 0..255.
    clipped: (H, W, 3), where its values are bounds.
    white: the light, per channel, at which it clips: 1 but for the balance of colours.
    moved: (H, W), where it shows something else than the reference.
    """

    image: Array
    weight: Array
    sigma: float
    gain: float
    noise: float
    clipped: NDArray[np.bool_]
    white: Array
    moved: NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Curve:
    """T of the degradation: radiance 1 stands for `white` times the white of the reference."""

    white: float
    stops: float


def curve(gains: Sequence[float]) -> Curve:
    """A tone curve that reaches from the brightest thing recorded to the noise of the longest exposure."""
    white = HEADROOM / min(gains)
    stops = np.log2(white * max(gains)) + MARGIN
    return Curve(white, float(np.clip(stops, 8.0, 24.0)))


def seen(
    images: Sequence[Array],
    valid: Sequence[NDArray[np.bool_]],
    noise: Sequence[tuple[float, float]],
    fit: Fit,
    reference: int,
) -> list[Seen]:
    """Exposures from dark to bright, aligned, encoded (H, W, 3), as observations.

    noise: (gain, read) of each, as `gdpkit.estimate.noise_line` gives them, in 0..255.
    """
    gains = [float(2 ** (s - fit.stops[reference])) for s in fit.stops]
    recorded, deviations, lights, levels, clips, whites, trust = [], [], [], [], [], [], []
    for image, (slope, read), balance, gain, known in zip(images, noise, fit.balance, gains, valid, strict=True):
        factor = np.exp(fit.balance[reference] - balance).astype(np.float32)
        sigma = noise_of((slope, read), image)
        # Beside a bright sky a dark leaf is no less well seen, so the level around counts as far as noise explains it.
        level = cv2.GaussianBlur(image, (0, 0), AROUND).clip(image - NOISY * sigma, image + NOISY * sigma)
        clipped = (image >= FULL) | ((level >= CLIPPED - sigma) & (image >= CLIPPED - 3 * sigma))
        clipped &= known[..., None]
        linear = fit.response.light(image) * factor
        straight = response.encoded(linear)
        whites.append(factor)
        deviation = sigma * _slope(fit, image, factor)
        straight[clipped] = 1
        recorded.append(straight)
        deviations.append(deviation)
        trust.append(_trust(level, sigma, clipped))
        lights.append(linear / gain)
        levels.append(level)
        clips.append(clipped)
    moving = motion.moved(images, [response.encoded(light) for light in lights], valid, reference)
    masks = [_reach(known & ~away) for known, away in zip(valid, moving, strict=True)]
    around = [
        fit.response.light(level) * (white / gain) for level, white, gain in zip(levels, whites, gains, strict=True)
    ]
    for k in range(1, len(trust)):
        relative = LOG_SLOPE * noise_of(noise[k - 1], levels[k - 1]) / np.maximum(levels[k - 1], BLACK)
        trust[k] *= 1 - masks[k - 1] * _compressed(levels[k], around[k], around[k - 1], relative)
    told = _continued(recorded, lights, levels, trust, masks, deviations, clips, whites, gains)
    trust = _last_resorts(trust, clips, deviations, masks, told)
    found = []
    parts = zip(recorded, deviations, trust, gains, clips, whites, moving, strict=True)
    for (image, deviation, share, gain, clipped, white, away), (slope, read) in zip(parts, noise, strict=True):
        bright = float(np.hypot(read, np.sqrt(255 * slope)))
        precision = share / np.maximum(deviation, 1e-5) ** 2
        inside = precision[precision > 0]
        mean = float(inside.mean()) if inside.size else 1e4
        found.append(
            Seen(image, (precision / mean).astype(np.float32), 255 * mean**-0.5, gain, bright, clipped, white, away)
        )
    return found


def _reach(shown: NDArray[np.bool_]) -> Array:
    """1 where an exposure shows the scene, 0 where not, rising smoothly within it, (H, W, 1)."""
    if shown.all():
        return np.ones((*shown.shape, 1), np.float32)
    inside = cv2.distanceTransform(shown.astype(np.uint8), cv2.DIST_L2, 5)
    return _ramp(inside / max(2.0, BLEND * max(shown.shape)))[..., None].astype(np.float32)


def _continued(
    recorded: list[Array],
    lights: Sequence[Array],
    levels: Sequence[Array],
    trust: list[Array],
    masks: list[Array],
    deviations: Sequence[Array],
    clips: Sequence[NDArray[np.bool_]],
    whites: Sequence[Array],
    gains: Sequence[float],
) -> NDArray[np.bool_]:
    """Multiply the trust by where exposures reach, and put into the darkest what its surroundings tell it would show.

    Returns where that was done.
    """
    if all(mask.min() == 1 for mask in masks):
        return np.zeros(lights[0].shape[:2], bool)
    bounds = np.zeros_like(lights[0])
    for clipped, mask, white, gain in zip(clips, masks, whites, gains, strict=True):
        bounds = np.maximum(bounds, np.where(clipped & (mask > 0), white / gain, 0)).astype(np.float32)
    light, where = surmise.surmised(lights, levels, trust, masks, bounds)
    for k, mask in enumerate(masks):
        trust[k] = trust[k] * mask
    if not where.any():
        return where
    share = masks[0][where]
    would = response.encoded(np.minimum(light[where] * gains[0], 1))
    recorded[0][where] = np.minimum(share * recorded[0][where] + (1 - share) * would, np.where(share < 1, 0.9999, 1))
    sure = (np.maximum(deviations[0][where], 1e-5) / SURMISE) ** 2
    trust[0][where] = np.maximum(trust[0][where], (1 - share) * sure)
    masks[0][where] = 1
    clips[0][where] &= share == 1
    for k in range(1, len(trust)):
        trust[k][where] *= share  # its noise is small, but its colours are wrong beside a clipped channel
    return where


def _slope(fit: Fit, image: Array, factor: Array) -> Array:
    """How much more the value brought to sRGB varies than the recorded one."""
    step, levels = 1 / 512, np.linspace(0, 1, response.LEVELS, dtype=np.float32)
    of_levels = np.repeat(levels[None, :, None], 3, axis=2)
    up = response.encoded(fit.response.light(np.minimum(of_levels + step, 1)) * factor)
    down = response.encoded(fit.response.light(np.maximum(of_levels - step, 0)) * factor)
    return channels.looked_up(image, np.clip((up - down) / (2 * step), 0.2, 5)[0].T)


def _trust(level: Array, sigma: Array, clipped: NDArray[np.bool_]) -> Array:
    """0 where a value is clipped or black, 1 where it is neither.

    Told from the level around: a noisy value's own would favour values whose noise went one way. A channel that is
    clipped takes some trust from the others, which cameras mix when they make colours.
    """
    top = cv2.dilate(channels.brightest(level), np.ones((3, 3), np.uint8))[..., None]
    white = np.maximum(CLIPPED - 2 * sigma, 0.5)
    fading = _ramp((white - level) / (white - FADING + 2 * sigma)) * (0.2 + 0.8 * _ramp((1.0 - top) / (1 - FADING)))
    found: Array = (fading * _ramp(level / np.maximum(BLACK, 3 * sigma)) * ~clipped).astype(np.float32)
    return found


def noise_of(noise: tuple[float, float], image: Array) -> Array:
    """The deviation of noise (gain, read) at encoded values, in their units."""
    gain, read = noise
    sigma: Array = np.sqrt(np.maximum(gain * 255 * image, 0) + read**2) / 255
    return sigma


def _compressed(level: Array, light: Array, darker: Array, relative: Array) -> Array:
    """1 where nearly white values stand for far more light than the curve says, as a darker exposure tells, else 0.

    Cameras roll highlights off, each channel by itself: of a white window whose red is clipped and whose blue is not
    yet a yellow one would be made. Where one channel is rolled off the others are wrong beside it, (H, W, 1).

    Args:
        level: encoded values averaged over a few pixels.
        light: what the curve makes of them.
        darker: the light that the next darker exposure says.
        relative: deviation of the noise of that, as a share of it.
    """
    more = np.log(np.maximum(darker, 1e-5) / np.maximum(light, 1e-5)) - NOISY * relative
    rolled = _ramp((level - ROLLED) / (FADING - ROLLED)) * _ramp(more / MORE - 1)
    found: Array = channels.brightest(rolled * (level < CLIPPED))[..., None]
    return found


def _ramp(x: Array) -> Array:
    x = np.clip(x, 0, 1)
    ramp: Array = x * x * (3 - 2 * x)
    return ramp


def _last_resorts(
    trust: list[Array],
    clips: Sequence[NDArray[np.bool_]],
    deviations: list[Array],
    masks: Sequence[Array],
    told: NDArray[np.bool_],
) -> list[Array]:
    """What no exposure saw well is told by the brightest that is not clipped there, of those that may be asked.

    Where all are clipped the darkest gives a bound, which counts with a deviation of GUESS: the prior may say more.
    `told` is where the surroundings have told it, (H, W).
    """
    lost = (sum(trust[1:], start=trust[0]) < 0.02) & ~told[..., None]
    for k in range(len(trust) - 1, -1, -1):
        if not lost.any():
            return trust
        here = lost & (masks[k] > 0) & ~clips[k]
        trust[k][here] = 1
        lost &= ~here
    for k in range(len(trust)):
        here = lost & (masks[k] > 0)
        trust[k][here] = (np.maximum(deviations[k], 1e-5)[here] / GUESS) ** 2
        lost &= ~here
    return trust


def bound(seen: Sequence[Seen]) -> Array:
    """The least light, in units of the reference's white, that the clipped values leave possible, (H, W, 3).

    A clipped value is a surer word than a dark exposure's on the same pixel.
    """
    least = np.zeros_like(seen[0].image)
    for one in seen:
        here = one.clipped & ~one.moved[..., None]
        sure = float(response.decoded(np.array([max(0.5, 1 - 2 * one.noise / 255)]))[0])
        least = np.maximum(least, np.where(here, sure * one.white / one.gain, 0)).astype(np.float32)
    return least


def risen(seen: Sequence[Seen]) -> Array:
    """The least light that clipped values leave possible, and what is likely where the darkest clips every channel.

    Lamps and suns go on rising from the rim at which they clip: inside, light grows with the depth, 1 + depth / RISE,
    to MOST. Of three panoramas, exposed so that 0.5 to 16 % clip, this halves to quarters the squared error of PSNR-mu
    that taking the bound for the light makes. It is a guess: no exposure tells.
    """
    least, darkest = bound(seen), seen[0]
    # Noise hides half of what is clipped, value by value; what is near white beside clipped values is clipped too.
    share = cv2.blur(channels.mean(darkest.clipped.astype(np.float32)), (3, 3))
    white = channels.darkest(darkest.image) >= 1 - 3 * darkest.noise / 255
    burnt = white & (share > BURNT) & ~darkest.moved
    if not burnt.any():
        return least
    depth = cv2.distanceTransform(burnt.astype(np.uint8), cv2.DIST_L2, 5)[..., None]
    likely = darkest.white / darkest.gain * np.minimum(1 + depth / (RISE * max(burnt.shape)), MOST)
    higher: Array = np.where(burnt[..., None], np.maximum(least, likely), least).astype(np.float32)
    return higher
