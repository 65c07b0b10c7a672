"""Quality losses: known values."""

from __future__ import annotations

import math

import torch

from gdpkit.losses.color import ColorConstancy
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
