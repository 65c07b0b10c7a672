"""Crops of photographs for training, and whole ones for validation."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
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
LEAST = 2  # one to train on and one to judge by

Picture = npt.NDArray[np.uint8]


def scaled(pictures: Tensor) -> Tensor:
    """(B, H, W, 3), uint8 -> (B, 3, H, W) in [-1, 1], on the device that they are on."""
    return pictures.permute(0, 3, 1, 2).float() / 127.5 - 1


class Photos:
    """Photographs in memory, as bytes; a few are set aside for validation.

    Attributes:
        training: the others, uint8 (H, W, 3).
        validation: (1, 3, H, W) in [-1, 1], at most 256x256.
        digest: tells whether two trainings saw the same photographs.
    """

    def __init__(
        self, paths: Sequence[Path], crop: int, short_side: int, note: Callable[[str], None] = lambda _: None
    ) -> None:
        """Read every photograph below the folders (or the files given).

        Those that cannot be read are left out with a note each, and so are those smaller than a crop, with one note.
        Fewer than two that remain are a `GdpkitError`.
        """
        files = _files(paths)
        where = ", ".join(map(str, paths))
        pictures: list[Picture] = []
        known = hashlib.sha256()
        unreadable = small = 0
        for file in files:
            try:
                picture = _read(file, short_side)
            except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
                unreadable += 1
                note(f"{file} cannot be read and is left out: {error}")
                continue
            if min(picture.shape[:2]) < crop:
                small += 1
                continue
            known.update(f"{file.name} {picture.shape}\n".encode("utf-8", "surrogateescape"))
            pictures.append(picture)
        if len(pictures) < LEAST:
            raise GdpkitError(
                f"a training needs at least {LEAST} photographs of {crop}x{crop} pixels or more, better hundreds; in "
                f"{where} {len(files)} were found, {unreadable} of them unreadable and {small} too small"
            )
        if small:
            note(f"{small} photographs are smaller than a crop of {crop}x{crop} pixels and are left out")
        spaced = [i for i in range(0, len(pictures), VALIDATION_SHARE) if min(pictures[i].shape[:2]) >= VALIDATION_SIDE]
        apart = set(spaced[:VALIDATION_MOST] or [0])
        self.training = [picture for i, picture in enumerate(pictures) if i not in apart]
        self.validation = [scaled(torch.from_numpy(_front(pictures[i], crop)[None])) for i in sorted(apart)]
        self.digest = known.hexdigest()
        self._crop = crop

    def batch(self, count: int, grey: float, random: np.random.Generator) -> Tensor:
        """(count, crop, crop, 3), uint8: random crops, turned and mirrored, a share of them without colour."""
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
        return torch.from_numpy(crops)


def _files(paths: Sequence[Path]) -> list[Path]:
    for path in paths:
        if not path.exists():
            raise GdpkitError(f"{path}: there is no such file or folder")
    found = {f for p in paths for f in (p.rglob("*") if p.is_dir() else [p])}
    named = set(paths)  # a file named by itself may have any suffix
    return sorted(f for f in found if f in named or (f.suffix.lower() in SUFFIXES and not f.name.startswith(".")))


def _read(file: Path, short_side: int) -> Picture:
    with Image.open(file) as opened:
        if opened.mode[0] in "IF":
            raise ValueError(f"pictures of mode {opened.mode} (more than 8 bits, grey) are not understood")
        factor = min(opened.size) // short_side
        if factor > 1:
            opened.draft("RGB", (opened.width // factor, opened.height // factor))  # JPEG decodes to a fraction at once
        picture = opened.convert("RGB")
    if min(picture.size) > short_side:
        share = short_side / min(picture.size)
        size = (round(picture.width * share), round(picture.height * share))
        picture = picture.resize(size, Image.Resampling.BOX)
    return np.asarray(picture)


def _front(picture: Picture, multiple: int) -> Picture:
    """The upper left part of a picture, at most 256x256, with sides that any network of this training takes."""
    height, width = (min(VALIDATION_SIDE, n) // multiple * multiple or multiple for n in picture.shape[:2])
    return picture[:height, :width].copy()
