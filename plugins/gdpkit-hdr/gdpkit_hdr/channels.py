"""What is asked of the three channels of every pixel, and curves as tables: most of a bracket's work is these."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

Array = NDArray[Any]
Table = Callable[[torch.Tensor], Array]
"""A curve for each channel, of the places that `places` gives."""

LEVELS = np.linspace(0, 1, 255 * 64 + 1, dtype=np.float32)
"""Values whose curves are worked out: those of 8 bits are among them, and others are within a 500th of one of these."""


def brightest(image: Array) -> Array:
    """The largest of the channels, (H, W, 3) -> (H, W); of truth values, whether any is true."""
    r, g, b = _planes(image)
    return np.asarray(cv2.max(cv2.max(r, g), b)).view(image.dtype)


def darkest(image: Array) -> Array:
    """The smallest of the channels, (H, W, 3) -> (H, W); of truth values, whether all are true."""
    r, g, b = _planes(image)
    return np.asarray(cv2.min(cv2.min(r, g), b)).view(image.dtype)


def _planes(image: Array) -> Sequence[Array]:
    return cv2.split(image.view(np.uint8) if image.dtype == bool else image)


def mean(image: Array) -> Array:
    """The mean of the channels, (H, W, 3) -> (H, W)."""
    return np.asarray(cv2.transform(image, np.full((1, 3), 1 / 3, np.float32)))


def thrice(plane: Array) -> Array:
    """One channel for all three, (H, W) or (H, W, 1) -> (H, W, 3): products that broadcast take ten times as long."""
    found = np.asarray(cv2.merge([plane.view(np.uint8) if plane.dtype == bool else plane] * 3))
    return found.view(plane.dtype)


def scaled(image: Array, factors: Array) -> Array:
    """Each channel of (H, W, 3) times its own factor, as float32."""
    return np.asarray(cv2.transform(image, np.diag(factors).astype(np.float32)))


def deviation(image: Array) -> Array:
    """The standard deviation of the channels, (H, W, 3) -> (H, W)."""
    r, g, b = cv2.split(image)
    spread: Array = np.sqrt((r - g) ** 2 + (g - b) ** 2 + (b - r) ** 2) / np.float32(3)
    return spread


def looked_up(image: Array, tables: Array) -> Array:
    """Values in [0, 1] through curves given at equal distances from 0 to 1, straight between; as float32.

    tables: (1, N), or (3, N) with a curve for each channel of an image (H, W, 3).
    """
    count = tables.shape[1]
    at = torch.from_numpy(np.ascontiguousarray(image, np.float32)).clamp(0, 1).mul_(count - 1)
    lower = at.int()
    at.sub_(lower)
    if len(tables) > 1:
        lower += count * torch.arange(3, dtype=torch.int32)
    steps = np.diff(tables, axis=1, append=tables[:, -1:])
    low, step = (
        torch.from_numpy(t.astype(np.float32).ravel()).index_select(0, lower.flatten()) for t in (tables, steps)
    )
    return low.addcmul_(at.flatten(), step).view(at.shape).numpy()


def places(image: Array) -> torch.Tensor:
    """Which of LEVELS the values of an image (H, W, 3) in [0, 1] are nearest to, in tables of three channels."""
    at = torch.from_numpy(image).mul(len(LEVELS) - 1).add_(0.5).int()
    return at.clamp_(0, len(LEVELS) - 1).add_(len(LEVELS) * torch.arange(3, dtype=torch.int32))


def table(curves: Array) -> Table:
    """What curves given at LEVELS, (LEVELS, 3), have at places, (H, W, 3)."""
    values = torch.from_numpy(np.ascontiguousarray(curves.T, np.float32)).flatten()
    return lambda at: values.index_select(0, at.flatten()).view(at.shape).numpy()
