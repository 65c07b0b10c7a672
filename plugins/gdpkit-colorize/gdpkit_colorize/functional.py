"""Colour and its grey. Images are (B, C, H, W) in [0, 1]."""

from __future__ import annotations

import torch
from torch import Tensor

from gdpkit import GdpkitError, functional, images
from gdpkit.components import Degradation
from gdpkit_colorize import matching, spreading

REACH = 1.0
"""How far the colour of a stroke is trusted, in shorter sides of the picture, where no edge is in its way."""


def coloured(grey: Tensor, chroma: Tensor) -> Tensor:
    """The picture of this grey (B, 1, H, W) and colour less its grey (B, 3, H, W), within [0, 1].

    Where a colour does not exist at its brightness it becomes paler until it does: clipping would change the grey.
    """
    room = torch.where(chroma > 0, 1 - grey, grey)
    paler = (room / chroma.abs().clamp_min(1e-9)).amin(dim=1, keepdim=True).clamp(0, 1)
    return (grey + paler * chroma).clamp(0, 1)


def from_hints(grey: Tensor, source: object, gray: Degradation) -> tuple[Tensor, Tensor]:
    """What strokes say of every pixel: a picture (B, 3, H, W) with the grey of `grey`, and its trust (B, 1, H, W).

    Raises `GdpkitError` where the strokes are not on transparency, are none, or are not of the picture's size.
    """
    strokes = images.open_picture(source)  # type: ignore[arg-type]
    if strokes.alpha is None:
        hint = "draw strokes on a transparent layer (RGBA)"
        raise GdpkitError(f"--hints {strokes.source}: it has no transparency; {hint}")
    if strokes.pixels.shape[-2:] != grey.shape[-2:]:
        (h, w), (height, width) = strokes.pixels.shape[-2:], grey.shape[-2:]
        raise GdpkitError(f"--hints {strokes.source}: it is {w}x{h} pixels, and the photograph {width}x{height}")
    if not bool((strokes.alpha > 0).any()):
        raise GdpkitError(f"--hints {strokes.source}: it is transparent everywhere, so there is no stroke in it")
    colours = functional.with_channels(strokes.pixels, 3)
    chroma = colours - gray(colours)
    found = [spreading.spread(y[None], chroma[:1], strokes.alpha[:1], REACH) for y in grey]
    picture, trust = _observed(grey, found)
    return picture, trust.square()  # by measurement: what is far from every stroke is better left to the prior


def from_palette(grey: Tensor, source: object, gray: Degradation) -> tuple[Tensor, Tensor]:
    """What the colours of another photograph suggest: a picture with the grey of `grey`, and its trust.

    Raises `GdpkitError` where that photograph has no colours.
    """
    palette = images.open_picture(source)  # type: ignore[arg-type]
    if not functional.is_coloured(palette.pixels):
        raise GdpkitError(f"--palette {palette.source}: it is grey and has no colours to give")
    luminance = gray(palette.pixels[:1])
    found = [matching.matched(y[None], luminance, palette.pixels[:1] - luminance) for y in grey]
    return _observed(grey, found)


def _observed(grey: Tensor, found: list[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    chroma, trust = (torch.cat(parts) for parts in zip(*found, strict=True))
    return coloured(grey, chroma), trust
