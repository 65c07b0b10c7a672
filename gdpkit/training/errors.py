"""Errors that are not white noise, as an image has between the steps of a sampler: blurred, enlarged, filled in.

A denoiser that has only ever seen white noise takes what is free of it for clean. Between the steps of a restoration
that is wrong: there the picture is smooth because detail is missing, and the prior should bring it back. The opposite
errors are shown as often: a prior that has learned to sharpen and nothing else does so again at every step, until
nothing is left of the picture.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from gdpkit.functional import pad_reflect

WHOLE = 0.5  # the share of crops whose error is as large as it may be, and of those with all the noise that is left
ONLY_LESS = 0.7  # the share of crops with less noise and no other error
BEYOND = 2.0  # how far the opposite of an error goes
NONE = 0.25  # the share of crops without any noise


def disturbance(clean: Tensor, limit: float, draw: torch.Generator) -> tuple[Tensor, float]:
    """An error for one crop, and the deviation of the white noise to add to it.

    Takes (1, 3, H, W) in [-1, 1] and the noise level, in the same units, that the network will be told. The root mean
    square of error and noise together is at most that. Half of the errors are as large as they can be.

    Most crops only have less noise than the network is told: were a picture without noise always a blurred one, what is
    smooth by nature would be sharpened.
    """
    if _uniform(draw) < ONLY_LESS:
        return torch.zeros_like(clean), limit * _uniform(draw)
    wrong = _KINDS[_whole(len(_KINDS), draw)](clean, draw)
    beyond = _uniform(draw) < 0.5
    size = float(wrong.square().mean().sqrt())
    most = min(BEYOND if beyond else 1.0, limit / max(size, 1e-6))
    share = most if _uniform(draw) < WHOLE else most * _uniform(draw)
    left = math.sqrt(max(0.0, limit**2 - (share * size) ** 2))
    kind = _uniform(draw)
    noise = 1.0 if kind < WHOLE else 0.0 if kind < WHOLE + NONE else _uniform(draw)
    return -share * wrong if beyond else share * wrong, noise * left


def _blurred(clean: Tensor, draw: torch.Generator) -> Tensor:
    return _gaussian(clean, _between(0.4, 4.0, draw)) - clean


def _enlarged(clean: Tensor, draw: torch.Generator) -> Tensor:
    """Reduced by block means and enlarged again."""
    small = F.avg_pool2d(clean, (2, 4, 8)[_whole(3, draw)])
    mode = ("nearest", "bilinear", "bicubic")[_whole(3, draw)]
    smooth = {} if mode == "nearest" else {"align_corners": False}
    return F.interpolate(small, clean.shape[-2:], mode=mode, **smooth) - clean


def _filled(clean: Tensor, draw: torch.Generator) -> Tensor:
    """Pixels or blocks of pixels lost and filled in from their neighbours."""
    height, width = clean.shape[-2:]
    block = (1, 1, 2, 4)[_whole(4, draw)]
    shape = (1, 1, -(-height // block), -(-width // block))
    seen = (torch.rand(shape, generator=draw) < _between(0.15, 0.9, draw)).to(clean)
    seen = seen.repeat_interleave(block, 2).repeat_interleave(block, 3)[..., :height, :width]
    reach = 0.7 * block / max(0.05, float(seen.mean())) ** 0.5
    filled = _gaussian(clean * seen, reach) / _gaussian(seen, reach).clamp_min(1e-4)
    return (1 - seen) * (filled - clean)


def _coloured(clean: Tensor, draw: torch.Generator) -> Tensor:
    """Noise whose neighbours are alike, of any size that the limit allows."""
    white = torch.randn(clean.shape, generator=draw).to(clean)
    return 100.0 * _gaussian(white, _between(0.4, 3.0, draw))


_KINDS: tuple[Callable[[Tensor, torch.Generator], Tensor], ...] = (_blurred, _enlarged, _filled, _coloured)


def _gaussian(image: Tensor, deviation: float) -> Tensor:
    """Blurred by a Gaussian of that many pixels, with reflecting borders."""
    reach = max(1, math.ceil(3 * deviation))
    at = torch.arange(-reach, reach + 1, device=image.device, dtype=image.dtype)
    taps = (-0.5 * (at / deviation) ** 2).exp()
    taps = taps / taps.sum()
    flat = pad_reflect(image, reach, reach, reach, reach).flatten(0, 1)[:, None]
    return F.conv2d(F.conv2d(flat, taps.view(1, 1, 1, -1)), taps.view(1, 1, -1, 1)).view_as(image)


def _uniform(draw: torch.Generator) -> float:
    return float(torch.rand((), generator=draw))


def _between(least: float, most: float, draw: torch.Generator) -> float:
    """Log-uniform."""
    return float(least * (most / least) ** _uniform(draw))


def _whole(count: int, draw: torch.Generator) -> int:
    return int(torch.randint(count, (), generator=draw))
