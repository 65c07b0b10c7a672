"""Scene-linear files, and the curve between light and levels."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from gdpkit import images
from gdpkit.errors import ImageError

Make = Callable[..., NDArray[Any]]


def test_the_ends_of_the_srgb_curve_stay_as_they_are() -> None:
    ends = torch.tensor([0.0, 1.0])
    assert torch.equal(images.encode_srgb(ends), ends) and torch.equal(images.decode_srgb(ends), ends)


def test_srgb_curve_is_exact() -> None:
    x = torch.linspace(0, 1, 4097)
    assert (images.decode_srgb(images.encode_srgb(x)) - x).abs().max() < 2e-6
    assert images.encode_srgb(torch.tensor([0.21404])).item() == pytest.approx(0.5, abs=1e-4)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("suffix", [".exr", ".hdr"])
def test_linear_files_round_trip(tmp_path: Path, suffix: str, channels: int) -> None:
    light = torch.rand(1, channels, 8, 16, generator=torch.Generator().manual_seed(3)) * 30 + 0.01
    file = tmp_path / f"scene{suffix}"
    notes = images.save_linear(file, light)
    assert len(notes) == (channels == 1 and suffix == ".hdr")
    got = images.read_linear(file)
    assert (
        torch.equal(got, light) if suffix == ".exr" else torch.allclose(got, light.expand_as(got), rtol=0.02, atol=0.2)
    )
    picture = images.load(file)
    assert picture.bits == 32 and "clipped" in picture.notes[-1] and picture.pixels.max() == 1
    shown = tmp_path / f"shown{suffix}"
    images.save(shown, picture.pixels)
    assert (images.read_image(shown) - picture.pixels).abs().max() < (1e-5 if suffix == ".exr" else 0.02)


def test_linear_reading_refuses_what_is_not(tmp_path: Path, smooth: Make) -> None:
    Image.fromarray(smooth()).save(tmp_path / "a.png")
    with pytest.raises(ImageError, match="not scene-linear"):
        images.read_linear(tmp_path / "a.png")
    with pytest.raises(ImageError, match=r"\.exr or \.hdr"):
        images.save_linear(tmp_path / "b.png", torch.rand(3, 4, 4))


def test_damaged_linear_files(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    for suffix in (".exr", ".hdr"):
        file = tmp_path / f"cut{suffix}"
        images.save_linear(file, torch.rand(3, 32, 32))
        file.write_bytes(file.read_bytes()[:1500])
        with pytest.raises(ImageError, match=f"cut{suffix}"):
            images.load(file)
    huge = tmp_path / "huge.hdr"
    huge.write_bytes(b"#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n\n-Y 90000 +X 90000\n")
    with pytest.raises(ImageError, match="500 megapixels"):
        images.load(huge)
