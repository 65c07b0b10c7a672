"""Finding an unknown blur kernel: coarse to fine from the blurred image alone, and from an estimate of the sharp one.

Images are (H, W) and one image is treated at a time; kernels are (size, size), from 0, and sum to one.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from gdpkit import convolution, kernels

MOST = 512  # pixels a side that are looked at; a kernel needs no more
ROUNDS = 5  # of image and kernel in turn, a scale
STEP = 0.5**0.5  # from one scale to the next coarser one
EDGES, EDGES_LAST, EDGES_FALL = 4e-3, 1e-4, 0.9  # price of an edge, of the L0 prior
RIDGE = 2e-3
PULL = 1e-2  # of the present kernel on the next one, beside edges of energy one
FADING = 0.05  # kernel values below this share of the largest are noise


def coarse_to_fine(observed: Tensor, size: int) -> Tensor:
    """A kernel of odd side `size` from a blurred grey image in [0, 1].

    At each scale, from the one where the kernel has three pixels, a piecewise constant image (L0 of the gradient: Pan,
    Hu, Su and Yang, "L0-regularized intensity and gradient prior for deblurring text images and beyond", TPAMI 2017)
    and the kernel that best maps its edges to the observed ones are found in turn.
    """
    observed = _busiest(observed)
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
    return kernel


def refined(sharp: Tensor, observed: Tensor, kernel: Tensor) -> Tensor:
    """A known kernel (size, size), moved towards what the edges of a better estimate of the sharp image tell."""
    return centred(_cleaned(from_edges(sharp, observed, len(kernel), PULL, kernel)))


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
    products = cross = 0.0
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
    """Moved by whole pixels until its centre of mass is nearest to its middle; what falls out is lost."""
    at = torch.arange(len(kernel), dtype=kernel.dtype) - len(kernel) // 2
    total = kernel.sum().clamp_min(1e-12)
    for axis in (0, 1):
        shift = -round(float((kernel.sum(1 - axis) * at).sum() / total))
        if shift:
            kernel = kernel.roll(shift, axis)
            lost = slice(None, shift) if shift > 0 else slice(shift, None)
            kernel = kernel.clone()
            kernel[(lost, slice(None)) if axis == 0 else (slice(None), lost)] = 0
    return kernel / kernel.sum().clamp_min(1e-12)


def _cleaned(kernel: Tensor) -> Tensor:
    kernel = torch.where(kernel < FADING * kernel.max(), 0, kernel)
    return kernel / kernel.sum()


def _normalised(kernel: Tensor) -> Tensor:
    return kernel / kernel.sum().clamp_min(1e-12)


def _resized(kernel: Tensor, size: int) -> Tensor:
    large = F.interpolate(kernel[None, None], (size, size), mode="bilinear", align_corners=False)[0, 0].clamp_min(0)
    return large / large.sum()


def _busiest(image: Tensor) -> Tensor:
    """The window of at most MOST pixels a side with the steepest edges."""
    height, width = image.shape
    rows, columns = min(height, MOST), min(width, MOST)
    if (rows, columns) == (height, width):
        return image
    steep = F.pad(image.diff(dim=0).abs()[:, :-1] + image.diff(dim=1).abs()[:-1], (0, 1, 0, 1))
    sums = F.avg_pool2d(steep[None, None], (rows, columns), stride=32)[0, 0]
    i, j = divmod(int(sums.argmax()), sums.shape[1])
    return image[32 * i : 32 * i + rows, 32 * j : 32 * j + columns]


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
    return torch.fft.rfft2(padded.roll((-(rows // 2), -(columns // 2)), (0, 1)))


def _correlation(a: Tensor, b: Tensor, size: int) -> Tensor:
    """sum_p a(p) b(p - t) for shifts t of up to size // 2, (size, size)."""
    length = [convolution.fast_length(n + size) for n in a.shape]
    found = torch.fft.irfft2(torch.fft.rfft2(a, s=length) * torch.fft.rfft2(b, s=length).conj(), s=length)
    reach = torch.arange(-(size // 2), size // 2 + 1)
    return found[reach % length[0]][:, reach % length[1]]


def _toeplitz(products: Tensor, size: int) -> Tensor:
    """The matrix of products of shifted images, (size^2, size^2), from their correlation."""
    i, j = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
    i, j = i.reshape(-1), j.reshape(-1)
    return products[i[:, None] - i + size - 1, j[:, None] - j + size - 1]
