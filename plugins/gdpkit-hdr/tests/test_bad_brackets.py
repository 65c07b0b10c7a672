"""Brackets that cannot be merged: each is told with what would be right."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from gdpkit_hdr import Hdr, bracket, response
from numpy.typing import NDArray
from PIL import Image

from gdpkit import GdpkitError, ImageError
from gdpkit.cli import main

Array = NDArray[Any]
HEIGHT, WIDTH = 80, 104


def scene(seed: int = 0) -> Array:
    """Encoded values of a scene about middle grey."""
    coarse = np.random.default_rng(seed).normal(0, 1, (HEIGHT, WIDTH, 3)).astype(np.float32)
    fine, broad = (0.6 * s * cv2.GaussianBlur(coarse, (0, 0), s) for s in (1.5, 6.0))
    texture: Array = 0.4 + fine + broad
    return texture


def written(folder: Path, pictures: list[Array]) -> tuple[Path, ...]:
    """Encoded values, clipped, as PNG files."""
    paths = tuple(folder / f"e{k}.png" for k in range(len(pictures)))
    for path, picture in zip(paths, pictures, strict=True):
        Image.fromarray((255 * picture).clip(0, 255).astype(np.uint8)).save(path)
    return paths


def bracket_files(folder: Path) -> tuple[Path, ...]:
    return written(folder, [gain * scene() for gain in (0.5, 1.0, 2.0)])


def test_none() -> None:
    with pytest.raises(GdpkitError, match="at least one exposure"):
        Hdr(exposures=()).problem()


def test_a_folder(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="it is a folder"):
        Hdr(exposures=(tmp_path,)).problem()


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="there is no such file"):
        Hdr(exposures=(tmp_path / "no.jpg",)).problem()


def test_mixed_sizes(tmp_path: Path) -> None:
    files = bracket_files(tmp_path)
    Image.new("RGB", (104, 64), "grey").save(files[1])
    with pytest.raises(ImageError, match=r"not of one size: e0\.png 104x80, e1\.png 104x64"):
        Hdr(exposures=files).problem()


def test_a_wrong_number_of_times(tmp_path: Path) -> None:
    with pytest.raises(GdpkitError, match="2 values for 3 exposures"):
        Hdr(exposures=bracket_files(tmp_path), times=(1.0, 2.0))


@pytest.mark.parametrize("time", [0.0, -0.5])
def test_times_of_zero_and_below(tmp_path: Path, time: float) -> None:
    with pytest.raises(GdpkitError, match="above 0 seconds"):
        Hdr(exposures=bracket_files(tmp_path), times=(1.0, time, 4.0))


def test_the_same_file_twice(tmp_path: Path) -> None:
    files = bracket_files(tmp_path)
    with pytest.raises(GdpkitError, match="given twice"):
        Hdr(exposures=(files[0], files[0])).problem()


def test_nothing_but_black(tmp_path: Path) -> None:
    black: list[Array] = [np.zeros((HEIGHT, WIDTH, 3))] * 2
    with pytest.raises(ImageError, match="black or white"):
        Hdr(exposures=written(tmp_path, black)).problem()


def test_no_pixel_in_common_and_no_times(tmp_path: Path) -> None:
    dark, bright = scene(), scene()
    dark[:, : WIDTH // 2], bright[:, WIDTH // 2 :] = 0, 2
    files = written(tmp_path, [dark, bright])
    with pytest.raises(GdpkitError, match="give --times"):
        Hdr(exposures=files).problem()


def test_a_raw_file_that_is_cut_short(tmp_path: Path) -> None:
    tags = Image.Exif()
    tags[0xC612] = b"\x01\x04\x00\x00"  # DNG, without anything else
    path = tmp_path / "broken.dng"
    path.write_bytes(b"II*\0\x08\0\0\0" + tags.tobytes()[14:])
    with pytest.raises(ImageError, match=r"broken\.dng"):
        Hdr(exposures=(path,)).problem()


def test_pictures_of_two_scenes(tmp_path: Path) -> None:
    files = written(tmp_path, [0.6 * scene(1), 1.2 * scene(2)])
    with pytest.raises(GdpkitError, match=r"e0\.png and e1\.png do not look like exposures of one scene.*--no-align"):
        Hdr(exposures=files).problem()
    assert len(Hdr(exposures=files, align=False).problem().observations) == 2


def test_a_noisy_exposure_is_of_the_same_scene(tmp_path: Path) -> None:
    """Noise that hides all detail from the alignment."""
    noise = np.random.default_rng(0).normal(0, 0.1, (HEIGHT, WIDTH, 3))
    files = written(tmp_path, [0.4 * scene() + noise, 1.2 * scene()])
    assert len(Hdr(exposures=files).problem().observations) == 2


def test_a_wrong_command_ends_with_status_2(tmp_path: Path) -> None:
    arguments = ["run", "hdr", "--exposures", *map(str, bracket_files(tmp_path)), "--times", "1/30", "0"]
    assert main(arguments) == 2
    assert main(["run", "hdr", "-o", "out.png"]) == 2


def test_contradicting_times_are_told_from_a_contrasty_camera() -> None:
    def fit(*plain: float) -> response.Fit:
        stops = np.array(plain)
        return response.Fit(response.Response(np.zeros((3, 5))), stops, stops, np.zeros((3, 3)), (True, True), 0.0)

    assert not bracket._contradict([0, 2, 4], fit(0, 2.8, 5.6))
    assert not bracket._contradict([0, 2, 4], fit(0, 1.9, 4.2))
    assert bracket._contradict([0, 2, 4], fit(0, -2, -4))
    assert bracket._contradict([0, 0, 0], fit(0, 2, 4))
    assert bracket._contradict([0, 2, 4], fit(0, 0.2, 4.0))
