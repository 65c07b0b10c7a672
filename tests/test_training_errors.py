"""Errors that are not white noise, which a training shows to the network."""

from __future__ import annotations

import pytest
import torch

from gdpkit.testing import picture
from gdpkit.training.errors import disturbance


@pytest.mark.parametrize("limit", [0.004, 0.1, 1.0, 60.0])
def test_error_and_noise_together_are_at_most_what_the_network_is_told(limit: float) -> None:
    clean = 2 * picture(1, 3, 32, 32) - 1
    sizes, noises = [], []
    for seed in range(300):
        wrong, noise = disturbance(clean, limit, torch.Generator().manual_seed(seed))
        size = float(wrong.square().mean().sqrt())
        assert wrong.shape == clean.shape
        assert size**2 + noise**2 <= limit**2 * 1.001
        sizes.append(size)
        noises.append(noise)
    assert max(sizes) > 0.9 * min(limit, 0.2)
    assert sum(noise == 0 for noise in noises) > 10
    assert sum(noise > 0 for noise in noises) > 10


def test_the_errors_are_smooth_where_noise_is_not() -> None:
    clean = 2 * picture(1, 3, 32, 32) - 1

    def roughness(error: torch.Tensor) -> float:
        return float((error[..., 1:] - error[..., :-1]).square().mean() / error.square().mean())

    errors = [disturbance(clean, 1.0, torch.Generator().manual_seed(seed))[0] for seed in range(300)]
    white = roughness(torch.randn(1, 3, 32, 32, generator=torch.Generator().manual_seed(0)))
    smooth = [roughness(error) < 0.8 * white for error in errors if error.any()]
    assert sum(smooth) > 0.6 * len(smooth) > 30


def test_most_disturbed_crops_only_have_less_noise() -> None:
    clean = 2 * picture(1, 3, 32, 32) - 1
    found = [disturbance(clean, 0.3, torch.Generator().manual_seed(seed)) for seed in range(300)]
    less = [noise for wrong, noise in found if not wrong.any()]
    assert 180 < len(less) < 240
    assert 0 < min(less) < max(less) < 0.3


def test_the_same_draws_give_the_same_error() -> None:
    clean = 2 * picture(1, 3, 32, 32) - 1
    first, second = (disturbance(clean, 0.3, torch.Generator().manual_seed(5)) for _ in range(2))
    assert torch.equal(first[0], second[0])
    assert first[1] == second[1]
