"""Tensor mathematics that several components share. Images are (B, C, H, W)."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import lru_cache, partial

import torch
from torch import Tensor
from torch.nn import functional as F

from gdpkit.errors import GdpkitError

LEAST_SIGMA = 1e-3
"""Noise assumed where nothing is known to have been rounded, in 0..255: about that of a 16-bit file."""

STRIP = 2**20
"""Pixels of a channel that are worked on at once where that takes many times their memory."""

FEW = 30  # photons: above, a normal number with its skewness put right serves


@lru_cache(maxsize=64)
def constant(values: tuple[float, ...], dtype: torch.dtype, device: torch.device) -> Tensor:
    """A few numbers on a device, (N,), made once: each time they were brought to a GPU it would be waited for."""
    return torch.tensor(values, dtype=dtype, device=device)


def levels(sigma: float | Tensor, like: Tensor, dtype: torch.dtype) -> Tensor:
    """Noise levels on the device of a tensor, (1,) or as given. A number is written there, not brought."""
    if isinstance(sigma, Tensor):
        return sigma.to(like.device, dtype)
    return torch.full((1,), sigma, dtype=dtype, device=like.device)


def power(x: Tensor, exponent: float) -> Tensor:
    """x^exponent of positive numbers, in half the time of `torch.pow` where no graph is made; it holds more of one."""
    return x**exponent if x.requires_grad else x.log2().mul_(exponent).exp2_()


def srgb_encoded(linear: Tensor) -> Tensor:
    """Linear light through sRGB's curve (IEC 61966-2-1), any shape and value; below 0 its straight line goes on."""
    curve = power(linear.clamp_min(0.0031308), 1 / 2.4).sub_(1).mul_(1.055).add_(1)  # so written, white is exactly 1
    return _with_line(curve, 12.92 * linear, linear, 0.0031308)


def srgb_decoded(encoded: Tensor) -> Tensor:
    """The inverse of `srgb_encoded`."""
    curve = power(encoded.clamp_min(0.04045).add_(0.055).div_(1.055), 2.4)
    return _with_line(curve, encoded / 12.92, encoded, 0.04045)


def _with_line(curve: Tensor, line: Tensor, at: Tensor, end: float) -> Tensor:
    """The line where `at` is not above its end, and beyond it the curve, which is overwritten."""
    if curve.requires_grad:  # a mask takes little of a graph's memory
        return torch.where(at <= end, line, curve)
    # A mask as irregular as noise takes a processor longest: the sign is -1 on the line, else 0.
    return curve.addcmul_(line.neg_().add_(curve), (at - at.clamp_min(end)).sign_())


def with_channels(image: Tensor, channels: int) -> Tensor:
    """Repeat a grey image to 3 channels, or average 3 to 1; unchanged where the number is right."""
    if image.shape[1] == channels:
        return image
    if image.shape[1] == 1:
        return image.expand(-1, channels, -1, -1).contiguous()
    if channels == 1:
        return image.mean(dim=1, keepdim=True)
    raise GdpkitError(f"an image has 1 or 3 channels; cannot turn {image.shape[1]} into {channels}")


