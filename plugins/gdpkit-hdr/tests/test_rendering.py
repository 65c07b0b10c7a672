"""The exposures made anew: without their noise, with what the radiance does not tell."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from gdpkit_hdr import bracket, rendering
from numpy.typing import NDArray
from PIL import Image

from gdpkit import images

Array = NDArray[Any]
STOPS = (-2.0, 0.0, 2.0)
SIGMA = 2.5


def encoded(light: Array) -> Array:
    return images.encode_srgb(torch.from_numpy(np.ascontiguousarray(light, np.float32))).numpy()


def scene() -> Array:
    rng = np.random.default_rng(0)
    coarse = cv2.GaussianBlur(rng.normal(0, 1, (96, 128, 3)), (0, 0), 6.0) * 6
    light: Array = (0.1 * 2.0 ** np.clip(1.5 * coarse, -2, 2)).astype(np.float32)
    return light


def made(folder: Path, shown: Array) -> bracket.Bracket:
    """The bracket of three noisy exposures of a scene, `shown` added to what they record."""
    rng = np.random.default_rng(1)
    files = []
    for k, stops in enumerate(STOPS):
        noisy = 255 * (encoded(scene() * 2.0**stops) + shown) + rng.normal(0, SIGMA, shown.shape)
        files.append(folder / f"{k}.png")
        Image.fromarray(np.round(noisy.clip(0, 255)).astype(np.uint8)).save(files[-1])
    return bracket.prepare(files, (1.0, 4.0, 16.0), align=False, half=False)[0]


def test_noise_is_not_put_back_into_an_exposure(tmp_path: Path) -> None:
    found = rendering.exposures(scene(), made(tmp_path, np.zeros((96, 128, 3))))[1]
    assert 255 * float((found - encoded(scene())).std()) < 0.3 * SIGMA


def test_detail_that_the_radiance_lacks_is_put_back(tmp_path: Path) -> None:
    """A camera sharpens: what it recorded counts."""
    stripes = np.zeros((96, 128, 3))
    stripes[:, 40:80:4] = stripes[:, 41:80:4] = 0.06
    stripes[:, 42:80:4] = stripes[:, 43:80:4] = -0.06
    found = rendering.exposures(scene(), made(tmp_path, stripes))[1]
    kept = ((found - encoded(scene())) * stripes)[:, 46:74].sum() / (stripes**2)[:, 46:74].sum()
    assert float(kept) == pytest.approx(1, abs=0.1)
