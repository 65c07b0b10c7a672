"""The camera's response and the ratios of the exposures, fitted to the pixels together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from gdpkit import functional
from gdpkit_hdr import channels, curves, equations
from gdpkit_hdr.curves import BENDS, basis

Array = NDArray[Any]

DARK, WHITE = 0.03, 0.95  # encoded values between which one exposure is compared with another
STIFF = 0.3  # how readily the response leaves sRGB's: deviation of a coefficient, in the logarithm of light
SHUTTER = 0.03  # deviation of the log of an exposure from what its file, or sRGB, says: shutters are not exact
FIXED = 3 / 255
FLOOR = 0.1
WORTH, WORTH_OF_TWO = 0.85, 0.6
"""A bent curve must bring exposures that much nearer to each other than sRGB's does. Two without times tell it less
well than three: what repeats with each step of theirs fits as well (Grossberg and Nayar's self-similar ambiguity)."""
PLAIN, NEARLY = 2.2, 0.1  # a power of light, as which many programs encode, and how near bends come to its logarithm
SAMPLES = 5000
LEAST = 150
"""Samples that two exposures must share before their pixels tell the ratio."""
LEVELS = 4097  # of a curve as a table
CELL = 4  # pixels a side whose mean is one sample: noise and a remaining shift matter less


@dataclass(frozen=True, eq=False)
class Response:
    """The inverse of a camera's curve, encoded value to light: sRGB's, bent by exp(sum_i c_i b_i(z)).

    bends: c, (channels, BENDS), 0 for sRGB itself. White stays white.
    """

    bends: NDArray[np.float64]

    def light(self, encoded: Array) -> Array:
        """(H, W, 3) encoded values in [0, 1] -> linear light in [0, 1]."""
        if not self.bends.any():
            return decoded(encoded)
        return self._mapped(encoded, backwards=False)

    def recorded(self, light: Array) -> Array:
        """The inverse of `light`; what is above white is clipped."""
        if not self.bends.any():
            return encoded(light)
        return self._mapped(light, backwards=True)

    def _mapped(self, image: Array, backwards: bool) -> Array:
        """Each channel through its curve, from encoded values to light, or backwards.

        Backwards by way of sRGB's curve, which the camera's is near to: the table's steps are then alike everywhere.
        """
        levels = np.linspace(0, 1, LEVELS)
        alike = bool((self.bends == self.bends[0]).all())
        curves = [self._curve(levels, c) for c in range(1 if alike else len(self.bends))]
        if backwards:
            curves = [np.interp(decoded(levels), curve, levels) for curve in curves]
            image = encoded(image)
        return channels.looked_up(image, np.stack(curves))

    def _curve(self, levels: NDArray[np.float64], channel: int) -> NDArray[np.float64]:
        curve: NDArray[np.float64] = decoded(levels) * np.exp(basis(levels) @ self.bends[channel])
        return np.maximum.accumulate(curve)  # a fit to few samples may turn back where there are none


decoded = curves.decoded


def encoded(light: NDArray[np.floating]) -> NDArray[np.floating]:
    """Light to sRGB, clipped to [0, 1]."""
    return functional.srgb_encoded(torch.from_numpy(np.ascontiguousarray(light)).clamp(0, 1)).numpy()


@dataclass(frozen=True, eq=False)
class Fit:
    """What the pixels say of a bracket, in the order of its exposures.

    response: of the camera.
    stops: log2 of the light of each exposure, (K,).
    plain: the same by sRGB's curve and the pixels alone.
    balance: the logarithm of what each channel of each exposure has more than its others, (K, 3).
    seen: whether any pixel tells the ratio of an exposure to its neighbour, (K - 1,), from dark to bright.
    spread: median distance in log light between exposures that both see a pixel, after the fit.
    """

    response: Response
    stops: NDArray[np.float64]
    plain: NDArray[np.float64]
    balance: NDArray[np.float64]
    seen: tuple[bool, ...]
    spread: float


def samples(
    images: Sequence[Array], valid: Sequence[NDArray[np.bool_]]
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Means of small cells of every exposure, (K, N, 3), and where a cell is wholly inside the range, (K, N, 3)."""
    height, width = images[0].shape[:2]
    cell = CELL if min(height, width) >= 64 * CELL else max(1, min(height, width) // 64)
    size = (max(1, width // cell), max(1, height // cell))
    means, inside = [], []
    for image, known in zip(images, valid, strict=True):
        # The mean of encoded values, not of light: the curve would make noise look like light in the dark.
        mean = cv2.resize(image, size, interpolation=cv2.INTER_AREA).reshape(*size[::-1], 3)
        good = ((image > DARK / 3) & (image < WHITE + 0.02) & known[..., None]).astype(np.float32)
        whole = cv2.resize(good, size, interpolation=cv2.INTER_AREA).reshape(*size[::-1], 3)
        means.append(mean.reshape(-1, 3))
        inside.append((whole > 0.999).reshape(-1, 3))
    order = np.random.default_rng(0).permutation(len(means[0]))[:SAMPLES]
    return np.stack(means)[:, order].astype(np.float64), np.stack(inside)[:, order]


def order(images: Sequence[Array]) -> list[int]:
    """The exposures from dark to bright, by their mean."""
    return sorted(range(len(images)), key=lambda k: float(images[k].mean()))


def fit(
    images: Sequence[Array],
    valid: Sequence[NDArray[np.bool_]],
    stops: Sequence[float] | None,
    noise: Sequence[float],
) -> Fit:
    """Response and ratios of exposures in order of brightness, aligned, encoded (H, W, 3) in [0, 1].

    Least squares in the logarithm of light over all pairs of neighbours and next neighbours, reweighted against what
    moved (after Debevec and Malik, "Recovering high dynamic range radiance maps from photographs", SIGGRAPH 1997; the
    response as a bent sRGB curve, so that few coefficients tell it). Pixels alone do not tell a power of the light: how
    far the darkest and the brightest are apart is what `stops` say. Without these it is what sRGB's curve says, or a
    plain power, where one of them explains the pixels nearly as well as a bent one; else the likeliest by what cameras'
    curves are like (`curves`). Exposures between may move, for shutters are not exact.

    noise: deviation of each exposure, in encoded units.
    """
    z, inside = samples(images, valid)
    count = len(images)
    floor = np.minimum(np.quantile(z.mean(axis=2), 0.01, axis=1), FLOOR)  # stray light, or a scanner's black
    inside &= (z > DARK + floor[:, None, None]) & (z < WHITE)
    inside &= ~_fixed(z)[None, :, None]
    pairs = [(j, k) for j in range(count) for k in (j + 1, j + 2) if k < count]
    rows = []
    for j, k in pairs:
        both = inside[j] & inside[k]
        for c in range(3):
            at = both[:, c].nonzero()[0]
            rows.append((j, k, c, z[j, at, c], z[k, at, c]))
    seen = tuple(sum(len(r[3]) for r in rows if (r[0], r[1]) == pair) >= LEAST for pair in pairwise(range(count)))
    told = equations.equations(rows, count, noise)
    still = np.full(count, 1e-6)
    none = np.zeros(BENDS)
    power = free = equations.solve(told, np.zeros(count), still, none, None)
    plain = free[1]
    hold = np.full(count, 1 / SHUTTER**2)
    hold[[0, -1]] = 1e10
    if stops is None:
        centre, precision = curves.likely()
        gauge = equations.guessed(told, hold, centre, precision)
        power = equations.solve(replace(told, target=PLAIN * told.ratio), np.zeros(count), still, none, None)
        straight = min(free, power, key=equations.apart)
    else:
        centre, precision = none, np.eye(BENDS) / STIFF**2
        gauge = np.asarray(stops, np.float64) * np.log(2)
        for k in range(count - 1):
            if not seen[k]:
                hold[[k, k + 1]] = 1e10
        straight = equations.solve(told, gauge, hold, none, None)
    best = equations.solve(told, gauge, hold, centre, precision)
    worth = WORTH_OF_TWO if stops is None and count == 2 else WORTH
    if equations.apart(best) > worth * equations.apart(straight):
        best = straight
        if straight is power and power is not free:  # bends tell it nearly
            best = equations.solve(told, power[1], hold, curves.plain_power(PLAIN), np.eye(BENDS) / NEARLY**2)
    bends, logs, balance, spread = best
    return Fit(Response(np.tile(bends, (3, 1))), logs / np.log(2), plain / np.log(2), balance, seen, spread)


def _fixed(z: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Cells that are the same in all of three or more exposures, (N,): a frame around the picture, or letters."""
    if len(z) < 3:
        return np.zeros(z.shape[1], bool)
    same: NDArray[np.bool_] = np.ptp(z, axis=0).max(axis=1) < FIXED
    return same
