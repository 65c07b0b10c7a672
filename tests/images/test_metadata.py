"""Orientation, EXIF and colour profiles: read, applied, handed on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image, ImageCms, ImageOps, PngImagePlugin

from gdpkit import images
from gdpkit.images import metadata

SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
GREY_ICC = SRGB[:16] + b"GRAY" + SRGB[20:]
Make = Callable[..., NDArray[Any]]


def exif_bytes(orientation: int = 1) -> bytes:
    tags = Image.Exif()
    tags[0x010F], tags[0x0112] = "Maker", orientation
    tags.get_ifd(0x8769).update({0x829A: 0.125, 0xA002: 999, 0xA003: 999})
    tags[0x8769] = tags.get_ifd(0x8769)
    return tags.tobytes()


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif", ".webp"])
def test_orientation_agrees_with_pillow(
    tmp_path: Path, suffix: str, orientation: int, smooth: Make, levels: Make
) -> None:
    file = tmp_path / f"turned{suffix}"
    Image.fromarray(smooth()).save(file, exif=exif_bytes(orientation))
    with Image.open(file) as image:
        wanted = np.asarray(ImageOps.exif_transpose(image))
    picture = images.load(file)
    assert np.array_equal(levels(picture.pixels), wanted)
    assert picture.exif is not None
    tags = Image.Exif()
    tags.load(picture.exif)
    assert tags[0x0112] == 1 and tags[0x010F] == "Maker"
    assert float(tags.get_ifd(0x8769)[0x829A]) == 0.125


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("Grandmother, 1934", True),
        ('{"shape": [24, 32, 3]}', False),
        ("ImageJ=1.53t\nimages=3\n", False),
        ('<?xml version="1.0"?><OME xmlns="x"><Pixels SizeX="32"/></OME>', False),
    ],
)
def test_a_description_of_the_old_array_is_not_handed_on(tmp_path: Path, text: str, kept: bool, smooth: Make) -> None:
    tags = Image.Exif()
    tags[0x010E], tags[0x010F] = text, "Maker"
    Image.fromarray(smooth()).save(tmp_path / "old.tif", exif=tags)
    picture = images.load(tmp_path / "old.tif")
    images.save(tmp_path / "new.tif", picture.pixels.repeat(1, 1, 2, 2), like=picture)
    with Image.open(tmp_path / "new.tif") as image:
        assert image.getexif()[0x010F] == "Maker"
        assert image.getexif().get(0x010E) == (text if kept else None)


def test_broken_exif_is_a_note(tmp_path: Path, smooth: Make) -> None:
    info = PngImagePlugin.PngInfo()
    info.add_text("Raw profile type exif", "\nexif\n       8\nnot hexadecimal")
    Image.fromarray(smooth()).save(tmp_path / "a.png", pnginfo=info)
    assert images.load(tmp_path / "a.png").notes == ("its EXIF data are damaged and are not kept",)


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("suffix", [".png", ".tif", ".jpg", ".webp", ".avif"])
def test_exif_and_profile_go_along(tmp_path: Path, suffix: str, bits: int, smooth: Make) -> None:
    pixels = images.from_array(smooth()).pixels
    like = images.Picture(pixels, bits=bits, exif=exif_bytes(), icc=SRGB)
    notes = images.save(tmp_path / f"a{suffix}", pixels, like=like)
    assert notes == (() if bits == 8 or suffix in (".png", ".tif") else (f"16 bits became 8: {suffix} has no more",))
    again = images.load(tmp_path / f"a{suffix}")
    assert again.icc == SRGB and again.exif is not None
    tags = metadata.resized(again.exif, 1, 1)
    assert tags[0x010F] == "Maker" and float(tags.get_ifd(0x8769)[0x829A]) == 0.125
    with Image.open(tmp_path / f"a{suffix}") as image:
        assert image.getexif().get_ifd(0x8769)[0xA002] == 32  # the size it has now


def test_profiles_that_no_longer_fit_are_told(tmp_path: Path) -> None:
    grey = images.Picture(torch.rand(1, 1, 8, 8), icc=GREY_ICC)
    assert images.save(tmp_path / "grey.png", grey.pixels, like=grey) == ()
    assert "for GRAY, the result is in colour" in images.save(tmp_path / "c.png", torch.rand(3, 8, 8), like=grey)[0]
    junk = images.Picture(torch.rand(1, 3, 8, 8), icc=b"junk", exif=exif_bytes())
    assert "damaged" in images.save(tmp_path / "j.jpg", junk.pixels, like=junk)[0]
    good = images.Picture(junk.pixels, icc=SRGB, exif=exif_bytes())
    assert len(images.save(tmp_path / "j.bmp", good.pixels, like=good)) == 2
