"""Colours where the one exposure that may be asked is clipped, and those that saw more moved or do not reach."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from gdpkit_hdr import channels

Array = NDArray[Any]
Mask = NDArray[np.bool_]

SEEN = 0.3  # summed trust from which a value is seen well enough to be told, and to tell about its neighbours
AFFECTED = 0.93  # of the encoded range: cameras mix channels, and from here on a channel's clipping colours the others
LEAST = 64  # pixels that tell; fewer are no evidence
DARKEST = 1e-5  # of the reference's white, below which no logarithm is taken


def surmised(
    lights: Sequence[Array], levels: Sequence[Array], trust: Sequence[Array], reach: Sequence[Array], bounds: Array
) -> tuple[Array, Mask]:
    """What the darkest exposure would have shown where it moved or does not reach, and the others are clipped.

    The darkest of the exposures that show the place is clipped there, in all channels or in some. Where it is elsewhere
    and other exposures tell the light, one learns how bright that is; where only some channels are clipped, by how much
    each channel is brighter than the darkest one is recorded, for a camera's colours are wrong beside a clipped
    channel. That is continued smoothly into the places to be filled: a sky goes on as the same sky. It is never darker
    than the clipped values allow.

    Args:
        lights: of each exposure from dark to bright, (H, W, 3) in units of the reference's white.
        levels: encoded values averaged over a few pixels, likewise.
        trust: (H, W, 3), 0 where a value tells nothing, `reach` not counted.
        reach: (H, W, 1), 1 where an exposure shows the scene, 0 where it moved or ends, smooth between.
        bounds: (H, W, 3), the least light that clipped values leave possible.

    Returns:
        The light, and where it was found.
    """
    shape = lights[0].shape[:2]
    found, where = np.zeros_like(lights[0]), np.zeros(shape, bool)
    short = reach[0][..., 0] < 1
    if len(lights) < 2 or not short.any():
        return found, where
    rest = [t * r for t, r in zip(trust[1:], reach[1:], strict=True)]
    others = sum(rest[1:], start=rest[0])
    told = channels.darkest(others + trust[0] * reach[0]) >= SEEN
    lost = short & (channels.darkest(others) < SEEN)
    merged = _merged(lights, trust, reach)
    asked = np.full(shape, -1)
    for k in range(len(lights) - 1, 0, -1):
        asked[reach[k][..., 0] > 0] = k
    for k in np.unique(asked[lost]):
        if k < 1:
            continue
        affected = levels[k] > AFFECTED
        shown = reach[k][..., 0] > 0
        every = channels.darkest(affected)
        kinds = (channels.brightest(affected) & ~every, every)
        for kind, own in zip(kinds, (_logarithm(lights[k].min(axis=2, keepdims=True)), 0.0), strict=True):
            here, tells = lost & (asked == k) & kind, told & shown & kind
            if here.any() and tells.sum() >= LEAST:
                more = filled(_logarithm(merged) - own, tells)
                found[here] = np.exp(own + more)[here]
                where |= here
    return np.maximum(found, bounds).astype(np.float32), where


def filled(values: Array, known: NDArray[Any]) -> Array:
    """Values continued smoothly to where `known`, a mask or weights in [0, 1], (H, W), is 0: by a pyramid of means."""
    weight = known.astype(np.float32)[..., None]
    pyramid: list[tuple[Array, Array]] = [(values * weight, weight)]
    while min(pyramid[-1][1].shape[:2]) > 1 and pyramid[-1][1].min() <= 0:
        size = tuple(max(1, (side + 1) // 2) for side in pyramid[-1][1].shape[1::-1])
        coarse = [cv2.resize(a, size, interpolation=cv2.INTER_AREA) for a in pyramid[-1]]
        pyramid.append((coarse[0].reshape(*size[::-1], -1), coarse[1].reshape(*size[::-1], 1)))
    result: Array | None = None
    for total, amount in reversed(pyramid):
        mean = total / np.maximum(amount, 1e-12)
        share = np.minimum(1, amount * (1 if result is None else 4))
        if result is not None:
            up = cv2.resize(result, mean.shape[1::-1], interpolation=cv2.INTER_LINEAR).reshape(mean.shape)
            mean = share * mean + (1 - share) * up
        result = mean
    assert result is not None
    return result.astype(np.float32)


def _logarithm(light: Array) -> Array:
    found: Array = np.log(np.maximum(light, DARKEST))
    return found


def _merged(lights: Sequence[Array], trust: Sequence[Array], reach: Sequence[Array]) -> Array:
    """The mean light by trust, brighter exposures of more light counting more."""
    total, mean = np.full_like(lights[0], 1e-12), np.zeros_like(lights[0])
    for light, share, there in zip(lights, trust, reach, strict=True):
        weight = share * there
        total += weight
        mean += weight * light
    merged: Array = mean / total
    return merged
