"""Quality losses: known values."""

from __future__ import annotations

import math

import pytest
import torch

from gdpkit import QualityLoss, registry, restore
from gdpkit.losses.color import ColorConstancy
from gdpkit.losses.exposure import ExposureControl
from gdpkit.losses.illumination import IlluminationSmoothness
from gdpkit.losses.spatial import SpatialConsistency
from gdpkit.losses.tv import TotalVariation


def test_tv_of_an_edge_is_its_length_times_its_height() -> None:
    image = torch.zeros(1, 3, 8, 10)
    image[..., 5:] = 0.5
    assert abs(float(TotalVariation()(image, None)) - 0.5 / 10) < 1e-3 / 10


def test_tv_is_isotropic_where_both_differences_meet() -> None:
    rows, columns = torch.meshgrid(torch.arange(50.0), torch.arange(50.0), indexing="ij")
    ramp = (0.01 * (rows + columns)).expand(1, 3, -1, -1)
    per_pixel = math.hypot(math.sqrt(2) * 0.01, 1e-3) - 1e-3
    border = math.hypot(0.01, 1e-3) - 1e-3
    wanted = (49 * 49 * per_pixel + 2 * 49 * border) / 2500
    assert abs(float(TotalVariation()(ramp, None)) - wanted) < 1e-6


def test_tv_of_a_flat_picture_is_zero() -> None:
    assert float(TotalVariation()(torch.full((1, 3, 9, 9), 0.3), None)) < 1e-9


def test_colour_constancy_is_the_squared_differences_of_the_channel_means() -> None:
    means = torch.tensor([[0.2, 0.5, 0.9], [0.4, 0.4, 0.4]])
    spread = torch.linspace(-0.1, 0.1, 16).view(1, 1, 4, 4)
    value = ColorConstancy()(means[:, :, None, None] + spread, None)
    wanted = torch.tensor([0.3**2 + 0.7**2 + 0.4**2, 0.0])
    assert torch.allclose(value, wanted, atol=1e-6)


def test_colour_constancy_pushes_each_channel_by_the_same_everywhere() -> None:
    image = torch.rand(1, 3, 4, 4, generator=torch.Generator().manual_seed(0), requires_grad=True)
    (gradient,) = torch.autograd.grad(ColorConstancy()(image, None).sum(), image)
    assert float(gradient.sum().abs()) < 1e-6
    assert float(gradient.flatten(2).std(dim=2).max()) < 1e-8


def test_exposure_is_how_far_patches_are_from_the_target() -> None:
    """Two patches of 16x16, 0.3 and 0.9, about 0.6: 0.3 each; a mean over the whole picture would see none."""
    image = torch.cat((torch.full((1, 3, 16, 16), 0.3), torch.full((1, 3, 16, 16), 0.9)), dim=3)
    assert abs(float(ExposureControl()(image, None)) - 0.3) < 1e-3
    assert abs(float(ExposureControl(target=0.3)(image, None)) - 0.3) < 1e-3
    assert abs(float(ExposureControl(patch=32)(image, None))) < 1e-3


def test_exposure_counts_a_patch_that_the_border_cuts_by_its_area() -> None:
    image = torch.cat((torch.full((1, 3, 16, 16), 0.6), torch.full((1, 3, 16, 4), 0.1)), dim=3)
    assert abs(float(ExposureControl()(image, None)) - 0.5 * 4 / 20) < 1e-3


def test_illumination_smoothness_has_the_mixed_term() -> None:
    """A ramp of 0.03 down and 0.04 across: (0.03 + 0.04)^2 for each of three channels, less at two borders."""
    rows, columns = torch.meshgrid(torch.arange(10.0), torch.arange(20.0), indexing="ij")
    ramp = (0.03 * rows + 0.04 * columns).expand(1, 3, -1, -1)
    wanted = 3 * (9 * 19 * 0.07**2 + 9 * 0.03**2 + 19 * 0.04**2) / 200
    assert abs(float(IlluminationSmoothness()(ramp, None)) - wanted) < 0.01 * wanted
    texture = torch.rand(1, 3, 10, 20, generator=torch.Generator().manual_seed(0))
    assert abs(float(IlluminationSmoothness()(ramp + texture, texture)) - wanted) < 0.01 * wanted
    assert float(IlluminationSmoothness(of="image")(ramp + texture, texture)) > 10 * wanted


def test_spatial_consistency_compares_contrasts_of_neighbours() -> None:
    """Two regions of 4x4: contrast 0.5 where 0.2 was seen; both regions meet one neighbour."""
    new = torch.cat((torch.full((1, 3, 4, 4), 0.2), torch.full((1, 3, 4, 4), 0.7)), dim=3)
    old = torch.cat((torch.full((1, 3, 4, 4), 0.3), torch.full((1, 3, 4, 4), 0.1)), dim=3)
    assert abs(float(SpatialConsistency()(new, old)) - 0.3**2) < 1e-3
    assert float(SpatialConsistency(gain=2.5)(new, old)) < 1e-5
    assert float(SpatialConsistency()(new, None)) == 0


LOSSES = [
    ColorConstancy(),
    ExposureControl(target=0.4),
    IlluminationSmoothness(),
    SpatialConsistency(),
    TotalVariation(),
]


@pytest.mark.parametrize("loss", LOSSES, ids=lambda q: q.name)
def test_gradients_agree_with_finite_differences_everywhere(loss: QualityLoss) -> None:
    generator = torch.Generator().manual_seed(0)
    image, observed = torch.rand(2, 1, 3, 6, 7, generator=generator, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda x: loss(x, observed), image.requires_grad_())


@pytest.mark.parametrize("loss", ["exposure:target=0.6,weight=2", "illumination-smoothness:of=image", "color-constancy",
                                  "spatial-consistency:weight=30", "tv:weight=0.1"])  # fmt: skip
def test_a_loss_joins_any_task_and_is_lowered(loss: str) -> None:
    image = 0.4 * torch.rand(1, 3, 24, 24, generator=torch.Generator().manual_seed(0))
    quality = registry.load().build("losses", loss)
    common = {"image": image, "stages": ["noise:sigma=20"], "prior": "tv", "steps": 3, "device": "cpu"}
    plain, guided = (restore("restore", losses=given, **common).tensor for given in ([], [loss]))  # type: ignore[arg-type]
    assert float(quality(guided, image)) < float(quality(plain, image))
