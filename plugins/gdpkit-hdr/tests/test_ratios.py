"""`hdr`: ratios that no times tell, of cameras with curves of their own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from gdpkit_hdr import bracket, noise, response
from numpy.typing import NDArray

from gdpkit import images

Array = NDArray[Any]
Curve = Callable[[Array], Array]


def srgb(light: Array) -> Array:
    return images.encode_srgb(torch.from_numpy(np.ascontiguousarray(light, np.float32)).clamp(0, 1)).numpy()


def power(light: Array) -> Array:
    found: Array = light.clip(0, 1) ** (1 / 2.2)
    return found


def contrasty(light: Array) -> Array:
    """An S about middle grey, half as steep again there, as cameras develop their pictures."""
    found: Array = 0.5 * (1 + np.tanh(2.6 * (srgb(light) - 0.5)) / np.tanh(1.3))
    return found


def smoothstep(light: Array) -> Array:
    value = srgb(light)
    found: Array = 0.5 * value + 0.5 * value * value * (3 - 2 * value)
    return found


def exposures(curve: Curve, stops: tuple[float, ...], seed: int = 0) -> list[Array]:
    rng = np.random.default_rng(seed)
    coarse = rng.normal(0, 1, (160, 208, 3)).astype(np.float32)
    texture = sum(cv2.GaussianBlur(coarse, (0, 0), s) * s for s in (1.5, 4.0))
    light = 0.18 * 2.0 ** (np.linspace(-4.5, 2.5, 208)[None, :, None] + 1.2 * texture).clip(-6, 3)
    shown = [curve(light * 2.0**s) + rng.normal(0, 1 / 255, light.shape) for s in stops]
    return [(np.round(255 * s.clip(0, 1)) / 255).astype(np.float32) for s in shown]


def told(curve: Curve, stops: tuple[float, ...]) -> tuple[Array, tuple[str, ...]]:
    """The steps that are found, in stops, and what is said."""
    made, _, notes = bracket.prepare(exposures(curve, stops), (), align=False, half=False)
    return np.diff(made.fit.stops), tuple(notes)


@pytest.mark.parametrize("curve", [srgb, power, contrasty, smoothstep])
def test_two_stops_are_found_whatever_the_curve(curve: Curve) -> None:
    """By sRGB's curve those of the contrasty camera look like 2.8."""
    steps, notes = told(curve, (-2.0, 0.0, 2.0))
    assert 2.0**steps == pytest.approx([4, 4], rel=0.15)
    assert any("a guess" in note and "--times" in note for note in notes)


def test_steps_of_a_known_curve_need_not_be_whole() -> None:
    steps, _ = told(srgb, (-1.4, 0.0, 1.7))
    assert steps == pytest.approx([1.4, 1.7], abs=0.05)


def test_a_guessed_response_makes_the_exposures_agree() -> None:
    frames = exposures(contrasty, (-2.0, 0.0, 2.0))
    fit = response.fit(frames, [np.ones(f.shape[:2], bool) for f in frames], None, [1 / 255] * 3)
    light = [fit.response.light(f) / 2.0**s for f, s in zip(frames, fit.stops, strict=True)]
    both = (frames[1] > 0.15) & (frames[2] < 0.9)
    assert float(np.median(np.abs(np.log(light[1][both] / light[2][both])))) < 0.03


def test_places_of_a_large_picture_tell_its_noise() -> None:
    rng = np.random.default_rng(0)
    light = 0.3 * 2.0 ** cv2.resize(rng.uniform(-2, 1, (20, 20, 3)), (600, 500), interpolation=cv2.INTER_CUBIC)
    frames = [
        (srgb(light * 2.0**s) + rng.normal(0, 4 / 255, light.shape)).clip(0, 1).astype(np.float32) for s in (0, 1)
    ]
    valid = [np.ones(f.shape[:2], bool) for f in frames]
    fit = response.fit(frames, valid, (0.0, 1.0), [4 / 255] * 2)
    assert noise._sampled(frames, valid)[0][0].size < frames[0].size / 2
    for gain, read in noise.lines(frames, valid, None, fit, [(0.0, 6.0)] * 2):
        assert np.sqrt(128 * gain + read**2) == pytest.approx(4, rel=0.08)
