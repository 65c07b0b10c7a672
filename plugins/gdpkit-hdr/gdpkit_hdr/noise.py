"""The noise of each exposure, told apart from texture: what another exposure shows as well is none."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from gdpkit_hdr import channels
from gdpkit_hdr.alignment import Placed
from gdpkit_hdr.response import Fit

Array = NDArray[Any]
Mask = NDArray[np.bool_]
Line = tuple[float, float]

LEAST = 0.3  # of a level: no camera rounds less
DARK, WHITE = 0.03, 0.95  # encoded values between which clipping takes nothing from the noise
BLUR = 2.0  # pixels; by a noisy value itself the noise would be cut at the ends of the range
CELL = 8  # pixels a side whose mean is one sample
PLACE, SIDES = 64, 5  # pixels a side of a place that is looked at, and how many a side of a large picture
MEETING = 3  # pixels, over which what a place shows is mixed with what the next one does
KNOWN = 0.5  # least share of a cell that both exposures must show inside the range
QUIET = 0.5  # share of the cells, of those with the least structure: where the response errs, it errs in structure
BINS, FEWEST = 8, 24  # of brightness, and cells in each
SURE = 0.1  # relative error, at the least, of a variance that two exposures tell
GUESSED, NEAR = 1.0, 16.0  # likewise where none tells, which is so many levels from where one does
ROUNDS = 8
PATCH = 256  # pixels a side of noise that is moved as an exposure was, to see how much is left of it
FINE = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float32) / 6  # white noise keeps its deviation


def lines(
    images: Sequence[Array], valid: Sequence[Mask], placed: Sequence[Placed] | None, fit: Fit, own: Sequence[Line]
) -> list[Line]:
    """(gain, read) of each of several aligned exposures, encoded (H, W, 3): variance = gain x + read^2, in 0..255.

    Noise is what two exposures do not share. A neighbour, brought to an exposure's brightness by the response, shows
    the same texture with noise of its own; so the mean product of the exposure's detail with the difference of the two
    is the variance of its own noise, however much texture there is. What each tells alone, `own`, texture among it, is
    believed where no neighbour tells, and is the most: a movement or an error of the response leaves texture as well.
    """
    found = []
    means = [255 * float(image.mean()) for image in images]
    if len(images) > 1:
        images, valid = _sampled(images, valid)
    lights = [fit.response.light(image) for image in images] if len(images) > 1 else []
    for k, image in enumerate(images):
        smoothed = 1.0 if placed is None else _smoothed(placed[k])
        told = [np.zeros((0, 3))]
        for j in (k - 1, k + 1):
            if 0 <= j < len(images):
                factor = 2 ** (fit.stops[k] - fit.stops[j]) * np.exp(fit.balance[k] - fit.balance[j])
                alike = fit.response.recorded((lights[j] * factor.astype(np.float32)).clip(0, 1))
                told.append(_points(image, images[j], alike, valid[j] & valid[k]))
        points = np.concatenate(told)
        points[:, 1:] *= smoothed
        found.append(_line(points, own[k], means[k]) if len(points) else own[k])
    return found


def _sampled(images: Sequence[Array], valid: Sequence[Mask]) -> tuple[list[Array], list[Mask]]:
    """Of large pictures SIDES x SIDES places, spread evenly, one below the other; where they meet nothing is valid."""
    height, width = images[0].shape[:2]
    if height * width <= (SIDES * PLACE) ** 2 or min(height, width) < PLACE:
        return list(images), list(valid)
    down, across = (
        np.linspace(0, side - PLACE, max(1, min(SIDES**2, round(SIDES * math.sqrt(side / other))))).astype(int)
        for side, other in ((height, width), (width, height))
    )
    corners = [(top, left) for top in down for left in across]
    within = np.zeros((PLACE, PLACE), bool)
    within[MEETING:-MEETING, MEETING:-MEETING] = True

    def cut(plane: Array) -> Array:
        return np.concatenate([plane[top : top + PLACE, left : left + PLACE] for top, left in corners])

    return [cut(image) for image in images], [cut(known) & np.tile(within, (len(corners), 1)) for known in valid]


def _points(image: Array, other: Array, alike: Array, valid: Mask) -> Array:
    """Level, variance of the image's noise, and the error of that, in 0..255, for each of BINS brightnesses, (N, 3).

    alike: the other exposure at the brightness of the image.
    """
    top = channels.brightest(other)
    known = channels.thrice(valid & (top < WHITE) & (top > DARK))
    level = cv2.GaussianBlur(image, (0, 0), BLUR)
    inside = (known & (level < WHITE) & (level > DARK)).astype(np.uint8)
    inside = cv2.erode(inside, np.ones((3, 3), np.uint8)).astype(np.float32)
    detail, apart = (cv2.filter2D(v, cv2.CV_32F, FINE) for v in (image, image - alike))
    steps = [cv2.Sobel(level, cv2.CV_32F, *way) for way in ((1, 0), (0, 1))]
    slope = np.sqrt(steps[0] * steps[0] + steps[1] * steps[1])
    share, *means = (_cells(m) for m in (inside, level * inside, detail * apart * inside, slope * inside))
    shown = share >= KNOWN
    level, variance, slope = (m[shown] / share[shown] for m in means)
    points = []
    for group in np.array_split(level.argsort(), BINS):
        quiet = group[slope[group].argsort()[: int(QUIET * len(group))]]
        if len(quiet) >= FEWEST:
            middle = float(np.median(variance[quiet]))
            error = 1.48 * float(np.median(np.abs(variance[quiet] - middle))) / math.sqrt(len(quiet))
            points.append((255 * level[quiet].mean(), 255**2 * middle, 255**2 * error))
    return np.array(points).reshape(-1, 3)


def _smoothed(place: Placed) -> float:
    """How much more the variance of noise is than its finest detail says, after an exposure was moved."""
    if not (place.turn or any(place.shift)):
        return 1.0
    drawn = np.random.default_rng(0).normal(size=(PATCH, PATCH)).astype(np.float32)
    warp = cv2.getRotationMatrix2D((PATCH / 2, PATCH / 2), place.turn, 1.0)
    warp[:, 2] += np.mod(place.shift, 1)
    moved = cv2.warpAffine(drawn, warp, (PATCH, PATCH), flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP)[8:-8, 8:-8]
    return float(moved.var() / cv2.filter2D(moved, cv2.CV_32F, FINE).var())


def _cells(image: Array) -> Array:
    """Means of whole cells."""
    height, width = (side // CELL for side in image.shape[:2])
    return cv2.resize(image[: height * CELL, : width * CELL], (width, height), interpolation=cv2.INTER_AREA)


def _line(points: Array, own: Line, mean: float) -> Line:
    """The line through the points, by least squares with their errors, neither of its parameters below 0.

    Where no point is near, the variance is that of the points, or less where the exposure itself shows less: shot noise
    is the same at every level after sRGB's curve, nearly.
    """
    level, variance, error = points.T
    floor = min(LEAST, own[1]) ** 2
    beyond = np.array([x for x in np.linspace(0, 255, 9) if np.abs(level - x).min() > NEAR])
    guessed = np.minimum(own[0] * beyond + own[1] ** 2, max(float(np.median(variance)), floor))
    relative = np.repeat((SURE, GUESSED), (len(level), len(beyond)))
    error = np.concatenate([error, np.zeros(len(beyond))])
    level, variance = np.concatenate([level, beyond]), np.concatenate([variance, guessed])
    fitted, gain, offset = variance, 0.0, 0.0
    for _ in range(ROUNDS):
        w = 1 / (error**2 + (relative * np.maximum(fitted, floor)) ** 2)
        mx, my = (w * level).sum() / w.sum(), (w * variance).sum() / w.sum()
        gain = float((w * (level - mx) * (variance - my)).sum() / max((w * (level - mx) ** 2).sum(), 1e-12))
        offset = float(my - gain * mx)
        if gain < 0:
            gain, offset = 0.0, max(float(my), 0.0)
        elif offset < 0:
            gain, offset = max(0.0, float((w * level * variance).sum() / (w * level**2).sum())), 0.0
        fitted = gain * level + offset
    scale = min(1.0, (own[0] * mean + own[1] ** 2) / max(gain * mean + offset, floor))
    return gain * scale, math.sqrt(max(offset * scale, floor))
