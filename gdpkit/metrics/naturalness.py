"""Statistics of natural scenes: the features of NIQE, and the model that they are compared with.

Mittal, Soundararajan and Bovik, "Making a 'completely blind' image quality analyzer", IEEE Signal Processing Letters
2013. Images are luma in 0..255, (H, W), float64.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from gdpkit import functional
from gdpkit.errors import GdpkitError
from gdpkit.metrics import windows

SHIFTS = ((0, 1), (1, 0), (1, 1), (1, -1))
OWN_MODEL = Path(__file__).with_name("niqe.npz")
_NAMES = (("mean", "covariance"), ("mu_pris_param", "cov_pris_param"))


def features(luma: Tensor, block: int) -> tuple[Tensor, Tensor]:
    """The 36 features of each block at two scales, (n, 36), and how sharp the blocks are, (n,).

    Blocks have `block` pixels a side, an even number; what is left at the right and below is not used. A block
    without any texture has no features and is NaN.
    """
    rows, columns = luma.shape[0] // block, luma.shape[1] // block
    luma = luma[: rows * block, : columns * block]
    found, sharpness = [], luma.new_zeros(rows * columns)
    for scale in (1, 2):
        normal, deviation = _normalised(luma)
        blocks = _blocks(normal, block // scale)
        found.append(_asymmetric(blocks, products=False))
        for shift in SHIFTS:
            found.append(_asymmetric(blocks * blocks.roll(shift, dims=(1, 2)), products=True))
        if scale == 1:
            sharpness = _blocks(deviation, block).mean(dim=(1, 2))
            taps, first = functional.downsample_taps("bicubic", 2)
            luma = functional.decimate(luma[None, None], taps, first, 2)[0, 0]
    return torch.cat(found, dim=1), sharpness


def gaussian_of(features: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and covariance of features, (n, 36), those that are NaN left out. Raises where fewer than two are left."""
    features = features[features.isfinite().all(dim=1)]
    if len(features) < 2:
        raise GdpkitError("fewer than two blocks have texture to be measured")
    return features.mean(dim=0), features.T.cov()


def distance(one: tuple[Tensor, Tensor], other: tuple[Tensor, Tensor]) -> Tensor:
    """sqrt((m1 - m2)^T ((S1 + S2) / 2)^-1 (m1 - m2)), equation 10: two Gaussians as (mean, covariance)."""
    difference = one[0] - other[0]
    inverse: Tensor = torch.linalg.pinv((one[1] + other[1]) / 2, hermitian=True)
    return torch.dot(difference, inverse @ difference).clamp_min(0).sqrt()


@cache
def model(file: Path) -> tuple[Tensor, Tensor]:
    """The Gaussian of pristine photographs in a .npz file: `mean` (36,) and `covariance` (36, 36)."""
    try:
        with np.load(file, allow_pickle=False) as arrays:
            for names in _NAMES:
                if set(names) <= set(arrays.files):
                    mean, covariance = (torch.from_numpy(arrays[name]).double() for name in names)
                    if mean.numel() == 36 and covariance.shape == (36, 36):
                        return mean.flatten(), covariance
    except (OSError, ValueError, EOFError, TypeError, AttributeError) as error:
        raise GdpkitError(f"niqe: the model {file} cannot be read as .npz ({error})") from error
    raise GdpkitError(f"niqe: {file} holds no model; a .npz file with mean (36) and covariance (36x36) is one")


def _normalised(luma: Tensor) -> tuple[Tensor, Tensor]:
    """(I - mu) / (sigma + 1), equation 1, and sigma, under a Gaussian of 7x7 pixels and deviation 7/6."""
    taps = windows.gaussian(7, 7 / 6)
    wide = F.pad(luma[None, None], (3, 3, 3, 3), mode="replicate")
    mean = windows.filtered(wide, taps)[0, 0]
    deviation = (windows.filtered(wide.square(), taps)[0, 0] - mean.square()).abs().sqrt()
    return (luma - mean) / (deviation + 1), deviation


def _blocks(plane: Tensor, side: int) -> Tensor:
    rows, columns = plane.shape[0] // side, plane.shape[1] // side
    return plane.reshape(rows, side, columns, side).transpose(1, 2).reshape(-1, side, side)


def _asymmetric(blocks: Tensor, products: bool) -> Tensor:
    """An asymmetric generalised Gaussian fitted to the values of each block, by moments: (n, b, b) -> (n, 2 or 4).

    Shape and mean scale, or for `products` of neighbours shape, mean, left and right scale (equations 3 to 8).
    """
    values = blocks.flatten(1)
    below, above = values < 0, values > 0
    squares = values.square()
    left = ((squares * below).sum(dim=1) / below.sum(dim=1)).sqrt()
    right = ((squares * above).sum(dim=1) / above.sum(dim=1)).sqrt()
    ratio = left / right
    wanted = values.abs().mean(dim=1).square() / squares.mean(dim=1)
    wanted = wanted * (ratio**3 + 1) * (ratio + 1) / (ratio.square() + 1).square()
    shapes, ratios = _table()
    # `ratios` grows with the shape: of the two neighbours in the table the nearer one.
    at = torch.searchsorted(ratios, wanted.contiguous()).clamp(1, len(ratios) - 1)
    at = at - ((wanted - ratios[at - 1]).abs() <= (wanted - ratios[at]).abs()).long()
    shape = shapes[at]
    width = (0.5 * ((1 / shape).lgamma() - (3 / shape).lgamma())).exp()
    left, right = left * width, right * width
    if not products:
        return torch.stack((shape + 0 * left, (left + right) / 2), dim=1)
    mean = (right - left) * ((2 / shape).lgamma() - (1 / shape).lgamma()).exp()
    return torch.stack((shape + 0 * left, mean, left, right), dim=1)


@cache
def _table() -> tuple[Tensor, Tensor]:
    """Shapes from 0.2 to 10, and Gamma(2/a)^2 / (Gamma(1/a) Gamma(3/a)) for each."""
    shapes = 0.2 + 0.001 * torch.arange(9801, dtype=torch.float64)
    ratios = (2 * (2 / shapes).lgamma() - (1 / shapes).lgamma() - (3 / shapes).lgamma()).exp()
    return shapes, ratios
