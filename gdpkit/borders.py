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

from gdpkit import convolution, solvers
from gdpkit.convolution import brought, fast_length

ITERATIONS = 100
SETTLED = 3e-4
"""An iteration that lowers E(z) + |z - x|^2 / sigma^2 by less than this for each value of the border is the last. By 1
it changes with the noise, so that what is left is far below what the noise leaves open."""


FURTHEST = 1000.0
"""What sigma may be of the noise: 442 at the most with files of 8 bits. Beyond it ITERATIONS end before the border is
settled, and what is left of its error goes through the whole deconvolution."""


NEAR = 8.0
"""What sigma may be of the noise for a few iterations to do without a preconditioner."""

WIDEST = 40
"""Up to so many pixels across, the border's rows and its columns are solved by themselves, as a preconditioner; beyond,
their matrices take longer than the iterations that they spare."""


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
    waves = spectrum(brought(kernel, image), size)
    trust = (sigma / noise) ** 2  # c
    power = trust * convolution.power(waves)
    kept = power / (1 + power)  # G

    def filtered(plane: Tensor, by: Tensor) -> Tensor:
        made: Tensor = torch.fft.irfft2(torch.fft.rfft2(plane, s=size).mul_(by), s=size)
        return made

    told = image.new_zeros(*image.shape[:2], *size)
    told[(..., *seen)] = observed - filtered(image, waves)[(..., *seen)]
    unseen = torch.ones(size, dtype=torch.bool, device=image.device)
    unseen[seen] = False
    at = unseen.flatten().nonzero()[:, 0]
    strips = _Strips.of(1 / (1 + power), size, seen) if float(sigma.max()) > NEAR * noise else None
    told.flatten(2)[..., at] = _border(lambda plane: filtered(plane, kept), told, at, noise, strips)
    moved = filtered(told, trust * waves.conj() / (1 + power))
    return image + moved[..., :height, :width]


def _border(
    smoothed: Callable[[Tensor], Tensor], told: Tensor, at: Tensor, noise: float, strips: _Strips | None
) -> Tensor:
    """u at these places of the plane, (B, C, N), by conjugate gradients; each item of the batch by itself."""
    plane = torch.zeros_like(told)

    def products(u: Tensor) -> Tensor:
        plane.flatten(2)[..., at] = u
        return u - smoothed(plane).flatten(2)[..., at]

    def nearly(u: Tensor) -> Tensor:
        if strips is None:
            return u
        plane.flatten(2)[..., at] = u
        return strips.inverse(plane).flatten(2)[..., at]

    rhs = smoothed(told).flatten(2)[..., at]
    return solvers.settled(products, rhs, nearly, SETTLED * noise**2 * rhs[0].numel(), ITERATIONS)


class _Strips:
    """The equations of the border by themselves, of its rows and of its columns, solved exactly: a preconditioner.

    Rows of the plane that go around it make a filter in themselves: of each of their frequencies there is one small
    matrix. What lies both in rows and in columns is shared between them.
    """

    def __init__(self, places: list[Tensor], inverses: list[Tensor], shares: list[Tensor]) -> None:
        self._places, self._inverses, self._shares = places, inverses, shares

    @staticmethod
    def of(left: Tensor, size: list[int], seen: tuple[slice, slice]) -> _Strips | None:
        """left: the spectrum of 1 - G, (B, 1, H, W // 2 + 1); None where the border is too wide to be solved."""
        places = [torch.arange(part.stop, side + part.start) % side for side, part in zip(size, seen, strict=True)]
        if max(len(at) for at in places) > WIDEST:
            return None
        # What is left of low frequencies is some millionths: float32 would not see it beside the rest.
        response = torch.fft.irfft2(left.double(), s=size)
        inverses, shares = [], []
        for axis, at in enumerate(places):
            across = response if axis == 0 else response.mT  # (B, 1, along the strip's width, along its length)
            n = len(at)
            shifts = torch.arange(n)[:, None] - torch.arange(n)
            waves = torch.fft.rfft(across[..., torch.arange(1 - n, n) % size[axis], :])
            matrices = waves.movedim(-1, -2)[..., shifts + n - 1]  # (B, 1, frequencies, n, n)
            inverses.append(torch.linalg.inv(matrices).to(left.dtype.to_complex()))
            other = torch.ones(size[1 - axis])
            other[places[1 - axis]] = 0.5**0.5
            shares.append(other.to(left))
        return _Strips([at.to(left.device) for at in places], inverses, shares)

    def inverse(self, plane: Tensor) -> Tensor:
        """Of the values of the border in a plane, (B, C, H, W), in which the rest is anything."""
        found = torch.zeros_like(plane)
        for axis, (at, inverse, share) in enumerate(zip(self._places, self._inverses, self._shares, strict=True)):
            source, target = (plane, found) if axis == 0 else (plane.mT, found.mT)
            waves = torch.fft.rfft(source[..., at, :] * share)  # (B, C, n, frequencies)
            solved = torch.einsum("bfij,bcjf->bcif", inverse[:, 0], waves)
            target[..., at, :] += torch.fft.irfft(solved, n=source.shape[-1]) * share
        return found


def spectrum(kernel: Tensor, size: list[int]) -> Tensor:
    """Of a kernel about the corner of a plane of this size, broadcastable with the spectra of images."""
    rows, columns = kernel.shape[-2:]
    plane = kernel.new_zeros(*kernel.shape[:-2], *size)
    plane[..., :rows, :columns] = kernel
    found: Tensor = torch.fft.rfft2(plane.roll((-(rows // 2), -(columns // 2)), (-2, -1)))
    return found if kernel.ndim == 2 else found[:, None]
