"""Masks: which pixels of a picture are lost. White, that is any value but 0, is lost."""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path
from typing import Any

import cv2
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from gdpkit import images
from gdpkit.images import Picture

Source = str | os.PathLike[str] | Picture | NDArray[Any] | Tensor


def lost(source: Source, *, inverted: bool = False) -> Tensor:
    """The lost pixels of a mask, (1, 1, H, W) of bool: those that are not black, laid over black.

    Of 1, 8 or 16 bits, grey, colour or palette, and turned upright as its own EXIF says. So the grey rim of a line
    drawn with smooth edges is lost with the line, and what is transparent is kept. `inverted`: all that is not white is
    lost. Of a lossy file what is nearer to white is lost, as compression leaves ripples on the black. Arrays are
    (H, W[, C]), tensors (C, H, W). Raises `ImageError` where a file cannot be read.
    """
    picture = images.open_picture(source)
    shown = picture.pixels[:1] if picture.alpha is None else picture.pixels[:1] * picture.alpha[:1]
    if picture.coding is not None:
        shown = shown.round()
    return shown.amin(dim=1, keepdim=True) < 1 if inverted else shown.amax(dim=1, keepdim=True) > 0


def kept(source: Source, device: torch.device, dtype: torch.dtype) -> Tensor:
    """1 where a mask keeps the pixel and 0 where it is lost, (1, 1, H, W). Files are read once, until they change."""
    if isinstance(source, str | os.PathLike):
        path = Path(source).absolute()
        if path.is_file():
            state = path.stat()
            return _kept_of_file(path, state.st_mtime_ns, state.st_size, device, dtype)
    return (~lost(source)).to(device, dtype)


@lru_cache(maxsize=8)
def _kept_of_file(path: Path, changed: int, size: int, device: torch.device, dtype: torch.dtype) -> Tensor:
    return (~lost(path)).to(device, dtype)


@lru_cache(maxsize=8)
def scattered(missing: float, seed: int, height: int, width: int, device: torch.device, dtype: torch.dtype) -> Tensor:
    """1 where a pixel is kept and 0 where it is lost, each with probability `missing` by itself, (1, 1, H, W).

    The same seed and size lose the same pixels, on every device.
    """
    drawn = torch.rand(1, 1, height, width, generator=torch.Generator().manual_seed(seed))
    return (drawn >= missing).to(device, dtype)


def grown(marked: Tensor, pixels: float) -> Tensor:
    """A mask, (1, 1, H, W) of bool, with all that is within `pixels` of it, and half a pixel more for the corners."""
    return distance(~marked) <= pixels + 0.5 if pixels else marked


def distance(marked: Tensor) -> Tensor:
    """From each marked pixel to the nearest that is not, in pixels, (1, 1, H, W) of float32; 0 where not marked.

    Where all is marked it is infinite.
    """
    if marked.all():
        return torch.full(marked.shape, torch.inf)
    plane: Any = marked[0, 0].to("cpu", torch.uint8).numpy()
    return torch.from_numpy(cv2.distanceTransform(plane, cv2.DIST_L2, cv2.DIST_MASK_PRECISE))[None, None]


def shrunk(marked: Tensor, scale: int) -> Tensor:
    """A mask, bool (B, 1, H, W), `scale` times smaller: what a lost pixel reaches is lost.

    Sides that are no multiples of the scale lose the rest, as in `functional.decimate`.
    """
    return F.max_pool2d(marked.float(), scale) > 0
