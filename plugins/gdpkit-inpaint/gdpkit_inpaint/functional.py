"""What the mask, the colour and the options mark in a photograph, and how deep the holes are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from gdpkit import GdpkitError, ImageError, Prior, Problem, masks
from gdpkit import functional as shared
from gdpkit.images import Picture

RGB = tuple[int, int, int]

REACH = 10
"""Pixels into a hole beyond which the embedded prior is no nearer to the truth than a smooth surface."""

MOST = 0.6
"""Where more than this share is marked, the mask may be the wrong way round."""


def of_mask(photo: Picture, mask: Path, invert: bool) -> Tensor:
    """What a mask file marks in a photograph: (1, 1, H, W) of bool.

    With `invert` all that is not white is marked. Raises `ImageError` where the file cannot be
    read or has another size than the photograph, and where it marks nothing or all of it.
    """
    lost = masks.lost(mask, inverted=invert)
    name = getattr(mask, "source", mask) if isinstance(mask, str | Path | Picture) else "the array"
    height, width = photo.pixels.shape[-2:]
    rows, columns = lost.shape[-2:]
    if (rows, columns) != (height, width):
        what = f"--mask {name} is {columns}x{rows} pixels, but {photo.source} is {width}x{height}"
        if (columns, rows) == (height, width):
            what += ", after it was turned upright as its EXIF says; turn the mask by 90 degrees"
            raise ImageError(what)
        raise ImageError(f"{what}; draw the mask on the photograph at its full size")
    if not lost.any():
        colour, other = ("white", "is no --invert needed?") if invert else ("black", "if black marks it, add --invert")
        raise ImageError(f"--mask {name} is {colour} all over, so nothing is marked to be repaired; {other}")
    if lost.all():
        raise ImageError(f"--mask {name} marks all of the photograph: nothing is left to repair it from")
    return lost


def of_colour(photo: Picture, colour: RGB, tolerance: float) -> Tensor:
    """Where each channel is within `tolerance` (0..255) of a colour: (1, 1, H, W) of bool.

    Raises `GdpkitError` where no pixel is, and tells how near the nearest comes.
    """
    wanted = torch.tensor(colour, dtype=torch.float32)[:, None, None]
    away = (255 * shared.with_channels(photo.pixels[:1], 3) - wanted).abs().amax(dim=1, keepdim=True)
    marked = away <= tolerance + 0.01  # what float32 makes of a 16-bit level
    if not marked.any():
        nearest = int(np.ceil(float(away.min()) - 0.01))
        raise GdpkitError(
            f"--color {bytes(colour).hex()}: no pixel of {photo.source} has this colour within --tolerance "
            f"{tolerance:g}; the nearest differs by {nearest}"
        )
    return marked


def repairable(photo: Picture, marked: Tensor) -> Tensor:
    """The marked pixels; `GdpkitError` where they are all."""
    if marked.all():
        raise GdpkitError(
            f"all of {photo.source} is marked: nothing is left to repair it from; less --grow or --tolerance"
        )
    return marked


def warnings(problem: Problem, prior: Prior) -> list[str]:
    """What whoever sees the result should know of the holes, given how far the prior sees."""
    kept = problem.observations[0].weight
    if kept is None:
        return []
    lost = kept[:1, :1] == 0
    found = []
    share = float(lost.float().mean())
    if share > MOST:
        found.append(f"{share:.0%} of it is marked as lost: white marks what to repair; --invert turns a mask round")
    depth = masks.distance(lost)
    deepest = float(depth.max())
    if prior.receptive_field is not None and deepest > REACH:
        at = int(depth.argmax())
        row, column = divmod(at, depth.shape[-1])
        found.append(
            f"a hole is {2 * deepest:.0f} pixels wide, around x = {column}, y = {row}. The {prior.name} prior knows "
            f"edges and textures, not objects: more than {REACH} pixels from its rim the hole is filled with a calm "
            "continuation of the surroundings, which says nothing of what was there"
        )
    return found
