"""Camera RAW."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
from PIL.TiffImagePlugin import IFDRational, ImageFileDirectory_v2

from gdpkit import images
from gdpkit.errors import ImageError


def dng(level: int, side: int = 64) -> bytes:
    """The least that LibRaw takes for a camera's: a Bayer mosaic of one grey, 16 bits, white level 1023."""
    pixels = np.full((side, side), level, "<u2").tobytes()
    ifd = ImageFileDirectory_v2()
    ifd[254], ifd[256], ifd[257], ifd[258], ifd[259], ifd[262] = 0, side, side, (16,), 1, 32803
    ifd[271], ifd[272], ifd[273], ifd[274], ifd[277], ifd[278], ifd[279] = "M", "M 1", (0,), 1, 1, side, (len(pixels),)
    for tag, kind, value in (
        (33421, 3, (2, 2)),
        (33422, 1, bytes([0, 1, 1, 2])),
        (50706, 1, bytes([1, 4, 0, 0])),
        (50717, 4, 1023),
    ):
        ifd.tagtype[tag] = kind
        ifd[tag] = value
    ifd.tagtype[50721] = 10
    ifd[50721] = tuple(IFDRational(v) for v in (1, 0, 0, 0, 1, 0, 0, 0, 1))
    return b"II*\0" + struct.pack("<I", 8) + ifd.tobytes(8) + pixels


def test_frames_of_a_bracket_have_one_white(tmp_path: Path) -> None:
    """Left alone, LibRaw makes white the maximum of a frame that nearly reaches white, and so scales it by itself."""
    files = [tmp_path / name for name in ("dark.dng", "bright.dng")]
    for file, level in zip(files, (450, 900), strict=True):
        file.write_bytes(dng(level))
    white = images.raw_white(files)
    assert white == 900
    assert images.raw_white(files[:1]) == 1023  # 450 is no sensor that clips
    developed = [images.load_raw(file, white=white) for file in files]
    for pair in ([images.read_linear(file) for file in files],
                 [images.decode_srgb(one.pixels) for one in developed if one is not None]):  # fmt: skip
        channels = [light.mean(dim=(0, 2, 3)) for light in pair]
        least = int(channels[0].argmin())  # daylight's balance clips the others
        assert float(channels[1][least] / channels[0][least]) == pytest.approx(2, rel=0.03)


def test_zeros_from_libraw_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "sensor.dng"
    for level, refused in ((500, False), (0, True)):
        file.write_bytes(dng(level))
        if refused:
            with pytest.raises(ImageError, match="zeros"):
                images.load(file)
        else:
            picture = images.load(file)
            assert picture.bits == 16 and picture.pixels.shape[1] == 3 and picture.pixels.mean() > 0.1
            assert "daylight" in picture.notes[0]
            assert images.read_linear(file).mean() < picture.pixels.mean()
