"""Margins that a program has filled are no part of the scene."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from gdpkit_hdr import margins
from numpy.typing import NDArray
from PIL import Image

import gdpkit

Array = NDArray[Any]
HEIGHT, WIDTH = 72, 96
BLUE = np.array([0, 0, 255], np.uint8)


def frame(stops: float) -> NDArray[np.uint8]:
    """A ramp of greys, tinted."""
    light = 0.2 * 2.0 ** np.linspace(-3, 2, WIDTH)[None, :, None] * np.array([1.0, 0.9, 0.8])
    level = np.clip(light * 2.0**stops, 0, 1) ** (1 / 2.2)
    return np.asarray(np.round(255 * level).repeat(HEIGHT, axis=0), np.uint8)


def test_a_blue_margin_of_the_middle_exposure_shows_what_the_others_saw(tmp_path: Path) -> None:
    files = []
    for k, stops in enumerate((-2.0, 0.0, 2.0)):
        files.append(tmp_path / f"{k}.png")
        shown = frame(stops)
        if k:
            shown[: 4 * k] = BLUE
        Image.fromarray(shown).save(files[-1])
    result = gdpkit.restore("hdr", exposures=tuple(files), prior="tv", steps=2, device="cpu")
    assert not any("something moved" in note for note in result.notes)
    assert np.abs(result.image[:8] - result.image[30:38]).max() < 0.1
    assert result.radiance is not None
    assert np.abs(np.log(result.radiance[1, 8:-8] / result.radiance[30, 8:-8])).max() < 0.15


def test_what_does_not_begin_at_the_end_is_no_margin_and_neither_is_black_or_white() -> None:
    image = np.full((HEIGHT, WIDTH, 3), 0.4, np.float32)
    image[20:30, 20:30] = BLUE / 255
    image[:, -6:] = 1
    image[-6:] = 0
    known = np.ones((HEIGHT, WIDTH), bool)
    assert not margins.filled(image, known).any()
    image[:, :5] = BLUE / 255
    found = margins.filled(image, known)
    assert found[:, :5].all()
    assert not found[:, 8:].any()
