"""What cameras' curves are like: a Gaussian over the bends of a response, before any pixel is seen.

Exposures without times tell curve and ratios up to a power only: light^p with steps of p stops explains them as well
(Grossberg and Nayar, "Determining the camera response from images: what is knowable?", TPAMI 2003). Which power is
right, only what curves are likely can tell (the same authors, "Modeling the space of camera response functions", TPAMI
2004, who measured them). Here they are encodings of several powers, with a shoulder that rolls highlights off, and
more contrast in the middle than at the ends, as cameras develop their pictures.
"""

from __future__ import annotations

from functools import lru_cache
from itertools import product
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from gdpkit import functional

Array = NDArray[Any]

BENDS = 7
GAMMAS = ((1.9, 0.2), (2.2, 0.6), (2.5, 0.2))
"""Of the encoding, each with how likely it is, as below."""
CONTRASTS = ((1.0, 0.4), (1.35, 0.35), (1.7, 0.25))  # power to both sides of a pivot
PIVOTS = (0.3, 0.45, 0.6)  # of the encoded range
SHOULDERS = ((0.0, 0.5), (1.0, 0.3), (2.5, 0.2))  # light is made so much steeper in the dark than at white, less one
STRAIGHT = 0.6  # that the encoding starts with a straight line, as sRGB's, and is no plain power
ROUGH = 0.1  # deviation of every bend, beyond what the family has
DARKEST = 1e-5  # light

LEVELS = np.linspace(0.03, 0.97, 95)
FINE = np.linspace(0, 1, 4097)


def decoded(encoded: NDArray[np.floating]) -> NDArray[np.floating]:
    """sRGB to light."""
    return functional.srgb_decoded(torch.from_numpy(np.ascontiguousarray(encoded))).numpy()


def basis(z: NDArray[np.floating]) -> NDArray[np.float64]:
    """Bends of the logarithm of light, white left alone, (..., BENDS): 1 - z, and waves that vanish at both ends."""
    z = np.asarray(z, np.float64)
    waves = [np.sin(np.pi * k * z) / k for k in range(1, BENDS)]
    return np.stack([1 - z, *waves], axis=-1)


@lru_cache(maxsize=1)
def likely() -> tuple[Array, Array]:
    """The mean of the bends, (N,), and the inverse of their covariance, (N, N)."""
    found, weights = [], []
    light = np.exp(np.linspace(np.log(DARKEST), 0, 1500))
    start = decoded(LEVELS)
    for (gamma, a), (contrast, b), pivot, (shoulder, c), (line, d) in product(
        GAMMAS, CONTRASTS, PIVOTS, SHOULDERS, ((True, STRAIGHT), (False, 1 - STRAIGHT))
    ):
        rolled = light * (1 + shoulder) / (1 + shoulder * light)
        value = np.interp(rolled, decoded(FINE), FINE) ** (2.2 / gamma) if line else rolled ** (1 / gamma)
        below, above = pivot * (value / pivot) ** contrast, 1 - (1 - pivot) * ((1 - value) / (1 - pivot)) ** contrast
        value = np.where(value < pivot, below, above)
        found.append(np.log(np.interp(LEVELS, value, light) / start))
        weights.append(a * b * c * d)
    bends = np.linalg.lstsq(basis(LEVELS), np.stack(found, axis=1), rcond=None)[0].T
    weight = np.array(weights) / sum(weights)
    mean = weight @ bends
    apart = bends - mean
    covariance = apart.T @ (apart * weight[:, None]) + ROUGH**2 * np.eye(len(mean))
    return mean, np.linalg.inv(covariance)


def plain_power(gamma: float) -> Array:
    """The bends of light = value^gamma, (N,)."""
    found: Array = np.linalg.lstsq(basis(LEVELS), gamma * np.log(LEVELS) - np.log(decoded(LEVELS)), rcond=None)[0]
    return found
