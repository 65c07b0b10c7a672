"""Colours for a grey picture from another photograph: those of the places that look alike."""

from __future__ import annotations

import numpy as np
import torch
from scipy.spatial import cKDTree
from torch import Tensor
from torch.nn import functional as F

from gdpkit import functional
from gdpkit_colorize.spreading import guided

GRID = 160
"""Pixels on the shorter side of the grid that is matched; the picture's own luminance fills in the rest."""
SAMPLES = 8000
NEIGHBOURS = 48
UNSURE = 0.06
"""Deviation of the colours of places that look alike at which they are trusted half."""


def matched(grey: Tensor, palette_grey: Tensor, palette_chroma: Tensor) -> tuple[Tensor, Tensor]:
    """The mean colour of the places of a palette that look as each place of a grey picture does, and its trust.

    Places look alike that have like luminance and like deviation of the luminance around them (Welsh, Ashikhmin &
    Mueller, "Transferring color to greyscale images", SIGGRAPH 2002), here at two sizes. The palette's luminance is
    first brought to the mean and deviation of the picture's, as there. Instead of one best place, the mean over many is
    taken, and trusted by how well they agree.

    Args:
        grey: (1, 1, H, W) in [0, 1].
        palette_grey: the palette's luminance, (1, 1, h, w).
        palette_chroma: its colours less their luminance, (1, 3, h, w).

    Returns:
        (1, 3, H, W), and (1, 1, H, W) in [0, 1].
    """
    small, sample = _at_grid(grey), _at_grid(palette_grey)
    colours = _at_grid(palette_chroma)[0].flatten(1).T.double().numpy()
    spread = small.std() / sample.std().clamp_min(1e-3)
    alike = (sample - sample.mean()) * spread + small.mean()
    step = max(1, len(colours) // SAMPLES)
    tree = cKDTree(_features(alike)[::step])
    _, nearest = tree.query(_features(small), k=min(NEIGHBOURS, len(colours[::step])))
    found = colours[::step][nearest.reshape(len(nearest), -1)]
    variance = found.var(axis=1).sum(axis=1)
    trust = 1 / (1 + variance / UNSURE**2)
    both = torch.from_numpy(np.column_stack([found.mean(axis=1), trust])).to(grey).T.reshape(1, 4, *small.shape[-2:])
    both = guided(small, both, grey)
    return both[:, :3], both[:, 3:].clamp(0, 1)


def _at_grid(image: Tensor) -> Tensor:
    height, width = image.shape[-2:]
    scale = min(1.0, GRID / min(height, width))
    return functional.resize(image, (max(1, round(height * scale)), max(1, round(width * scale))), "bilinear")


def _features(grey: Tensor) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    """Luminance, its mean over 9x9 pixels, and half its deviation over 5x5 and 9x9, a row for each pixel."""
    planes = [grey]
    for radius in (2, 4):
        mean, square = (_box(t, radius) for t in (grey, grey.square()))
        planes.append((square - mean.square()).clamp_min(0).sqrt() / 2)
    planes.append(_box(grey, 4))
    rows: np.ndarray[tuple[int, int], np.dtype[np.float64]] = torch.cat(planes, 1)[0].flatten(1).T.double().numpy()
    return rows


def _box(image: Tensor, radius: int) -> Tensor:
    return F.avg_pool2d(functional.pad_reflect(image, radius, radius, radius, radius), 2 * radius + 1, 1)
