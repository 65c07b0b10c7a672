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
    """Of a JPEG that is grey, or of three channels of 4:4:4, 4:2:2 or 4:2:0; None for others, and for other files."""
    if not isinstance(image, JpegImagePlugin.JpegImageFile) or image.mode not in ("L", "RGB"):
        return None
    sampling = JpegImagePlugin.get_sampling(image)
    tables = [image.quantization.get(layer[3]) for layer in image.layer]
    steps = [*(tables[0] or ()), *(tables[-1] or ())]
    if tables[1:2] != tables[2:3] or len(steps) != 128 or min(steps) < 1:
        return None
    if image.mode == "RGB" and sampling not in SAMPLINGS:
        return None
    return Coding(tuple(steps), SAMPLINGS.get(sampling, "4:4:4"), orientation)
