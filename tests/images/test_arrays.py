"""Pictures that come as arrays."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from gdpkit import images
from gdpkit.errors import ImageError

Make = Callable[..., NDArray[Any]]


def test_arrays_of_every_accepted_kind(noise: Make, levels: Make) -> None:
    eight = noise(4, 6, 3)
    for value in (eight, torch.from_numpy(eight).permute(2, 0, 1), eight / 255, (eight / 255).astype(np.float32)):
        picture = images.from_array(value)
        assert picture.bits == 8 and np.array_equal(levels(picture.pixels), eight)
        assert picture.rounding_sigma == pytest.approx(0.2887, abs=1e-4)
    deep = noise(4, 6, top=65535)
    for value in (deep, deep / 65535, (deep / 65535).astype(np.float32)):
        assert images.from_array(value).bits == 16 and images.from_array(value).grey
    assert images.from_array(deep).rounding_sigma == pytest.approx(0.2887 * 255 / 65535, rel=1e-3)
    assert images.from_array(np.random.default_rng(1).random((4, 6, 3))).bits == 32
    assert images.from_array(np.eye(4, dtype=bool)).pixels.sum() == 4
    assert images.from_array(noise(4, 6, 4)).alpha is not None
    assert images.from_array(torch.rand(5, 3, 4, 6)).pixels.shape == (5, 3, 4, 6)
    assert np.array_equal(
        images.to_array(images.from_array(eight[..., :1] / 255).pixels), (eight[..., 0] / 255).astype("f4")
    )


def test_the_picture_does_not_share_the_callers_memory() -> None:
    array = np.zeros((4, 4, 3), np.float32)
    picture = images.from_array(array)
    array[:] = 1
    assert picture.pixels.max() == 0


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (np.zeros((3, 8, 8)), r"\(H, W, C\)"),
        (torch.zeros(8, 8, 3), r"\(C, H, W\)"),
        (np.zeros((2, 8, 8, 3)), "no picture"),
        (np.zeros((0, 8, 3)), "no pixel"),
        (np.zeros((8, 8), np.int64), "int64"),
        (np.full((8, 8), 128.0), "divide by 255"),
        (np.full((8, 8), -0.1), "-0.1"),
        (np.full((8, 8), np.nan), "NaN"),
    ],
)
def test_arrays_that_are_no_picture(value: Any, reason: str) -> None:
    with pytest.raises(ImageError, match=reason):
        images.from_array(value)


def test_open_picture_takes_files_arrays_and_pictures(tmp_path: Path, smooth: Make) -> None:
    Image.fromarray(smooth()).save(tmp_path / "a.png")
    picture = images.open_picture(str(tmp_path / "a.png"))
    assert images.open_picture(picture) is picture
    assert torch.equal(images.open_picture(smooth()).pixels, picture.pixels)
