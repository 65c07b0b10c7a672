"""Noise that is not white: of a camera that demosaiced, smoothed, sharpened or compressed it, and the grain of film.

It lies in middle and low frequencies, where photographs lie too. What tells it from a scene is that noise is
everywhere: of blocks of one brightness the quietest hold as much of it as those in the middle, while the energies of a
scene are spread. (Small quantiles over blocks see noise alone: Ponomarenko et al., 2007. One level for each frequency,
scale and brightness: Colom, Buades and Morel, "Nonparametric noise estimation method for raw images", JOSA A 2014;
Lebrun, Colom and Morel, "Multiscale image blind denoising", IEEE TIP 2015.) Grass, sand and cloth can be everywhere
too, but are of one colour and its shades, while the noise of a sensor has every colour. In doubt it is a scene.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from gdpkit import dct, estimate

SIDE = 8
SMALLEST = 64  # pixels of the shorter side; below, too few blocks are independent
MOST_BLOCKS, LEAST_BLOCKS = 16000, 40
GROUPS = 5  # of blocks, by brightness
DARKEST, BRIGHTEST = 10.0, 245.0  # means of blocks of which clipping took little
BANDS = ((1, 4, 7), (2, 8, 14), (2, 4, 7))  # reduction, least and greatest sum of the two frequencies; from high to low
LOW, MIDDLE, HIGH = 0.03, 0.1, 0.2  # shares of the blocks that are quieter
NORMAL = {LOW: -1.8808, MIDDLE: -1.2816, HIGH: -0.8416}  # the same of the normal distribution
STEEPEST = 2.4  # noise grows no more from the second band to the third; scenes do
GROWTH = 1.7  # from the first band to the third, of luma where chroma was smoothed; what is beyond is texture under it
WEAK = 15.0  # noise that a camera smoothed grows more, but it is weak
WHITE = 2.0  # times the white noise: what is below may be white noise in a little texture
STRONG = 9.0  # noise in chroma; weaker noise is worth the loss of texture only where plain areas show it in luma
PIVOT, POWER, SMOOTHED = 12.0, 0.3, 1.5  # see `coloured_noise`
MOST = 120.0  # told of more than is there by so much, a network puts colours of its own on dark places

SURE = 4.0  # of 0..255: of weaker white noise fine texture of a small picture cannot be told

_AXES = ((3**-0.5, 3**-0.5, 3**-0.5), (2**-0.5, 0.0, -(2**-0.5)), (6**-0.5, -2 * 6**-0.5, 6**-0.5))


@dataclass(frozen=True)
class Found:
    """The noise of a photograph, in 0..255.

    sigma: the white noise that a prior should be told. pixels: the deviation of its pixels. coloured: whether the two
    differ, for the noise is not white.
    """

    sigma: float
    pixels: float
    coloured: bool

    def said(self, option: str, where: str = "") -> str:
        """A sentence that tells it, the option that sets another, and, for coloured noise, `where` that is so."""
        if self.coloured:
            counts = f"{where}it counts as sigma {self.sigma:.1f}"
            return f"noise that is not white was found; {counts}; {option} sets another"
        return f"noise of sigma {self.sigma:.1f} was found; {option} sets another"


def in_quiet_places(image: Tensor) -> float:
    """The deviation, 0..255, of middle frequencies of luma where a photograph is quietest, of one brightness at least.

    No noise is stronger; fine texture that is everywhere counts as well. 0 for sides below 64 pixels.
    """
    if min(image.shape[-2:]) < SMALLEST:
        return 0.0
    return min((float(group.levels[0, 1]) for group in _groups(image)), default=0.0)


NOTHING = Found(0.0, 0.0, False)


def found(image: Tensor) -> Found:
    """White noise, or coloured noise where that counts as more; the image is as for `estimate.noise_sigma`."""
    white = min(255.0, estimate.noise_sigma(image))
    sigma, pixels = coloured_noise(image, white)
    return Found(sigma, max(pixels, white), True) if sigma > white else Found(white, white, False)


def surely_found(image: Tensor) -> Found:
    """The noise of a photograph that may be clean and full of fine texture, as a small one is; else `NOTHING`.

    White noise counts from a deviation of `SURE`, and where colours have it: texture is alike in all channels.
    """
    told = found(image)
    if told.coloured:
        return told
    grey = image.shape[1] == 1 or bool((image == image[:, :1]).all())
    white = 0.0 if grey else min(255.0, estimate.noise_and_line(image)[0])
    return Found(white, white, False) if white >= SURE else NOTHING


@dataclass(frozen=True)
class _Group:
    """Blocks of one brightness, in 0..255 along luma and the two axes of chroma, if there is any."""

    brightness: float
    levels: Tensor  # deviation of noise that would explain the quiet blocks, (axes, bands)
    spread: Tensor  # the greatest ratio of what two quantiles take for that deviation, (axes,)
    least: float  # deviation of quiet blocks in the last band, along the colour that varies least
    most: float  # and along the one that varies most

    def alike(self, axes: slice, spread: float, least: float) -> bool:
        """Whether it looks like noise along all these axes."""
        levels = self.levels[axes]
        even = bool((self.spread[axes] < spread).all()) and bool((levels[:, 2] < STEEPEST * levels[:, 1]).all())
        return even and float(levels[:, 2].max()) > least


def coloured_noise(image: Tensor, white: float) -> tuple[float, float]:
    """The white noise that a prior should be told for a photograph's coloured noise, and the deviation of its pixels.

    image: (B, 1 or 3, H, W) in [0, 1]; white: its `estimate.noise_sigma`. All in 0..255; (0, 0) where none is found,
    and for sides below 64 pixels. A prior that learned of white noise takes coloured noise for the picture unless it is
    told as much white noise as would be as strong in the low frequencies, which is one to four times the deviation of
    the pixels. Of strong noise more is better, for still lower frequencies hold more, of weak noise less, for texture
    is lost: sigma = level (level / 12)^0.3. Where chroma was smoothed, what is left looks more like a picture, which
    takes sigma = 1.5 level; a mean of the two where it was smoothed in part. These were chosen by PSNR on simulated
    camera noise and blurred Gaussian noise.
    """
    if min(image.shape[-2:]) < SMALLEST:
        return 0.0, 0.0
    found, smoothed = _everywhere(_groups(image), WHITE * white)
    if not len(found):
        return 0.0, 0.0
    pixels, _, level = found.square().mean(0).sqrt().tolist()
    if level < WHITE * white:
        return 0.0, 0.0
    factor = (1 - smoothed) * (level / PIVOT) ** POWER + smoothed * SMOOTHED
    return min(MOST, factor * level), pixels


def _everywhere(groups: list[_Group], least: float) -> tuple[Tensor, float]:
    """The levels of the groups that show noise, (groups, bands), none where too few do, and how far chroma is lost.

    By chroma, where texture hardly is; else by luma with some chroma, as much as JPEG leaves; else, in grey, by luma
    alone, if it is about as strong in dark and in bright parts, which are hardly of one material. In luma there must be
    more than `least`, and in the axis of chroma that has less, where texture adds little, three quarters of it.
    """
    chroma, luma, nothing = slice(1, 3), slice(0, 1), (torch.empty(0, len(BANDS)), 0.0)
    colour = [g for g in groups if len(g.levels) == 3]
    found = [g for g in colour if g.alike(chroma, 1.2, 7.0) and g.least > 0.5 * float(g.levels[chroma, 2].max())]
    if _range(found) >= 12:
        if sum(float(g.levels[chroma, 2].min()) for g in found) < 0.75 * least * len(found):
            return nothing
        if sum(float(g.levels[chroma, 2].mean()) for g in found) > STRONG * len(found):
            axes = (slice(0, 3) if g.alike(luma, 1.12, 0.0) else chroma for g in found)
            return torch.stack([g.levels[a].amax(0) for g, a in zip(found, axes, strict=True)]), 0.0
    in_luma = [g for g in colour if g.alike(luma, 1.3, max(5.0, least))]
    found = [g for g in in_luma if g.least > 0.28 * g.most]
    if _range(found) < 24:
        found = [g for g in in_luma if g.least > 0.2 * g.most and g.alike(luma, 1.12, 5.0)]
    if len(found) > 1:
        levels = torch.stack([g.levels for g in found])
        chroma_left = (levels[:, 1:, 0].amax(1) / levels[:, 0, 0]).clamp_max(1).mean()
        luma_levels = levels[:, 0].clone()
        most = (GROWTH * luma_levels[:, 0]).clamp_min(WEAK)
        luma_levels[:, 2] = torch.minimum(luma_levels[:, 2], most)
        return luma_levels, 1 - float(chroma_left)
    found = [g for g in groups if len(g.levels) == 1 and g.alike(luma, 1.2, max(5.0, least))]
    strengths = [float(g.levels[0, 2]) for g in found]
    if _range(found) >= 64 and max(strengths) < 2 * min(strengths):
        return torch.stack([g.levels[0] for g in found]), 0.0
    return nothing


def _range(groups: list[_Group]) -> float:
    return max(g.brightness for g in groups) - min(g.brightness for g in groups) if groups else 0.0


def _groups(image: Tensor) -> list[_Group]:
    """Blocks of the photograph and of its 2x2 means, in groups of as many from dark to bright."""
    grey = image.shape[1] == 1 or bool((image == image[:, :1]).all())
    axes = torch.tensor(((1.0,),) if grey else _AXES, device=image.device)
    blocks = {factor: _blocks(image[:, : len(axes)].detach().float(), axes, factor) for factor in (1, 2)}
    means = blocks[2][0]
    inside = means[(means > DARKEST) & (means < BRIGHTEST)]
    if len(inside) < GROUPS * LEAST_BLOCKS:
        return []
    edges = inside.quantile(torch.linspace(0, 1, GROUPS + 1, device=means.device))
    found = []
    for low, high in itertools.pairwise(edges.tolist()):
        here = {f: c[:, (m >= low) & (m <= high)] for f, (m, c) in blocks.items()}
        if min(c.shape[1] for c in here.values()) >= LEAST_BLOCKS:
            found.append(_group((low + high) / 2, here))
    return found


def _blocks(image: Tensor, axes: Tensor, factor: int) -> tuple[Tensor, Tensor]:
    """Means (N,) and cosine coefficients (axes, N, 64) of blocks of the reduced image, scaled as white noise keeps."""
    image = F.avg_pool2d(image, factor)
    step = max(1, math.ceil(math.sqrt(image.shape[0] * image.shape[-2] * image.shape[-1] / MOST_BLOCKS)))
    found = 255 * image.unfold(2, SIDE, step).unfold(3, SIDE, step).transpose(0, 1).reshape(len(axes), -1, SIDE**2)
    basis = dct.dct(torch.eye(SIDE**2).reshape(-1, SIDE, SIDE)).reshape(SIDE**2, -1).to(found)
    return found.mean((0, 2)), factor * torch.einsum("oc,cnk->onk", axes, found) @ basis


def _group(brightness: float, blocks: dict[int, Tensor]) -> _Group:
    levels, spreads = [], []
    for factor, first, last in BANDS:
        within = _band(blocks[factor], first, last)
        energies = within.square().mean(2)
        low, middle, high = (_deviation(energies, share, within.shape[2]) for share in (LOW, MIDDLE, HIGH))
        levels.append(middle)
        spreads.append(high / low.clamp_min(1e-3))
    quiet = energies[0].argsort()[: max(10, energies.shape[1] // 8)]
    chosen = within[:, quiet].flatten(1).double()
    deviations = torch.linalg.eigvalsh(chosen @ chosen.T / chosen.shape[1]).clamp_min(0).sqrt()
    spread = torch.stack(spreads).amax(0)
    return _Group(brightness, torch.stack(levels, 1), spread, float(deviations[0]), float(deviations[-1]))


def _band(coefficients: Tensor, first: int, last: int) -> Tensor:
    at = torch.arange(SIDE, device=coefficients.device)
    sums = (at[:, None] + at).flatten()
    return coefficients[:, :, (sums >= first) & (sums <= last)]


def _deviation(energies: Tensor, share: float, freedom: int) -> Tensor:
    """Of noise of which this share of the blocks (axes, N), each a mean of so many squares, would be less; (axes,).

    The quantile of chi-square is that of Wilson and Hilferty (1931).
    """
    part = 2 / (9 * freedom)
    chi = (1 - part + NORMAL[share] * math.sqrt(part)) ** 3
    return (energies.quantile(share, dim=1) / chi).sqrt()
