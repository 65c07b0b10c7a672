"""The cosine transform, in which filters with reflecting borders are products."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def dct(x: Tensor) -> Tensor:
    """The orthonormal DCT-II of the last two axes."""
    return _dct(_dct(x).mT).mT


def idct(c: Tensor) -> Tensor:
    """Its inverse, and its transpose."""
    return _idct(_idct(c).mT).mT


def response(taps: Tensor, first: float, size: int) -> Tensor:
    """What a filter does to each of the `size` cosines: sum_t taps_t cos(pi k (first + t) / size), (size,), float64.

    The taps are at first, first + 1, ...; borders repeat the edge pixel and the filter is symmetric about 0.
    """
    k = torch.arange(size, dtype=torch.float64)[:, None]
    at = first + torch.arange(len(taps), dtype=torch.float64)
    gains: Tensor = (taps.double() * (math.pi * k * at / size).cos()).sum(1)
    return gains


def _dct(x: Tensor) -> Tensor:
    """By an FFT of the same length (Makhoul, IEEE Trans. ASSP, 1980)."""
    n = x.shape[-1]
    mixed = torch.cat([x[..., ::2], x[..., 1::2].flip(-1)], dim=-1)
    spectrum: Tensor = torch.fft.fft(mixed, norm="ortho") * _turns(n, x)
    scale = x.new_full((n,), math.sqrt(2))
    scale[0] = 1
    c: Tensor = spectrum.real * scale
    return c


def _idct(c: Tensor) -> Tensor:
    n = c.shape[-1]
    scale = c.new_full((n,), math.sqrt(0.5))
    scale[0] = 1
    real = c * scale
    backwards = torch.cat([torch.zeros_like(real[..., :1]), real[..., 1:].flip(-1)], dim=-1)
    mixed = torch.fft.ifft(torch.complex(real, -backwards) * _turns(n, c).conj(), norm="ortho").real
    x = torch.empty_like(c)
    x[..., ::2] = mixed[..., : (n + 1) // 2]
    x[..., 1::2] = mixed[..., (n + 1) // 2 :].flip(-1)
    return x


def _turns(n: int, like: Tensor) -> Tensor:
    angle = -math.pi / (2 * n) * torch.arange(n, dtype=torch.float64, device=like.device)
    return torch.polar(torch.ones_like(angle), angle).to(like.dtype.to_complex())
