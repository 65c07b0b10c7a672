"""Scene-linear files, OpenEXR and Radiance HDR, and the sRGB curve between them and everything else."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gdpkit import functional
from gdpkit.errors import ImageError
from gdpkit.images.picture import to_array, to_tensor

LIMIT = 500_000_000
"""Pixels above which a file is refused before decoding: a small file can claim any size."""


def check_size(width: int, height: int) -> None:
    """Refuse a size, known from the header, that cannot be a photograph. Raises ImageError without a file name."""
    if width < 1 or height < 1:
        raise ImageError(f"it says it is {width} x {height} pixels large, so it holds no picture")
    if width * height > LIMIT:
        size = f"{width} x {height} pixels ({width * height / 1e6:,.0f} megapixels)"
        raise ImageError(f"it says it is {size} large; up to {LIMIT // 10**6} megapixels are read")


def encode_srgb(linear: Tensor) -> Tensor:
    """Linear light in [0, 1] to sRGB-encoded [0, 1] (IEC 61966-2-1); any shape. Values outside are clipped."""
    return functional.srgb_encoded(linear.clamp(0, 1))


def decode_srgb(encoded: Tensor) -> Tensor:
    """The inverse of `encode_srgb`: sRGB-encoded [0, 1] to linear light; any shape. Values outside are clipped."""
    return functional.srgb_decoded(encoded.clamp(0, 1))


@contextmanager
def silent_cv2() -> Iterator[Any]:
    """cv2, without the lines its decoders print: the error that follows says what is wrong."""
    import cv2

    before = cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    try:
        yield cv2
    finally:
        cv2.utils.logging.setLogLevel(before)


def read_exr(path: Path) -> tuple[Tensor, list[str]]:
    """The first part of an OpenEXR file, float32 (1, C, H, W) in linear light, unbounded, and notes."""
    import OpenEXR

    low, high = OpenEXR.File(str(path), header_only=True).header()["dataWindow"]
    check_size(int(high[0]) - int(low[0]) + 1, int(high[1]) - int(low[1]) + 1)
    file = OpenEXR.File(str(path))
    channels = file.channels()
    name = next((name for name in ("RGB", "RGBA", "Y", "YA") if name in channels), None)
    if name is None:
        raise ImageError(f"it holds the channels {', '.join(channels) or 'none'}; RGB, RGBA or Y are read")
    array: NDArray[Any] = channels[name].pixels
    notes = [f"only the first of {len(file.parts)} parts is used"] if len(file.parts) > 1 else []
    if set(channels) - {name} or "A" in name:
        notes.append("only its colour channels are read, alpha and others are not")
    frame = file.header()["displayWindow"]
    if not np.array_equal(frame, (low, high)):
        notes.append("its data window is read, without the empty rest of the display window")
    return _finite(to_tensor(array[..., :3] if array.ndim == 3 else array), notes), notes


def read_radiance(data: bytes) -> tuple[Tensor, list[str]]:
    """A Radiance .hdr file, float32 (1, 3, H, W) in linear light, unbounded, and notes."""
    line = re.search(rb"\n([-+])([XY]) (\d{1,9}) ([-+])([XY]) (\d{1,9})\n", data[:65536])
    if line is None:
        raise ImageError("its Radiance header is damaged: there is no line such as '-Y 480 +X 640'")
    check_size(int(line[6]), int(line[3]))
    with silent_cv2() as cv2:
        array = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if array is None:
        raise ImageError("its Radiance data are cut short, damaged, or in a form that OpenCV does not read")
    notes: list[str] = []
    return _finite(to_tensor(array[..., ::-1]), notes), notes


def _finite(linear: Tensor, notes: list[str]) -> Tensor:
    """NaN to 0 and infinities to the largest number in the picture, so that they spoil no neighbour."""
    good = torch.isfinite(linear)
    if good.all():
        return linear
    notes.append(f"{int((~good).sum())} values that are not numbers were replaced")
    top = float(linear[good].max()) if good.any() else 0.0
    return linear.nan_to_num(nan=0.0, posinf=top, neginf=0.0)


def write_exr(path: Path, linear: Tensor) -> None:
    """(1, C, H, W) in linear light to OpenEXR, 32-bit floats, ZIP-compressed without loss; grey is the channel Y."""
    import OpenEXR

    array = to_array(linear)
    header = {"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage}
    OpenEXR.File(header, {"Y" if array.ndim == 2 else "RGB": array}).write(str(path))


def radiance_bytes(linear: Tensor) -> bytes:
    """(1, 3, H, W) in linear light as a Radiance .hdr file (8-bit mantissas, a shared exponent: about 1 % exact)."""
    array = to_array(linear.clamp(min=0))
    with silent_cv2() as cv2:
        _, data = cv2.imencode(".hdr", np.ascontiguousarray(array[..., ::-1]))
    return bytes(data)
