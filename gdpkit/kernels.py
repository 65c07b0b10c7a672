"""Blur kernels: odd-sided float64 tensors (h, w), not negative, that sum to one. The middle is where nothing moves."""

from __future__ import annotations

import math
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from gdpkit.errors import ImageError

REACH = 3.0  # a gaussian is cut at so many deviations where no size is given
FINE = 15  # samples along each side of a pixel, for edges that pixels share


@lru_cache(maxsize=32)
def gaussian(sigma: float, size: int | None = None) -> Tensor:
    """exp(-r^2 / (2 sigma^2)) sampled at integers, in a square of `size` pixels; by default to 3 sigma."""
    reach = math.ceil(REACH * sigma) if size is None else size // 2
    line = (-0.5 * (torch.arange(-reach, reach + 1, dtype=torch.float64) / sigma) ** 2).exp()
    line = line / line.sum()
    return line[:, None] * line


@lru_cache(maxsize=32)
def box(size: int) -> Tensor:
    """The mean of a square."""
    return torch.full((size, size), 1 / size**2, dtype=torch.float64)


@lru_cache(maxsize=32)
def disk(radius: float) -> Tensor:
    """A disk out of focus: flat, with an edge that shares its pixels by area."""
    reach = math.ceil(radius)
    half = (2 * reach + 1) * FINE // 2
    fine = torch.arange(-half, half + 1, dtype=torch.float64)
    inside = (fine[:, None] ** 2 + fine**2 <= (radius * FINE) ** 2).double()
    return _normalised(inside.unfold(0, FINE, FINE).unfold(1, FINE, FINE).mean((2, 3)))


@lru_cache(maxsize=32)
def motion(length: float, angle: float) -> Tensor:
    """A camera that moved evenly along a straight line.

    length: of the way, in pixels; 1 is no blur.
    angle: of the way, in degrees, counter-clockwise from the right.
    """
    half = max(0.0, (length - 1) / 2)
    count = 1 if half == 0 else 2 * math.ceil(FINE * half) + 1
    along = torch.linspace(-half, half, count, dtype=torch.float64)
    down, across = -math.sin(math.radians(angle)) * along, math.cos(math.radians(angle)) * along
    rows, columns = (math.ceil(round(float(line.abs().max()), 9)) for line in (down, across))
    kernel = torch.zeros(2 * rows + 1, 2 * columns + 1, dtype=torch.float64)
    at = torch.arange(-rows, rows + 1)[:, None, None], torch.arange(-columns, columns + 1)[None, :, None]
    kernel = ((1 - (at[0] - down).abs()).clamp_min(0) * (1 - (at[1] - across).abs()).clamp_min(0)).sum(-1)
    return _normalised((kernel + kernel.flip(0, 1)) / 2)


def read(path: str | Path) -> Tensor:
    """A kernel from a picture (black: nothing; colours are averaged) or a .npy array (h, w).

    Values are divided by their sum. An even side gets a row or column of zeros at its end. Raises `ImageError` for a
    file that cannot be read, and where values are negative, not finite or all zero.
    """
    return _read(Path(path), _modified(Path(path)))


@lru_cache(maxsize=8)
def _read(path: Path, modified: int) -> Tensor:
    values = _cached(path, modified)
    # What --blind saves holds a kernel for each photograph.
    return _odd(_checked(values[0] if values.ndim == 3 and len(values) == 1 else values, path, 2))


def read_grid(path: str | Path, rows: int, columns: int) -> Tensor:
    """rows x columns kernels from one file, (rows, columns, h, w): a picture of them side by side, or a .npy array.

    The array is the same picture, or (rows, columns, h, w). Each kernel is treated as in `read`.
    """
    return _read_grid(Path(path), _modified(Path(path)), rows, columns)


@lru_cache(maxsize=8)
def _read_grid(path: Path, modified: int, rows: int, columns: int) -> Tensor:
    values = _cached(path, modified)
    if values.ndim == 2:
        height, width = values.shape
        if height % rows or width % columns:
            raise ImageError(
                f"{path}: {width}x{height} pixels cannot be cut into {columns}x{rows} kernels of one size; "
                "give rows= and columns= that divide them"
            )
        values = values.reshape(rows, height // rows, columns, width // columns).transpose(1, 2)
    if values.shape[:2] != (rows, columns):
        raise ImageError(f"{path}: an array of {tuple(values.shape)} does not hold {rows} rows of {columns} kernels")
    return _odd(_checked(values, path, 4))


def euclidean_norm(kernel: Tensor) -> float:
    """What independent noise is multiplied with; of several kernels, their root mean square."""
    return float(kernel.square().sum((-2, -1)).mean().sqrt())


def _modified(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0  # reading it tells what is wrong


@lru_cache(maxsize=8)
def _cached(path: Path, modified: int) -> Tensor:
    if path.suffix.lower() == ".npy":
        try:
            array = np.load(path, allow_pickle=False)
            return torch.from_numpy(np.asarray(array, dtype=np.float64))
        except (OSError, ValueError, TypeError) as error:
            raise ImageError(f"{path}: cannot be read as a .npy array of numbers: {error}") from error
    from gdpkit import images

    return images.read_image(path)[0].double().mean(0)


def _checked(values: Tensor, path: str | Path, axes: int) -> Tensor:
    if values.ndim != axes or values.numel() == 0:
        raise ImageError(f"{path}: an array of {tuple(values.shape)} is no kernel; it has {axes} axes")
    if not bool(torch.isfinite(values).all()) or bool((values < 0).any()):
        raise ImageError(f"{path}: a kernel holds finite numbers from 0, one for each shift")
    if bool((values.sum((-2, -1)) == 0).any()):
        raise ImageError(f"{path}: a kernel is black; it must be brighter where light goes")
    return _normalised(values)


def _normalised(kernel: Tensor) -> Tensor:
    return kernel / kernel.sum((-2, -1), keepdim=True)


def _odd(kernel: Tensor) -> Tensor:
    height, width = kernel.shape[-2:]
    return torch.nn.functional.pad(kernel, (0, 1 - width % 2, 0, 1 - height % 2))
