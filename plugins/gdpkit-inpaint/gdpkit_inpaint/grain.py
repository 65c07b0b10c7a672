"""Noise for a repair, like that of the photograph around it: a smooth patch in a grainy wall is seen.

Blocks of the kept pixels that are quiet in their lowest frequencies hold little but noise in the others (the idea of
Ponomarenko et al., 2007). Their cosine spectrum, along luma and two axes of chroma, shapes white noise (a texture of
random phase: Galerne, Gousseau and Morel, "Random phase textures: theory and synthesis", IEEE TIP 2011), and how strong
it is at several brightnesses scales it.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from gdpkit import coloured_noise, dct
from gdpkit.noise import SeededNoise, digest

SIDE = 8
LOWEST = 3  # sums of the two frequencies below this choose blocks, and get the power of this one
QUIET, LEAST = 0.08, 24  # share of the blocks of one brightness, and how many at the least
GROUPS = 4
MOST_BLOCKS = 16000
MOSTLY = 0.5  # of the blocks

_AXES = ((3**-0.5, 3**-0.5, 3**-0.5), (2**-0.5, 0.0, -(2**-0.5)), (6**-0.5, -2 * 6**-0.5, 6**-0.5))


def like(pixels: Tensor, kept: Tensor, repaired: Tensor) -> Tensor:
    """Noise as that of the kept pixels, for the brightness of `repaired`; zero where too few blocks are kept whole.

    pixels, repaired: (B, 1 or 3, H, W) in [0, 1]; kept: (B, 1, H, W), true where a pixel is known. The same photograph
    gets the same noise.
    """
    drawn = SeededNoise(0, [digest(one) for one in pixels]).normal(pixels.shape, pixels.device)
    found = [_of_one(*each) for each in zip(pixels, kept, repaired, drawn, strict=True)]
    return torch.stack(found)


def is_missed(pixels: Tensor, kept: Tensor) -> bool:
    """Whether a repair without noise would be seen: the photograph has noise, and most of it is kept in whole blocks.

    As for `like`. Pixels lost everywhere would themselves look like noise.
    """
    if min(pixels.shape[-2:]) < 2 * SIDE or float(_whole(kept, SIDE).float().mean()) < MOSTLY:
        return False
    return coloured_noise.surely_found(pixels).sigma > 0


def _whole(kept: Tensor, step: int) -> Tensor:
    return kept.float().unfold(-2, SIDE, step).unfold(-2, SIDE, step).flatten(-2).amin(-1) > 0


def _of_one(pixels: Tensor, kept: Tensor, repaired: Tensor, drawn: Tensor) -> Tensor:
    axes = torch.tensor(_AXES if len(pixels) == 3 else ((1.0,),)).to(pixels)
    step = max(1, math.ceil(math.sqrt(pixels[0].numel() / MOST_BLOCKS)))
    whole = _whole(kept, step).flatten()
    planes = torch.einsum("oc,chw->ohw", axes, pixels)
    blocks = planes.unfold(1, SIDE, step).unfold(2, SIDE, step).reshape(len(axes), -1, SIDE**2)[:, whole]
    if blocks.shape[1] < GROUPS * LEAST:
        return torch.zeros_like(pixels)
    basis = dct.dct(torch.eye(SIDE**2).reshape(-1, SIDE, SIDE)).reshape(SIDE**2, -1).to(pixels)
    coefficients = blocks @ basis
    at = torch.arange(SIDE, device=pixels.device)
    sums = (at[:, None] + at).flatten()
    texture = coefficients[..., (sums > 0) & (sums < LOWEST)].square().mean((0, 2))
    brightness, powers = [], []
    for group in (blocks.mean(2)[0]).argsort().tensor_split(GROUPS):
        quiet = group[texture[group].argsort()[: max(LEAST, round(QUIET * len(group)))]]
        brightness.append(blocks[0, quiet].mean())
        powers.append(coefficients[:, quiet].square().mean(1))
    power = torch.stack(powers)  # (groups, axes, 64)
    strength = power[..., sums >= LOWEST].mean((1, 2)).sqrt()
    shape = (power / strength.square().clamp_min(1e-12).view(-1, 1, 1)).mean(0)
    shape = shape / shape[:, sums >= LOWEST].mean().clamp_min(1e-12)  # groups without noise have no shape
    shape[:, sums < LOWEST] = shape[:, sums == LOWEST].mean(1, keepdim=True)
    noise = torch.einsum("oc,ohw->chw", axes, _shaped(drawn, shape.sqrt().view(-1, SIDE, SIDE)))
    luma = torch.einsum("c,chw->hw", axes[0], repaired)
    return noise * _interpolated(luma, torch.stack(brightness), strength)


def _shaped(white: Tensor, response: Tensor) -> Tensor:
    """White noise (C, H, W) whose spectrum is that of a block's cosines, (C, 8, 8), k of which is k/16 of a cycle."""
    height, width = white.shape[1:]
    rows, columns = (
        (frequencies.abs() * 2 * SIDE).clamp_max(SIDE - 1) * 2 / (SIDE - 1) - 1
        for frequencies in (torch.fft.fftfreq(height), torch.fft.rfftfreq(width))
    )
    grid = torch.stack(torch.meshgrid(rows, columns, indexing="ij")[::-1], dim=2)[None].to(white)
    gain = F.grid_sample(response[None], grid, mode="bilinear", align_corners=True)[0]
    shaped: Tensor = torch.fft.irfft2(torch.fft.rfft2(white) * gain, s=(height, width))
    return shaped


def _interpolated(x: Tensor, xs: Tensor, ys: Tensor) -> Tensor:
    after = torch.searchsorted(xs, x.contiguous()).clamp(1, len(xs) - 1)
    part = ((x - xs[after - 1]) / (xs[after] - xs[after - 1]).clamp_min(1e-6)).clamp(0, 1)
    return torch.lerp(ys[after - 1], ys[after], part)
