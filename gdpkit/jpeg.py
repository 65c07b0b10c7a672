"""What a JPEG codec does to a picture: colour, blocks, cosines and quantisation (ITU-T T.81, JFIF 1.02)."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional as F

from gdpkit import dct, functional

BLOCK = 8
CORRECTIONS = 12
FELT = 0.5  # of 0..255: a smaller error is hardly more than the rounding of levels
ROWS = 16  # of pixels that have whole blocks of chroma
HALO = 2 * ROWS  # rows, more than twice the corrections
REACH = 6.0

CHROMA = {"4:4:4": (1, 1), "4:2:2": (1, 2), "4:2:0": (2, 2)}
"""How many (rows, columns) of pixels share one value of chroma."""

# The example tables of ITU-T T.81, annex K.1, in rows; libjpeg and nearly every encoder scale them by the quality.
_LUMA = """
16 11 10 16 24 40 51 61  12 12 14 19 26 58 60 55  14 13 16 24 40 57 69 56  14 17 22 29 51 87 80 62
18 22 37 56 68 109 103 77  24 35 55 64 81 104 113 92  49 64 78 87 103 121 120 101  72 92 95 98 112 100 103 99
"""
_CHROMA = """
17 18 24 47 99 99 99 99  18 21 26 66 99 99 99 99  24 26 56 99 99 99 99 99  47 66 99 99 99 99 99 99
99 99 99 99 99 99 99 99  99 99 99 99 99 99 99 99  99 99 99 99 99 99 99 99  99 99 99 99 99 99 99 99
"""

_TO_YCC = ((0.299, 0.587, 0.114), (-0.168735892, -0.331264108, 0.5), (0.5, -0.418687589, -0.081312411))

SPREADS = tuple(math.hypot(*row) for row in _TO_YCC)
"""What white noise of deviation 1 in RGB has in luma and chroma."""


@lru_cache(maxsize=8)
def tables_on(quality: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """`tables` on a device, brought there once."""
    return tables(quality).to(device, dtype)


def tables(quality: int) -> Tensor:
    """The quantisation steps of luma and chroma, (2, 8, 8), for a quality of 1..100 as libjpeg scales it."""
    scale = 5000 // quality if quality < 50 else 200 - 2 * quality
    base = torch.tensor([int(n) for n in (_LUMA + _CHROMA).split()]).reshape(2, BLOCK, BLOCK)
    return ((base * scale + 50) // 100).clamp(1, 255).float()


def quality_of(luma: Tensor) -> int:
    """The quality whose luma table is nearest to these steps, in proportion; (8, 8), in rows."""
    logs = luma.double().log()
    distances = [float((tables(q)[0].double().log() - logs).square().sum()) for q in range(1, 101)]
    return 1 + min(range(100), key=distances.__getitem__)


def to_ycc(image: Tensor) -> Tensor:
    """RGB (B, 3, H, W) to luma and the two chroma differences, each with its mean level where RGB has it."""
    return torch.einsum("yc,bchw->byhw", _to_ycc(image.dtype, image.device), image)


def joined(luma: Tensor, chroma: Tensor) -> Tensor:
    """Luma (B, 1, H, W) and chroma (B, 2, H, W) in one."""
    return torch.cat([luma, chroma], dim=1)


def to_rgb(planes: Tensor) -> Tensor:
    """The inverse of `to_ycc`."""
    return torch.einsum("cy,byhw->bchw", _to_rgb(planes.dtype, planes.device), planes)


@lru_cache(maxsize=8)
def _to_ycc(dtype: torch.dtype, device: torch.device) -> Tensor:
    return torch.tensor(_TO_YCC, dtype=dtype, device=device)


@lru_cache(maxsize=8)
def _to_rgb(dtype: torch.dtype, device: torch.device) -> Tensor:
    back: Tensor = torch.linalg.inv(torch.tensor(_TO_YCC, dtype=torch.float64))
    return back.to(device, dtype)


def powers() -> Tensor:
    """What noise of variance 1 in luma and in each chroma adds to the mean variance of R, G and B, (3,)."""
    return to_rgb(torch.eye(3, dtype=torch.float64)[:, :, None, None])[..., 0, 0].square().mean(dim=1)


def reduced(plane: Tensor, factors: tuple[int, int]) -> Tensor:
    """Means of blocks of (rows, columns) pixels, as chroma is stored; a cut block is filled with its last pixels."""
    height, width = plane.shape[-2:]
    return F.avg_pool2d(F.pad(plane, (0, -width % factors[1], 0, -height % factors[0]), mode="replicate"), factors)


def enlarged(plane: Tensor, factors: tuple[int, int], height: int, width: int) -> Tensor:
    """As large again by weights of 3/4 and 1/4, as libjpeg decodes, cut to height x width."""
    if factors == (1, 1):
        return plane
    scales = tuple(float(f) for f in factors)
    return F.interpolate(plane, scale_factor=scales, mode="bilinear", align_corners=False)[..., :height, :width]


def stored(plane: Tensor, factors: tuple[int, int]) -> Tensor:
    """The small plane that is `enlarged` to this one: means, corrected until they are (their filter has 1/4 to 1).

    Exact but for the last row and column of sides that are no multiples of the factors.
    """
    means = small = reduced(plane, factors)
    if factors != (1, 1):
        for _ in range(CORRECTIONS):
            small = small + (means - _softened(small, factors))
    return small


def _softened(small: Tensor, factors: tuple[int, int]) -> Tensor:
    """A small plane enlarged and reduced again: along each axis that does, weights of 1/8, 3/4 and 1/8."""
    for axis, factor in zip((-2, -1), factors, strict=True):
        if factor > 1:
            last = small.shape[axis] - 1
            before = torch.cat([small.narrow(axis, 0, 1), small.narrow(axis, 0, last)], axis)
            after = torch.cat([small.narrow(axis, 1, last), small.narrow(axis, last, 1)], axis)
            small = torch.lerp(small, (before + after).mul_(0.5), 0.25)
    return small


def blocks(plane: Tensor) -> Tensor:
    """(B, C, H, W) to the cosine coefficients of its blocks, (B, C, h, w, 8, 8); edges are repeated to whole blocks."""
    height, width = plane.shape[-2:]
    plane = F.pad(plane, (0, -width % BLOCK, 0, -height % BLOCK), mode="replicate")
    cosines = _cosines(plane.dtype, plane.device)
    return cosines @ plane.unfold(2, BLOCK, BLOCK).unfold(3, BLOCK, BLOCK) @ cosines.mT


def unblocked(coefficients: Tensor, height: int, width: int) -> Tensor:
    """The inverse of `blocks`, cut to height x width."""
    batch, channels, rows, columns = coefficients.shape[:4]
    cosines = _cosines(coefficients.dtype, coefficients.device)
    pixels = (cosines.mT @ coefficients @ cosines).transpose(3, 4)
    return pixels.reshape(batch, channels, rows * BLOCK, columns * BLOCK)[..., :height, :width]


@lru_cache(maxsize=8)
def _cosines(dtype: torch.dtype, device: torch.device) -> Tensor:
    """The transform of 8 values as a matrix, which for so few is many times quicker than by Fourier transforms."""
    return dct.dct(torch.eye(BLOCK, dtype=torch.float64)[:, None])[:, 0].mT.to(device, dtype)


def quantised(plane: Tensor, steps: Tensor) -> Tensor:
    """Every coefficient of a plane in 0..255 rounded to a multiple of its step, (8, 8).

    The gradient is that of the plane itself: the rounding is passed over.
    """
    height, width = plane.shape[-2:]
    shifted = plane - 128
    coefficients = blocks(shifted.detach()) / steps.to(plane)
    rounded = unblocked(coefficients.round() * steps.to(plane), height, width)
    return plane + (rounded - shifted).detach()


def error_within(coefficients: Tensor, steps: Tensor) -> Tensor:
    """Mean square of what rounding took from coefficients (B, C, h, w, 8, 8) that are multiples of their steps, (C,).

    Each frequency is taken for a Laplacian, whose rate the share of zeros tells (Lam and Goodman, "A mathematical
    analysis of the DCT coefficient distributions for images", IEEE Transactions on Image Processing 2000). Where all
    are zero it is at most what lower frequencies say, as amplitudes fall at least with the frequency.
    """
    zero = ((coefficients / steps).round() == 0).double().mean(dim=(0, 2, 3))
    least = 0.5 / (coefficients[:, 0, ..., 0, 0].numel())
    rate = -torch.log1p(-zero.clamp(least, 1 - least))  # half a step in units of the Laplacian's scale
    step = steps.to(rate)
    scale = step / (2 * rate)
    frequency = torch.hypot(*torch.meshgrid(2 * [torch.arange(BLOCK).to(scale)], indexing="ij"))
    rising = torch.where(frequency > 0, scale * frequency, math.inf)
    rising = rising.cummin(1).values.cummin(2).values
    scale = torch.where(frequency > 0, torch.minimum(scale, rising / frequency.clamp_min(1)), scale)
    near_zero, elsewhere = (_cut_moments(scale, width) for width in (step / 2, step))
    around = elsewhere[1] - step * elsewhere[0] + step.square() / 4
    return (zero * near_zero[1] + (1 - zero) * around).mean(dim=(1, 2))


def _cut_moments(scale: Tensor, width: Tensor) -> tuple[Tensor, Tensor]:
    """E[t] and E[t^2] of an exponential of this scale, cut to [0, width]."""
    rest = 1 / torch.expm1(width / scale)
    return scale - width * rest, 2 * scale.square() - (width.square() + 2 * width * scale) * rest


def in_strips(change: Callable[..., Tensor], *images: Tensor) -> Tensor:
    """`change` of images (B, C, H, W) that treats blocks nearly alone: of large ones, some rows of blocks at a time.

    What it needs by the way is ten times as large as what it gives.
    """
    height, width = images[0].shape[-2:]
    if height * width <= functional.STRIP:
        return change(*images)
    lines = max(HALO, functional.STRIP // width // HALO * HALO)
    out: Tensor | None = None
    for top in range(0, height, lines):
        low, bottom = max(0, top - HALO), min(height, top + lines)
        rows = change(*(image[..., low : bottom + HALO, :] for image in images))[..., top - low : bottom - low, :]
        if out is None:
            out = rows.new_empty(*rows.shape[:2], height, width)
        out[..., top:bottom, :] = rows
    assert out is not None
    return out


def thinned(image: Tensor, pixels: int | None = None) -> Tensor:
    """Some rows of blocks of a large picture, evenly spread, on top of one another: about so many pixels."""
    height, width = image.shape[-2:]
    most = max(1, (pixels or functional.STRIP) // (width * ROWS))
    if height // ROWS <= most:
        return image
    tops = torch.linspace(0, height // ROWS - 1, most).round().long().tolist()
    return torch.cat([image[..., ROWS * top : ROWS * (top + 1), :] for top in tops], dim=-2)


def mean_within(belief: Tensor, deviation: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """The mean of N(belief, deviation^2) cut to [low, high]: what is to be expected of a coefficient in its cell."""
    a, b = (low - belief) / deviation, (high - belief) / deviation
    # Beyond REACH deviations the mass lies at the nearer end, within a deviation / REACH of it.
    shift = (a - REACH).clamp_min(0) + (b + REACH).clamp_max(0)
    a, b = a - shift, b - shift
    mirrored = a + b > 0
    a, b = torch.where(mirrored, -b, a), torch.where(mirrored, -a, b)
    mass = torch.special.ndtr(b) - torch.special.ndtr(a)
    mean = ((-a.square() / 2).exp() - (-b.square() / 2).exp()) / (
        math.sqrt(2 * math.pi) * mass.clamp_min(torch.finfo(mass.dtype).tiny)
    )
    mean = torch.where(mirrored, -mean, mean)
    return torch.minimum(torch.maximum(belief + deviation * (mean + shift), low), high)
