"""More than 8 bits a channel. Pillow cuts 16-bit colour to 8 without a word, so OpenCV decodes it and Pillow checks."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from gdpkit.errors import ImageError
from gdpkit.images.linear import check_size, silent_cv2
from gdpkit.images.picture import to_tensor


def depth(image: Image.Image, data: bytes) -> int:
    """Bits a channel that the file holds."""
    if image.format == "PNG":
        return data[24]
    if image.format == "TIFF":
        bits = image.getexif().get(0x0102, 1)
        return int(max(bits)) if isinstance(bits, tuple) else int(bits)
    if image.format == "PPM" and image.mode == "RGB":
        fields = b" ".join(line.partition(b"#")[0] for line in data[:1024].split(b"\n")).split()
        return 16 if len(fields) > 3 and fields[3].isdigit() and int(fields[3]) > 255 else 8
    return 16 if image.mode.startswith("I") else 32 if image.mode == "F" else 8


def read_grey(image: Image.Image, notes: list[str]) -> tuple[Tensor, Tensor | None, int]:
    """A loaded Pillow image of mode I;16*, I or F: pixels, alpha and bits, as in `Picture`."""
    array = np.asarray(image)
    if image.mode == "F":
        return to_tensor(_clip(array, notes)), None, 32
    if image.mode == "I" and not 0 <= int(array.min()) <= int(array.max()) <= 65535:
        raise ImageError("32-bit integers are not read; save it with 16 bits, or as floats in [0, 1]")
    clear = image.info.get("transparency")
    alpha = to_tensor(array != clear) if isinstance(clear, int) else None
    return to_tensor(array, 65535), alpha, 16


def read_colour(image: Image.Image, data: bytes, notes: list[str]) -> tuple[Tensor, Tensor | None] | None:
    """A loaded Pillow image whose file holds 16-bit colour (or grey with alpha), in full depth: pixels and alpha.

    None, and a note, where OpenCV sees something else than Pillow (premultiplied alpha, an animation's other frame): a
    wrong picture is worse than 8 bits.
    """
    cut = np.asarray(image)
    full = _decode(data)
    if full is not None and full.dtype == np.uint16 and full.ndim == 3 and full.shape[2] >= cut.shape[2]:
        full = full[..., [2, 1, 0, 3][: full.shape[2]]][..., : cut.shape[2]]
        if full.shape == cut.shape and np.abs((full >> 8).astype(np.int16) - cut).max() <= 1:
            clear = image.info.get("transparency")
            if isinstance(clear, tuple):
                return to_tensor(full, 65535), to_tensor((full != np.asarray(clear)).any(axis=2))
            alpha = to_tensor(full[..., 3], 65535) if full.shape[2] == 4 and image.mode == "RGBA" else None
            return to_tensor(full[..., :3], 65535), alpha
    notes.append("its 16 bits are read as 8")
    return None


def read_float_tiff(data: bytes, notes: list[str]) -> tuple[Tensor, Tensor | None, int]:
    """A TIFF that Pillow does not know, as colour in floats: pixels, alpha and bits, as in `Picture`."""
    tags = Image.Exif()
    tags.load(data)
    check_size(int(tags.get(0x0100, 0)), int(tags.get(0x0101, 0)))
    starts, lengths = (np.atleast_1d(tags.get(tag, 0)) for tag in (0x0111, 0x0117))
    # OpenCV fills what is missing from a file with anything, so ask the directory whether all strips are there.
    if starts.shape == lengths.shape and int((starts + lengths).max()) > len(data):
        raise ImageError("it is cut short")
    array = _decode(data)
    if array is None or array.dtype not in (np.float32, np.float64, np.uint16, np.uint8) or array.ndim not in (2, 3):
        raise ImageError("it is a TIFF of an unknown kind; 8 and 16 bits and floats in [0, 1] are read")
    if array.ndim == 3:
        array = array[..., [2, 1, 0, 3][: array.shape[2]]]
    bits = {1: 8, 2: 16}.get(array.dtype.itemsize, 32)
    if bits < int(np.max(tags.get(0x0102, 1))):
        notes.append(f"its {np.max(tags.get(0x0102, 1))} bits are read as {bits}")
    if int(tags.get(0x0115, 1)) > (array.shape[2] if array.ndim == 3 else 1):
        notes.append("only its colour channels are read, alpha and others are not")
    pixels = to_tensor(_clip(array, notes)) if bits == 32 else to_tensor(array, 2**bits - 1)
    return (pixels, None, bits) if pixels.shape[1] != 4 else (pixels[:, :3], pixels[:, 3:], bits)


def _decode(data: bytes) -> NDArray[Any] | None:
    with silent_cv2() as cv2:
        try:
            array: NDArray[Any] | None = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
        except cv2.error:
            return None
    return array


def _clip(array: NDArray[Any], notes: list[str]) -> NDArray[Any]:
    """Floats to [0, 1] with a note where that changes any."""
    if not np.isfinite(array).all() or array.min() < 0 or array.max() > 1:
        notes.append("its floats are taken as sRGB-encoded, those outside [0, 1] are clipped")
    inside: NDArray[Any] = np.nan_to_num(array, nan=0.0).clip(0, 1)
    return inside
