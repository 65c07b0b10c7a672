"""The proximal step of a blur of which only the inner part was seen, beyond whose border the scene goes on.

On a plane that wraps around, the blur is a product K of spectra, and what was seen is a part M of it: D = M K. With
the rest seen as well, N = 1 - M, the normal matrix 1 + c |K|^2 would be a product too. So what K z is there, u, is
asked for first: it solves (1 - N G N) u = N G M r, with G = c |K|^2 / (1 + c |K|^2) and r = y - D x. These are as
many equations as the border has pixels, and each product with them is one filter. As the plane's own borders are never
seen, its size is free, and one is taken of which Fourier transforms are fast. The problem is that of Almeida &
Figueiredo, "Deconvolving images with unknown boundaries using the alternating direction method of multipliers", IEEE
TIP 2013.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from gdpkit.convolution import brought, fast_length
from gdpkit.solvers import dot

ITERATIONS = 100
SETTLED = 3e-4
"""An iteration that lowers E(z) + |z - x|^2 / sigma^2 by less than this for each value of the border is the last. By 1
it changes with the noise, so that what is left is far below what the noise leaves open."""


FURTHEST = 1000.0
"""What sigma may be of the noise: 442 at the most with files of 8 bits. Beyond it ITERATIONS end before the border is
settled, and what is left of its error goes through the whole deconvolution."""


def prox(image: Tensor, observed: Tensor, kernel: Tensor, sigma: Tensor, noise: float) -> Tensor | None:
    """The minimiser over z of |y - k * z|^2 / noise^2 + |z - x|^2 / sigma^2, for what the whole kernel sees.

    None where the image is trusted so little, beside what was observed, that this would not settle.

    Args:
        image: x, (B, C, H, W).
        observed: y, (B, C, H - h + 1, W - w + 1).
        kernel: k, (h, w) or (B, h, w) with odd sides.
        sigma: (B, 1, 1, 1), in the units of the image, as `noise`.
        noise: the deviation of y.
    """
    if float(sigma.max()) > FURTHEST * noise:
        return None
    height, width = image.shape[-2:]
    rows, columns = (side // 2 for side in kernel.shape[-2:])
    size = [fast_length(height), fast_length(width)]
    seen = slice(rows, height - rows), slice(columns, width - columns)
    spectrum = _spectrum(brought(kernel, image), size)
    trust = (sigma / noise) ** 2  # c
    power = trust * spectrum.abs().square()
    kept = power / (1 + power)  # G

    def filtered(plane: Tensor, by: Tensor) -> Tensor:
        made: Tensor = torch.fft.irfft2(torch.fft.rfft2(plane, s=size).mul_(by), s=size)
        return made

    told = image.new_zeros(*image.shape[:2], *size)
    told[(..., *seen)] = observed - filtered(image, spectrum)[(..., *seen)]
    unseen = torch.ones(size, dtype=torch.bool, device=image.device)
    unseen[seen] = False
    at = unseen.flatten().nonzero()[:, 0]
    told.flatten(2)[..., at] = _border(lambda plane: filtered(plane, kept), told, at, noise)
    moved = filtered(told, trust * spectrum.conj() / (1 + power))
    return image + moved[..., :height, :width]


def _border(smoothed: Callable[[Tensor], Tensor], told: Tensor, at: Tensor, noise: float) -> Tensor:
    """u at these places of the plane, (B, C, N), by conjugate gradients; each item of the batch by itself."""
    plane = torch.zeros_like(told)

    def products(u: Tensor) -> Tensor:
        plane.flatten(2)[..., at] = u
        return u - smoothed(plane).flatten(2)[..., at]

    residual = smoothed(told).flatten(2)[..., at]
    direction, u = residual, torch.zeros_like(residual)
    square = dot(residual, residual)
    least = SETTLED * noise**2 * u[0].numel()
    for _ in range(ITERATIONS):
        active = square > 0
        if not active.any():
            break
        product = products(direction)
        bend = dot(direction, product)
        active = active & (bend > 0)
        step = torch.where(active, square / bend.clamp_min(1e-30), 0)
        u = u + step * direction
        residual = residual - step * product
        active = active & (step * square > least)
        new = dot(residual, residual)
        direction = torch.where(active, residual + new / square.clamp_min(1e-30) * direction, 0)
        square = torch.where(active, new, 0)
    return u


def _spectrum(kernel: Tensor, size: list[int]) -> Tensor:
    """Of a kernel about the corner of a plane of this size, broadcastable with the spectra of images."""
    rows, columns = kernel.shape[-2:]
    plane = kernel.new_zeros(*kernel.shape[:-2], *size)
    plane[..., :rows, :columns] = kernel
    found: Tensor = torch.fft.rfft2(plane.roll((-(rows // 2), -(columns // 2)), (-2, -1)))
    return found if kernel.ndim == 2 else found[:, None]
