"""Whether a kernel that was found is to be trusted: what the spectrum and a picture sharpened by it say against it."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from gdpkit import blind, convolution, overexposure
from gdpkit import grey as grey_noise
from gdpkit_deblur.noise import middle

GROWN = 0.012
"""So much less sparse edges may become. Of free kernels in 40 photographs most that ruined one were above this, and
none that made one better by 1 dB."""
STEEPER = 1.5  # so much steeper a free kernel may make a noisy picture
STEEPEST = 2.5  # and a simple one
NOISY = 1.0  # in 0..255
SURE = 0.3  # what a free kernel has to gain in a noisy file
SOFTER = 0.9  # what edges keep at least, besides noise: a kernel that is undone through strong noise sharpens nothing
SAFE = 2.0  # times the noise, for a trial by Wiener's filter, which rings more than what the prior makes of it
LOW = 0.02, 0.1  # frequencies, of the sampling rate, at which the power of the scene is read
ENOUGH = 256  # pixels a side; the spectra of smaller pictures tell less, and sharp ones gain by chance
CLEAR = 0.1  # so much of a picture must be away from white, or it is looked at as a whole


def is_trusted(image: Tensor, kernel: Tensor, sigma: float, *, simple: bool, gained: float) -> bool:
    """Whether undoing a kernel makes an image (B, C, H, W) better, as far as it can be told.

    Args:
        image: values, or light, as blurred.
        kernel: (h, w) with odd sides.
        sigma: the noise, in 0..255.
        simple: whether it is one of few parameters, which the spectrum tells; the phase of others it does not.
        gained: how much better it explains the spectrum than no blur, `BlindBlur.gained`.
    """
    if gained < blind.DOUBT * max(1.0, ENOUGH / min(image.shape[-2:])):
        return False
    grey = middle(image).mean((0, 1))
    sharp = undone(grey, kernel, SAFE * sigma / 255).clamp(0, 1)
    seen = _where(middle(image), kernel)
    if not bool(seen[1:, 1:].any()):
        return False
    (before, soft), (after, steep) = (_edges(picture, seen) for picture in (grey, sharp))
    steeper = steep / max(soft, 1e-12)
    if sigma > NOISY and (steeper > (STEEPEST if simple else STEEPER) or (not simple and gained < SURE)):
        return False
    own = soft**2 - 4 * (sigma / 255) ** 2 / grey_noise.channels(
        image
    )  # two differences; of grey values, which are means
    if steep < SOFTER * math.sqrt(max(0.0, own)):
        return False
    return simple or after < before + GROWN


def undone(grey: Tensor, kernel: Tensor, sigma: float) -> Tensor:
    """By Wiener's filter, (H, W); the power of the scene is taken to fall with the square of the frequency."""
    kernel, mean = kernel.to(grey), grey.mean()
    size = [convolution.fast_length(length + 2 * len(kernel)) for length in grey.shape]
    seen = torch.fft.rfft2(blind.wrapped(grey - mean, size))
    blur = blind.transfer(kernel, size)
    left = convolution.power(blur)
    down, across = torch.fft.fftfreq(size[0])[:, None], torch.fft.rfftfreq(size[1])
    square = (down.square() + across.square()).clamp_min(1e-5)
    low = (square > LOW[0] ** 2) & (square < LOW[1] ** 2)
    scale = (convolution.power(seen) * square)[low].mean() / math.prod(size) / left[low].mean().clamp_min(1e-12)
    share = blur.conj() / (left + sigma**2 * square / scale.clamp_min(1e-12))
    found: Tensor = torch.fft.irfft2(seen * share, s=size)[: grey.shape[0], : grey.shape[1]] + mean
    return found


def _edges(grey: Tensor, seen: Tensor) -> tuple[float, float]:
    """How little sparse edges are, as their mean over their root mean square, and the latter."""
    square = grey.diff(dim=0)[:, :-1].square() + grey.diff(dim=1)[:-1].square()
    square = square[seen[1:, 1:]]
    deep = float(square.mean().sqrt())
    return float(square.sqrt().mean()) / max(deep, 1e-12), deep


def _where(image: Tensor, kernel: Tensor) -> Tensor:
    """Where a trial tells: away from the border and from white, which no kernel softened, (H, W)."""
    reach = len(kernel) // 2 + 2
    white = (image >= overexposure.WHITE).any(1).any(0)
    near = F.max_pool2d(white[None, None].float(), 2 * reach + 1, 1, reach)[0, 0] > 0 if bool(white.any()) else white
    inside = torch.zeros_like(white)
    inside[reach:-reach, reach:-reach] = True
    clear = inside & ~near
    return clear if clear.sum() > CLEAR * inside.sum() else inside