def in_strips(change: Callable[[Tensor], Tensor], image: Tensor, axis: int) -> Tensor:
    """`change` of every channel, (N, 1, H, W), that treats the lines of `axis` (-2: rows, -1: columns) independently.

    Large channels are taken in strips, so that what `change` needs by the way stays small; the strips depend on the
    size of the channel alone. An image's result does not depend on what else is in the batch.
    """
    height, width = image.shape[-2:]
    out = torch.empty_like(image)
    if height * width <= STRIP:
        for one, into in zip(image, out, strict=True):
            into[:] = change(one[:, None])[:, 0]
        return out
    lines = max(1, STRIP // image.shape[-3 - axis])
    for one, into in zip(image.flatten(0, 1), out.flatten(0, 1), strict=True):
        for strip, place in zip(one.split(lines, axis), into.split(lines, axis), strict=True):
            place[:] = change(strip[None, None])[0, 0]
    return out


def by_planes(change: Callable[[Tensor], Tensor], image: Tensor, pixels: int | None = None) -> Tensor:
    """`change` of (..., H, W), which treats every channel alike; large ones are taken one by one, as (1, 1, H, W).

    What `change` needs by the way is several times as large as what it gives. `pixels`: of a channel, where what comes
    out is larger than what goes in.
    """
    height, width = image.shape[-2:]
    if (pixels or height * width) <= STRIP:
        return change(image)
    out: Tensor | None = None
    for k, plane in enumerate(image.reshape(-1, 1, 1, height, width)):
        changed = change(plane)
        if out is None:
            out = changed.new_empty(*image.shape[:-2], *changed.shape[-2:])
        out.view(-1, *changed.shape[-2:])[k] = changed[0, 0]
    assert out is not None
    return out


def resize(image: Tensor, size: Sequence[int], mode: str = "bicubic") -> Tensor:
    """Resize to (height, width), antialiased when it shrinks."""
    if tuple(image.shape[-2:]) == tuple(size):
        return image
    return F.interpolate(image, tuple(size), mode=mode, antialias=True, align_corners=False)


def pad_reflect(image: Tensor, left: int, right: int, top: int, bottom: int) -> Tensor:
    """Pad by reflection with the edge pixel repeated (c b a | a b c ...), to any width."""
    height, width = image.shape[-2:]
    if left or right:
        image = image.index_select(-1, _reflected(width, left, right, image.device))
    if top or bottom:
        image = image.index_select(-2, _reflected(height, top, bottom, image.device))
    return image


def _reflected(size: int, before: int, after: int, device: torch.device) -> Tensor:
    at = torch.arange(-before, size + after, device=device) % (2 * size)
    return torch.where(at < size, at, 2 * size - 1 - at)


def downsample_taps(kernel: str, scale: int, sigma: float | None = None) -> tuple[list[float], int]:
    """One axis of the kernel that makes an image `scale` times smaller.

    Returns the weights, which sum to 1, and the position of the first one relative to the first pixel of the block.
    All are centred on the block, so nothing shifts. `average`: the block's mean. `bicubic`, `lanczos`: the
    interpolation kernels (Keys 1981 with a = -1/2; three lobes) widened by the scale, as imresize does.
    `gaussian`: of deviation `sigma` pixels, scale / 2 by default, cut at four deviations.
    """
    if kernel == "average":
        return [1 / scale] * scale, 0
    sigma = scale / 2 if sigma is None else sigma
    reach = {"bicubic": 2.0 * scale, "lanczos": 3.0 * scale, "gaussian": max(4 * sigma, 1.0)}[kernel]
    centre = (scale - 1) / 2
    first, last = math.ceil(centre - reach), math.floor(centre + reach)
    shape = {"bicubic": _keys, "lanczos": _lanczos3, "gaussian": _gauss}[kernel]
    unit = sigma if kernel == "gaussian" else scale
    weights = [shape((k - centre) / unit) for k in range(first, last + 1)]
    total = sum(weights)
    return [w / total for w in weights], first


def _keys(t: float) -> float:
    t = abs(t)
    if t < 1:
        return 1.5 * t**3 - 2.5 * t**2 + 1
    return -0.5 * t**3 + 2.5 * t**2 - 4 * t + 2 if t < 2 else 0.0


def _lanczos3(t: float) -> float:
    if t == 0:
        return 1.0
    return 3 * math.sin(math.pi * t) * math.sin(math.pi * t / 3) / (math.pi * t) ** 2 if abs(t) < 3 else 0.0


def _gauss(t: float) -> float:
    return math.exp(-t * t / 2)


def decimate(image: Tensor, taps: Sequence[float], first: int, scale: int) -> Tensor:
    """Filter both axes with `taps` and keep every `scale`-th value; borders reflect.

    `first` is the position of the first tap relative to the first pixel of each block. Sides that are no multiple
    of `scale` lose their last rows and columns.
    """
    return by_planes(partial(_decimated, taps=taps, first=first, scale=scale), image)


def _decimated(image: Tensor, taps: Sequence[float], first: int, scale: int) -> Tensor:
    batch, channels, height, width = image.shape
    rows, columns = height // scale, width // scale
    last = first + len(taps) - 1
    weights = constant(tuple(taps), image.dtype, image.device)
    flat = image.reshape(batch * channels, 1, height, width)
    after = max(0, (columns - 1) * scale + last - (width - 1))
    flat = pad_reflect(flat, max(0, -first), after, 0, 0)
    flat = F.conv2d(flat, weights.view(1, 1, 1, -1), stride=(1, scale))[..., :columns]
    after = max(0, (rows - 1) * scale + last - (height - 1))
    flat = pad_reflect(flat, 0, 0, max(0, -first), after)
    flat = F.conv2d(flat, weights.view(1, 1, -1, 1), stride=(scale, 1))[..., :rows, :]
    return flat.reshape(batch, channels, rows, columns)


def decimate_transpose(image: Tensor, taps: Sequence[float], first: int, scale: int) -> Tensor:
    """The transpose of `decimate` for images whose sides are multiples of the scale: (B, C, h, w) -> (B, C, H, W)."""
    larger = image.shape[-2] * image.shape[-1] * scale**2
    return by_planes(partial(_spread, taps=taps, first=first, scale=scale), image, larger)


def _spread(image: Tensor, taps: Sequence[float], first: int, scale: int) -> Tensor:
    batch, channels, rows, columns = image.shape
    weights = constant(tuple(taps), image.dtype, image.device)
    flat = image.reshape(batch * channels, 1, rows, columns)
    flat = F.conv_transpose2d(flat, weights.view(1, 1, -1, 1), stride=(scale, 1))
    flat = _fold(flat, -2, first, rows * scale)
    flat = F.conv_transpose2d(flat, weights.view(1, 1, 1, -1), stride=(1, scale))
    flat = _fold(flat, -1, first, columns * scale)
    return flat.reshape(batch, channels, rows * scale, columns * scale)


def _fold(image: Tensor, dim: int, first: int, size: int) -> Tensor:
    """Add what lies at positions first, first + 1, ... of an axis to where `pad_reflect` took it from."""
    at = _reflected(size, -first, image.shape[dim] + first - size, image.device)
    shape = list(image.shape)
    shape[dim] = size
    return image.new_zeros(shape).index_add(dim, at, image)


def is_coloured(image: Tensor) -> bool:
    """Whether the channels of (B, 3, H, W) differ by more than 5 levels of 255; less may be a grey photograph's."""
    return bool((image.amax(dim=1) - image.amin(dim=1)).max() > 5 / 255)


def poisson(rate: Tensor, normal: Tensor) -> Tensor:
    """Poisson numbers of these rates from standard normal ones, by quantiles: the same draw gives the same numbers.

    Exact below FEW; above, the expansion of Cornish and Fisher to the second order, rounded.
    """
    few = rate.clamp_max(FEW).double()
    at = torch.special.ndtr(normal.double())
    term = (-few).exp()
    below, counts = term.clone(), torch.zeros_like(few)
    for k in range(1, 3 * FEW):
        counts = counts + (at > below)
        term = term * few / k
        below = below + term
    many = (rate + rate.sqrt() * normal + (normal.square() - 1) / 6).round().clamp_min(0)
    return torch.where(rate <= FEW, counts.to(rate), many)
