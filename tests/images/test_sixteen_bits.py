"""Sixteen bits are read and written whole."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from gdpkit import images
from gdpkit.images import deep, encoders

Make = Callable[..., NDArray[Any]]


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_sixteen_bits_round_trip_exactly(tmp_path: Path, suffix: str, channels: int, noise: Make, levels: Make) -> None:
    array = noise(300, 21, channels, top=65535)  # more rows than a TIFF strip has
    file = tmp_path / f"deep{suffix}"
    file.write_bytes((encoders.png if suffix == ".png" else encoders.tiff)(array, None, None))
    picture = images.load(file)
    if (suffix, channels) == (".tif", 2):  # neither Pillow nor OpenCV reads it whole: say so, and do not write it
        assert picture.notes[0] == "its 16 bits are read as 8" and "alpha" in picture.notes[1]
        picture = images.from_array(np.dstack([array[..., :1]] * 3 + [array[..., 1:]]))
        like = images.Picture(picture.pixels[:, :1], picture.alpha, 16)
        assert "with alpha" in images.save(tmp_path / "again.tif", like.pixels, like=like)[0]
        assert torch.equal(images.read_image(tmp_path / "again.tif"), picture.pixels)
        return
    colours = channels - 1 + channels % 2
    assert picture.bits == 16 and picture.notes == () and picture.grey == (channels < 3)
    assert np.array_equal(levels(picture.pixels, 16), array[..., :colours].squeeze())
    if channels in (2, 4):
        assert picture.alpha is not None and np.array_equal(levels(picture.alpha, 16), array[..., -1])
    again = tmp_path / f"again{suffix}"
    assert images.save(again, picture.pixels, like=picture) == ()
    assert torch.equal(images.read_image(again), picture.pixels)


def test_sixteen_bits_agree_with_other_writers(tmp_path: Path, noise: Make, levels: Make) -> None:
    import cv2

    array = noise(16, 12, 3, top=65535)
    for name in ("a.png", "a.tif", "a.ppm"):
        cv2.imwrite(str(tmp_path / name), array[..., ::-1])
        picture = images.load(tmp_path / name)
        assert picture.bits == 16, name
        if name != "a.ppm":
            assert np.array_equal(levels(picture.pixels, 16), array), name
    Image.fromarray(array[..., 0]).save(tmp_path / "grey.png")
    assert np.array_equal(levels(images.read_image(tmp_path / "grey.png"), 16), array[..., 0])


def test_orientation_turns_sixteen_bits_and_alpha(tmp_path: Path, noise: Make, levels: Make) -> None:
    array = noise(5, 9, 4, top=65535)
    tags = Image.Exif()
    tags[0x0112] = 6
    (tmp_path / "deep.png").write_bytes(encoders.png(array, tags, None))
    picture = images.load(tmp_path / "deep.png")
    assert picture.alpha is not None
    assert np.array_equal(levels(picture.pixels, 16), np.rot90(array[..., :3], -1))
    assert np.array_equal(levels(picture.alpha, 16), np.rot90(array[..., 3], -1))


def test_transparent_colour_of_sixteen_bits(noise: Make) -> None:
    array = noise(4, 4, 3, top=65535)
    data = encoders.png(array, None, None)
    clear = struct.pack(">HHH", *array[1, 2].tolist())
    chunk = struct.pack(">I", 6) + b"tRNS" + clear + struct.pack(">I", zlib.crc32(b"tRNS" + clear))
    at = data.index(b"IDAT") - 4
    notes: list[str] = []
    with Image.open(BytesIO(data[:at] + chunk + data[at:])) as image:
        image.load()
        read = deep.read_colour(image, data[:at] + chunk + data[at:], notes)
    assert read is not None and read[1] is not None and notes == []
    assert read[1].sum() == 15 and read[1][0, 0, 1, 2] == 0
