"""Judging blur kernels by the power spectrum of the blurred image, and finding the simple kernel that fits it best.

The power of photographs falls off with a power of the frequency; the power of a blurred one has besides the zeros
and the slope of its kernel, which tell the length and the angle of a motion to a fraction of a pixel. The phase of the
kernel is not in it: `gdpkit.blind` finds that.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial

import torch
from torch import Tensor
from torch.nn import functional as F

from gdpkit import convolution, kernels

TOLD = 0.3  # what the kernel leaves of a frequency from which the law is read
EULER = 0.5772  # the mean logarithm of an exponential variable lies so much below the logarithm of its mean
WORST = 8.0  # a power so many times the expected one is the image's own structure
ALIKE = 0.75  # correlation with the free kernel from which a simple one is considered
LESS_ALIKE, CLEARLY = 0.5, 0.15  # the same where the simple one fits better by so much
TRIED = 60  # of each kind, those most like the free kernel
DESCENDED = 2
LOOKED = 32_000  # frequencies, among which parameters are searched for
THINNED = 3  # rows of frequencies, where the first look at those tried needs one
HALVINGS = 5


@dataclass(frozen=True, eq=False)
class Spectrum:
    """The power spectrum of a grey image (H, W), at some frequencies of the half-plane, and its noise.

    power: (rows, columns); its logarithm is `level`, and that of the frequency is `distance`.
    size: (H, W), and of the rows of frequencies every `step`-th is there.
    weight: of each frequency where the law of photographs is read, so that rings of all radii count alike; 0 where the
        window of the image shows.
    """

    power: Tensor
    noise: Tensor
    weight: Tensor
    level: Tensor
    distance: Tensor
    size: tuple[int, int]
    step: int = 1

    @staticmethod
    def of(image: Tensor, noise: float = 0.0) -> Spectrum:
        """Windowed, so that borders do not show; the noise is what the least powers have.

        Errors of this deviation, in the units of the image, are known of besides. They need not be alike at all
        frequencies, as those of JPEG are not: added to what is seen and to what is expected, they drown what lies
        below.
        """
        height, width = image.shape
        window = torch.hann_window(height, dtype=torch.float64)[:, None] * torch.hann_window(width, dtype=torch.float64)
        power = torch.fft.rfft2((image.double() - image.double().mean()) * window).abs().square()
        power = power / window.square().sum() + 1e-14
        down, across = torch.fft.fftfreq(height).double(), torch.fft.rfftfreq(width).double()
        smooth = F.avg_pool2d(power[None, None], 3, stride=1)
        least = smooth.flatten().kthvalue(max(1, smooth.numel() // 50)).values / 0.45  # so low is 2 % of such means
        power, least = power + noise**2, least + noise**2
        frequency = (down[:, None].square() + across.square()).sqrt()
        weight = torch.where(frequency > 3 / min(height, width), 1 / frequency.clamp_min(1e-12), 0)
        # In float32 the many evaluations take half as long; sums are in float64.
        far = frequency.clamp_min(1 / max(height, width)).log()
        return Spectrum(power.float(), least.float(), weight.float(), power.log().float(), far.float(), (height, width))

    def thinned(self, step: int) -> Spectrum:
        """At every so many rows of frequencies, for a first look."""
        power, weight, level, distance = (t[::step] for t in (self.power, self.weight, self.level, self.distance))
        return Spectrum(power, self.noise, weight, level, distance, self.size, step * self.step)

    def misfit(self, kernel: Tensor) -> float:
        """How badly a kernel explains the powers, a mean over frequencies (Whittle's likelihood, cut off above).

        With the law of photographs, power = c / frequency^a, read off the frequencies that the kernel leaves.
        """
        blur = power_of(kernel, self.size, self.step)
        told = (blur > TOLD**2) & (self.weight > 0)
        if told.sum() < 16:
            return math.inf
        weight, floor = told * self.weight, blur.clamp_min(1e-30)
        found = fall(self.distance, self.level - floor.log() + EULER, weight)
        law = found.slope * self.distance + (found.level - found.slope * found.distance)
        expected = law.exp_().mul_(blur).add_(self.noise)
        cost = (self.power / expected).clamp_max_(WORST).add_(expected.log_())
        whole = self.weight > 0
        return float((cost * whole).sum(dtype=torch.float64) / whole.sum())


def power_of(kernel: Tensor, size: Sequence[int], step: int = 1) -> Tensor:
    """|K|^2 on the half-plane of frequencies of this size, every `step`-th row; by matrices, as kernels are small."""
    down, across = (_waves(n, taps) for n, taps in zip(size, kernel.shape, strict=True))
    across = across[: size[1] // 2 + 1].T
    return convolution.power(down[::step] @ (kernel.to(across) @ across))


@lru_cache(maxsize=8)
def _waves(size: int, taps: int) -> Tensor:
    """exp(-2 pi i f t) at the frequencies of a transform of this size, for t from 0, (size, taps)."""
    angle = torch.fft.fftfreq(size).double()[:, None] * torch.arange(taps)
    return torch.polar(torch.ones_like(angle), -2 * math.pi * angle).to(torch.complex64)


@dataclass(frozen=True)
class Fall:
    """The line through logarithms of powers: `level` at the logarithm `distance` of a frequency, and its slope."""

    level: float
    distance: float
    slope: float


def fall(distance: Tensor, level: Tensor, weight: Tensor) -> Fall:
    """By least squares; photographs fall off with a power of the frequency between the first and the fourth."""
    share = weight / weight.sum(dtype=torch.float64)
    x, y = (float((share * v).sum(dtype=torch.float64)) for v in (distance, level))
    off = distance - x
    share = share * off
    slope = float((share * (level - y)).sum(dtype=torch.float64) / (share * off).sum(dtype=torch.float64))
    return Fall(y, x, min(max(slope, -4.0), -1.0))


def simplest(spectrum: Spectrum, kernel: Tensor) -> Tensor:
    """A gaussian, disk, box or straight motion instead of a free kernel (size, size), where one fits as well or better.

    One is considered where it resembles the free kernel; its parameters then follow the spectrum.
    """
    size = len(kernel)
    free = spectrum.misfit(kernel)
    best, least = kernel, free
    looked = spectrum.thinned(max(1, spectrum.power.numel() // LOOKED))
    few = looked.thinned(THINNED)
    for (make, starts, steps), shapes in zip(_families(size), _shapes(size), strict=True):

        def cost(p: Parameters, make: Callable[[Parameters], Tensor] = make, seen: Spectrum = looked) -> float:
            return seen.misfit(_fitted(make(p), size))

        near = [starts[k] for k in _correlations(shapes, kernel).argsort(descending=True)[:TRIED].tolist()]
        for start in sorted(near, key=partial(cost, seen=few))[:DESCENDED]:
            made = _fitted(make(descended(cost, start, steps)), size)
            misfit = spectrum.misfit(made)
            clearly = misfit < free - CLEARLY
            if misfit < least and correlation(made, kernel) > (LESS_ALIKE if clearly else ALIKE):
                best, least = made, misfit
    return best if best is kernel else best.to(kernel)


def correlation(one: Tensor, other: Tensor) -> float:
    """Of two kernels (h, w), 0 to 1, at the shift where it is largest."""
    return float(_correlations(one.double()[None], other.double())[0])


def _correlations(many: Tensor, other: Tensor) -> Tensor:
    """The same of kernels (n, h, w), (n,)."""
    size = [convolution.fast_length(a + b) for a, b in zip(many.shape[1:], other.shape, strict=True)]
    one = torch.fft.rfft2(other.to(many), s=size).conj()
    some = 64  # at a time
    products = [
        torch.fft.irfft2(torch.fft.rfft2(many[k : k + some], s=size) * one, s=size).amax((1, 2))
        for k in range(0, len(many), some)
    ]
    found: Tensor = torch.cat(products) / (many.flatten(1).norm(dim=1) * other.to(many).norm())
    return found


Parameters = tuple[float, ...]


def _families(size: int) -> list[tuple[Callable[[Parameters], Tensor], list[Parameters], Parameters]]:
    """Each: parameters to kernel, where to start, and the first steps of the search."""
    half = size / 2
    widths = [0.5 * 1.12**k for k in range(40) if 0.5 * 1.12**k <= half]
    ways = [3.0 + k for k in range(size - 2)]
    turns = [5.0 * k for k in range(36)]
    return [
        (
            lambda p: kernels.gaussian(max(0.3, p[0]), 2 * max(1, round(p[0] * p[1])) + 1),
            [(w, cut) for w in widths for cut in (1.5, 2.0, 2.5, 3.0)],
            (0.1, 0.25),
        ),
        (lambda p: kernels.disk(max(0.5, p[0])), [(w,) for w in widths], (0.5,)),
        (lambda p: kernels.box(2 * max(0, round(p[0])) + 1), [(float(k),) for k in range(1, size // 2 + 1)], (1.0,)),
        (lambda p: kernels.motion(max(1.0, p[0]), p[1]), [(way, turn) for way in ways for turn in turns], (0.5, 2.0)),
    ]


@lru_cache(maxsize=1)
def _shapes(size: int) -> list[Tensor]:
    """Of each family, the kernels where to start, (n, size, size)."""
    return [torch.stack([_fitted(make(p), size).float() for p in starts]) for make, starts, _ in _families(size)]


def descended(cost: Callable[[Parameters], float], start: Parameters, steps: Sequence[float]) -> Parameters:
    """The least cost found by stepping along one parameter at a time, with steps that halve."""
    at, least = start, cost(start)
    for halving in range(HALVINGS):
        moved = True
        while moved:
            moved = False
            for axis, step in enumerate(steps):
                for sign in (-1, 1):
                    tried = tuple(v + sign * step / 2**halving * (i == axis) for i, v in enumerate(at))
                    value = cost(tried)
                    if value < least - 1e-6:
                        at, least, moved = tried, value, True
    return at


def _fitted(kernel: Tensor, size: int) -> Tensor:
    """In the middle of a square of this size; what does not fit is cut off."""
    for axis in (0, 1):
        length = kernel.shape[axis]
        if length > size:
            kernel = kernel.narrow(axis, (length - size) // 2, size)
    (rows, columns) = ((size - length) // 2 for length in kernel.shape)
    kernel = F.pad(kernel, (columns, columns, rows, rows))
    return kernel / kernel.sum()
