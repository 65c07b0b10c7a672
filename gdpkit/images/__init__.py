"""Files and arrays to pictures, and back: 8/16-bit, camera RAW, EXR, HDR; EXIF, ICC, alpha, orientation.

picture.py     what was read: `Picture`; arrays in, arrays out
reading.py     `load`: checks the size, decodes
signatures.py  tells formats apart by their bytes
deep.py        more than 8 bits a channel (Pillow cuts them)
raw.py         camera RAW
linear.py      EXR and Radiance HDR, and the sRGB curve
metadata.py    EXIF, orientation, colour profiles
exposure.py    shutter time, ISO and aperture
writing.py     `save`: depth and metadata by suffix and source; all or nothing
encoders.py    16-bit PNG, and TIFF, as bytes
"""

from __future__ import annotations

from gdpkit.images.exposure import Exposure, comparable
from gdpkit.images.linear import decode_srgb, encode_srgb
from gdpkit.images.picture import Picture, from_array, to_array
from gdpkit.images.reading import (
    is_scene_linear,
    load,
    load_raw,
    open_picture,
    raw_balance,
    raw_white,
    read_image,
    read_linear,
)
from gdpkit.images.writing import check_writable, is_linear, is_lossless, save, save_linear, to_png_bytes

__all__ = [
    "Exposure",
    "Picture",
    "check_writable",
    "comparable",
    "decode_srgb",
    "encode_srgb",
    "from_array",
    "is_linear",
    "is_lossless",
    "is_scene_linear",
    "load",
    "load_raw",
    "open_picture",
    "raw_balance",
    "raw_white",
    "read_image",
    "read_linear",
    "save",
    "save_linear",
    "to_array",
    "to_png_bytes",
]
