"""Writing pictures: what each format keeps."""

from __future__ import annotations

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
from gdpkit.errors import ImageError

Make = Callable[..., NDArray[Any]]


@pytest.mark.parametrize("suffix", [".png", ".tif", ".tiff", ".webp", ".bmp"])
@pytest.mark.parametrize("channels", [1, 3])
def test_eight_bits_are_rounded_and_exact(tmp_path: Path, suffix: str, channels: int) -> None:
    pixels = (torch.arange(256).reshape(1, 1, 16, 16) / 255).expand(1, channels, 16, 16)
    notes = images.save(tmp_path / f"a{suffix}", pixels + 0.001)
    assert len(notes) == (channels == 1 and suffix == ".webp")
    got = images.read_image(tmp_path / f"a{suffix}")
    assert torch.equal(got, pixels.expand_as(got)) and got.shape[1] == (channels if suffix != ".webp" else 3)


@pytest.mark.parametrize("suffix", [".jpg", ".jpeg", ".avif"])
def test_lossy_formats_keep_full_colour(tmp_path: Path, suffix: str, smooth: Make) -> None:
    pixels = images.from_array(smooth(64, 64)).pixels.clone()
    pixels[..., 32:] = pixels[..., 32:].flip(1)  # an edge in colour, which 4:2:0 would smear
    images.save(tmp_path / f"a{suffix}", pixels)
    assert (images.read_image(tmp_path / f"a{suffix}") - pixels).abs().mean() < 0.01


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("suffix", [".png", ".tif", ".webp", ".avif", ".jpg", ".bmp", ".exr"])
def test_alpha_is_kept_resized_or_told(tmp_path: Path, suffix: str, bits: int, smooth: Make) -> None:
    array = np.dstack([smooth(), smooth()[..., 0]])
    like = images.from_array(array.astype(np.uint16) * 257 if bits == 16 else array)
    assert like.alpha is not None
    large = torch.nn.functional.interpolate(like.pixels, scale_factor=2)
    notes = images.save(tmp_path / f"a{suffix}", large, like=like)
    assert any("alpha is dropped" in note for note in notes) == (suffix in (".jpg", ".bmp", ".exr"))
    alpha = images.load(tmp_path / f"a{suffix}").alpha
    if suffix in (".jpg", ".bmp", ".exr"):
        assert alpha is None
    else:
        assert alpha is not None and alpha.shape[-2:] == large.shape[-2:]
        assert (alpha[..., ::2, ::2] - like.alpha).abs().mean() < 0.02


def test_png_bytes(smooth: Make) -> None:
    with Image.open(BytesIO(images.to_png_bytes(images.from_array(smooth()).pixels))) as image:
        assert np.array_equal(np.asarray(image), smooth())


@pytest.mark.parametrize("pixels", [torch.rand(2, 4, 4), torch.rand(2, 3, 4, 4), torch.full((3, 4, 4), torch.nan)])
def test_pixels_that_cannot_be_written(tmp_path: Path, pixels: torch.Tensor) -> None:
    with pytest.raises(ImageError, match=r"\(1, 3, H, W\)|NaN"):
        images.save(tmp_path / "a.png", pixels)
    assert not list(tmp_path.iterdir())
