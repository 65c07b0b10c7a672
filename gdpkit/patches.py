"""The proximal step of a blur that changes across the image: filters patch by patch, and conjugate gradients."""

from __future__ import annotations

import torch
from torch import Tensor

from gdpkit.mosaic import Mosaic
from gdpkit.solvers import dot
from gdpkit.wiener import patches

ITERATIONS = 100
SETTLED = 1e-4
"""What is left to gain of E(z) + |z - x|^2 / sigma^2, for each value of the image, where iterations end. By 1 it
changes with the noise, so that the error is a hundredth of what the observation and x leave open."""
DOUBTED = 1.5e-2
"""The same of the filters' answer, as far as that is told without asking D: where it is less, the answer stands. What
comes true of it is a fifth with smooth kernels, a half and up to all of it with those whose spectra have zeros."""


def prox(image: Tensor, observed: Tensor, blur: Mosaic, sigma: Tensor, noise: float) -> Tensor:
    """The minimiser over z of |y - D z|^2 / noise^2 + |z - x|^2 / sigma^2, each item of the batch by itself.

    Args:
        image: x, (B, C, H, W).
        observed: y, the same size.
        blur: D.
        sigma: (B, 1, 1, 1), in the units of the image, as `noise`.
        noise: the deviation of y.
    """
    trust = (sigma / noise) ** 2
    least = image[0].numel() * sigma**2
    residual = observed - blur.blurred(image)
    answer, doubt = patches(blur).answer(residual, trust)
    active = doubt > DOUBTED * least
    if not active.any():
        return answer.add_(image)
    product = blur.blurred(answer)
    bend = dot(answer, answer) + trust * dot(product, product)
    step = torch.where(active, trust * dot(residual, product) / bend.clamp_min(1e-30), 1)
    z = image.addcmul(step, answer)
    residual.addcmul_(step, product, value=-1)
    del answer, product
    return _settled(z, image, residual, blur, trust, active, SETTLED * least)


def _settled(
    z: Tensor, image: Tensor, residual: Tensor, blur: Mosaic, trust: Tensor, active: Tensor, least: Tensor
) -> Tensor:
    """From z with this residual on by conjugate gradients, of the items that are active."""
    near = patches(blur)
    direction, square, before = z, torch.ones_like(trust), torch.zeros_like(trust)
    for k in range(ITERATIONS):
        slope = blur.transposed(residual).mul_(trust).add_(image).sub_(z)
        nearly = near.inverse(slope, trust)
        new = dot(slope, nearly)
        active = active & (new > least)  # about what the next step gains
        if not active.any():
            break
        direction = nearly.addcmul_(new / square.clamp_min(1e-30), direction) if k else nearly
        square = new
        product = blur.blurred(direction)
        bend = dot(direction, direction) + trust * dot(product, product)
        step = torch.where(active, square / bend.clamp_min(1e-30), 0)
        z = z.addcmul(step, direction)
        residual.addcmul_(step, product, value=-1)
        gain = step * square
        # Each gain is to the one before as this one was: to ask the next one would cost most of an iteration.
        active = active & (gain.square() > least * (before - gain))
        before = gain
        if not active.any():
            break
    return z
