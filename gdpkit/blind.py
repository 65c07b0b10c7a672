"""Finding an unknown blur kernel: coarse to fine from the blurred image alone, and from an estimate of the sharp one.

Images are (H, W) and one image is treated at a time; kernels are (size, size), from 0, and sum to one.
"""

from __future__ import annotations

import math
from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional as F

from gdpkit import convolution, kernels
from gdpkit.blind_spectrum import EULER, TOLD, Spectrum, simplest

MOST = 512  # pixels a side that are looked at; a kernel needs no more
ROUNDS = 5  # of image and kernel in turn, a scale
STEP = 0.5**0.5  # from one scale to the next coarser one
EDGES, EDGES_LAST, EDGES_FALL = 4e-3, 1e-4, 0.9  # price of an edge, of the L0 prior
RIDGE = 2e-3
PULL = 1e-2  # of the present kernel on the next one, beside edges of energy one
DOUBT = 0.15  # of Whittle's likelihood: sharp photographs stay below, blurs that are found lie above
FADING = 0.05  # kernel values below this share of the largest are noise


def guess(observed: Tensor, size: int) -> Tensor:
    """`coarse_to_fine`, on the device of the image; computed on the CPU, and once for one image: a run asks thrice."""
    grey = observed.detach().to("cpu", torch.float32).contiguous()
    return _guess(grey.numpy().tobytes(), (grey.shape[0], grey.shape[1]), size).to(observed)


@lru_cache(maxsize=2)
def _guess(values: bytes, shape: tuple[int, int], size: int) -> Tensor:
    return coarse_to_fine(torch.frombuffer(bytearray(values), dtype=torch.float32).view(shape), size)


