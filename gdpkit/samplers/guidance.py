"""Guidance whose strength follows from the noise: Morozov's discrepancy principle."""

from __future__ import annotations

import torch
from torch import Tensor

from gdpkit.components import Objective

CLIPPINGS = 12
DOUBLINGS = 4  # sixteen times the sigma that the sampler trusts; what then is left is the model's, not the noise


def descend_to_noise(objective: Objective, x: Tensor) -> Tensor:
    """The step from x along -grad E to where the residual is that of the noise, (B, 3, H, W).

    Goes to the first point of the line where the discrepancy is 1, or to the line's minimum where it stays above or
    where quality losses guide as well; without losses, nowhere if x already fits. E is taken to be a parabola along the
    line, which it is for linear degradations and squared error; its curvature is read off one more evaluation of E.
    """
    gradient = objective.gradient(x)
    # In float64: the noise of a 16-bit file is 4e-6, and the square of the slope would overflow.
    slope = gradient.double().square().flatten(1).sum(1)
    energy = objective.energy(x).double()
    trial = energy / slope.clamp_min(1e-30)
    moved = x - trial.to(x.dtype).view(-1, 1, 1, 1) * gradient
    curvature = 2 * (objective.energy(moved) - energy + trial * slope) / trial.square().clamp_min(1e-60)
    curvature = curvature.clamp_min(1e-30)
    if objective.supports("losses"):
        length = slope / curvature
    else:
        excess = energy * (1 - 1 / objective.discrepancy(x).clamp_min(1e-30)).clamp_min(0)
        length = (slope - (slope**2 - 2 * curvature * excess).clamp_min(0).sqrt()) / curvature
    return -length.to(x.dtype).view(-1, 1, 1, 1) * gradient


def prox_to_noise(objective: Objective, x: Tensor, sigma: float) -> Tensor:
    """`objective.prox(x, sigma)`, where need be with a larger sigma, until the residual is no larger than the noise.

    x is trusted to within sigma; where that leaves more residual than noise can explain, x is worse than sigma says.
    """
    z = objective.prox(x, sigma)
    for _ in range(DOUBLINGS):
        unexplained = objective.discrepancy(z) > 1
        if not unexplained.any():
            break
        sigma = 2 * sigma
        z = torch.where(unexplained.view(-1, 1, 1, 1), objective.prox(x, sigma), z)
    return z


def prox_within_range(objective: Objective, x: Tensor, sigma: float) -> Tensor:
    """`prox_to_noise` among images in [0, 1], by Dykstra's alternation (Bauschke & Combettes 2008).

    Clipping alone would darken what is as bright as a picture can be: a white sky, or paper.
    """
    z = prox_to_noise(objective, x, sigma)
    clipped = z.clamp(0, 1)
    correction = z - clipped
    for _ in range(CLIPPINGS):
        wrong = objective.discrepancy(clipped) > 1
        if not wrong.any():
            break
        z = prox_to_noise(objective, clipped, sigma) + correction
        again = z.clamp(0, 1)
        correction = z - again
        clipped = torch.where(wrong.view(-1, 1, 1, 1), again, clipped)
    return clipped
