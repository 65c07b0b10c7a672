"""Spreading colour from strokes over the regions they are in: least squares on the graph of pixels."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.linalg import splu
from torch import Tensor
from torch.nn import functional as F

from gdpkit import functional

Array = NDArray[np.float64]
LARGEST = 320
"""Pixels on the shorter side of the grid that is solved on; larger pictures are filled in by their luminance."""
STEP = 3.0 / 255
"""Steps of luminance above this are edges."""
LEAST = 1e-5
"""What is left of the bond of two pixels across an edge, so that a colour reaches regions without strokes at last."""
STROKE = 100.0
"""How much a stroke counts against the wish to be like the neighbours, for a pixel that it covers whole."""


def spread(grey: Tensor, chroma: Tensor, alpha: Tensor, reach: float) -> tuple[Tensor, Tensor]:
    """Colour for every pixel from what strokes say, and how far to trust it.

    Neighbours of like luminance Y have like colours (Levin, Lischinski & Weiss, "Colorization using optimization",
    SIGGRAPH 2004). Here they are compared pair by pair, as in Grady, "Random walks for image segmentation", TPAMI 2006:
    for strokes c that cover shares alpha, the u is found that minimises

        sum_rs w_rs (u_r - u_s)^2 + STROKE sum_r alpha_r (u_r - c_r)^2 + leak sum_r u_r^2,
        w_rs = exp(-(Y_r - Y_s)^2 / 2 STEP^2) + LEAST.

    With c = 1 it gives the probability that a random walk which follows the weights, and ends by itself after about
    `reach` times the shorter side, ends in a stroke: that is the trust, and u over it the colour.

    Args:
        grey: Y, (1, 1, H, W) in [0, 1].
        chroma: colour less its grey where strokes are, (1, 3, H, W).
        alpha: where they are, (1, 1, H, W) in [0, 1].
        reach: share of the shorter side.

    Returns:
        (1, 3, H, W), and (1, 1, H, W) in [0, 1].
    """
    size = grey.shape[-2:]
    scale = min(1.0, LARGEST / min(size))
    coarse = (max(1, round(size[0] * scale)), max(1, round(size[1] * scale)))
    if coarse == tuple(size):
        return _solved(grey, chroma, alpha, reach)
    small = functional.resize(grey, coarse, "bilinear")
    share = functional.resize(alpha, coarse, "bilinear")
    mean = functional.resize(chroma * alpha, coarse, "bilinear") / share.clamp_min(1e-6)
    colour, trust = _solved(small, mean, share, reach)
    both = guided(small, torch.cat([colour, trust], 1), grey)
    return both[:, :3], both[:, 3:].clamp(0, 1)


def _solved(grey: Tensor, chroma: Tensor, alpha: Tensor, reach: float) -> tuple[Tensor, Tensor]:
    height, width = grey.shape[-2:]
    laplacian = _laplacian(grey[0, 0].double().numpy())
    held = STROKE * alpha[0, 0].double().numpy().ravel()
    leak = 1 / (reach * min(height, width)) ** 2
    factor = splu(
        (laplacian + sparse.diags(held + leak)).tocsc(), permc_spec="MMD_AT_PLUS_A", options={"SymmetricMode": True}
    )
    known = torch.cat([chroma, torch.ones_like(alpha)], 1)[0].double().numpy().reshape(4, -1)
    found = torch.from_numpy(factor.solve((held * known).T).T.reshape(1, 4, height, width)).to(grey)
    trust = found[:, 3:]
    return found[:, :3] / trust.clamp_min(1e-6), trust.clamp(0, 1)


def _laplacian(grey: Array) -> sparse.csr_array:
    """Of the graph that joins each pixel with its eight neighbours."""
    height, width = grey.shape
    index = np.arange(height * width).reshape(height, width)
    rows, columns, weights = [], [], []
    for down, right in ((0, 1), (1, 0), (1, 1), (1, -1)):
        here = (slice(0, height - down), slice(max(0, -right), width - max(0, right)))
        there = (slice(down, height), slice(max(0, right), width - max(0, -right)))
        weight = np.exp(-((grey[here] - grey[there]) ** 2) / (2 * STEP**2)) + LEAST
        rows.append(index[here].ravel())
        columns.append(index[there].ravel())
        weights.append(weight.ravel() / np.hypot(down, right))
    i, j, w = np.concatenate(rows), np.concatenate(columns), np.concatenate(weights)
    one_way = sparse.csr_array((w, (i, j)), shape=(index.size, index.size))
    both = one_way + one_way.T
    return sparse.csr_array(sparse.diags(both.sum(axis=1)) - both)


def guided(small: Tensor, values: Tensor, large: Tensor, radius: int = 2, epsilon: float = 1e-4) -> Tensor:
    """`values` of a small picture at the size of a large one, with the edges of its luminance.

    About every pixel of the small picture values are a line in the luminance; the lines are enlarged and followed (He &
    Sun, "Fast guided filter", 2015, equations 3 to 8). small, large: luminance, (1, 1, h, w) and (1, 1, H, W).
    """

    def mean(t: Tensor) -> Tensor:
        return F.avg_pool2d(functional.pad_reflect(t, radius, radius, radius, radius), 2 * radius + 1, 1)

    centre, middle = mean(small), mean(values)
    slope = (mean(small * values) - centre * middle) / (mean(small.square()) - centre.square() + epsilon)
    lines = mean(torch.cat([slope, middle - slope * centre], 1))
    lines = functional.resize(lines, large.shape[-2:], "bilinear")
    count = values.shape[1]
    return lines[:, :count] * large + lines[:, count:]
