"""Finding an unknown blur kernel: coarse to fine from the blurred image alone, and from an estimate of the sharp one.

Images are (H, W) and one image is treated at a time; kernels are (size, size), from 0, and sum to one.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional as F

from gdpkit import convolution, kernels
from gdpkit.blind_spectrum import EULER, TOLD, Spectrum, fall, power_of, simplest

MOST = 384  # pixels a side that are looked at; with more, kernels were not found better
EDGED = 256  # pixels a side in which edges tell a free kernel
ROUNDS = 5  # of image and kernel in turn, a scale
STEP = 0.5**0.5  # from one scale to the next coarser one
EDGES, EDGES_LAST, EDGES_FALL = 4e-3, 1e-4, 0.9  # price of an edge, of the L0 prior
STIFFEST = 1e3  # pull of the image to its flat parts; beyond it the image moves by a level at most
RIDGE = 2e-3
PULL = 1e-2  # of the present kernel on the next one, beside edges of energy one
DOUBT = 0.22  # of Whittle's likelihood: sharp photographs stay below, blurs that are found lie above
FADING = 0.05  # kernel values below this share of the largest are noise


def guess(observed: Tensor, size: int, noise: float = 0.0) -> tuple[Tensor, bool]:
    """`coarse_to_fine`, on the device of the image; computed on the CPU, and once for one image: a run asks thrice."""
    grey = observed.detach().to("cpu", torch.float32).contiguous()
    kernel, simple = _guess(grey.numpy().tobytes(), (grey.shape[0], grey.shape[1]), size, noise)
    return kernel.to(observed), simple


@lru_cache(maxsize=3)
def _guess(values: bytes, shape: tuple[int, int], size: int, noise: float) -> tuple[Tensor, bool]:
    return coarse_to_fine(torch.frombuffer(bytearray(values), dtype=torch.float32).view(shape), size, noise)


def gained(observed: Tensor, kernel: Tensor, noise: float = 0.0) -> float:
    """How much better a kernel explains the spectrum of a grey image (H, W) than no blur does; see DOUBT."""
    spectrum = Spectrum.of(observed[_window(observed)], noise)
    return spectrum.misfit(point(len(kernel))) - spectrum.misfit(kernel)


def point(size: int) -> Tensor:
    """The kernel of odd side `size` that blurs nothing."""
    return F.pad(torch.ones(1, 1), (size // 2,) * 4)


def coarse_to_fine(observed: Tensor, size: int, noise: float = 0.0) -> tuple[Tensor, bool]:
    """A kernel of odd side `size` from a blurred grey image in [0, 1], and whether it is a simple one.

    At each scale, from the one where the kernel has three pixels, a piecewise constant image (L0 of the gradient: Pan,
    Hu, Su and Yang, "L0-regularized intensity and gradient prior for deblurring text images and beyond", TPAMI 2017)
    and the kernel that best maps its edges to the observed ones are found in turn. Where a simple kernel explains the
    spectrum as well, it is taken. `noise` is what is known of it, as of JPEG's, in the units of the image.
    """
    whole = observed[_window(observed)]
    observed = whole[_window(whole, EDGED)]
    sizes = [size]
    while sizes[-1] > 3:
        sizes.append(max(3, 2 * round((STEP * sizes[-1] - 1) / 2) + 1))
        if sizes[-1] == sizes[-2]:
            break
    price = EDGES
    kernel = kernels.gaussian(0.7, 3).to(observed)
    for side in reversed(sizes):
        scale = min(1.0, side / size)
        target = [max(16, round(scale * length)) for length in observed.shape]
        small = F.interpolate(observed[None, None], target, mode="bicubic", antialias=True, align_corners=False)[0, 0]
        kernel = _resized(kernel, side)
        seen = Edges.of(small, side)
        for _ in range(ROUNDS):
            sharp = flattened(small, kernel, price)
            kernel = centred(_cleaned(from_edges(sharp, seen, side)))
            price = max(EDGES_LAST, EDGES_FALL * price)
    found = simplest(Spectrum.of(whole, noise), kernel)
    return found, found is not kernel


def refined(sharp: Tensor, observed: Tensor, kernel: Tensor, noise: float = 0.0) -> Tensor:
    """A known kernel (size, size), moved towards what the edges of a better estimate of the sharp image tell.

    It stays where the spectrum of the observed image speaks against the move.
    """
    window = _window(observed)
    grey = observed[window].contiguous()
    seen, spectrum = _seen(grey.numpy().tobytes(), (grey.shape[0], grey.shape[1]), len(kernel), noise)
    moved = centred(_cleaned(from_edges(sharp[window], seen, len(kernel), PULL, kernel)))
    return moved if spectrum.misfit(moved) < spectrum.misfit(kernel) else kernel


@lru_cache(maxsize=2)
def _seen(values: bytes, shape: tuple[int, int], size: int, noise: float) -> tuple[Edges, Spectrum]:
    """What every step of a run asks of what was observed."""
    grey = torch.frombuffer(bytearray(values), dtype=torch.float32).view(shape)
    return Edges.of(grey, size), Spectrum.of(grey, noise)


@dataclass(frozen=True, eq=False)
class Edges:
    """The edges of an observed image (H, W), as spectra on the half-plane of frequencies of a plane of this size.

    inner: of the differences down and across, those left out that a kernel brings in from beyond the border.
    power: of all differences, together.
    """

    size: list[int]
    inner: list[Tensor]
    power: Tensor

    @staticmethod
    def of(image: Tensor, side: int) -> Edges:
        """For kernels of this side."""
        size = [convolution.fast_length(n + 2 * side) for n in image.shape]
        border = side // 2
        inner, power = [], torch.zeros(())
        for axis in (0, 1):
            edges = image.diff(dim=axis)
            cut = edges[border : edges.shape[0] - border, border : edges.shape[1] - border]
            inner.append(torch.fft.rfft2(F.pad(cut, (border,) * 4), s=size))
            power = power + convolution.power(torch.fft.rfft2(edges, s=size))
        return Edges(size, inner, power)


def lacking(found: Tensor, seen: Edges, kernel: Tensor) -> Tensor:
    """The power of the edges that an estimate of the sharp image does not have, on the half-plane of frequencies.

    An expected image is smoother than any image. Without what it lacks, the kernel that maps it to the observed one is
    too sharp, and in the end a single point: the kernel has to be the best for all images that may be meant, not for
    their mean (Levin et al., "Efficient marginal likelihood optimization in blind deconvolution", CVPR 2011). How much
    power the edges should have is read off the frequencies that the kernel leaves, and falls off with a power of the
    frequency, as that of photographs does. `found` is the power that the edges of the estimate have.
    """
    steepness, distance, weight = _rings(*seen.size)
    blur = power_of(kernel, seen.size)
    told = (blur > TOLD**2) & (weight > 0)
    if told.sum() < 16:
        return torch.zeros_like(found)
    level = (seen.power / (steepness.clamp_min(1e-12) * blur.clamp_min(1e-30))).clamp_min_(1e-12).log_()
    line = fall(distance, level, told * weight)
    law = (line.slope * distance + (line.level + EULER - line.slope * line.distance)).exp_()
    smooth = F.avg_pool2d(F.pad(found[None, None], (4, 4, 4, 4), mode="replicate"), (9, 1), stride=1)
    smooth = F.avg_pool2d(smooth, (1, 9), stride=1)[0, 0]
    return law.mul_(steepness).sub_(smooth).clamp_min_(0)


@lru_cache(maxsize=2)
def _rings(height: int, width: int) -> tuple[Tensor, Tensor, Tensor]:
    """Of each frequency: the power of a difference down and one across, its logarithm, and its weight."""
    down, across = torch.fft.fftfreq(height).double()[:, None], torch.fft.rfftfreq(width).double()
    frequency = (down.square() + across.square()).sqrt()
    steepness = 4 * ((math.pi * down).sin().square() + (math.pi * across).sin().square())
    weight = torch.where(frequency > 2 / min(height, width), 1 / frequency.clamp_min(1e-12), 0)  # rings count alike
    return steepness.float(), frequency.clamp_min(1 / max(height, width)).log().float(), weight.float()


def flattened(observed: Tensor, kernel: Tensor, price: float) -> Tensor:
    """argmin_x |k * x - y|^2 + price |grad x|_0 by half-quadratic splitting in Fourier space, (H, W)."""
    height, width = observed.shape
    size = [convolution.fast_length(length + 2 * max(kernel.shape)) for length in (height, width)]
    sharp = wrapped(observed, size)
    blur = transfer(kernel, size)
    data, power = torch.fft.rfft2(sharp).mul_(blur.conj()), convolution.power(blur)
    down, across = (
        (2 * math.pi * f(n)).cos() for f, n in zip((torch.fft.fftfreq, torch.fft.rfftfreq), size, strict=True)
    )
    steepness = (4 - 2 * down[:, None] - 2 * across).to(power)
    weight = 2 * price
    while weight < STIFFEST:
        down, across = (_difference(sharp, axis) for axis in (0, 1))
        kept = down.square().addcmul_(across, across) > price / weight
        down.mul_(kept)
        across.mul_(kept)
        edges = down.roll(-1, 0).sub_(down).add_(across.roll(-1, 1)).sub_(across)
        spectrum = torch.fft.rfft2(edges).mul_(weight).add_(data)
        sharp = torch.fft.irfft2(spectrum.mul_((power + weight * steepness).reciprocal_()), s=size)
        weight = 2 * weight
    return sharp[:height, :width]


def _difference(image: Tensor, axis: int) -> Tensor:
    return image.roll(1, axis).sub_(image)


def from_edges(sharp: Tensor, seen: Edges, size: int, ridge: float = RIDGE, towards: Tensor | None = None) -> Tensor:
    """The kernel that best maps the edges of the sharp image to those of the observed one, (size, size).

    argmin_k |k * grad x - grad y|^2 / |grad x|^2 + ridge |k - towards|^2 over kernels that are not negative and sum to
    one, by accelerated projected gradients on the correlations of the edges. `towards` is 0 where it is not given.
    """
    power, across = torch.zeros(()), torch.zeros(())
    for axis, inner in enumerate(seen.inner):
        edges = torch.fft.rfft2(sharp.diff(dim=axis), s=seen.size)
        power = power + convolution.power(edges)
        across = across + inner * edges.conj()
    if towards is not None:
        power = power + lacking(power, seen, towards)
    products, cross = (
        _around(spectrum, seen.size, reach) for spectrum, reach in ((power, size - 1), (across, size // 2))
    )
    energy = products[size - 1, size - 1].clamp_min(1e-12)
    gram = _toeplitz(products / energy, size)
    target = (cross / energy).reshape(-1)
    start = torch.full_like(target, 1 / size**2) if towards is None else towards.double().reshape(-1)
    pull = torch.zeros_like(target) if towards is None else start
    steepest = float(torch.linalg.matrix_norm(gram, 1)) + ridge
    k, ahead, t = start, start, 1.0
    for _ in range(150):
        new = (ahead - (gram @ ahead - target + ridge * (ahead - pull)) / steepest).clamp_min(0)
        t_new = (1 + (1 + 4 * t * t) ** 0.5) / 2
        ahead = new + (t - 1) / t_new * (new - k)
        k, t = new, t_new
    return _normalised(k.reshape(size, size).to(sharp))


def on_simplex(values: Tensor) -> Tensor:
    """The nearest point with no negative value and sum one, along the last axis (Duchi et al., ICML 2008)."""
    ordered = values.sort(dim=-1, descending=True).values
    excess = ordered.cumsum(-1) - 1
    count = torch.arange(1, values.shape[-1] + 1, dtype=values.dtype, device=values.device)
    last = (ordered * count > excess).sum(-1, keepdim=True).clamp_min(1)
    return (values - excess.gather(-1, last - 1) / last).clamp_min(0)


def centred(kernel: Tensor) -> Tensor:
    """Moved, between pixels linearly, until its centre of mass is its middle; what falls out is lost.

    A kernel and its image can be shifted against each other at will; this keeps the image where it is.
    """
    at = torch.arange(len(kernel), dtype=kernel.dtype) - len(kernel) // 2
    total = kernel.sum().clamp_min(1e-12)
    down, across = (float((kernel.sum(1 - axis) * at).sum() / total) for axis in (0, 1))
    rows, columns = ((1 - (at[:, None] - at + shift).abs()).clamp_min(0) for shift in (down, across))
    return _normalised(rows @ kernel @ columns.T)


def _cleaned(kernel: Tensor) -> Tensor:
    kernel = torch.where(kernel < FADING * kernel.max(), 0, kernel)
    return kernel / kernel.sum()


def _normalised(kernel: Tensor) -> Tensor:
    return kernel / kernel.sum().clamp_min(1e-12)


def _resized(kernel: Tensor, size: int) -> Tensor:
    large = F.interpolate(kernel[None, None], (size, size), mode="bilinear", align_corners=False)[0, 0].clamp_min(0)
    return large / large.sum()


def _window(image: Tensor, most: int = MOST) -> tuple[slice, slice]:
    """The part of at most so many pixels a side with the steepest edges."""
    height, width = image.shape
    rows, columns = min(height, most), min(width, most)
    steep = F.pad(image.diff(dim=0).abs()[:, :-1] + image.diff(dim=1).abs()[:-1], (0, 1, 0, 1))
    sums = F.avg_pool2d(steep[None, None], (rows, columns), stride=32)[0, 0]
    i, j = divmod(int(sums.argmax()), sums.shape[1])
    return slice(32 * i, 32 * i + rows), slice(32 * j, 32 * j + columns)


def wrapped(image: Tensor, size: list[int]) -> Tensor:
    """Larger, so that it goes on smoothly from each side to the opposite one: two mirror images, blended."""
    for axis, length in enumerate(size):
        old = image.shape[axis]
        at = torch.arange(length - old)
        after = image.index_select(axis, (old - 1 - at).clamp_min(0))
        before = image.index_select(axis, at.flip(0).clamp_max(old - 1))
        share = (at + 1).to(image) / (length - old + 1)
        share = share[:, None] if axis == 0 else share
        image = torch.cat([image, (1 - share) * after + share * before], dim=axis)
    return image


def transfer(kernel: Tensor, size: list[int]) -> Tensor:
    """The Fourier transform of a kernel whose middle is at the origin."""
    rows, columns = kernel.shape
    padded = kernel.new_zeros(size)
    padded[:rows, :columns] = kernel
    spectrum: Tensor = torch.fft.rfft2(padded.roll((-(rows // 2), -(columns // 2)), (0, 1)))
    return spectrum


def _around(spectrum: Tensor, size: list[int], reach: int) -> Tensor:
    """The part around the origin of the plane that has this spectrum, so far in each direction, float64."""
    plane: Tensor = torch.fft.irfft2(spectrum, s=size)
    at = torch.arange(-reach, reach + 1)
    return plane[at % size[0]][:, at % size[1]].double()


def _toeplitz(products: Tensor, size: int) -> Tensor:
    """The matrix of products of shifted images, (size^2, size^2), from their correlation."""
    i, j = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
    i, j = i.reshape(-1), j.reshape(-1)
    return products[i[:, None] - i + size - 1, j[:, None] - j + size - 1]
