"""The degradations of gdpkit itself: known values. The contract all of them keep is conformance/test_components.py."""

from __future__ import annotations

import pytest
import torch

from gdpkit import functional
from gdpkit.degradations.downsample import KERNELS, Downsample
from gdpkit.degradations.gray import Gray
from gdpkit.errors import GdpkitError
from gdpkit.testing import picture

SCALES = (2, 3, 4, 5, 8)


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("kernel", KERNELS)
def test_nothing_shifts_and_nothing_brightens(kernel: str, scale: int) -> None:
    """A ramp reduced has the value of each block's centre, away from the border, where it is mirrored."""
    side = 16 * scale
    ramp = torch.arange(side, dtype=torch.float64).expand(1, 1, side, side)
    for image in (ramp, ramp.mT):
        found = Downsample(scale=scale, kernel=kernel)(image)
        centres = scale * torch.arange(16, dtype=torch.float64) + (scale - 1) / 2
        wanted = centres.expand(16, 16) if image is ramp else centres.expand(16, 16).mT
        assert torch.allclose(found[0, 0, 5:-5, 5:-5], wanted[5:-5, 5:-5], atol=1e-3 * scale)
    flat = torch.full((1, 3, side, side), 0.7)
    assert torch.allclose(Downsample(scale=scale, kernel=kernel)(flat), torch.full((1, 3, 16, 16), 0.7))


def test_average_is_the_mean_of_the_block() -> None:
    image = torch.arange(16.0).reshape(1, 1, 4, 4)
    assert torch.equal(Downsample(scale=2)(image), torch.tensor([[[[2.5, 4.5], [10.5, 12.5]]]]))


@pytest.mark.parametrize("scale", SCALES)
def test_bicubic_is_that_of_antialiased_resizing(scale: int) -> None:
    """As torch and Pillow do it, away from the border, where they cut the kernel and we mirror the image."""
    image = torch.rand(1, 3, 12 * scale, 12 * scale, generator=torch.Generator().manual_seed(0))
    found = Downsample(scale=scale, kernel="bicubic")(image)[..., 2:-2, 2:-2]
    assert torch.allclose(found, functional.resize(image, (12, 12))[..., 2:-2, 2:-2], atol=1e-5)


def test_the_deviation_of_the_gaussian_is_in_pixels_of_the_large_image() -> None:
    taps, first = functional.downsample_taps("gaussian", 4, 2.5)
    at = torch.arange(len(taps)) + first
    weights = torch.tensor(taps)
    centre = float((weights * at).sum())
    assert centre == pytest.approx(1.5, abs=1e-5)
    assert float((weights * (at - centre) ** 2).sum()) ** 0.5 == pytest.approx(2.5, rel=0.01)


@pytest.mark.parametrize("kernel", KERNELS)
def test_a_side_that_is_no_multiple_loses_its_rest(kernel: str) -> None:
    assert Downsample(scale=4, kernel=kernel)(picture(1, 3, 35, 30)).shape == (1, 3, 8, 7)


@pytest.mark.parametrize(("weights", "wanted"), [("mean", 0.4), ("bt601", 0.299 * 0.2 + 0.587 * 0.3 + 0.114 * 0.7)])
def test_gray_weighs_the_channels(weights: str, wanted: float) -> None:
    colour = torch.tensor([0.2, 0.3, 0.7]).view(1, 3, 1, 1).expand(-1, -1, 4, 4)
    assert torch.allclose(Gray(weights=weights)(colour), torch.full((1, 1, 4, 4), wanted))


def test_channels_are_repeated_or_averaged_and_anything_else_is_an_error() -> None:
    colour, grey = picture(1, 3, 4, 4), picture(1, 1, 4, 4)
    assert torch.equal(functional.with_channels(grey, 3)[:, 2:], grey)
    assert torch.allclose(functional.with_channels(colour, 1), colour.mean(dim=1, keepdim=True))
    assert functional.with_channels(colour, 3) is colour
    with pytest.raises(GdpkitError, match="1 or 3 channels; cannot turn 2 into 3"):
        functional.with_channels(colour[:, :2], 3)
