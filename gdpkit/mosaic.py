"""Blur by kernels interpolated between the middles of a grid's cells, tile by tile: y = sum_g w_g (k_g * x).

Between the middles of four cells only their kernels are seen, and fewer at the borders. So each tile, half a cell long,
is cut with the margin that a kernel reaches, and one Fourier transform of it serves the kernels it sees.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from gdpkit.convolution import extended, fast_length, folded


@dataclass(frozen=True, eq=False)
class Tile:
    """A part of the image, and the weights (rows, columns) of the kernels that it sees."""

    rows: slice
    columns: slice
    weights: dict[int, Tensor]

    def around(self, rows: int, columns: int) -> tuple[slice, slice]:
        """Where it and its margin lie in the extended image."""
        return (
            slice(self.rows.start, self.rows.stop + 2 * rows),
            slice(self.columns.start, self.columns.stop + 2 * columns),
        )

    def within(self, rows: int, columns: int) -> tuple[slice, slice]:
        """Where it lies in a plane that has so much before it."""
        height, width = (side.stop - side.start for side in (self.rows, self.columns))
        return slice(rows, rows + height), slice(columns, columns + width)


class Mosaic:
    """The blur of images (H, W) by kernels (rows, columns, h, w), any boundary but "valid".

    What a product takes is on the device of the images: a run asks for hundreds.
    """

    def __init__(
        self, kernels: Tensor, height: int, width: int, boundary: str, device: torch.device | str = "cpu"
    ) -> None:
        self.boundary = boundary
        self.device = torch.device(device)
        self.size = height, width
        self.cells = kernels.shape[0], kernels.shape[1]
        self.kernels = kernels.flatten(0, 1)
        self.reach = kernels.shape[-2] // 2, kernels.shape[-1] // 2
        self._hats = tuple(_hats(count, side) for count, side in zip(kernels.shape[:2], self.size, strict=True))
        shapes = zip(self.size, kernels.shape[:2], kernels.shape[-2:], strict=True)
        self._steps = [_step(side, count, length) for side, count, length in shapes]
        self._plane = [fast_length(step + 2 * r) for step, r in zip(self._steps, self.reach, strict=True)]
        self._spectra = torch.fft.rfft2(self.kernels, s=self._plane).to(self.device, torch.complex64)
        self._tiles = list(self._cut())

    def moments(self, rows: slice, columns: slice) -> tuple[Tensor, Tensor]:
        """The means over these pixels of w_g, (G,), and of w_g w_h, (G, G), float64."""
        down, across = (hats[:, at] for hats, at in zip(self._hats, (rows, columns), strict=True))
        products = (hats @ hats.T / hats.shape[1] for hats in (down, across))
        return torch.kron(down.mean(1), across.mean(1)), torch.kron(*products)

    def spectra(self, size: Sequence[int]) -> Tensor:
        """Of the kernels about the corner of a plane of this size, (G, H, W // 2 + 1), complex64."""
        middle = [-r for r in self.reach]
        plane = self.kernels.new_zeros(len(self.kernels), *size)
        plane[:, : self.kernels.shape[1], : self.kernels.shape[2]] = self.kernels
        found: Tensor = torch.fft.rfft2(plane.roll(middle, (1, 2))).to(torch.complex64)
        return found

    def _cut(self) -> Iterator[Tile]:
        down, across = self._hats
        (height, width), (tall, wide) = self.size, self._steps
        there = [hats.to(self.device, torch.float32) for hats in self._hats]
        for top in range(0, height, tall):
            for left in range(0, width, wide):
                rows, columns = slice(top, min(top + tall, height)), slice(left, min(left + wide, width))
                weights = {
                    i * len(across) + j: there[0][i, rows, None] * there[1][j, columns]
                    for i, a in enumerate(down)
                    for j, b in enumerate(across)
                    if bool(a[rows].any()) and bool(b[columns].any())
                }
                yield Tile(rows, columns, weights)

    def blurred(self, image: Tensor) -> Tensor:
        """(B, C, H, W) -> the same size."""
        rows, columns = self.reach
        plane = extended(image, rows, columns, self.boundary)
        found = torch.empty_like(image)
        for tile in self._tiles:
            spectrum = torch.fft.rfft2(plane[(..., *tile.around(rows, columns))], s=self._plane)
            inside = tile.within(2 * rows, 2 * columns)  # there the whole kernel lay within the plane
            total: Tensor | None = None
            for g, weight in tile.weights.items():
                part = torch.fft.irfft2(spectrum * self._spectra[g].to(spectrum), s=self._plane)[(..., *inside)]
                weight = weight.to(part)
                total = part * weight if total is None else total.addcmul_(part, weight)
            assert total is not None
            found[..., tile.rows, tile.columns] = total
        return found

    def transposed(self, image: Tensor) -> Tensor:
        """The transpose of `blurred`."""
        rows, columns = self.reach
        height, width = self.size
        plane = image.new_zeros(*image.shape[:2], height + 2 * rows, width + 2 * columns)
        held = image.new_empty(*image.shape[:2], *self._plane)
        for tile in self._tiles:
            inside, around = tile.within(2 * rows, 2 * columns), tile.around(rows, columns)
            part = image[..., tile.rows, tile.columns]
            total: Tensor | None = None
            held.zero_()
            for g, weight in tile.weights.items():
                torch.mul(part, weight.to(part), out=held[(..., *inside)])
                spectrum = torch.fft.rfft2(held)
                kernel = self._spectra[g].to(spectrum).conj()
                total = spectrum * kernel if total is None else total.addcmul_(spectrum, kernel)
            target = plane[(..., *around)]
            target += torch.fft.irfft2(total, s=self._plane)[..., : target.shape[-2], : target.shape[-1]]
        return folded(plane, rows, columns, self.boundary)


def mosaic(kernels: Tensor, height: int, width: int, boundary: str, device: torch.device) -> Mosaic:
    """Made once for the same kernels and size: a run asks again and again."""
    try:
        values = kernels.double().contiguous().numpy().tobytes()
    except RuntimeError:  # within a transform of torch.func, which what is made there must not outlive
        return Mosaic(kernels, height, width, boundary, device)
    return _made(values, tuple(kernels.shape), height, width, boundary, str(device))


@lru_cache(maxsize=2)
def _made(values: bytes, shape: tuple[int, ...], height: int, width: int, boundary: str, device: str) -> Mosaic:
    kernels = torch.frombuffer(bytearray(values), dtype=torch.float64).view(shape)
    return Mosaic(kernels, height, width, boundary, device)


def _step(side: int, count: int, length: int) -> int:
    """How long tiles are: half a cell, so that one ends at its middle, or some halves where the kernel is longer."""
    half = math.ceil(side / (2 * count))
    return min(side, half * math.ceil(length / half))


def _hats(count: int, size: int) -> Tensor:
    """(count, size): linear interpolation between the middles of `count` cells, constant outside of them."""
    at = ((torch.arange(size, dtype=torch.float64) + 0.5) * count / size - 0.5).clamp(0, count - 1)
    return (1 - (at - torch.arange(count)[:, None]).abs()).clamp_min(0)
