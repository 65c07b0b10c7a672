"""A picture in memory with what a file knew about it, and the way from and to arrays."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gdpkit.errors import ImageError
from gdpkit.images.coding import Coding

ROUNDING = 12**-0.5
"""Standard deviation of rounding to whole levels, in levels: a uniform error of width 1."""


@dataclass(frozen=True, eq=False)
class Picture:
    """A picture and what is needed to write it back as it came.

    `pixels` is float32 (1, C, H, W) in [0, 1], upright: C = 3 is sRGB-encoded RGB (or the numbers of `icc` where the
    file carries a profile), C = 1 is grey. Only `from_array` of a batch gives more than one. `alpha` is float32
    (1, 1, H, W) in [0, 1], 1 is opaque. `bits` is the depth of the source, 8 or 16, and 32 for floats. `exif` has its
    orientation set to 1. `source` names the file in messages. `notes` are sentences about what was changed or could not
    be read. `coding` is how a lossy file was compressed.
    """

    pixels: Tensor
    alpha: Tensor | None = None
    bits: int = 8
    exif: bytes | None = None
    icc: bytes | None = None
    source: str = "the picture"
    notes: tuple[str, ...] = ()
    coding: Coding | None = None

    @property
    def grey(self) -> bool:
        """Whether there is one channel."""
        return self.pixels.shape[1] == 1

    def noted(self, note: str) -> Picture:
        """The same with one more note."""
        return replace(self, notes=(*self.notes, note))

    @property
    def rounding_sigma(self) -> float:
        """Noise from the file's own rounding, in 0..255: 0.2887 for 8 bits, 0.0011 for 16, 0 for floats."""
        return {8: ROUNDING, 16: ROUNDING * 255 / 65535}.get(self.bits, 0.0)


def to_tensor(array: NDArray[Any], top: float = 1.0) -> Tensor:
    """(H, W) or (H, W, C) numbers in 0..top to float32 (1, C, H, W), divided by `top`."""
    planes = array[None] if array.ndim == 2 else array.transpose(2, 0, 1)
    return torch.from_numpy(np.divide(planes, np.float32(top), dtype=np.float32, order="C", casting="same_kind"))[None]


def to_array(pixels: Tensor) -> NDArray[np.float32]:
    """(1, C, H, W) or (C, H, W) to a float32 array H x W x 3, or H x W where C is 1. ImageError on another shape."""
    if pixels.ndim == 4 and pixels.shape[0] == 1:
        pixels = pixels[0]
    if pixels.ndim != 3 or pixels.shape[0] not in (1, 3):
        raise ImageError(f"a picture is (1, 3, H, W) or (1, 1, H, W), not {tuple(pixels.shape)}")
    planes = pixels.detach().to("cpu", torch.float32)
    array: NDArray[np.float32] = np.ascontiguousarray(
        (planes[0] if len(planes) == 1 else planes.permute(1, 2, 0)).numpy()
    )
    return array


def from_array(values: NDArray[Any] | Tensor, *, source: str = "the array") -> Picture:
    """Take pixels from memory.

    NumPy: (H, W) or (H, W, C), C = 1, 3 or 4 (the last is alpha); PyTorch: (C, H, W) or (B, C, H, W). Integers are
    uint8 or uint16, floats are in [0, 1], booleans are black and white. Floats count as 8 bit where all are multiples
    of 1/255 (within 1e-4), as 16 bit where all are multiples of 1/65535, else as floats without rounding.

    Raises ImageError for another shape or type, for values outside [0, 1], NaN, and for an empty array.
    """
    if isinstance(values, Tensor):
        if values.ndim not in (3, 4) or values.shape[-3] not in (1, 3, 4):
            right = "(C, H, W) or (B, C, H, W) with C = 1, 3 or 4; NumPy arrays are (H, W, C)"
            raise ImageError(f"{source}: a tensor of shape {tuple(values.shape)} is no picture; it is {right}")
        array = values.detach().cpu().numpy()
        array = array if array.ndim == 4 else array[None]
    else:
        array = np.asarray(values)
        if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in (1, 3, 4)):
            right = "(H, W) or (H, W, C) with C = 1, 3 or 4; PyTorch tensors are (C, H, W)"
            raise ImageError(f"{source}: an array of shape {array.shape} is no picture; it is {right}")
        array = array[None, None] if array.ndim == 2 else array.transpose(2, 0, 1)[None]
    if array.size == 0:
        raise ImageError(f"{source}: the shape {tuple(values.shape)} holds no pixel")
    numbers, bits = _unit(array, source)
    stack = torch.from_numpy(np.ascontiguousarray(numbers))
    if stack.shape[1] == 4:
        return Picture(stack[:, :3].contiguous(), alpha=stack[:, 3:].contiguous(), bits=bits, source=source)
    return Picture(stack, bits=bits, source=source)


def _unit(array: NDArray[Any], source: str) -> tuple[NDArray[np.float32], int]:
    """Numbers of any accepted type as float32 in [0, 1], always a copy, and their depth."""
    if array.dtype == np.bool_:
        return array.astype(np.float32), 8
    if array.dtype in (np.uint8, np.uint16):
        bits = 8 * array.dtype.itemsize
        return array.astype(np.float32) / np.float32(2**bits - 1), bits
    if array.dtype.kind != "f":
        raise ImageError(f"{source}: {array.dtype} is no pixel type; use uint8, uint16, bool, or floats in [0, 1]")
    low, high = float(array.min()), float(array.max())
    if not np.isfinite((low, high)).all():
        raise ImageError(f"{source}: holds NaN or infinite values; floats are in [0, 1]")
    if low < 0 or high > 1:
        hint = "; divide by 255" if low >= 0 and 2 < high <= 255 else ""
        raise ImageError(f"{source}: values reach from {low:g} to {high:g}; floats are in [0, 1]{hint}")
    for bits in (8, 16):
        levels = array.astype(np.float64) * (2**bits - 1)
        # 1e-4 of the range is 0.0255 of an 8-bit level; the same share of a 16-bit level leaves room for float32.
        if np.abs(levels - levels.round()).max() <= 0.0255:
            return array.astype(np.float32), bits
    return array.astype(np.float32), 32
