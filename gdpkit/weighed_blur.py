"""The proximal step of a blur whose values are not all known alike: overexposed ones, or light that was stored encoded.

Light z was blurred and stored as y = e(k * z) with noise alike at all levels, e being sRGB's curve; the image x = e(z)
is trusted alike at all levels as well. In light, noise is larger where it is bright, and a step that took it for alike
would put what noise it lets through in bright places into the dark around them, where the curve is steep. So the
step is one of Gauss and Newton, by conjugate gradients that start from the blur's own inverse.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from gdpkit import borders, convolution, functional, solvers
from gdpkit.convolution import brought, fast_length, power
from gdpkit.solvers import Map

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
    if boundary == "valid" and not light:
        exact = borders.prox(image, observed, kernel, sigma, noise, weight)
        if exact is not None:
            return exact
    trust = (sigma / noise) ** 2
    steep, start = (_slope(image), decoded(image)) if light else (torch.ones_like(image), image)
    blurred, transposed, waves = _products(image, kernel, boundary)
    like = torch.ones_like(observed) if weight is None else weight
    if light:
        like, observed = like / _slope(observed).square(), decoded(observed)

    def pulled(residual: Tensor) -> Tensor:
        return trust * steep * transposed(like * residual)

    def normal(d: Tensor) -> Tensor:
        return d + pulled(blurred(steep * d))

    rest = pulled(observed - blurred(start))
    exact = borders.prox(start, observed, kernel, sigma, noise) if boundary == "valid" and weight is None else None
    if exact is None:
        moved = solvers.conjugate_gradients(normal, rest, PLAIN_ITERATIONS, PLAIN_TOLERANCE)
    else:
        told = trust * power(waves)
        least = (SETTLED * sigma) ** 2 * image[0].numel()
        nearly = _inverse(told / (1 + told), image)
        moved = solvers.settled(normal, rest, nearly, least, ITERATIONS, (exact - start) / steep)
    return encoded(start + steep * moved) if light else image + moved


def _products(image: Tensor, kernel: Tensor, boundary: str) -> tuple[Map, Map, Tensor]:
    """The blur and its transpose, with the kernel's spectrum computed once, and that spectrum."""
    height, width = image.shape[-2:]
    size = [fast_length(height), fast_length(width)]
    waves = borders.spectrum(brought(kernel, image), size)
    if boundary != "valid":
        return (
            lambda z: convolution.convolve(z, kernel, boundary),
            lambda y: convolution.transposed(y, kernel, boundary),
            waves,
        )
    rows, columns = (side // 2 for side in kernel.shape[-2:])
    seen = (..., slice(rows, height - rows), slice(columns, width - columns))

    def blurred(z: Tensor) -> Tensor:
        whole: Tensor = torch.fft.irfft2(torch.fft.rfft2(z, s=size).mul_(waves), s=size)
        return whole[seen]

    def transposed(y: Tensor) -> Tensor:
        beyond = (columns, size[1] - width + columns, rows, size[0] - height + rows)
        whole: Tensor = torch.fft.irfft2(torch.fft.rfft2(F.pad(y, beyond)).mul_(waves.conj()), s=size)
        return whole[..., :height, :width]

    return blurred, transposed, waves


def _inverse(kept: Tensor, image: Tensor) -> Map:
    """What a filter leaves of an image."""
    height, width = image.shape[-2:]
    size = [fast_length(height), fast_length(width)]

    def nearly(r: Tensor) -> Tensor:
        known: Tensor = torch.fft.irfft2(torch.fft.rfft2(r, s=size).mul_(kept), s=size)[..., :height, :width]
        return r - known

    return nearly


def decoded(stored: Tensor) -> Tensor:
    """Light from values through sRGB's curve, below black as above it.

    Noise goes there, and of a straight line, as steep as the curve is at black, little light would be many levels.
    """
    return stored.sign() * functional.srgb_decoded(stored.abs())


def encoded(light: Tensor) -> Tensor:
    """The inverse of `decoded`."""
    return light.sign() * functional.srgb_encoded(light.abs())


def spread(stored: Tensor) -> float:
    """By how much the deviation of errors of stored values grows, over all of an image, where it is decoded."""
    return float(_slope(stored).square().mean().sqrt())


def _slope(stored: Tensor) -> Tensor:
    """Of `decoded`."""
    above = stored.abs()
    return torch.where(above <= 0.04045, 1 / 12.92, 2.4 / 1.055 * ((above.clamp_min(0.04045) + 0.055) / 1.055) ** 1.4)