def is_doubtful(observed: Tensor, kernel: Tensor) -> bool:
    """Whether a kernel explains the spectrum of a grey image hardly better than no blur does.

    So it is where the photograph is sharp, and often where its blur was not found.
    """
    point = torch.zeros_like(kernel)
    point[len(kernel) // 2, len(kernel) // 2] = 1
    spectrum = Spectrum.of(observed[_window(observed)])
    return spectrum.misfit(point) - spectrum.misfit(kernel) < DOUBT


def coarse_to_fine(observed: Tensor, size: int) -> Tensor:
    """A kernel of odd side `size` from a blurred grey image in [0, 1].

    At each scale, from the one where the kernel has three pixels, a piecewise constant image (L0 of the gradient: Pan,
    Hu, Su and Yang, "L0-regularized intensity and gradient prior for deblurring text images and beyond", TPAMI 2017)
    and the kernel that best maps its edges to the observed ones are found in turn. Where a simple kernel explains the
    spectrum as well, it is taken.
    """
    observed = observed[_window(observed)]
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
        for _ in range(ROUNDS):
            sharp = flattened(small, kernel, price)
            kernel = centred(_cleaned(from_edges(sharp, small, side)))
            price = max(EDGES_LAST, EDGES_FALL * price)
    return simplest(Spectrum.of(observed), kernel)


def refined(sharp: Tensor, observed: Tensor, kernel: Tensor) -> Tensor:
    """A known kernel (size, size), moved towards what the edges of a better estimate of the sharp image tell.

    It stays where the spectrum of the observed image speaks against the move.
    """
    observed_window, sharp_window = (image[_window(observed)] for image in (observed, sharp))
    moved = centred(_cleaned(from_edges(sharp_window, observed_window, len(kernel), PULL, kernel)))
    spectrum = Spectrum.of(observed_window)
    return moved if spectrum.misfit(moved) < spectrum.misfit(kernel) else kernel


def lacking(sharp: Tensor, observed: Tensor, kernel: Tensor, size: list[int]) -> Tensor:
    """The power of the edges that an estimate of the sharp image does not have, on the half-plane of frequencies.

    An expected image is smoother than any image. Without what it lacks, the kernel that maps it to the observed one is
    too sharp, and in the end a single point: the kernel has to be the best for all images that may be meant, not for
    their mean (Levin et al., "Efficient marginal likelihood optimization in blind deconvolution", CVPR 2011). How much
    power the edges should have is read off the frequencies that the kernel leaves, and falls off with a power of the
    frequency, as that of photographs does.
    """
    down, across = torch.fft.fftfreq(size[0]).double()[:, None], torch.fft.rfftfreq(size[1]).double()
    frequency = (down.square() + across.square()).sqrt()
    steepness = 4 * ((math.pi * down).sin().square() + (math.pi * across).sin().square())
    blur = _transfer(kernel.double(), size).abs()
    seen, found = (
        sum(torch.fft.rfft2(image.double().diff(dim=axis), s=size).abs().square() for axis in (0, 1))
        for image in (observed, sharp)
    )
    told = (blur > TOLD) & (frequency > 2 / min(size))
    if told.sum() < 16:
        return torch.zeros_like(found)
    x = frequency[told].log()
    y = (seen / (steepness.clamp_min(1e-12) * blur.square()))[told].clamp_min(1e-12).log()
    weight = 1 / frequency[told]  # rings of all radii count alike
    x_mean, y_mean = ((weight * v).sum() / weight.sum() for v in (x, y))
    slope = (weight * (x - x_mean) * (y - y_mean)).sum() / (weight * (x - x_mean).square()).sum()
    law = y_mean + EULER + slope.clamp(-4, -1) * (frequency.clamp_min(1 / max(size)).log() - x_mean)
    smooth = F.avg_pool2d(F.pad(found[None, None], (4, 4, 4, 4), mode="replicate"), 9, stride=1)[0, 0]
    missing: Tensor = (law.exp() * steepness - smooth).clamp_min(0)
    return missing


def flattened(observed: Tensor, kernel: Tensor, price: float) -> Tensor:
    """argmin_x |k * x - y|^2 + price |grad x|_0 by half-quadratic splitting in Fourier space, (H, W)."""
    height, width = observed.shape
    size = [convolution.fast_length(length + 2 * max(kernel.shape)) for length in (height, width)]
    whole = _wrapped(observed, size)
    blur = _transfer(kernel, size)
    slopes = [_transfer(torch.tensor(k, dtype=observed.dtype), size) for k in ([[0, -1.0, 1.0]], [[0], [-1.0], [1.0]])]
    data, power = blur.conj() * torch.fft.rfft2(whole), blur.abs().square()
    steepness = sum(s.abs().square() for s in slopes)
    sharp, weight = whole, 2 * price
    while weight < 1e5:
        down, across = (_difference(sharp, axis) for axis in (0, 1))
        kept = down.square() + across.square() > price / weight
        edges = slopes[1].conj() * torch.fft.rfft2(down * kept) + slopes[0].conj() * torch.fft.rfft2(across * kept)
        sharp = torch.fft.irfft2((data + weight * edges) / (power + weight * steepness), s=size)
        weight = 2 * weight
    return sharp[:height, :width]


def _difference(image: Tensor, axis: int) -> Tensor:
    return image.roll(1, axis) - image


def from_edges(
    sharp: Tensor, observed: Tensor, size: int, ridge: float = RIDGE, towards: Tensor | None = None
) -> Tensor:
    """The kernel that best maps the edges of the sharp image to those of the observed one, (size, size).

    argmin_k |k * grad x - grad y|^2 / |grad x|^2 + ridge |k - towards|^2 over kernels that are not negative and sum to
    one, by accelerated projected gradients on the correlations of the edges. `towards` is 0 where it is not given.
    """
    border = size // 2
    products = torch.zeros(2 * size - 1, 2 * size - 1, dtype=torch.float64, device=sharp.device)
    cross = torch.zeros(size, size, dtype=torch.float64, device=sharp.device)
    if towards is not None:
        length = [convolution.fast_length(n + 2 * size) for n in sharp.shape]
        missing = torch.fft.irfft2(lacking(sharp, observed, towards, length), s=length)
        reach = torch.arange(1 - size, size)
        products = missing[reach % length[0]][:, reach % length[1]]
    for axis in (0, 1):
        a, b = (image.double().diff(dim=axis) for image in (sharp, observed))
        inner = F.pad(b[border : b.shape[0] - border, border : b.shape[1] - border], (border,) * 4)
        products = products + _correlation(a, a, 2 * size - 1)
        cross = cross + _correlation(inner, a, size)
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


def _window(image: Tensor) -> tuple[slice, slice]:
    """The part of at most MOST pixels a side with the steepest edges."""
    height, width = image.shape
    rows, columns = min(height, MOST), min(width, MOST)
    steep = F.pad(image.diff(dim=0).abs()[:, :-1] + image.diff(dim=1).abs()[:-1], (0, 1, 0, 1))
    sums = F.avg_pool2d(steep[None, None], (rows, columns), stride=32)[0, 0]
    i, j = divmod(int(sums.argmax()), sums.shape[1])
    return slice(32 * i, 32 * i + rows), slice(32 * j, 32 * j + columns)


def _wrapped(image: Tensor, size: list[int]) -> Tensor:
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


def _transfer(kernel: Tensor, size: list[int]) -> Tensor:
    """The Fourier transform of a kernel whose middle is at the origin."""
    rows, columns = kernel.shape
    padded = kernel.new_zeros(size)
    padded[:rows, :columns] = kernel
    spectrum: Tensor = torch.fft.rfft2(padded.roll((-(rows // 2), -(columns // 2)), (0, 1)))
    return spectrum


def _correlation(a: Tensor, b: Tensor, size: int) -> Tensor:
    """sum_p a(p) b(p - t) for shifts t of up to size // 2, (size, size)."""
    length = [convolution.fast_length(n + size) for n in a.shape]
    found: Tensor = torch.fft.irfft2(torch.fft.rfft2(a, s=length) * torch.fft.rfft2(b, s=length).conj(), s=length)
    reach = torch.arange(-(size // 2), size // 2 + 1)
    return found[reach % length[0]][:, reach % length[1]]


def _toeplitz(products: Tensor, size: int) -> Tensor:
    """The matrix of products of shifted images, (size^2, size^2), from their correlation."""
    i, j = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
    i, j = i.reshape(-1), j.reshape(-1)
    return products[i[:, None] - i + size - 1, j[:, None] - j + size - 1]
