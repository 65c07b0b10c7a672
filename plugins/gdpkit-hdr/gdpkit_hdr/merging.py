"""From aligned exposures to observations: what each value is worth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from gdpkit_hdr import channels, motion, response, surmise, worth
from gdpkit_hdr.response import Fit
from gdpkit_hdr.worth import Judged

Array = NDArray[Any]

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
    whites = [np.exp(fit.balance[reference] - balance).astype(np.float32) for balance in fit.balance]
    judged = [
        worth.judged(image, known, line, fit.response, white, gain)
        for image, known, line, white, gain in zip(images, valid, noise, whites, gains, strict=True)
    ]
    alike = [one.image if k == reference else one.alike_of(channels.places(one.image)) for k, one in enumerate(judged)]
    moving = motion.moved(images, alike, valid, reference)
    masks = [_reach(known & ~away) for known, away in zip(valid, moving, strict=True)]
    trust = [one.trust for one in judged]
    for k in range(1, len(trust)):
        for rows in worth.strips(trust[k]):
            rolled = masks[k - 1][rows] * worth.compressed(judged[k], judged[k - 1], noise[k - 1], rows)
            trust[k][rows] *= channels.thrice(1 - rolled)
    told = _continued(judged, trust, masks, whites, gains)
    deviations = [one.deviation for one in judged]
    trust = _last_resorts(trust, [one.clipped for one in judged], deviations, masks, told)
    found = []
    parts = zip(judged, trust, gains, whites, moving, noise, strict=True)
    for one, share, gain, white, away, (slope, read) in parts:
        precision = np.maximum(one.deviation, 1e-5)
        np.divide(share, np.multiply(precision, precision, out=precision), out=precision)
        count = np.count_nonzero(precision)
        mean = float(precision.sum(dtype=np.float64)) / count if count else 1e4
        bright = float(np.hypot(read, np.sqrt(255 * slope)))
        precision /= np.float32(mean)
        found.append(Seen(one.recorded, precision, 255 * mean**-0.5, gain, bright, one.clipped, white, away))
    return found


def _reach(shown: NDArray[np.bool_]) -> Array:
    """1 where an exposure shows the scene, 0 where not, rising smoothly within it, (H, W, 1)."""
    if shown.all():
        return np.ones((*shown.shape, 1), np.float32)
    inside = cv2.distanceTransform(shown.astype(np.uint8), cv2.DIST_L2, 5)
    return worth.ramp(inside / max(2.0, BLEND * max(shown.shape)))[..., None].astype(np.float32)


def _continued(
    judged: Sequence[Judged], trust: list[Array], masks: list[Array], whites: Sequence[Array], gains: Sequence[float]
) -> NDArray[np.bool_]:
    """Multiply the trust by where exposures reach, and put into the darkest what its surroundings tell it would show.

    Returns where that was done.
    """
    if all(mask.min() == 1 for mask in masks):
        return np.zeros(masks[0].shape[:2], bool)
    bounds = np.zeros_like(trust[0])
    for one, mask, white, gain in zip(judged, masks, whites, gains, strict=True):
        shown = (one.clipped & channels.thrice(mask > 0)).astype(np.float32)
        np.maximum(bounds, channels.scaled(shown, white / gain), out=bounds)
    lights = [one.light_of(channels.places(one.image)) for one in judged]
    light, where = surmise.surmised(lights, [one.level for one in judged], trust, masks, bounds)
    for share, mask in zip(trust, masks, strict=True):
        share *= channels.thrice(mask)
    if not where.any():
        return where
    share = masks[0][where]
    would = response.encoded(np.minimum(light[where] * gains[0], 1))
    darkest = judged[0]
    shown = share * darkest.recorded[where] + (1 - share) * would
    darkest.recorded[where] = np.minimum(shown, np.where(share < 1, 0.9999, 1))
    sure = (np.maximum(darkest.deviation[where], 1e-5) / SURMISE) ** 2
    trust[0][where] = np.maximum(trust[0][where], (1 - share) * sure)
    masks[0][where] = 1
    darkest.clipped[where] &= share == 1
    for k in range(1, len(trust)):
        trust[k][where] *= share  # its noise is small, but its colours are wrong beside a clipped channel
    return where


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
        here = (one.clipped & channels.thrice(~one.moved)).astype(np.float32)
        sure = float(response.decoded(np.array([max(0.5, 1 - 2 * one.noise / 255)]))[0])
        np.maximum(least, channels.scaled(here, sure / one.gain * one.white), out=least)
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
