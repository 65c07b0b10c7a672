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

import torch
from torch import Tensor

from gdpkit import dct, functional
from gdpkit.errors import ImageError

SIDE = 8
LOW, HIGH = 4, 10  # sum of the two frequencies from which noise is measured; texture is sought below LOW
MOST_BLOCKS = 16000
LEAST_BLOCKS = 80
ROUNDS = 8
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
    means, coefficients = _blocks(image)
    texture = _texture(coefficients)
    sigma = _level(means, coefficients, texture)
    if coefficients.shape[1] == 3 and sigma < CHROMA_LOST:
        luma = _level(means, coefficients[:, :1], texture[:, :1])
        return luma if luma > TEXTURED else sigma
    return sigma


def noise_of_colour(image: Tensor) -> tuple[float, float]:
    """Deviations of the noise in luma and in chroma, in 0..255, each along an axis of unit length.

    White noise has the same in both; JPEG and cameras smooth the noise of chroma. The image is as for `noise_sigma`; of
    grey the second is 0.
    """
    means, coefficients = _blocks(image)
    texture = _texture(coefficients)
    chroma = _level(means, coefficients[:, 1:], texture[:, 1:]) if coefficients.shape[1] == 3 else 0.0
    return _level(means, coefficients[:, :1], texture[:, :1]), chroma


def noise_line(image: Tensor) -> tuple[float, float]:
    """(gain, read) of noise whose variance is gain * x + read^2 at the level x, all in 0..255.

    A line through the variances of quiet blocks of many brightnesses (Foi et al., "Practical Poissonian-Gaussian noise
    modeling and fitting for single-image raw-data", 2008), blocks that reach black or white left out. The image is as
    for `noise_sigma`. Where all is of one brightness the noise is taken to be the same everywhere: a gain of 0.
    """
    return noise_and_line(image)[1:]


