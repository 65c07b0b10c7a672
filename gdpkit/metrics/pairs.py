"""What metrics of two pictures share: the check that the two can be compared."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gdpkit.errors import GdpkitError, ImageError

if TYPE_CHECKING:
    from torch import Tensor


class SizesDiffer(ImageError):
    """Two pictures that no metric of pairs can compare."""


def compared(
    name: str, image: Tensor, reference: Tensor | None, border: int = 0, smallest: int = 1, instead: str = ""
) -> tuple[Tensor, Tensor]:
    """Both pictures, (B, C, h, w), as float64 and without `border` pixels on every side.

    In float64, because a sum of squares over millions of pixels, or a difference of two such sums, loses digits that
    show in a table. Raises `GdpkitError` naming the metric where a picture is missing, and `ImageError` where the two
    differ in size, or fewer than `smallest` pixels are left on a side; `instead` says what else would do then.
    """
    if reference is None:
        raise GdpkitError(f"{name} compares two pictures and was given one")
    if image.shape != reference.shape:
        raise SizesDiffer(f"{name}: the two pictures differ in shape, {_size(image)} and {_size(reference)}")
    height, width = image.shape[-2] - 2 * border, image.shape[-1] - 2 * border
    if min(height, width) < smallest:
        without = f" without its border of {border}" if border else ""
        needed = f"{smallest}x{smallest} pixels are needed{instead}"
        raise ImageError(f"{name}: {_size(image)}{without} is too small; {needed}")
    inside = (..., slice(border, border + height), slice(border, border + width))
    return image[inside].double(), reference[inside].double()


def _size(image: Tensor) -> str:
    channels, height, width = image.shape[-3:]
    return f"{width}x{height} pixels of {channels} channel{'' if channels == 1 else 's'}"
