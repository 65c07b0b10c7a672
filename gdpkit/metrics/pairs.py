"""What metrics of two pictures share: the check that the two can be compared."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gdpkit.errors import GdpkitError

if TYPE_CHECKING:
    from torch import Tensor


def compared(
    name: str, image: Tensor, reference: Tensor | None, border: int = 0, smallest: int = 1
) -> tuple[Tensor, Tensor]:
    """Both pictures, (B, C, h, w), as float64 and without `border` pixels on every side.

    In float64, because a sum of squares over millions of pixels, or a difference of two such sums, loses digits that
    show in a table. Raises `GdpkitError` naming the metric where a picture is missing, the two differ in shape, or
    fewer than `smallest` pixels are left on a side.
    """
    if reference is None:
        raise GdpkitError(f"{name} compares two pictures and was given one")
    if image.shape != reference.shape:
        raise GdpkitError(f"{name}: the two pictures differ in shape, {_size(image)} and {_size(reference)}")
    height, width = image.shape[-2] - 2 * border, image.shape[-1] - 2 * border
    if min(height, width) < smallest:
        without = f" without its border of {border}" if border else ""
        raise GdpkitError(f"{name}: {_size(image)}{without} is too small; {smallest}x{smallest} pixels are needed")
    inside = (..., slice(border, border + height), slice(border, border + width))
    return image[inside].double(), reference[inside].double()


def _size(image: Tensor) -> str:
    channels, height, width = image.shape[-3:]
    return f"{width}x{height} pixels of {channels} channel{'' if channels == 1 else 's'}"
