"""Reading what others write: palettes, inks, frames, gamma, floats."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from gdpkit import images

DATA = Path(__file__).parents[1] / "data" / "images"
Make = Callable[..., NDArray[Any]]


@pytest.mark.parametrize("name", ["basi0g16", "basn0g01", "basn2c16", "basn3p08", "basn4a16", "basn6a16", "tbwn3p08"])
def test_pngsuite_agrees_with_pillow(name: str, levels: Make) -> None:
    picture = images.load(DATA / f"{name}.png")
    with Image.open(DATA / f"{name}.png") as image:
        wanted = np.asarray(image, np.uint16) // 256 if image.mode == "I;16" else np.asarray(image.convert("RGB"))
        alpha = np.asarray(image.convert("RGBA"))[..., 3] if image.has_transparency_data else None
    assert picture.bits == (16 if "16" in name else 8)
    assert picture.grey == (name[4] in "04")
    got = levels(picture.pixels, picture.bits) // (257 if picture.bits == 8 else 256) if picture.bits == 16 else None
    got = levels(picture.pixels) if got is None else got
    assert np.array_equal(got, wanted[..., 0] if picture.grey and wanted.ndim == 3 else wanted)
    assert (picture.alpha is None) == (alpha is None)
    if picture.alpha is not None and alpha is not None:
        assert np.abs(levels(picture.alpha) - alpha).max() <= 1


def test_avif_and_turned_jpeg_of_libavif() -> None:
    assert images.read_image(DATA / "white_1x1.avif").shape == (1, 3, 1, 1)
    assert images.read_image(DATA / "paris_exif_orientation_5.jpg").shape == (1, 3, 403, 302)


def test_palette_and_bilevel(tmp_path: Path, smooth: Make) -> None:
    Image.fromarray(smooth()).quantize(16).save(tmp_path / "colour.gif")
    Image.fromarray(smooth()).convert("L").quantize(16).save(tmp_path / "grey.png")
    Image.fromarray(smooth()).convert("1").save(tmp_path / "black.tif")
    assert not images.load(tmp_path / "colour.gif").grey
    assert images.load(tmp_path / "grey.png").grey
    assert set(images.read_image(tmp_path / "black.tif").flatten().tolist()) == {0.0, 1.0}


def test_cmyk_becomes_srgb(tmp_path: Path) -> None:
    Image.new("CMYK", (8, 8), (0, 255, 255, 0)).save(tmp_path / "ink.jpg", quality=100)
    picture = images.load(tmp_path / "ink.jpg")
    assert "CMYK" in picture.notes[0] and picture.icc is None
    red = picture.pixels.mean((0, 2, 3))
    assert red[0] > 0.95 and red[1] < 0.05 and red[2] < 0.05


def test_frames_and_gamma_are_told(tmp_path: Path, smooth: Make, levels: Make) -> None:
    frames = [Image.fromarray(np.roll(smooth(), k, 1)) for k in (0, 5, 9)]
    frames[0].save(tmp_path / "three.tif", save_all=True, append_images=frames[1:])
    picture = images.load(tmp_path / "three.tif")
    assert picture.notes == ("only the first of 3 frames is used",)
    assert np.array_equal(levels(picture.pixels), smooth())
    assert "gamma 1 " in images.load(DATA / "basn2c16.png").notes[0]


def test_the_suffix_is_not_trusted(tmp_path: Path, smooth: Make, levels: Make) -> None:
    Image.fromarray(smooth()).save(tmp_path / "really.jpg", "PNG")
    assert np.array_equal(levels(images.read_image(tmp_path / "really.jpg")), smooth())
    Image.fromarray(smooth()).save(tmp_path / "preview.nef", "PNG")
    assert "not camera RAW" in images.load(tmp_path / "preview.nef").notes[0]


def test_float_tiff(tmp_path: Path) -> None:
    import cv2

    array = np.linspace(0, 1, 5 * 4 * 3, dtype=np.float32).reshape(5, 4, 3)
    cv2.imwrite(str(tmp_path / "f.tif"), array)
    picture = images.load(tmp_path / "f.tif")
    assert picture.bits == 32 and picture.rounding_sigma == 0
    assert np.array_equal(images.to_array(picture.pixels), array[..., ::-1])
    Image.fromarray(array[..., 0] * 2).save(tmp_path / "grey.tif")
    assert "clipped" in images.load(tmp_path / "grey.tif").notes[0]