def noise_and_line(image: Tensor) -> tuple[float, float, float]:
    """What `noise_sigma` would say if colours were never smoothed, and `noise_line`: (sigma, gain, read), in 0..255."""
    means, coefficients = _blocks(image)
    texture = _texture(coefficients)
    sigma = _level(means, coefficients, texture)
    colour = coefficients.shape[1] == 3
    planes = (1, 2) if colour and _level(means, coefficients[:, 1:], texture[:, 1:]) >= CHROMA_LOST else (0,)
    axes = torch.tensor(_AXES if colour else ((1.0,),), dtype=means.dtype, device=means.device)
    brightness = means @ axes.square().T
    inside = ((means > 3 * sigma) & (means < 255 - 3 * sigma)).all(1)
    points = []
    for plane in planes:
        kept = inside.nonzero()[:, 0]
        order = kept[brightness[kept, plane].argsort()]
        for group in order.tensor_split(BINS):
            quiet = group[texture[group].mean(1).argsort()[: max(LEAST_BLOCKS // 2, len(group) // 10)]]
            if len(quiet) > LEAST_BLOCKS // 4:
                energies = coefficients[quiet, plane][:, _noisy(coefficients)].double().square().mean(0)
                points.append((float(brightness[quiet, plane].mean()), _unstructured(energies)))
    if len(points) < 3 or max(p[0] for p in points) - min(p[0] for p in points) < 10:
        return sigma, 0.0, sigma
    gain, offset = _line(torch.tensor(points, dtype=torch.float64))
    return sigma, gain, math.sqrt(offset)


def _blocks(image: Tensor) -> tuple[Tensor, Tensor]:
    """Means (N, C) and cosine coefficients (N, C, 8, 8) of blocks in 0..255; of colour, along luma and two axes."""
    if image.shape[1] == 3 and bool((image == image[:, :1]).all()):
        image = image[:, :1]
    batch, channels, height, width = image.shape
    if min(height, width) < 2 * SIDE:
        raise ImageError(f"noise is estimated from 16x16 pixels or more, not {width}x{height}")
    step = max(1, math.ceil(math.sqrt(batch * height * width / MOST_BLOCKS)))
    found = (255 * image.detach().float()).unfold(2, SIDE, step).unfold(3, SIDE, step)
    found = found.transpose(0, 1).reshape(channels, -1, SIDE, SIDE).transpose(0, 1)
    means = found.mean((2, 3)).double()
    if channels == 3:
        found = torch.einsum("oc,nchw->nohw", found.new_tensor(_AXES), found)
    basis = dct.dct(torch.eye(SIDE**2).reshape(-1, SIDE, SIDE)).reshape(SIDE**2, -1).to(found)
    return means, (found.reshape(len(means), channels, -1) @ basis).reshape(found.shape)


def _frequencies(like: Tensor) -> Tensor:
    at = torch.arange(SIDE, device=like.device)
    return at[:, None] + at


def _noisy(coefficients: Tensor) -> Tensor:
    return _frequencies(coefficients) >= HIGH


def _texture(coefficients: Tensor) -> Tensor:
    """The energy of the lower frequencies without the mean, (N, C)."""
    at = _frequencies(coefficients)
    low = ((at > 0) & (at < LOW)).to(coefficients).flatten()
    return (coefficients.flatten(2).square() @ (low / low.sum())).double()


def _level(means: Tensor, coefficients: Tensor, texture: Tensor) -> float:
    """The noise of quiet blocks, found again with the clipping that the last answer implies until it stands."""
    texture, noisy = texture.mean(1), _noisy(coefficients)
    sigma = 20.0
    for _ in range(ROUNDS):
        share = _after_clipping(means, max(sigma, 0.5))
        fit = share > SEEN * share.max()
        if int(fit.sum()) < min(LEAST_BLOCKS, len(fit)):
            fit = share >= share.topk(min(LEAST_BLOCKS, len(fit))).values[-1]
        found = int(fit.sum())
        count = min(found, max(LEAST_BLOCKS, int(min(0.05, 0.01 + 0.001 * sigma) * found)))
        chosen = torch.where(fit, texture / share.clamp_min(1e-6), torch.inf).topk(count, largest=False).indices
        quiet = _decorrelated(coefficients[chosen][..., noisy].double())
        energies = quiet.square().mean(0) / share[chosen].mean().clamp_min(1e-6)
        last, sigma = sigma, math.sqrt(_unstructured(energies.flatten()))
        if abs(sigma - last) < 1e-3 * last:
            break
    return sigma


def _decorrelated(values: Tensor) -> Tensor:
    """Turned to the axes of colour in which texture varies most and least, (N, C, K)."""
    axes = torch.linalg.eigh(torch.einsum("nck,ndk->cd", values, values)).eigenvectors
    return torch.einsum("nck,cd->ndk", values, axes)


def _unstructured(energies: Tensor) -> float:
    """The mean of the most of the smallest energies whose mean is their median, as it is of noise alone."""
    ordered = energies.sort().values
    counts = torch.arange(1, len(ordered) + 1, device=ordered.device)
    means = ordered.cumsum(0) / counts
    medians = (ordered[(counts - 1) // 2] + ordered[counts // 2]) / 2
    balanced = (means <= 1.005 * medians + 1e-12).nonzero()
    return float(means[int(balanced[-1])])


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


def _after_clipping(means: Tensor, sigma: float) -> Tensor:
    """The share of the variance that clipping to 0..255 leaves in blocks with these means, (N, C) -> (N,)."""
    _, mean, share = _clipped(sigma, means.device)
    levels = torch.linspace(0, 255, STEPS + 1, dtype=torch.float64, device=means.device)
    table = _interpolated(levels, mean, share)
    at = means * (STEPS / 255)  # a table of equal steps, for there are more blocks than levels
    lower = at.int().clamp(0, STEPS - 1)
    found = torch.lerp(table[lower], table[1:][lower], (at - lower).clamp(0, 1))
    return found.mean(1)


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


def _line(points: Tensor) -> tuple[float, float]:
    """Least squares of variance = gain x + offset, each from 0, errors in proportion to the variance; (N, 2)."""
    x, y = points.T
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
