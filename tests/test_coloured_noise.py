"""Noise that is not white: found where it was put, in photographs of the examples, and not where there is none."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from gdpkit import estimate, images
from gdpkit.coloured_noise import coloured_noise
from gdpkit.degradations.jpeg import Jpeg

PHOTOS = sorted((Path(__file__).parent.parent / "examples" / "photos").glob("*.png"))


def photo(file: Path) -> Tensor:
    return images.read_image(file)[..., :256, :256]


def rounded(image: Tensor) -> Tensor:
    return (255 * image.clamp(0, 1)).round() / 255


def coloured(clean: Tensor, deviation: float, width: float = 0.8) -> Tensor:
    """With Gaussian noise that a Gaussian of this width smoothed."""
    noise = torch.randn(clean.shape, generator=torch.Generator().manual_seed(7))
    at = torch.arange(-4.0, 5.0)
    taps = (-(at**2) / (2 * width**2)).exp()
    taps = taps / taps.sum()
    noise = F.conv2d(noise.flatten(0, 1)[:, None], (taps[:, None] * taps)[None, None], padding=4).view(clean.shape)
    return rounded(clean + deviation / 255 * noise / noise.std())


def found(image: Tensor) -> tuple[float, float]:
    return coloured_noise(image, estimate.noise_sigma(image))


@pytest.mark.parametrize("deviation", [6, 12])
@pytest.mark.parametrize("file", PHOTOS, ids=lambda f: f.stem)
def test_smoothed_noise_counts_as_what_its_low_frequencies_are(file: Path, deviation: float) -> None:
    """Smoothing by 0.8 pixels takes the deviation of white noise to 0.35 of what it was."""
    sigma, pixels = found(coloured(photo(file), deviation))
    assert 0.6 * deviation / 0.35 < sigma < 1.4 * deviation / 0.35
    assert 0.6 * deviation < pixels < 1.4 * deviation


@pytest.mark.parametrize("file", [f for f in PHOTOS if f.stem != "cat"], ids=lambda f: f.stem)  # which is all fur
def test_what_jpeg_left_of_it_is_found(file: Path) -> None:
    seen = rounded(Jpeg(quality=92)(coloured(photo(file), 10)))
    assert estimate.noise_sigma(seen) < 4
    assert 15 < found(seen)[0] < 55


def test_the_grain_of_a_grey_photograph_is_found() -> None:
    ramp = torch.linspace(0.1, 0.9, 192).expand(1, 1, 192, 192)
    assert 8 < found(coloured(ramp, 6))[0] < 25


@pytest.mark.parametrize("sigma", [5, 15, 25, 50])
@pytest.mark.parametrize("file", PHOTOS, ids=lambda f: f.stem)
def test_white_noise_is_none(file: Path, sigma: float) -> None:
    clean = photo(file)
    noise = torch.randn(clean.shape, generator=torch.Generator().manual_seed(3))
    assert found(rounded(clean + sigma / 255 * noise)) == (0, 0)


@pytest.mark.parametrize("file", PHOTOS, ids=lambda f: f.stem)
def test_a_clean_photograph_has_none_nor_as_jpeg_nor_in_grey(file: Path) -> None:
    clean = photo(file)
    for image in (clean, rounded(Jpeg(quality=85)(clean)), rounded(clean.mean(1, keepdim=True))):
        assert found(image) == (0, 0)


def test_texture_everywhere_is_none() -> None:
    """Of one colour and its shades, as sand is."""
    shades = torch.tensor([0.75, 0.6, 0.4]).view(1, 3, 1, 1)
    sand = coloured(torch.full((1, 1, 192, 192), 0.6), 20) * shades
    assert found(rounded(sand)) == (0, 0)


def test_drawn_lines_and_letters_are_none() -> None:
    rows, columns = torch.meshgrid(torch.arange(192), torch.arange(192), indexing="ij")
    page = torch.ones(1, 3, 192, 192)
    page[..., (rows % 16 < 9) & ((columns * 7 + rows * 3) % 11 < 3)] = 0.1
    assert found(page) == (0, 0)
    assert found(rounded(F.avg_pool2d(page, 3, 1, 1))) == (0, 0)


def test_small_pictures_are_none() -> None:
    assert coloured_noise(coloured(photo(PHOTOS[0])[..., :48, :48], 10), 0.5) == (0, 0)
