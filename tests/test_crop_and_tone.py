"""crop, gain and gamma: known values, and what clipping does."""

from __future__ import annotations

import pytest
import torch

from gdpkit import GdpkitError, degrade, restore
from gdpkit.degradations.crop import Crop
from gdpkit.degradations.tone import Gain, Gamma
from gdpkit.noise import SeededNoise
from gdpkit.testing import check_degradation, picture

NUMBERS = torch.arange(48.0).reshape(1, 1, 6, 8)


def test_crop_leaves_the_inside() -> None:
    assert torch.equal(Crop(top=1, left=2, bottom=3, right=4)(NUMBERS), NUMBERS[..., 1:3, 2:4])
    assert torch.equal(Crop(fraction=0.5)(NUMBERS), NUMBERS[..., 1:4, 2:6])


@pytest.mark.parametrize("fraction", [0.05, 0.33, 0.5, 0.66, 0.75, 0.9, 0.99])
def test_the_size_of_the_part_gives_that_of_the_whole(fraction: float) -> None:
    crop = Crop(fraction=fraction)
    for side in range(1, 200):
        _, height, width = crop.clean_shape((1, side, 2 * side))
        assert crop(torch.zeros(1, 1, height, width)).shape == (1, 1, side, 2 * side)


@pytest.mark.parametrize("component", [Crop(fraction=0.7), Crop(left=9), Gain(factor=3), Gamma(exponent=0.4)])
@pytest.mark.parametrize("shape", [(3, 32, 32), (1, 17, 23)])
def test_other_parameters_keep_the_contract_too(component: Crop, shape: tuple[int, int, int]) -> None:
    check_degradation(component, shape)
    check_degradation(component >> Gain(factor=0.5), shape)


def test_a_crop_is_restored_to_the_size_of_the_whole_and_keeps_the_part() -> None:
    image = picture(1, 3, 24, 24)
    result = restore("restore", image=image, stages=["crop:left=4,right=6"], prior="tv", steps=3, device="cpu")
    assert result.image.shape == (24, 34, 3)
    assert torch.allclose(result.tensor[..., 4:28], image, atol=0.02)


@pytest.mark.parametrize(
    ("parameters", "reason"),
    [
        ({}, "crop needs top, left, bottom or right, or else fraction"),
        ({"top": 3, "fraction": 0.5}, "not both"),
        ({"left": -1}, "crop: left must be at least 0"),
    ],
)
def test_a_crop_that_says_nothing_or_too_much_is_an_error(parameters: dict[str, float], reason: str) -> None:
    with pytest.raises(GdpkitError) as caught:
        Crop(**parameters)  # type: ignore[arg-type]
    assert reason in str(caught.value)


def test_a_crop_larger_than_the_image_is_an_error() -> None:
    with pytest.raises(GdpkitError, match="cuts 6 rows and 0 columns off an image of 8x6: nothing would be left"):
        Crop(top=6)(NUMBERS)


def test_a_smaller_crop_has_smaller_borders() -> None:
    assert Crop(top=4, right=8).at_scale(4) == Crop(top=1, right=2)
    assert Crop(top=3).at_scale(2) is None


def test_gain_multiplies_and_a_camera_clips() -> None:
    image, noise = torch.full((1, 3, 4, 4), 0.6), SeededNoise(0, [b""])
    assert torch.allclose(Gain(factor=2)(image), torch.tensor(1.2))
    assert torch.equal(Gain(factor=2).simulate(image, noise), torch.ones(1, 3, 4, 4))
    assert Gain(factor=0.5).propagate(8) == 4


def test_clipped_values_weigh_nothing() -> None:
    """Half of the picture is clipped: what is not comes back, and what is may be anything from 1 / g up."""
    truth = picture(1, 3, 32, 32)
    seen = degrade(truth, ["gain:factor=2"]).pixels
    clipped = seen == 1
    assert 0.2 < clipped.float().mean() < 0.8
    result = restore("restore", image=seen, stages=["gain:factor=2"], prior="tv", steps=3, device="cpu")
    assert (result.tensor - truth)[~clipped].abs().max() < 0.02
    assert result.record["consistency"] < 0.5


def test_gamma_bends_and_keeps_black_white_and_the_sign() -> None:
    at = torch.tensor([0.0, 0.25, 1.0]).view(1, 1, 1, 3)
    assert torch.allclose(Gamma(exponent=2)(at), torch.tensor([0, 0.0625, 1]))
    assert torch.allclose(Gamma(exponent=0.5)(at), torch.tensor([0, 0.5, 1]))
    for exponent in (0.4, 2.2):
        edge = torch.tensor([-0.1, 0.0, 1e-9]).view(1, 1, 1, 3).requires_grad_()
        seen = Gamma(exponent=exponent)(edge)
        (slope,) = torch.autograd.grad(seen.sum(), edge)
        assert torch.isfinite(slope).all() and (slope > 0).all()
        assert (seen.detach() * edge.detach() >= 0).all()


def test_gamma_is_undone() -> None:
    truth = picture(1, 3, 24, 24)
    seen = degrade(truth, ["gamma:exponent=2.2"])
    result = restore("restore", image=seen, stages=["gamma:exponent=2.2"], prior="tv", steps=4, device="cpu")
    assert (result.tensor - truth).abs().max() < 0.03
