"""Convolution of images with odd-sided kernels, for every treatment of the border, and its transpose.

Kernels are (h, w), or (B, h, w) for one each. y(p) = sum_t k(t) x(p - t), t counted from the middle of the kernel.
"""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional as F

BOUNDARIES = ("reflect", "replicate", "circular", "valid")
"""Beyond the border: the image mirrored with its edge pixel repeated; the edge pixel; the other side; nothing, so that
the result is smaller."""

DIRECT = 9  # kernels of up to so many values are faster without a Fourier transform


def convolve(image: Tensor, kernel: Tensor, boundary: str) -> Tensor:
    """(B, C, H, W) -> the same size, or (B, C, H - h + 1, W - w + 1) where the boundary is "valid"."""
    rows, columns = (side // 2 for side in kernel.shape[-2:])
    return _inside(extended(image, rows, columns, boundary), brought(kernel, image))


def transposed(image: Tensor, kernel: Tensor, boundary: str) -> Tensor:
    """The transpose of `convolve`: (B, C, h, w) -> the size of its input."""
    rows, columns = (side // 2 for side in kernel.shape[-2:])
    spread = F.pad(image, (2 * columns, 2 * columns, 2 * rows, 2 * rows))
    return folded(_inside(spread, brought(kernel, image).flip(-2, -1)), rows, columns, boundary)


def brought(kernel: Tensor, image: Tensor) -> Tensor:
    """The kernel on the device and in the type of the image.

    On a GPU it stays there for the next time: hundreds of products by one kernel would each wait for it.
    """
    if kernel.device == image.device:
        return kernel.to(image)
    return _kept(kernel, image.device, image.dtype)


@lru_cache(maxsize=8)
def _kept(kernel: Tensor, device: torch.device, dtype: torch.dtype) -> Tensor:
    return kernel.to(device, dtype)


def extended(image: Tensor, rows: int, columns: int, boundary: str) -> Tensor:
    """The image with so many rows above and below and columns left and right; as it is for "valid"."""
    if boundary == "valid":
        return image
    for dim, border in ((-1, columns), (-2, rows)):
        if border:
            image = _longer(image, dim, border, boundary)
    return image


def folded(image: Tensor, rows: int, columns: int, boundary: str) -> Tensor:
    """The transpose of `extended`: what lies beyond the border is added to where it came from."""
    if boundary == "valid":
        return image
    for dim, border in ((-2, rows), (-1, columns)):
        if border:
            image = _shorter(image, dim, border, boundary)
    return image


def _longer(image: Tensor, dim: int, border: int, boundary: str) -> Tensor:
    size = image.shape[dim]
    if border > size or boundary == "replicate":
        return image.index_select(dim, _origins(size, border, boundary, image.device))
    # Picking pixel by pixel takes ten times as long.
    first, last = image.narrow(dim, 0, border), image.narrow(dim, size - border, border)
    parts = [last, image, first] if boundary == "circular" else [first.flip(dim), image, last.flip(dim)]
    return torch.cat(parts, dim)


def _shorter(image: Tensor, dim: int, border: int, boundary: str) -> Tensor:
    size = image.shape[dim] - 2 * border
    if border > size or boundary == "replicate":
        shape = list(image.shape)
        shape[dim] = size
        return image.new_zeros(shape).index_add(dim, _origins(size, border, boundary, image.device), image)
    before, after = image.narrow(dim, 0, border), image.narrow(dim, border + size, border)
    if boundary == "reflect":
        before, after = after.flip(dim), before.flip(dim)
    found = image.narrow(dim, border, size).clone()
    found.narrow(dim, 0, border).add_(after)
    found.narrow(dim, size - border, border).add_(before)
    return found


def _origins(size: int, border: int, boundary: str, device: torch.device) -> Tensor:
    at = torch.arange(-border, size + border, device=device)
    if boundary == "replicate":
        return at.clamp(0, size - 1)
    if boundary == "circular":
        return at % size
    at = at % (2 * size)
    return torch.where(at < size, at, 2 * size - 1 - at)


def _inside(image: Tensor, kernel: Tensor) -> Tensor:
    """The convolution where the whole kernel lies within the image."""
    rows, columns = kernel.shape[-2:]
    if rows * columns <= DIRECT:
        return _direct(image, kernel)
    size = [fast_length(side) for side in image.shape[-2:]]
    spectrum = torch.fft.rfft2(image, s=size) * torch.fft.rfft2(kernel, s=size)[..., None, :, :]
    whole: Tensor = torch.fft.irfft2(spectrum, s=size)
    return whole[..., rows - 1 : image.shape[-2], columns - 1 : image.shape[-1]]


def _direct(image: Tensor, kernel: Tensor) -> Tensor:
    batch, channels, height, width = image.shape
    flipped = kernel.flip(-2, -1)
    if kernel.ndim == 2:
        flat = F.conv2d(image.reshape(batch * channels, 1, height, width), flipped[None, None])
        return flat.reshape(batch, channels, *flat.shape[-2:])
    return F.conv2d(image.transpose(0, 1), flipped[:, None], groups=batch).transpose(0, 1)


def power(spectrum: Tensor) -> Tensor:
    """|s|^2 of complex values; by way of abs(), which takes a root, it would take four times as long."""
    return spectrum.real.square().add_(spectrum.imag.square())


def fast_length(size: int) -> int:
    """The next even length, from `size`, of which Fourier transforms are fast: without a factor above 5.

    Those of odd length take twice as long for each value.
    """
    size += size % 2
    while True:
        rest = size
        for factor in (2, 3, 5):
            while rest % factor == 0:
                rest //= factor
        if rest == 1:
            return size
        size += 2
