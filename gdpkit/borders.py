"""The proximal step of a blur of which only a part was seen: the scene goes on beyond the border, and beyond white.

On a plane that wraps around, the blur is a product K of spectra, and what was seen is a part M of it: D = M K. With
the rest seen as well, N = 1 - M, the normal matrix 1 + c |K|^2 would be a product too. So what K z is there, u, is
asked for first: it solves (1 - N G N) u = N G M r, with G = c |K|^2 / (1 + c |K|^2) and r = y - D x. These are as
many equations as there are such pixels, and each product with them is one filter. Of a value that weighs w, a part
w is seen and 1 - w is not. As the plane's own borders are never seen, its size is free, and one is taken of which
Fourier transforms are fast. The problem is that of Almeida & Figueiredo, "Deconvolving images with unknown boundaries
using the alternating direction method of multipliers", IEEE TIP 2013.
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

SETTLED_INSIDE = 1e-3
"""The same where values inside weigh less: over three clipped photographs and three kernels .02 dB below 3e-4."""

FURTHEST = 1000.0
"""What sigma may be of the noise: 442 at the most with files of 8 bits. Beyond it ITERATIONS end before the border is
settled, and what is left of its error goes through the whole deconvolution."""


NEAR = 8.0
"""What sigma may be of the noise for a few iterations to do without a preconditioner."""

WIDEST = 40
"""Up to so many pixels across, the border's rows and its columns are solved by themselves, as a preconditioner; beyond,
their matrices take longer than the iterations that they spare."""


def prox(
    image: Tensor, observed: Tensor, kernel: Tensor, sigma: Tensor, noise: float, weight: Tensor | None = None
) -> Tensor | None:
    """The minimiser over z of w |y - k * z|^2 / noise^2 + |z - x|^2 / sigma^2, for what the whole kernel sees.

    None where the image is trusted so little, beside what was observed, that this would not settle.

    Args:
        image: x, (B, C, H, W).
        observed: y, (B, C, H - h + 1, W - w + 1).
        kernel: k, (h, w) or (B, h, w) with odd sides.
        sigma: (B, 1, 1, 1), in the units of the image, as `noise`.
        noise: the deviation of y.
        weight: w of every value of y, broadcastable with y; None: 1.
    """
    if weight is not None and (most := float(weight.max())) > 1:
        weight, noise = weight / most, noise / most**0.5
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

    told, hidden = image.new_zeros(*image.shape[:2], *size), image.new_ones(*image.shape[:2], *size)
    rest = observed - filtered(image, waves)[(..., *seen)]
    told[(..., *seen)] = rest if weight is None else weight * rest
    hidden[(..., *seen)] = 0.0 if weight is None else (1 - weight).clamp_min(0).sqrt()
    unseen = _Unseen(hidden, lambda plane: filtered(plane, kept))
    if float(sigma.max()) > NEAR * noise:
        strips = _Strips.of(1 / (1 + power), size, seen) if weight is None else None
        unseen.nearly = strips.inverse if strips else lambda plane: filtered(plane, 1 + power)
    told = told + unseen.solved(told, noise, SETTLED if weight is None else SETTLED_INSIDE)
    moved = filtered(told, trust * waves.conj() / (1 + power))
    return image + moved[..., :height, :width]


class _Unseen:
    """The equations of the places of a plane (B, C, H, W) that are hidden wholly, by 1, or in part."""

    def __init__(self, hidden: Tensor, smoothed: Callable[[Tensor], Tensor]) -> None:
        """`smoothed`: G. `nearly`, if any: about the inverse of 1 - G."""
        self.nearly: Callable[[Tensor], Tensor] | None = None
        self._smoothed, self._plane = smoothed, torch.zeros_like(hidden)
        self._at = hidden.flatten(2).amax((0, 1)).nonzero()[:, 0]
        self._hidden = hidden.flatten(2)[..., self._at]

    def solved(self, told: Tensor, noise: float, least: float) -> Tensor:
        """The plane of u, by conjugate gradients; each item of the batch by itself."""
        rhs = self._of(self._smoothed(told))
        own = least * noise**2 * (self._hidden > 0).flatten(1).sum(1).view(-1, 1, 1)
        u = solvers.settled(self._products, rhs, self._nearly, own, ITERATIONS)
        return self._on_plane(u)

    def _products(self, u: Tensor) -> Tensor:
        return u - self._of(self._smoothed(self._on_plane(u)))

    def _nearly(self, u: Tensor) -> Tensor:
        if self.nearly is None:
            return u
        within = self._hidden.square()  # what is hidden in part is known in part
        return (1 - within) * u + self._of(self.nearly(self._on_plane(u)))

    def _on_plane(self, u: Tensor) -> Tensor:
        self._plane.flatten(2)[..., self._at] = self._hidden * u
        return self._plane

    def _of(self, plane: Tensor) -> Tensor:
        return self._hidden * plane.flatten(2)[..., self._at]


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
