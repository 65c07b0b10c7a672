"""How a JPEG file is compressed."""

from __future__ import annotations

from dataclasses import dataclass

from PIL import Image, JpegImagePlugin

SAMPLINGS = {0: "4:4:4", 1: "4:2:2", 2: "4:2:0"}


@dataclass(frozen=True)
class Coding:
    """The 128 steps of luma and chroma, in rows; the reduction of chroma; EXIF's orientation, 1..8."""

    steps: tuple[int, ...]
    chroma: str
    orientation: int = 1


def of_jpeg(image: Image.Image, orientation: int) -> Coding | None:
    """Of a JPEG that is grey, or YCbCr of 4:4:4, 4:2:2 or 4:2:0; None for others, and for other files."""
    if not isinstance(image, JpegImagePlugin.JpegImageFile) or 0 not in image.quantization:
        return None
    sampling = JpegImagePlugin.get_sampling(image)
    if image.mode != "L" and (image.mode != "RGB" or sampling not in SAMPLINGS):
        return None
    luma = image.quantization[0]
    chroma = image.quantization.get(1, luma)
    return Coding((*luma, *chroma), SAMPLINGS.get(sampling, "4:4:4"), orientation)
