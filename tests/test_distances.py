"""The distances of residuals: what each costs, and the weights by which least squares stands in for it."""

from __future__ import annotations

import pytest
import torch

from gdpkit.distances import HUBER, PIXELWISE

T = torch.linspace(-6, 6, 2401, dtype=torch.float64)


@pytest.mark.parametrize(
    ("name", "small", "large"),
    [("mse", 0.25, 25.0), ("huber", 0.25, 2 * HUBER * 5 - HUBER**2), ("l1", 2 * 0.26**0.5, 2 * 25.01**0.5)],
)
def test_known_costs(name: str, small: float, large: float) -> None:
    """Of residuals of half a sigma and of five; all count as squared error does, or less."""
    found = PIXELWISE[name].energy(torch.tensor([0.5, -5.0], dtype=torch.float64))
    assert found.tolist() == pytest.approx([small, large])


@pytest.mark.parametrize("name", PIXELWISE)
def test_the_weight_is_the_slope_over_twice_the_residual(name: str) -> None:
    t = T.clone().requires_grad_()
    (slope,) = torch.autograd.grad(PIXELWISE[name].energy(t).sum(), t)
    assert torch.allclose(slope, 2 * T * PIXELWISE[name].weight(T), atol=1e-9)


@pytest.mark.parametrize("name", PIXELWISE)
def test_costs_have_no_jumps_and_do_not_know_the_sign(name: str) -> None:
    energy = PIXELWISE[name].energy
    assert torch.allclose(energy(T), energy(-T))
    assert float(energy(T).diff().abs().max()) <= 12.1 * 0.005  # the steepest slope of all, 2 t at 6
