"""How noisy a photograph is, told from itself.

In blocks of 8x8 cosine coefficients white noise is the same everywhere, while a photograph lies in the low
frequencies. Blocks are chosen by their low frequencies and measured in the high ones: of white noise the two are
independent, so choosing quiet blocks does not make the noise look smaller (the idea of Ponomarenko et al., 2007).
Texture that is left shows in some frequencies more than in others; those are left out as Chen, Zhu and Heng do with
eigenvalues ("An efficient statistical method for image noise level estimation", ICCV 2015). What clipping at black and
white takes from the variance is put back (Foi, "Clipped noisy images", 2009).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional as F

from gdpkit import dct, functional
from gdpkit.errors import ImageError

SIDE = 8
LOW, HIGH = 4, 10  # sum of the two frequencies from which noise is measured; texture is sought below LOW
MOST_BLOCKS = 16000
LEAST_BLOCKS = 80
ROUNDS = 8
SETTLED, NEARLY = 1e-3, 0.05  # in proportion: of a level that is wanted, and of one that is only compared
SEEN = 0.8  # least share of the variance that clipping may leave, relative to the block that it leaves most
BINS = 12
STEPS = 4096  # between the levels at which clipping is worked out
CHROMA_LOST, TEXTURED = 0.5, 6.0  # with no noise in chroma, luma's is believed above what texture alone can feign

_AXES = ((3**-0.5, 3**-0.5, 3**-0.5), (2**-0.5, 0.0, -(2**-0.5)), (6**-0.5, -2 * 6**-0.5, 6**-0.5))


def noise_sigma(image: Tensor) -> float:
    """Standard deviation, in 0..255, of white noise in a photograph, (B, 1 or 3, H, W) in [0, 1], clipped or not.

    One number for the whole batch; rounding to 8 bits counts as noise of 0.29. Grey in three channels is taken as
    grey. Where JPEG has smoothed the noise of chroma away, strong noise is told from luma alone, weak noise is missed.
    Raises `ImageError` for sides below 16 pixels.
    """
    blocks = _Blocks(image)
    sigma = _level(blocks)
    if blocks.channels == 3 and sigma < CHROMA_LOST:
        luma = _level(blocks, (0,))
        return luma if luma > TEXTURED else sigma
    return sigma


def noise_of_colour(image: Tensor) -> tuple[float, float]:
    """Deviations of the noise in luma and in chroma, in 0..255, each along an axis of unit length.

    White noise has the same in both; JPEG and cameras smooth the noise of chroma. The image is as for `noise_sigma`; of
    grey the second is 0.
    """
    blocks = _Blocks(image)
    return _level(blocks, (0,)), _level(blocks, (1, 2)) if blocks.channels == 3 else 0.0


def noise_line(image: Tensor) -> tuple[float, float]:
    """(gain, read) of noise whose variance is gain * x + read^2 at the level x, all in 0..255.

    A line through the variances of quiet blocks of many brightnesses (Foi et al., "Practical Poissonian-Gaussian noise
    modeling and fitting for single-image raw-data", 2008), blocks that reach black or white left out. The image is as
    for `noise_sigma`. Where all is of one brightness the noise is taken to be the same everywhere: a gain of 0.
    """
    return noise_and_line(image)[1:]


def noise_and_line(image: Tensor) -> tuple[float, float, float]:
    """What `noise_sigma` would say if colours were never smoothed, and `noise_line`: (sigma, gain, read), in 0..255."""
    blocks = _Blocks(image)
    sigma = _level(blocks)
    colour = blocks.channels == 3
    planes = (1, 2) if colour and _level(blocks, (1, 2), sigma, NEARLY) >= CHROMA_LOST else (0,)
    axes = blocks.means.new_tensor(_AXES if colour else ((1.0,),))
    brightness = blocks.means @ axes.square().T
    inside = ((blocks.means > 3 * sigma) & (blocks.means < 255 - 3 * sigma)).all(1)
    kept, texture = inside.nonzero()[:, 0], blocks.texture.mean(1)
    levels, energies = [], []
    for plane in planes:
        groups = kept[brightness[kept, plane].argsort()].tensor_split(BINS)
        counts = [min(len(group), max(LEAST_BLOCKS // 2, len(group) // 10)) for group in groups]
        chosen = [
            group[texture[group].topk(count, largest=False, sorted=False).indices]
            for group, count in zip(groups, counts, strict=True)
            if count > LEAST_BLOCKS // 4
        ]
        if chosen:
            noisy = blocks.noisy(torch.cat(chosen), (plane,))[:, 0].square()
            levels += [brightness[quiet, plane].mean() for quiet in chosen]
            energies += [each.mean(0) for each in torch.split(noisy, [len(quiet) for quiet in chosen])]
    if len(levels) < 3 or max(levels) - min(levels) < 10:
        return sigma, 0.0, sigma
    gain, offset = _line(torch.stack(levels).double(), _unstructured(torch.stack(energies)))
    return sigma, gain, math.sqrt(offset)


class _Blocks:
    """Blocks of 8x8 pixels in 0..255; those of colour along luma and two axes of chroma.

    means: (N, C), of the image's own channels. texture: (N, C), the energy of the lower frequencies without the mean.
    Few blocks are ever chosen, so the other frequencies are worked out when they are asked for.
    """

    def __init__(self, image: Tensor) -> None:
        if image.shape[1] == 3 and bool((image == image[:, :1]).all()):
            image = image[:, :1]
        batch, self.channels, height, width = image.shape
        if min(height, width) < 2 * SIDE:
            raise ImageError(f"noise is estimated from 16x16 pixels or more, not {width}x{height}")
        step = max(1, math.ceil(math.sqrt(batch * height * width / MOST_BLOCKS)))
        image = image.detach().float()
        axes = image.new_tensor(_AXES if self.channels == 3 else ((1.0,),))
        planes = (255 * axes @ image.flatten(2)).view(image.shape)
        basis, low, self._high = (part.to(image.device) for part in _basis())
        asked = torch.cat([torch.full_like(basis[:1], SIDE**-2), basis[low]]).view(-1, 1, SIDE, SIDE)
        found = F.conv2d(planes.view(-1, 1, height, width), asked, stride=step)
        found = found.view(batch, self.channels, len(asked), -1).permute(0, 3, 1, 2).flatten(0, 1)
        self.means = found[..., 0] @ axes
        self.texture = found[..., 1:].square().mean(2)
        self._all = planes.unfold(2, SIDE, step).unfold(3, SIDE, step)
        at = (self.means * (STEPS / 255)).flatten()
        self._lower = at.int().clamp_(0, STEPS - 1)
        self._part = (at - self._lower).clamp_(0, 1)

    def noisy(self, chosen: Tensor, planes: Sequence[int]) -> Tensor:
        """The high frequencies of some blocks, in float64: (N, C, K)."""
        basis, _, high = _basis()
        rows, columns = self._all.shape[2:4]
        within = chosen % (rows * columns)
        at = chosen // (rows * columns), within // columns, within % columns
        values = torch.stack([self._all[:, plane][at] for plane in planes], dim=1).flatten(2)
        return (values @ basis[high].T.to(values)).double()

    def after_clipping(self, sigma: float) -> Tensor:
        """The share of the variance of noise that clipping to 0..255 leaves in each, (N,)."""
        _, mean, share = _clipped(sigma, self.means.device)
        levels = torch.linspace(0, 255, STEPS + 1, dtype=mean.dtype, device=mean.device)
        # There are more blocks than levels, so the levels are worked out and the blocks looked up.
        table = _interpolated(levels, mean, share).to(self.means)
        low, high = (end.index_select(0, self._lower) for end in (table, table[1:]))
        return torch.lerp(low, high, self._part).view(self.means.shape).mean(1)


@lru_cache(maxsize=1)
def _basis() -> tuple[Tensor, Tensor, Tensor]:
    """The cosines of a block, (64, 64), and which of them are low and tell texture, or high and tell noise."""
    cosines = dct.dct(torch.eye(SIDE**2).reshape(-1, SIDE, SIDE)).reshape(SIDE**2, -1).T.contiguous()
    frequency = (torch.arange(SIDE)[:, None] + torch.arange(SIDE)).flatten()
    return cosines, (frequency > 0) & (frequency < LOW), frequency >= HIGH


def _level(
    blocks: _Blocks, planes: Sequence[int] | None = None, start: float = 20.0, settled: float = SETTLED
) -> float:
    """The noise of quiet blocks, of all planes or some, found again with the clipping that the last answer implies."""
    planes = range(blocks.channels) if planes is None else planes
    texture = blocks.texture[:, list(planes)].mean(1)
    sigma = start
    for _ in range(ROUNDS):
        share = blocks.after_clipping(max(sigma, 0.5))
        fit = share > SEEN * share.max()
        if int(fit.sum()) < min(LEAST_BLOCKS, len(fit)):
            fit = share >= share.topk(min(LEAST_BLOCKS, len(fit))).values[-1]
        found = int(fit.sum())
        count = min(found, max(LEAST_BLOCKS, int(min(0.05, 0.01 + 0.001 * sigma) * found)))
        chosen = torch.where(fit, texture / share.clamp_min(1e-6), torch.inf).topk(count, largest=False).indices
        quiet = _decorrelated(blocks.noisy(chosen, planes))
        energies = quiet.square().mean(0) / share[chosen].mean().clamp_min(1e-6)
        last, sigma = sigma, math.sqrt(float(_unstructured(energies.flatten())))
        if abs(sigma - last) < settled * last:
            break
    return sigma


def _decorrelated(values: Tensor) -> Tensor:
    """Turned to the axes of colour in which texture varies most and least, (N, C, K)."""
    axes = torch.linalg.eigh(torch.einsum("nck,ndk->cd", values, values)).eigenvectors
    return torch.einsum("nck,cd->ndk", values, axes)


def _unstructured(energies: Tensor) -> Tensor:
    """The mean of the most of the smallest energies whose mean is their median, as it is of noise alone; (..., K)."""
    ordered = energies.sort(dim=-1).values
    counts = torch.arange(1, ordered.shape[-1] + 1, device=ordered.device)
    means = ordered.cumsum(-1) / counts
    medians = (ordered[..., (counts - 1) // 2] + ordered[..., counts // 2]) / 2
    most = (counts * (means <= 1.005 * medians + 1e-12)).amax(-1, keepdim=True)  # of one they are always the same
    return means.gather(-1, most - 1)[..., 0]


def unclipped(image: Tensor, sigma: float) -> Tensor:
    """The image whose mean under noise of deviation `sigma` (0..255) and clipping to [0, 1] is this one, in [0, 1].

    Clipping lifts what is nearly black and lowers what is nearly white, and a denoiser finds the mean that is left
    (Foi, "Clipped noisy images: heteroskedastic modeling and practical denoising", Signal Processing 2009).
    """
    if not sigma:
        return image.clamp(0, 1)
    level, mean, _ = _clipped(sigma, image.device)

    def told(part: Tensor) -> Tensor:
        return (_interpolated(255 * part.double(), mean, level) / 255).clamp(0, 1).to(part)

    return functional.in_strips(told, image, -2)


def _clipped(sigma: float, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """Levels, and the mean and the share of the variance that noise has there after clipping to 0..255."""
    level = torch.linspace(-3 * sigma, 255 + 3 * sigma, 2001, dtype=torch.float64, device=device)
    low, high = -level / sigma, (255 - level) / sigma
    inside, above = torch.special.ndtr(high) - torch.special.ndtr(low), torch.special.ndtr(-high)
    at_low, at_high = ((-t.square() / 2).exp() / math.sqrt(2 * math.pi) for t in (low, high))
    mean = level * inside + sigma * (at_low - at_high) + 255 * above
    square = (level**2 + sigma**2) * inside + sigma * (level * (at_low - at_high) - 255 * at_high) + 255**2 * above
    return level, mean, (square - mean.square()).clamp_min(0) / sigma**2


def _interpolated(x: Tensor, xs: Tensor, ys: Tensor) -> Tensor:
    at = torch.searchsorted(xs, x.contiguous()).clamp(1, len(xs) - 1)
    part = ((x - xs[at - 1]) / (xs[at] - xs[at - 1]).clamp_min(1e-12)).clamp(0, 1)
    return torch.lerp(ys[at - 1], ys[at], part)


def _line(x: Tensor, y: Tensor) -> tuple[float, float]:
    """Least squares of variance = gain x + offset, each from 0, errors in proportion to the variance."""
    fitted = y
    gain = offset = 0.0
    for _ in range(ROUNDS):
        w = 1 / fitted.clamp_min(1e-3).square()
        mx, my = (w * x).sum() / w.sum(), (w * y).sum() / w.sum()
        slope = (w * (x - mx) * (y - my)).sum() / (w * (x - mx).square()).sum().clamp_min(1e-12)
        gain, offset = float(slope), float(my - slope * mx)
        if gain < 0:
            gain, offset = 0.0, float(my)
        elif offset < 0:
            gain, offset = float((w * x * y).sum() / (w * x * x).sum()), 0.0
        fitted = gain * x + offset
    return gain, offset
