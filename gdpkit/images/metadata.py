"""What a file says about its picture: EXIF, orientation, colour profile."""

from __future__ import annotations

import re
from typing import Any

from PIL import Image
from torch import Tensor

ORIENTATION = 0x0112
EXIF_IFD, GPS_IFD = 0x8769, 0x8825
# Tags of the main directory that describe the photograph. The others (size, strips, compression, the RAW's colour
# matrices) describe the old file and would contradict the new one.
_KEPT = {0x010D, 0x010E, 0x010F, 0x0110, ORIENTATION, 0x0131, 0x0132, 0x013B, 0x013C, 0x4746, 0x4749, 0x8298}
_KEPT |= {0x011A, 0x011B, 0x0128, EXIF_IFD, GPS_IFD, 0x9C9B, 0x9C9C, 0x9C9D, 0x9C9E, 0x9C9F}


DESCRIPTION = 0x010E
# How scientific software writes down the shape of the array in the file, which is not that of what is written.
_SHAPE = re.compile(r"\s*(\{\"shape\":|shape=\(|ImageJ=|<\?xml.*<OME\b|<OME\b)", re.DOTALL)


def upright(pixels: Tensor, orientation: int) -> Tensor:
    """Turn (..., H, W) the way EXIF orientation 1..8 asks; anything else leaves it as it is."""
    if orientation in (5, 6, 7, 8):
        pixels = pixels.transpose(-1, -2)
    flips = {2: (-1,), 3: (-2, -1), 4: (-2,), 6: (-1,), 7: (-2, -1), 8: (-2,)}.get(orientation, ())
    return pixels.flip(flips).contiguous() if flips else pixels.contiguous()


def strip(exif: Image.Exif) -> tuple[int, bytes | None]:
    """The orientation, and the tags worth keeping with orientation 1 as bytes (None where there are none).

    Raises whatever Pillow raises on broken EXIF.
    """
    orientation = exif.get(ORIENTATION, 1)
    for tag in list(exif):
        if tag not in _KEPT:
            del exif[tag]
    if _SHAPE.match(_text(exif.get(DESCRIPTION, ""))):
        del exif[DESCRIPTION]
    orientation = orientation if orientation in range(1, 9) else 1
    if set(exif) <= {ORIENTATION}:
        return orientation, None
    exif[ORIENTATION] = 1
    return orientation, exif.tobytes()


def _text(value: Any) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else str(value)


def read(image: Image.Image, notes: list[str]) -> tuple[int, bytes | None]:
    """`strip` for a Pillow image; broken EXIF becomes a note, as it is no reason to refuse the pixels."""
    try:
        return strip(image.getexif())
    except Exception:
        notes.append("its EXIF data are damaged and are not kept")
        return 1, None


def read_tiff(data: bytes) -> bytes | None:
    """EXIF of a TIFF-based file (most camera RAW are), orientation 1; None where there is none or it cannot be read."""
    exif = Image.Exif()
    try:
        exif.load(data)
        return strip(exif)[1]
    except Exception:
        return None


def resized(exif: bytes, width: int, height: int) -> Image.Exif:
    """The tags with the picture's size, where they say it, brought up to date."""
    tags = Image.Exif()
    tags.load(exif)
    details: dict[int, Any] = tags.get_ifd(EXIF_IFD)
    for tag, value in ((0xA002, width), (0xA003, height)):
        if tag in details:
            details[tag] = value
    return tags


def profile_space(icc: bytes) -> str:
    """Colour space of an ICC profile from its header: "RGB", "GRAY", "CMYK", "Lab"; "" where it is no profile."""
    return icc[16:20].decode("ascii", "replace").strip() if len(icc) > 128 and icc[36:40] == b"acsp" else ""
