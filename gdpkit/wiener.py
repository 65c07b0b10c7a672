"""A blur that changes across the image, patch by patch as if it were one kernel there, and its inverse.

Patches overlap and blend into each other, and each is filtered as its own middle is blurred (as Nagy & O'Leary,
"Restoring images degraded by spatially variant blur", SIAM J. Sci. Comput. 1998, precondition their least squares).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

import torch
from torch import Tensor

from gdpkit.convolution import extended, fast_length, folded
from gdpkit.mosaic import Mosaic

PARTS = 4  # patches, at the most, from the middle of a cell to that of the next
OVERLAP = 48
"""The pixels in which patches blend; more of large kernels, as filters reach far."""
KERNELS = 3  # so many kernels long is the overlap, at the least
OFF = 3e-3
"""How far the power of a patch is off, as a share of the largest: taken for zero where it is not, it would cost more
iterations than none."""


@lru_cache(maxsize=2)
def patches(blur: Mosaic) -> Patches:
    """Made once: a run asks again and again."""
    return Patches(blur)


@dataclass(frozen=True, eq=False)
class Row:
    """Patches beside each other: where they lie in the extended image, their windows, and how each is blurred.

    turned: the conjugate of the spectrum of the mean kernel of each, (N, 1, 1, H, W // 2 + 1), as are the others.
    power: the mean over a patch's pixels of |K|^2, for the kernels K that they see.
    spread: by how much that is more than |turned|^2.
    """

    rows: slice
    columns: list[slice]
    windows: list[Tensor]
    turned: Tensor
    power: Tensor
    spread: Tensor


class Patches:
    """The filters of a blur. The row of patches is what is filtered at once: each by itself is little work.

    The squares of a pixel's windows sum to one, those of its copies beyond the border included, so that cutting and
    joining are the identity together.
    """

    def __init__(self, blur: Mosaic) -> None:
        self._boundary = blur.boundary
        sides = list(zip(blur.size, blur.cells, blur.kernels.shape[-2:], strict=True))
        self._margins = [_margin(side, length) for side, _, length in sides]
        ends = [_ends(side, cells, 2 * m) for (side, cells, _), m in zip(sides, self._margins, strict=True)]
        longest = [max(b - a for a, b in pairwise(e)) for e in ends]
        self._plane = [fast_length(n + 2 * m) for n, m in zip(longest, self._margins, strict=True)]
        spectra = blur.spectra(self._plane)
        down, across = ([slice(*part) for part in pairwise(e)] for e in ends)
        grid = [zip(*(_means(spectra, blur, rows, columns) for columns in across), strict=True) for rows in down]
        means, powers = zip(*((torch.stack(each)[:, None, None] for each in row) for row in grid), strict=True)
        mean, power = torch.stack(means).to(blur.device), torch.stack(powers).to(blur.device)
        spread = power - torch.view_as_real(mean).square().sum(-1)
        self._rows = [
            Row(*where, *seen)
            for where, *seen in zip(
                self._places(down, across, blur.device), mean.conj().resolve_conj(), power, spread, strict=True
            )
        ]

    def _places(
        self, down: Sequence[slice], across: Sequence[slice], device: torch.device
    ) -> Iterator[tuple[slice, list[slice], list[Tensor]]]:
        """Of each row: where it lies, where its patches lie in it, and their windows."""
        tall, wide = self._margins
        around = [slice(part.start, part.stop + 2 * wide) for part in across]
        columns = {n: _window(n, wide).to(device) for n in {part.stop - part.start for part in across}}
        lines = {n: _window(n, tall)[:, None].to(device) for n in {part.stop - part.start for part in down}}
        for part in down:
            line = lines[part.stop - part.start]
            windows = [line * columns[each.stop - each.start] for each in across]
            yield slice(part.start, part.stop + 2 * tall), around, windows

    def answer(self, residual: Tensor, trust: Tensor) -> tuple[Tensor, Tensor]:
        """The minimiser over s of c |r - D s|^2 + |s|^2, nearly, for a residual (B, C, H, W); c = trust, (B, 1, 1, 1).

        Also its doubt, (B, 1, 1, 1): how much lower the sum could be if every pixel's own kernel explained as much of
        the residual as a kernel of the patch's power could. The more kernels differ within a patch, the larger it is.
        """
        doubt = torch.zeros_like(trust)

        def filtered(spectrum: Tensor, row: Row) -> Tensor:
            share = (row.power.to(trust) + 1 / trust).reciprocal_()
            weight = (share * row.spread)[..., None].expand(*share.shape, 2).flatten(3)
            # Of a complex tensor abs() takes longer than its transform does.
            squares = torch.view_as_real(spectrum).square().flatten(3)
            doubt.add_(squares.mul_(weight).sum(-1).sum((0, 2)).view_as(doubt))
            return spectrum.mul_(share * row.turned)

        found = self._joined(residual, filtered)
        return found, doubt.mul_(2 * trust / math.prod(self._plane))

    def inverse(self, image: Tensor, trust: Tensor) -> Tensor:
        """1 / (1 + c D^T D), nearly, of (B, C, H, W); c = trust, (B, 1, 1, 1). Symmetric and positive definite."""

        def filtered(spectrum: Tensor, row: Row) -> Tensor:
            power = row.power + OFF * row.power.amax((-2, -1), keepdim=True)
            return spectrum.mul_((trust * power).add_(1).reciprocal_())

        return self._joined(image, filtered)

    def _joined(self, image: Tensor, filtered: Callable[[Tensor, Row], Tensor]) -> Tensor:
        """What is made of the spectra of each row of patches, (N, B, C, H, W // 2 + 1), put together."""
        tall, wide = self._margins
        plane = extended(image, tall, wide, self._boundary)
        found = torch.zeros_like(plane)
        for row in self._rows:
            held = image.new_zeros(len(row.columns), *image.shape[:2], *self._plane)
            for part, columns, window in zip(held, row.columns, row.windows, strict=True):
                height, width = window.shape
                torch.mul(plane[..., row.rows, columns], window, out=part[..., :height, :width])
            back = torch.fft.irfft2(filtered(torch.fft.rfft2(held), row), s=self._plane)
            for part, columns, window in zip(back, row.columns, row.windows, strict=True):
                height, width = window.shape
                found[..., row.rows, columns].addcmul_(part[..., :height, :width], window)
        return folded(found, tall, wide, self._boundary)


def _means(spectra: Tensor, blur: Mosaic, rows: slice, columns: slice) -> tuple[Tensor, Tensor]:
    """The means over a patch's pixels of sum_g w_g K_g and of |sum_g w_g K_g|^2, from the spectra K (G, ...)."""
    means, moments = blur.moments(rows, columns)
    seen = means.nonzero()[:, 0]
    few = spectra[seen]
    mixed = torch.einsum("gh,hij->gij", moments[seen][:, seen].to(few), few)
    return (means[seen].to(few)[:, None, None] * few).sum(0), (few.conj() * mixed).sum(0).real


def _window(length: int, margin: int) -> Tensor:
    """Of a patch of this length and its margins."""
    ramp = (math.pi / 2 * (torch.arange(2 * margin) + 0.5) / (2 * margin)).sin()
    return torch.cat([ramp, torch.ones(length - 2 * margin), ramp.flip(0)])


def _margin(side: int, length: int) -> int:
    """Half the overlap."""
    return min(max(OVERLAP, KERNELS * length), side) // 2


def _ends(side: int, cells: int, overlap: int) -> list[int]:
    """Where patches of about the same length begin, and the last one ends; none is shorter than the overlap."""
    count = max(1, min(PARTS * cells, side // overlap))
    return [side * k // count for k in range(count + 1)]
