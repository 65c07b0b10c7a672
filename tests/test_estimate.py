"""Noise told from a photograph: right where the truth is known, on the photographs of the examples."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from gdpkit import estimate, images
from gdpkit.degradations.poisson import PoissonGaussian
from gdpkit.errors import ImageError
from gdpkit.noise import SeededNoise

PHOTOS = sorted((Path(__file__).parent.parent / "examples" / "photos").glob("*.png"))


def photo(file: Path) -> Tensor:
    return images.read_image(file)[..., :256, :256]


def noisy(clean: Tensor, sigma: float) -> Tensor:
    """As an 8-bit file would hold it: clipped and rounded."""
    noise = torch.randn(clean.shape, generator=torch.Generator().manual_seed(7))
    return (255 * clean + sigma * noise).round().clamp(0, 255) / 255


@pytest.mark.parametrize("sigma", [5, 25, 75])
@pytest.mark.parametrize("file", PHOTOS, ids=lambda f: f.stem)
def test_within_a_tenth_of_the_truth_although_clipped_and_rounded(file: Path, sigma: float) -> None:
    assert estimate.noise_sigma(noisy(photo(file), sigma)) == pytest.approx(sigma, rel=0.1)


@pytest.mark.parametrize("sigma", [25, 50])
def test_of_grey_and_of_grey_in_three_channels(sigma: float) -> None:
    grey = noisy(photo(PHOTOS[0]).mean(1, keepdim=True), sigma)
    assert estimate.noise_sigma(grey) == pytest.approx(sigma, rel=0.1)
    assert estimate.noise_sigma(grey.expand(-1, 3, -1, -1)) == estimate.noise_sigma(grey)


def test_a_white_sky_does_not_hide_the_noise() -> None:
    clean = photo(PHOTOS[0]).clone()
    clean[..., :160, :] = 1
    assert estimate.noise_sigma(noisy(clean, 25)) == pytest.approx(25, rel=0.1)


def test_a_smooth_picture_has_the_noise_of_its_rounding() -> None:
    ramp = torch.linspace(0.2, 0.7, 64).expand(1, 3, 64, 64) + torch.linspace(0, 0.1, 64)[:, None]
    assert estimate.noise_sigma((255 * ramp).round() / 255) < 0.5


def test_a_batch_has_the_noise_of_its_images() -> None:
    both = torch.cat([noisy(photo(f)[..., :72, :72], 20) for f in PHOTOS[:2]])
    assert estimate.noise_sigma(both) == pytest.approx(20, rel=0.1)


@pytest.mark.parametrize(("gain", "read"), [(0.5, 3.0), (2.0, 4.0), (4.0, 1.0)])
def test_the_line_of_photon_noise(gain: float, read: float) -> None:
    """Its offset is the least certain; what matters is the variance where pixels are."""
    clean = photo(PHOTOS[0])
    seen = PoissonGaussian(gain=gain, read=read).simulate(clean, SeededNoise(0, [b"photo"]))
    a, b = estimate.noise_line((255 * seen).round().clamp(0, 255) / 255)
    for level in (60, 120, 180):
        assert a * level + b**2 == pytest.approx(gain * level + read**2, rel=0.2)


def test_white_noise_has_no_gain_to_speak_of() -> None:
    gain, read = estimate.noise_line(noisy(photo(PHOTOS[0]), 10))
    assert gain * 100 < 25
    assert read == pytest.approx(10, rel=0.15)


def test_a_picture_of_one_brightness_has_no_line() -> None:
    flat = noisy(torch.full((1, 1, 64, 64), 0.5), 10)
    assert estimate.noise_line(flat) == (0.0, pytest.approx(10, rel=0.1))


@pytest.mark.parametrize("sigma", [10.0, 40.0])
def test_the_mean_that_clipping_leaves_is_undone(sigma: float) -> None:
    levels = torch.tensor([2.0, 20.0, 128.0, 240.0]).view(1, 1, 4, 1) / 255
    seen = noisy(levels.expand(1, 1, 4, 200_000), sigma).mean(-1, keepdim=True)
    assert 255 * (estimate.unclipped(seen, sigma) - levels).abs().max() < 0.6
    assert torch.equal(estimate.unclipped(levels, 0.0), levels)


@pytest.mark.parametrize("function", [estimate.noise_sigma, estimate.noise_line])
def test_too_small_a_picture_is_told(function: object) -> None:
    with pytest.raises(ImageError, match="16x16 pixels or more, not 40x9"):
        function(torch.zeros(1, 3, 9, 40))  # type: ignore[operator]


def test_noise_of_luma_and_of_chroma() -> None:
    clean = photo(PHOTOS[0])
    drawn = torch.randn(clean.shape, generator=torch.Generator().manual_seed(7))
    grey = (255 * clean + 8 * drawn.mean(1, keepdim=True) + 2 * (drawn - drawn.mean(1, keepdim=True))) / 255
    luma, chroma = estimate.noise_of_colour(grey)
    assert luma == pytest.approx(8, rel=0.15)
    assert chroma == pytest.approx(2, rel=0.3)
    assert estimate.noise_of_colour(clean[:, :1])[1] == 0
