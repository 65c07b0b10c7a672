"""The proximal step of a blur that changes across the image, by conjugate gradients.

They are preconditioned by what would be exact if one kernel were everywhere, patch by patch: patches overlap and blend
into each other, and each is filtered as its own middle is blurred (as Nagy & O'Leary, "Restoring images degraded by
spatially variant blur", SIAM J. Sci. Comput. 1998, precondition their least squares).
"""

from __future__ import annotations

import math
from functools import lru_cache
from itertools import pairwise

import torch
from torch import Tensor

from gdpkit.convolution import extended, fast_length, folded
from gdpkit.mosaic import Mosaic
from gdpkit.solvers import dot

ITERATIONS = 100
SETTLED = 1e-4
"""What is left to gain of E(z) + |z - x|^2 / sigma^2, for each value of the image, where iterations end. By 1 it
changes with the noise, so that the error is a hundredth of what the observation and x leave open."""

PATCH, OVERLAP = 64, 48
"""The pixels from one patch to the next, and those in which they blend; more of large kernels, as filters reach far."""
KERNELS = 3  # so many kernels long is the overlap, at the least
DOUBT = 3e-3
"""How far the power of a patch is off, as a share of the largest: taken for zero where it is not, it would cost more
iterations than none."""


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
    near = patches(blur)
    least = SETTLED * image[0].numel() * sigma**2
    z, residual = image, observed - blur.blurred(image)
    direction, square, before = image, torch.ones_like(sigma), torch.zeros_like(sigma)
    active = torch.ones_like(sigma, dtype=torch.bool)
    for k in range(ITERATIONS):
        slope = blur.transposed(residual).mul_(trust)
        if k:
            slope.add_(image).sub_(z)
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


@lru_cache(maxsize=2)
def patches(blur: Mosaic) -> Patches:
    """Made once: a run asks again and again."""
    return Patches(blur)


class Patches:
    """1 / (1 + c D^T D), nearly; symmetric and positive definite.

    The squares of a pixel's windows sum to one, those of its copies beyond the border included, so that cutting and
    joining are the identity together. The power of a patch, which takes the place of D^T D, is the mean over its pixels
    of that of the kernels that they see.
    """

    def __init__(self, blur: Mosaic) -> None:
        self._boundary = blur.boundary
        sizes = list(zip(blur.size, blur.kernels.shape[-2:], strict=True))
        self._margins = [_margin(side, length) for side, length in sizes]
        ends = [_ends(side, 2 * margin) for (side, _), margin in zip(sizes, self._margins, strict=True)]
        longest = [max(b - a for a, b in pairwise(e)) for e in ends]
        self._plane = [fast_length(n + 2 * m) for n, m in zip(longest, self._margins, strict=True)]
        spectra = torch.fft.rfft2(blur.kernels, s=self._plane).to(torch.complex64)
        self._parts = []
        for top, bottom in pairwise(ends[0]):
            for left, right in pairwise(ends[1]):
                power = _power(spectra, blur.moments(slice(top, bottom), slice(left, right)))
                self._parts.append((self._place(0, top, bottom), self._place(1, left, right), power))

    def _place(self, axis: int, start: int, stop: int) -> tuple[slice, Tensor]:
        """Where a patch lies in the extended image, and its window."""
        margin = self._margins[axis]
        ramp = (math.pi / 2 * (torch.arange(2 * margin) + 0.5) / (2 * margin)).sin()
        window = torch.cat([ramp, torch.ones(stop - start - 2 * margin), ramp.flip(0)])
        return slice(start, stop + 2 * margin), window if axis else window[:, None]

    def inverse(self, image: Tensor, trust: Tensor) -> Tensor:
        """(B, C, H, W) -> the same; c = trust, (B, 1, 1, 1)."""
        tall, wide = self._margins
        plane = extended(image, tall, wide, self._boundary)
        found = torch.zeros_like(plane)
        for (rows, down), (columns, across), power in self._parts:
            window = (down * across).to(image)
            spectrum = torch.fft.rfft2(plane[..., rows, columns] * window, s=self._plane)
            spectrum.mul_((trust * power.to(trust)).add_(1).reciprocal_())
            back = torch.fft.irfft2(spectrum, s=self._plane)
            found[..., rows, columns].addcmul_(back[..., : window.shape[0], : window.shape[1]], window)
        return folded(found, tall, wide, self._boundary)


def _power(spectra: Tensor, moments: Tensor) -> Tensor:
    """The mean of |sum_g w_g K_g|^2 from the spectra (G, ...) and the mean products of weights (G, G)."""
    seen = moments.diagonal().nonzero()[:, 0]
    few = spectra[seen]
    mixed = torch.einsum("gh,hij->gij", moments[seen][:, seen].to(few), few)
    power = (few.conj() * mixed).sum(0).real
    return power + DOUBT * power.max()


def _margin(side: int, length: int) -> int:
    """Half the overlap."""
    return min(max(OVERLAP, KERNELS * length), side) // 2


def _ends(side: int, overlap: int) -> list[int]:
    """Where patches of about the same length begin, and the last one ends; none is shorter than the overlap."""
    count = max(1, side // max(PATCH, overlap))
    return [side * k // count for k in range(count + 1)]
