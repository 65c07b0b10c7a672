"""How a file keeps less than was seen: the tables of a JPEG, or that its format is a lossy one."""

from __future__ import annotations

from dataclasses import dataclass

from PIL import Image, JpegImagePlugin

SAMPLINGS = {0: "4:4:4", 1: "4:2:2", 2: "4:2:0"}
LOSSY = ("AVIF", "HEIF")


@dataclass(frozen=True)
class Coding:
    """The 128 steps of luma and chroma, in rows; the reduction of chroma; EXIF's orientation, 1..8.

    `chroma` is "" where the cells are not known: of a JPEG of four inks or another reduction. `steps` are none of a
    lossy WebP, AVIF or HEIC.
    """

    steps: tuple[int, ...] = ()
    chroma: str = ""
    orientation: int = 1


def of(image: Image.Image, data: bytes, orientation: int) -> Coding | None:
    """Of an open file and its bytes; None where the format loses nothing, or where a JPEG has no proper tables."""
    if image.format in LOSSY or (image.format == "WEBP" and b"VP8L" not in data[:4096]):
        return Coding()
    if not isinstance(image, JpegImagePlugin.JpegImageFile):
        return None
    tables = [image.quantization.get(layer[3]) for layer in image.layer]
    steps = [*(tables[0] or ()), *(tables[1] or () if len(tables) > 1 else tables[0] or ())]
    if len(steps) != 128 or min(steps) < 1:
        return None
    if image.mode == "L":
        return Coding(tuple(steps), "4:4:4", orientation)
    plain = image.mode == "RGB" and tables[1] == tables[2]
    chroma = SAMPLINGS.get(JpegImagePlugin.get_sampling(image), "") if plain else ""
    return Coding(tuple(steps), chroma, orientation)
