"""16-bit PNG, and TIFF, as bytes: Pillow writes 16 bits only for grey, OpenCV writes no metadata."""

from __future__ import annotations

import struct
import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.TiffImagePlugin import ImageFileDirectory_v2


def png(array: NDArray[np.uint16], exif: Image.Exif | None, icc: bytes | None) -> bytes:
    """(H, W, C), 16 bits, as PNG; C = 1 grey, 2 grey with alpha, 3 RGB, 4 RGBA (W3C PNG, 3rd edition)."""
    height, width, channels = array.shape
    rows = array.astype(">u2").reshape(height, -1).view(np.uint8)
    filtered = np.empty((height, 1 + rows.shape[1]), np.uint8)
    filtered[:, 0] = 1  # filter "Sub": the difference to the pixel on the left, modulo 256
    filtered[:, 1:] = rows
    filtered[:, 1 + 2 * channels :] -= rows[:, : -2 * channels]
    chunks = [(b"IHDR", struct.pack(">IIBBBBB", width, height, 16, {1: 0, 2: 4, 3: 2, 4: 6}[channels], 0, 0, 0))]
    if icc is not None:
        chunks.append((b"iCCP", b"ICC Profile\0\0" + zlib.compress(icc)))
    if exif is not None:
        chunks.append((b"eXIf", exif.tobytes().removeprefix(b"Exif\0\0")))
    chunks += [(b"IDAT", zlib.compress(filtered.tobytes())), (b"IEND", b"")]
    parts = [
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body)) for kind, body in chunks
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def tiff(array: NDArray[Any], exif: Image.Exif | None, icc: bytes | None) -> bytes:
    """(H, W, C), 8 or 16 bits, as TIFF, Deflate with differences; C as in `png` (TIFF 6.0, sections 3 and 14)."""
    height, width, channels = array.shape
    steps = array.astype(array.dtype.newbyteorder("<"))
    steps[:, 1:] -= array[:, :-1]
    strip = zlib.compress(steps.tobytes())
    tags = ImageFileDirectory_v2()
    for tag, value in exif.items() if exif is not None else ():
        tags[tag] = exif.get_ifd(tag) if exif is not None and tag in (0x8769, 0x8825) else value
    tags[256], tags[257], tags[258], tags[259] = width, height, (8 * array.itemsize,) * channels, 8
    tags[262], tags[277], tags[278], tags[279] = 2 if channels > 2 else 1, channels, height, len(strip)
    tags[273] = 0  # counted from the end of the directory, until Pillow writes it
    tags[284], tags[317], tags[339] = 1, 2, (1,) * channels
    if channels in (2, 4):
        tags[338] = (2,)  # the extra sample is alpha, not multiplied into the colours
    if icc is not None:
        tags[34675] = icc
    return b"II*\0" + struct.pack("<I", 8) + tags.tobytes(8) + strip
