"""The noise of an exposure, however much texture the scene has."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from gdpkit_hdr import noise, response
from gdpkit_hdr.alignment import Placed
from gdpkit_hdr.response import Fit, Response
from numpy.typing import NDArray

Array = NDArray[Any]

STOPS = (-2.0, 0.0, 2.0)
SIGMAS = (5.0, 2.5, 1.25)
OWN = (0.3, 4.0)  # of texture, which one exposure by itself cannot tell from noise


def leaves(side: int = 192) -> Array:
    """Light as of leaves: every pixel another one, light and shade in larger places."""
    rng = np.random.default_rng(0)
    places = np.kron(rng.uniform(-3, 0.5, (side // 32, side // 32, 1)), np.ones((32, 32, 1)))
    light: Array = (0.3 * np.exp(places + 0.4 * rng.normal(size=(side, side, 3)))).astype(np.float32)
    return light


def exposed(light: Array, stops: float, sigma: float) -> Array:
    drawn = np.random.default_rng(int(10 + stops)).normal(0, sigma / 255, light.shape)
    values = (response.encoded((light * 2**stops).astype(np.float32)) + drawn).clip(0, 1)
    return (np.round(255 * values) / 255).astype(np.float32)


def known(stops: tuple[float, ...]) -> Fit:
    logs = np.array(stops)
    return Fit(Response(np.zeros((3, response.BENDS))), logs, logs, np.zeros((len(stops), 3)), (True,), 0.0)


def deviation(line: tuple[float, float], level: float) -> float:
    return math.hypot(line[1], math.sqrt(line[0] * level))


def found(images: list[Array], stops: tuple[float, ...], placed: list[Placed] | None = None) -> list[float]:
    """The deviation at the mean of each exposure."""
    whole = [np.ones(i.shape[:2], bool) for i in images]
    lines = noise.lines(images, whole, placed, known(stops), [OWN] * len(images))
    return [deviation(line, 255 * float(image.mean())) for line, image in zip(lines, images, strict=True)]


def test_texture_is_no_noise() -> None:
    """Of 20 to 40 levels, beside which each exposure by itself could not tell 1.25 from 5."""
    images = [exposed(leaves(), s, n) for s, n in zip(STOPS, SIGMAS, strict=True)]
    sigmas = found(images, STOPS)
    assert sigmas[0] == pytest.approx(5.0, abs=0.4)
    assert sigmas[1] == pytest.approx(2.5, abs=0.3)
    assert sigmas[2] < 2.0


def test_two_exposures_suffice() -> None:
    sigmas = found([exposed(leaves(), s, n) for s, n in ((-2.0, 4.0), (2.0, 2.0))], (-2.0, 2.0))
    assert sigmas[0] == pytest.approx(4.0, abs=0.5)
    assert sigmas[1] == pytest.approx(2.0, abs=1.0)


def test_what_one_exposure_alone_tells_is_the_most() -> None:
    """Of exposures that share nothing, one of which moved, say."""
    images = [exposed(leaves(), -2, 1.0), exposed(leaves().transpose(1, 0, 2)[::-1].copy(), 0, 1.0)]
    for image, sigma in zip(images, found(images, (-2.0, 0.0)), strict=True):
        assert sigma <= deviation(OWN, 255 * float(image.mean())) + 0.05


def test_what_interpolation_smoothed_is_counted() -> None:
    """An exposure that was moved by half a pixel has less fine noise, and as much as before in larger grains."""
    kept = Placed(np.zeros(1), np.zeros(1, bool))
    moved = Placed(np.zeros(1), np.zeros(1, bool), shift=(3.5, 0.0))
    images = [exposed(leaves(), s, 2.0) for s in (-1.0, 0.0)]
    before, after = (found(images, (-1.0, 0.0), [kept, p])[1] for p in (kept, moved))
    assert after > 1.2 * before


def test_one_exposure_keeps_its_own() -> None:
    assert noise.lines([exposed(leaves(), 0, 2.0)], [np.ones((192, 192), bool)], None, known((0.0,)), [OWN]) == [OWN]
