"""From radiance to a picture: tone mapping."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from gdpkit_hdr import channels
from gdpkit_hdr.response import encoded

Array = NDArray[Any]

KEY = 0.18
LUMA = np.array([0.2126, 0.7152, 0.0722], np.float32)
WINDOW = 3.0  # deviation in pixels of the window whose contrast counts
CONTRAST, SATURATION = 1.0, 0.3  # powers of two measures of how good an exposure is
WELL = 0.5  # deviation about middle grey of the third
FLAT = 0.02
NEARLY, CLIPPED = 0.85, 1e-3  # of white: an exposure's colours count less from here on, and so much at white
SHARP = 2.0  # power of local contrast among the weights of fine levels
COARSEST = 2  # least side in pixels of the coarsest level
HALVINGS = 20


def fused(exposures: Sequence[Array]) -> Array:
    """One picture of several exposures of one radiance, (H, W, 3) in [0, 1].

    Exposure fusion (Mertens, Kautz and Van Reeth, Pacific Graphics 2007): Laplacian pyramids, weighed by local contrast
    and saturation. In fine levels the exposure with the most local contrast counts for more, as in the fusion by
    structural patches (Ma et al., TIP 2017).

    Colours are fused apart from brightness: a camera's channels clip one after the other, so that around what is
    clipped an exposure has much contrast and saturation, and a wrong colour.
    """
    if len(exposures) == 1:
        return exposures[0]
    smooth = [cv2.GaussianBlur(e, (0, 0), WINDOW) for e in exposures]
    weights = [_weight(e, s) for e, s in zip(exposures, smooth, strict=True)]
    coloured = [w * _unclipped(s) for w, s in zip(weights, smooth, strict=True)]
    split = [cv2.cvtColor(np.ascontiguousarray(e, np.float32), cv2.COLOR_RGB2YCrCb) for e in exposures]
    return np.asarray(cv2.cvtColor(_blended(split, weights, coloured), cv2.COLOR_YCrCb2RGB)).clip(0, 1)


def photographic(radiance: Array) -> Array:
    """One curve for the whole picture: l (1 + l / white^2) / (1 + l) of the luminance l.

    l is scaled so that its geometric mean is KEY (Reinhard et al., "Photographic tone reproduction for digital images",
    SIGGRAPH 2002, equations 1 to 4).
    """
    luminance = radiance @ LUMA
    positive = luminance[luminance > 0]
    mean = float(np.exp(np.log(positive).mean())) if positive.size else 1.0
    scaled = KEY / mean * luminance
    white = max(1.0, float(np.quantile(scaled, 0.999)))
    mapped = scaled * (1 + scaled / white**2) / (1 + scaled)
    return encoded(radiance * (mapped / np.maximum(luminance, 1e-12))[..., None])


def logarithmic(radiance: Array, gain: float) -> Array:
    """The logarithm of light, straight below what the brightest exposure shows as a fiftieth of its white."""
    toe = 0.02 / gain
    white = max(float(np.quantile(radiance, 0.9995)), 2 * toe)
    picture: Array = (np.log1p(radiance / toe) / math.log1p(white / toe)).clip(0, 1).astype(np.float32)
    return picture


def at_mean(picture: Array, target: float) -> Array:
    """The picture raised to the power that gives it this mean; black and white stay."""
    low, high = 1 / 8, 8.0
    few = picture[::4, ::4]
    for _ in range(HALVINGS):
        power = math.sqrt(low * high)
        low, high = (power, high) if float((few**power).mean()) > target else (low, power)
    brighter: Array = picture**power
    return brighter


def _weight(exposure: Array, smooth: Array) -> Array:
    """How good an exposure is, for each pixel: by its local contrast, and a little by saturation and brightness.

    FLAT is added to the contrast: where there is none, noise shall not decide. `smooth` is the exposure blurred.
    """
    grey = cv2.cvtColor(exposure, cv2.COLOR_RGB2GRAY)
    mean = cv2.cvtColor(smooth, cv2.COLOR_RGB2GRAY)
    variance = np.maximum(cv2.GaussianBlur(grey * grey, (0, 0), WINDOW) - mean * mean, 0)
    well = cv2.exp(-((mean - 0.5) ** 2) / (2 * WELL**2))
    contrast = cv2.pow(variance + FLAT**2, CONTRAST / 2)
    shades = cv2.pow(channels.deviation(smooth) + np.float32(1e-3), SATURATION)
    weight: Array = contrast * shades * well + np.float32(1e-12)
    return weight


def _unclipped(smooth: Array) -> Array:
    """1 where every channel is below NEARLY, falling smoothly to next to nothing where one is white.

    Next to nothing, and not 0: where every exposure is white they count as they did.
    """
    top = channels.brightest(smooth)
    room = np.clip((1 - top) / (1 - NEARLY), 0, 1)
    share: Array = CLIPPED + (1 - CLIPPED) * room * room * (3 - 2 * room)
    return share


def _blended(exposures: list[Array], weights: list[Array], coloured: list[Array]) -> Array:
    """Luma by `weights`, the two channels of colour by `coloured`; exposures (H, W, 3) as Y, Cr, Cb."""
    height, width = exposures[0].shape[:2]
    levels = max(1, int(math.log2(max(2, min(height, width) / COARSEST))))
    laplacians = [_laplacian(e, levels) for e in exposures]
    gaussians = [[_gaussian(w, levels) for w in _shares(some)] for some in (weights, coloured)]
    result: Array | None = None
    for level in range(levels, -1, -1):
        bands = [pyramid[level] for pyramid in laplacians]
        bright, colour = ([pyramid[level] for pyramid in some] for some in gaussians)
        if level < levels and SHARP:
            sharp = [_energy(band) ** SHARP for band in bands]
            bright, colour = (_shares([s * e for s, e in zip(some, sharp, strict=True)]) for some in (bright, colour))
        shares = [np.asarray(cv2.merge([b, c, c])) for b, c in zip(bright, colour, strict=True)]
        band = sum((s * b for s, b in zip(shares, bands, strict=True)), start=np.zeros_like(bands[0]))
        result = band if result is None else cv2.pyrUp(result, dstsize=band.shape[1::-1]) + band
    assert result is not None
    return result


def _shares(weights: list[Array]) -> list[Array]:
    total = sum(weights[1:], start=weights[0]) + 1e-20
    return [w / total for w in weights]


def _energy(band: Array) -> Array:
    """Local contrast of the luma of a level, never 0."""
    grey = band[..., 0]
    spread: Array = np.sqrt(cv2.GaussianBlur(grey * grey, (0, 0), 1.5) + (FLAT / 4) ** 2)
    return spread


def _gaussian(image: Array, levels: int) -> list[Array]:
    pyramid = [image]
    for _ in range(levels):
        pyramid.append(cv2.pyrDown(pyramid[-1]))
    return pyramid


def _laplacian(image: Array, levels: int) -> list[Array]:
    gaussian = _gaussian(image, levels)
    bands = [g - cv2.pyrUp(s, dstsize=g.shape[1::-1]) for g, s in pairwise(gaussian)]
    return [*bands, gaussian[-1]]
