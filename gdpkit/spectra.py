"""Singular systems that several degradations share."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cached_property

import torch
from torch import Tensor

from gdpkit import dct
from gdpkit.components.singular import Measured, SingularSystem

Map = Callable[[Tensor], Tensor]


def _same(t: Tensor) -> Tensor:
    return t


class Brought:
    """A tensor on the device and in the type of what it is multiplied with.

    On a GPU it stays there for the next time: to bring what is as large as an image takes longer than the product.
    """

    def __init__(self, tensor: Tensor) -> None:
        self._own, self._there = tensor, tensor

    def __call__(self, like: Tensor, dtype: torch.dtype | None = None) -> Tensor:
        """As `like`, or in another type on its device."""
        dtype = like.dtype if dtype is None else dtype
        if like.device == self._own.device:
            return self._own.to(dtype)
        if (self._there.device, self._there.dtype) != (like.device, dtype):
            self._there = self._own.to(like.device, dtype)
        return self._there


IDENTITY = SingularSystem(torch.ones(()), _same, _same, _same, _same, pixelwise=True)
"""Of a degradation whose mean is the image itself."""


def composed(systems: Sequence[SingularSystem | None]) -> SingularSystem | None:
    """Of degradations one after the other, where all but the last have D D^T = c, a number; None elsewhere."""
    telling = [system for system in systems if system is not IDENTITY]
    if not telling:
        return IDENTITY
    *before, last = telling
    if last is None or any(s is None or not s.pixelwise or s.values.numel() > 1 for s in before):
        return None
    system = last
    for first in reversed(before):
        assert first is not None
        system = _after(first, system)
    return system


def _after(first: SingularSystem, then: SingularSystem) -> SingularSystem:
    return replace(
        then,
        values=first.values.to(then.values) * then.values,
        analyse=lambda x: then.analyse(first.analyse(x)),
        synthesise=lambda c: first.synthesise(then.synthesise(c)),
    )


def tight(forward: Map, adjoint: Map, gram: float | Tensor) -> SingularSystem:
    """Of a D with D D^T = gram, a number or one for each pixel: block means, masks, crops, sums of channels."""
    values = torch.as_tensor(gram).sqrt()
    inverse = Brought(torch.where(values > 0, 1 / values.clamp_min(1e-30), 0))

    def normalised(t: Tensor) -> Tensor:
        return t * inverse(t)

    return SingularSystem(
        values=values,
        analyse=lambda x: normalised(forward(x)),
        synthesise=lambda c: adjoint(normalised(c)),
        observe=_same,
        render=_same,
        pixelwise=True,
    )


def orthogonal(first: Measured, second: Measured, shape: Sequence[int]) -> bool:
    """Whether two observations of images of this (B, 3, H, W) tell of different things: V1^T V2 = 0, by a trial."""
    a, b = first.system, second.system
    trial = torch.randn(1, *shape[1:], generator=torch.Generator().manual_seed(0)).to(first.observed)
    told = b.synthesise((b.values.to(trial) > 0) * b.analyse(trial))
    del trial
    shared = (a.values.to(told) > 0) * a.analyse(told)
    return bool(shared.abs().max() <= 1e-4 * told.abs().max())


class Beside(Measured):
    """What observations that tell of different things (`orthogonal`) tell together, with unit noise.

    Their coefficients lie one after the other, (B, 1, 1, N). They are put together only for who asks for them: the data
    step takes the parts one by one, as what is joined is as large as the image again.
    """

    sigma = 1.0

    def __init__(self, parts: Sequence[Measured]) -> None:
        self.__dict__["_parts"] = tuple(parts)  # a Measured is frozen

    @property
    def parts(self) -> Sequence[Measured]:
        """Of each observation by itself."""
        return tuple(self.__dict__["_parts"])

    def moved(self, x: Tensor, gain: Map) -> Tensor:
        """x moved by each part, none of which changes what another sees."""
        moved = x
        for m in self.parts:
            s = m.system.values.to(x)
            missing = m.observed.addcmul(s, m.system.analyse(x), value=-1).div_(m.sigma)
            moved = moved + m.system.synthesise(missing.mul_(gain(s / m.sigma)))
        return moved

    @cached_property
    def observed(self) -> Tensor:
        """The coefficients."""
        return self._joined([m.observed / m.sigma for m in self.parts])

    @cached_property
    def system(self) -> SingularSystem:
        """Of all together."""
        spread = [m.system.values.to(m.observed).expand_as(m.observed) for m in self.parts]

        def analyse(x: Tensor) -> Tensor:
            return self._joined([m.system.analyse(x) for m in self.parts])

        def synthesise(c: Tensor) -> Tensor:
            lengths = [values[0].numel() for values in spread]
            pieces = zip(self.parts, spread, torch.split(c, lengths, dim=-1), strict=True)
            images = [m.system.synthesise((values > 0) * piece.reshape(values.shape)) for m, values, piece in pieces]
            return torch.stack(images).sum(0)

        values = self._joined([s / m.sigma for m, s in zip(self.parts, spread, strict=True)])
        alike = all(m.system.pixelwise for m in self.parts)
        return SingularSystem(values, analyse, synthesise, observe=_same, render=_same, pixelwise=alike)

    def _joined(self, parts: Sequence[Tensor]) -> Tensor:
        shapes = [m.observed.shape for m in self.parts]
        return torch.cat([p.expand(s).flatten(1) for p, s in zip(parts, shapes, strict=True)], 1)[:, None, None]


def symmetric(kernel: Tensor) -> bool:
    """Whether an odd-sided kernel (h, w) is the same mirrored in either axis, to within the rounding of float32."""
    least = 1e-7 * float(kernel.abs().max())
    return all(bool((kernel - kernel.flip(axis)).abs().max() <= least) for axis in (0, 1))


def cosine_filter(kernel: Tensor, height: int, width: int) -> SingularSystem:
    """Of a blur with reflecting borders by an odd-sided kernel (h, w) that is symmetric in both axes."""
    rows, columns = kernel.shape
    k = torch.arange(width, dtype=torch.float64)
    at = torch.arange(columns, dtype=torch.float64) - columns // 2
    across = (math.pi * at[:, None] * k / width).cos()  # (columns, width)
    along = torch.stack([dct.response(line, -(rows // 2), height) for line in (kernel.double() @ across).T], dim=1)
    return _with_signs(along, dct.dct, dct.idct)


def periodic_filter(kernel: Tensor, height: int, width: int) -> SingularSystem:
    """Of a circular blur by an odd-sided kernel (h, w), in an orthonormal real Fourier (Hartley) basis.

    D = H diag(|K|) U^T with the phases of K in U, which maps real images to real images.
    """
    rows, columns = kernel.shape
    padded = torch.zeros(height, width, dtype=torch.float64)
    down, right = torch.meshgrid(torch.arange(rows) - rows // 2, torch.arange(columns) - columns // 2, indexing="ij")
    padded.index_put_((down % height, right % width), kernel.double(), accumulate=True)

    def turned(x: Tensor, back: bool) -> Tensor:
        # Made anew where it is asked for, once a run: in float64 it is as large as two images.
        spectrum = torch.fft.fft2(padded)
        phase = torch.where(spectrum == 0, torch.ones_like(spectrum), torch.sgn(spectrum))
        phase = (phase.conj() if back else phase).to(x.device, x.dtype.to_complex())
        filtered: Tensor = torch.fft.ifft2(torch.fft.fft2(x) * phase).real
        return filtered

    return SingularSystem(
        values=torch.fft.fft2(padded).abs(),
        analyse=_hartley,
        synthesise=_hartley,
        observe=lambda y: _hartley(turned(y, back=True)),
        render=lambda c: turned(_hartley(c), back=False),
    )


def decimation(taps: Sequence[float], first: int, scale: int, rows: int, columns: int) -> SingularSystem:
    """Of `functional.decimate` to rows x columns, for taps symmetric about the middle of a block.

    In the cosine basis each frequency of the large image falls on one of the small image, with a gain of its own;
    the rows of D are therefore orthogonal.
    """
    vertical, horizontal = (_Folding(taps, first, scale, size) for size in (rows, columns))
    values = vertical.values[:, None] * horizontal.values

    def analyse(x: Tensor) -> Tensor:
        return vertical.folded(horizontal.folded(dct.dct(x)).mT).mT

    def synthesise(c: Tensor) -> Tensor:
        return dct.idct(vertical.unfolded(horizontal.unfolded(c).mT).mT)

    return SingularSystem(values, analyse, synthesise, observe=dct.dct, render=dct.idct)


class _Folding:
    """One axis of a decimation, in cosine coefficients: (..., scale * size) <-> (..., size), with orthonormal rows."""

    def __init__(self, taps: Sequence[float], first: int, scale: int, size: int) -> None:
        large = scale * size
        weights = torch.tensor(taps, dtype=torch.float64)
        gains = dct.response(weights, first - (scale - 1) / 2, large)
        k = torch.arange(large)
        turns, rest = (k + size) // (2 * size), (k + size) % (2 * size) - size
        gains = gains * (1 - 2 * (turns % 2)) / math.sqrt(scale)
        gains[1:] *= torch.where(rest[1:] == 0, math.sqrt(2), 1.0)  # the constant cosine is normalised otherwise
        gains = torch.where(rest == -size, 0.0, gains)  # this one is 0 at every kept pixel
        to = torch.where(rest == -size, 0, rest.abs())
        self._large, self._size = large, size
        self.values = torch.zeros(size, dtype=torch.float64).index_add(0, to, gains**2).sqrt()
        self._gains = Brought(torch.where(gains == 0, 0.0, gains / self.values[to].clamp_min(1e-300)))
        self._to = Brought(to)

    def folded(self, c: Tensor) -> Tensor:
        weighed = c * self._gains(c)
        found: Tensor = c.new_zeros(*c.shape[:-1], self._size).index_add(-1, self._to(c, torch.int64), weighed)
        return found

    def unfolded(self, c: Tensor) -> Tensor:
        return c.index_select(-1, self._to(c, torch.int64)) * self._gains(c)


def _with_signs(gains: Tensor, transform: Map, inverse: Map) -> SingularSystem:
    """Of an operator that multiplies coefficients by real gains: the signs go to U."""
    signs = Brought(torch.where(gains < 0, -1.0, 1.0))
    return SingularSystem(
        values=gains.abs(),
        analyse=transform,
        synthesise=inverse,
        observe=lambda y: transform(y) * signs(y),
        render=lambda c: inverse(c * signs(c)),
    )


def _hartley(x: Tensor) -> Tensor:
    spectrum = torch.fft.fft2(x, norm="ortho")
    parts: Tensor = spectrum.real - spectrum.imag
    return parts
