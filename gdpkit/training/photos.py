"""Crops of photographs for training, and whole ones for validation."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor

from gdpkit.errors import GdpkitError

SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp"}
VALIDATION_SIDE = 256
VALIDATION_MOST = 8
VALIDATION_SHARE = 73  # of the photographs one in so many, which training then never sees


class Photos:
    """Photographs in memory, as bytes; a few are set aside for validation."""

    def __init__(self, folders: Sequence[Path], crop: int) -> None:
        """Read every photograph below the folders (or the files given). Those smaller than a crop are left out."""
        files = sorted(f for p in folders for f in (p.rglob("*") if p.is_dir() else [p]))
        files = [f for f in files if f.suffix.lower() in SUFFIXES]
        pictures = [_read(f) for f in files]
        apart = {i for i in range(0, len(files), VALIDATION_SHARE) if min(pictures[i].shape[:2]) >= VALIDATION_SIDE}
        apart = set(sorted(apart)[:VALIDATION_MOST])
        self.training = [p for i, p in enumerate(pictures) if i not in apart and min(p.shape[:2]) >= crop]
        self.validation = [_tensor(pictures[i][:VALIDATION_SIDE, :VALIDATION_SIDE][None]) for i in sorted(apart)]
        if not self.training:
            raise GdpkitError(f"no photograph of at least {crop}x{crop} pixels in {', '.join(map(str, folders))}")
        self._crop = crop

    def batch(self, count: int, grey: float, random: np.random.Generator) -> Tensor:
        """(count, 3, crop, crop) in [-1, 1]: random crops, turned and mirrored, a share of them without colour."""
        side = self._crop
        crops = np.empty((count, side, side, 3), np.uint8)
        for i in range(count):
            picture = self.training[random.integers(len(self.training))]
            top, left = (random.integers(picture.shape[axis] - side + 1) for axis in (0, 1))
            crop = np.rot90(picture[top : top + side, left : left + side], int(random.integers(4)))
            if random.random() < 0.5:
                crop = crop[:, ::-1]
            if random.random() < grey:
                crop = crop.mean(axis=2, keepdims=True).round().astype(np.uint8)
            crops[i] = crop
        return _tensor(crops)


def _read(file: Path) -> npt.NDArray[np.uint8]:
    try:
        with Image.open(file) as opened:
            return np.asarray(opened.convert("RGB"))
    except (OSError, ValueError, SyntaxError) as error:
        raise GdpkitError(f"{file} cannot be read: {error}") from error


def _tensor(pictures: npt.NDArray[np.uint8]) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(pictures)).permute(0, 3, 1, 2).float() / 127.5 - 1
