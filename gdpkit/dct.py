"""The cosine transform, in which filters with reflecting borders are products."""

from __future__ import annotations

import math
from functools import lru_cache

import torch
from torch import Tensor

from gdpkit.functional import by_planes


def dct(x: Tensor) -> Tensor:
    """The orthonormal DCT-II of the last two axes."""
    return by_planes(lambda plane: _dct(_dct(plane).mT).mT, x)


def idct(c: Tensor) -> Tensor:
    """Its inverse, and its transpose."""
    return by_planes(lambda plane: _idct(_idct(plane).mT).mT, c)


def response(taps: Tensor, first: float, size: int) -> Tensor:
    """What a filter does to each of the `size` cosines: sum_t taps_t cos(pi k (first + t) / size), (size,), float64.

    The taps are at first, first + 1, ...; borders repeat the edge pixel and the filter is symmetric about 0.
    """
    k = torch.arange(size, dtype=torch.float64)[:, None]
    at = first + torch.arange(len(taps), dtype=torch.float64)
    gains: Tensor = (taps.double() * (math.pi * k * at / size).cos()).sum(1)
    return gains


def _dct(x: Tensor) -> Tensor:
    """By a real FFT of the same length (Makhoul, IEEE Trans. ASSP, 1980).

    Of the turned spectrum z, the first half of the coefficients is Re z and the second, backwards, -Im z.
    """
    n = x.shape[-1]
    mixed = torch.cat([x[..., ::2], x[..., 1::2].flip(-1)], dim=-1)
    z = torch.fft.rfft(mixed, norm="ortho") * _turns(n, x.dtype, x.device)
    last = (n - 1) // 2
    return torch.cat([z.real, -z.imag[..., 1 : last + 1].flip(-1)], dim=-1)


def _idct(c: Tensor) -> Tensor:
    n = c.shape[-1]
    half = n // 2 + 1
    backwards = c[..., n - half + 1 :].flip(-1)
    imaginary = torch.cat([torch.zeros_like(c[..., :1]), -backwards], dim=-1)
    z = torch.complex(c[..., :half], imaginary) * _turns(n, c.dtype, c.device).reciprocal()
    mixed = torch.fft.irfft(z, n, norm="ortho")
    x = torch.empty_like(c)
    x[..., ::2] = mixed[..., : (n + 1) // 2]
    x[..., 1::2] = mixed[..., (n + 1) // 2 :].flip(-1)
    return x


@lru_cache(maxsize=8)
def _turns(n: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """sqrt(2) exp(-i pi k / 2n), and 1 for k = 0, of which the transform is orthonormal."""
    k = torch.arange(n // 2 + 1, dtype=torch.float64, device=device)
    length = torch.full_like(k, math.sqrt(2))
    length[0] = 1
    return torch.polar(length, -math.pi / (2 * n) * k).to(dtype.to_complex())
