"""The proximal step of a blur whose values are not all known alike: overexposed ones, or light that was stored encoded.

Light z was blurred and stored as y = e(k * z) with noise alike at all levels, e being sRGB's curve; the image x = e(z)
is trusted alike at all levels as well. In light, noise is larger where it is bright, and a step that took it for alike
would put what noise it lets through in bright places into the dark around them, where the curve is steep. So the
step is one of Gauss and Newton, by conjugate gradients that start from the blur's own inverse.
"""

from __future__ import annotations

import torch
from torch import Tensor

from gdpkit import borders, convolution, functional, solvers
from gdpkit.convolution import brought, fast_length, power
from gdpkit.solvers import Map, dot

ITERATIONS = 15
PLAIN_ITERATIONS, PLAIN_TOLERANCE = 100, 1e-4
"""Where values tell nothing, light beyond white may be anything; iterations that end early keep it near the image."""
SETTLED = 0.05


def prox(
    image: Tensor,
    observed: Tensor,
    kernel: Tensor,
    sigma: Tensor,
    noise: float,
    *,
    weight: Tensor | None = None,
    light: bool = False,
    boundary: str = "valid",
) -> Tensor:
    """The minimiser over z of |w (y - D z)|^2 / noise^2 + |z - x|^2 / sigma^2, nearly.

    Args:
        image: x, (B, C, H, W).
        observed: y, what the whole kernel sees of it.
        kernel: k, (h, w) or (B, h, w) with odd sides.
        sigma: (B, 1, 1, 1), in the units of the image, as `noise`.
        noise: the deviation of y.
        weight: w^2 of every value; None: 1.
        light: whether D blurs the light of which image and observation are encodings, or the values themselves.
        boundary: as of `convolution.convolve`.
    """
    trust = (sigma / noise) ** 2
    steep, start = (_slope(image), decoded(image)) if light else (torch.ones_like(image), image)
    predicted = convolution.convolve(start, kernel, boundary)
    like = torch.ones_like(observed) if weight is None else weight
    if light:
        like, observed = like / _slope(observed).square(), decoded(observed)

    def pulled(residual: Tensor) -> Tensor:
        return trust * steep * convolution.transposed(like * residual, kernel, boundary)

    size = [fast_length(side) for side in image.shape[-2:]]
    height, width = image.shape[-2:]
    told = trust * _power(brought(kernel, image), size)
    kept = told / (1 + told)

    def nearly(r: Tensor) -> Tensor:
        known: Tensor = torch.fft.irfft2(torch.fft.rfft2(r, s=size) * kept, s=size)[..., :height, :width]
        return r - known

    rest = pulled(observed - predicted)

    def normal(d: Tensor) -> Tensor:
        return d + pulled(convolution.convolve(steep * d, kernel, boundary))

    if weight is not None:
        moved = solvers.conjugate_gradients(normal, rest, PLAIN_ITERATIONS, PLAIN_TOLERANCE)
    else:
        found = borders.prox(start, observed, kernel, sigma, noise) if boundary == "valid" else None
        begun = torch.zeros_like(image) if found is None else (found - start) / steep
        moved = _solved(normal, rest, nearly, (SETTLED * sigma) ** 2 * image[0].numel(), begun)
    return encoded(start + steep * moved) if light else image + moved


def _solved(matrix: Map, rhs: Tensor, nearly: Map, least: Tensor, begun: Tensor) -> Tensor:
    """Conjugate gradients that end where an iteration brings less than `least`, each item of the batch by itself."""
    x, residual = begun, rhs - matrix(begun)
    direction = nearly(residual)
    square = dot(residual, direction)
    for _ in range(ITERATIONS):
        active = square > 0
        if not active.any():
            break
        product = matrix(direction)
        bend = dot(direction, product)
        active = active & (bend > 0)
        step = torch.where(active, square / bend.clamp_min(1e-30), 0)
        x = x.addcmul(step, direction)
        residual = residual.addcmul(step, product, value=-1)
        active = active & (step * square > least)
        if not active.any():
            break
        further = nearly(residual)
        new = dot(residual, further)
        direction = torch.where(active, further + new / square.clamp_min(1e-30) * direction, 0)
        square = torch.where(active, new, 0)
    return x


def decoded(stored: Tensor) -> Tensor:
    """Light from values through sRGB's curve, below black as above it.

    Noise goes there, and of a straight line, as steep as the curve is at black, little light would be many levels.
    """
    return stored.sign() * functional.srgb_decoded(stored.abs())


def encoded(light: Tensor) -> Tensor:
    """The inverse of `decoded`."""
    return light.sign() * functional.srgb_encoded(light.abs())


def _slope(stored: Tensor) -> Tensor:
    """Of `decoded`."""
    above = stored.abs()
    return torch.where(above <= 0.04045, 1 / 12.92, 2.4 / 1.055 * ((above.clamp_min(0.04045) + 0.055) / 1.055) ** 1.4)


def _power(kernel: Tensor, size: list[int]) -> Tensor:
    """|K|^2, broadcastable with the spectra of images."""
    found: Tensor = power(torch.fft.rfft2(kernel, s=size))
    return found if kernel.ndim == 2 else found[:, None]
