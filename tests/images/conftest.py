"""Arrays to make pictures of, and what is read back as an array."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from gdpkit import images


def _noise(*shape: int, top: int = 255) -> NDArray[Any]:
    kind = np.uint8 if top == 255 else np.uint16
    return np.random.default_rng(7).integers(0, top, shape, dtype=kind, endpoint=True)


@pytest.fixture
def noise() -> Callable[..., NDArray[Any]]:
    """Gives an array of random levels, of a shape, up to `top`: 255 or 65535."""
    return _noise


def _smooth(height: int = 24, width: int = 32) -> NDArray[np.uint8]:
    y, x = np.mgrid[:height, :width]
    return np.stack([x * 255 // width, y * 255 // height, (x + y) * 255 // (height + width)], 2).astype(np.uint8)


@pytest.fixture
def smooth() -> Callable[..., NDArray[np.uint8]]:
    """Gives a picture in colour without detail, 24x32 or as asked for."""
    return _smooth


def _levels(pixels: torch.Tensor, bits: int = 8) -> NDArray[Any]:
    return np.asarray(np.rint(images.to_array(pixels) * (2**bits - 1)), int)


@pytest.fixture
def levels() -> Callable[..., NDArray[Any]]:
    """Gives the levels, in so many bits, that the pixels of a picture stand for."""
    return _levels
