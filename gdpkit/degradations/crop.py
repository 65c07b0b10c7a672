"""Seeing a part of the image."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, ClassVar

from gdpkit.components import Degradation, Shape, SingularSystem
from gdpkit.errors import GdpkitError
from gdpkit.params import param

if TYPE_CHECKING:
    from torch import Tensor

_SIDES = ("top", "left", "bottom", "right")


@dataclass(frozen=True)
class Crop(Degradation):
    """Cut the borders off: the clean image reaches beyond what was observed. Restoring it is outpainting.

    `top`, `left`, `bottom` and `right` are how much is cut at each side, or `fraction` is the share of each side that
    is left in the middle. All are told from the outside in, so that the observation's size gives the clean one's.
    """

    name = "crop"
    linear: ClassVar[bool] = True
    example_params: ClassVar[Mapping[str, Any]] = {"top": 3, "right": 8}

    top: int = param(0, help="Rows cut off above.", min=0, unit="pixels")
    left: int = param(0, help="Columns cut off at the left.", min=0, unit="pixels")
    bottom: int = param(0, help="Rows cut off below.", min=0, unit="pixels")
    right: int = param(0, help="Columns cut off at the right.", min=0, unit="pixels")
    fraction: float | None = param(None, help="Instead: the share of each side that is left, in the middle.",
                                   min=0.05, max=0.99)  # fmt: skip

    def __post_init__(self) -> None:
        super().__post_init__()
        sides = any(getattr(self, side) for side in _SIDES)
        if sides == (self.fraction is not None):
            what = "not both" if sides else "none is given"
            raise GdpkitError(f"crop needs top, left, bottom or right, or else fraction, e.g. crop:left=64; {what}")

    def __call__(self, image: Tensor) -> Tensor:  # type: ignore[override]
        """(B, C, H, W) -> (B, C, h, w), the part that is left."""
        height, width = image.shape[-2:]
        top, left, bottom, right = self._cuts(height, width)
        if top + bottom >= height or left + right >= width:
            what = f"{top + bottom} rows and {left + right} columns"
            raise GdpkitError(f"crop cuts {what} off an image of {width}x{height}: nothing would be left")
        return image[..., top : height - bottom, left : width - right].contiguous()

    def adjoint(self, observed: Tensor) -> Tensor:
        """The transpose: black borders, (B, C, h, w) -> (B, C, H, W)."""
        from torch.nn import functional as F

        _, height, width = self.clean_shape((1, *observed.shape[-2:]))
        top, left, bottom, right = self._cuts(height, width)
        return F.pad(observed, (left, right, top, bottom))

    def pinv(self, observed: Tensor) -> Tensor:
        """The pseudo-inverse: the transpose, as D D^T = 1."""
        return self.adjoint(observed)

    def spectral(self, shape: Shape, **unknowns: Tensor) -> SingularSystem:
        """All singular values are 1."""
        from gdpkit import spectra

        return spectra.tight(self, self.adjoint, 1.0)

    def clean_shape(self, observed_shape: Shape) -> Shape:
        """With the borders that were cut off."""
        channels, height, width = observed_shape
        if self.fraction is not None:
            return channels, round(height / self.fraction), round(width / self.fraction)
        return channels, height + self.top + self.bottom, width + self.left + self.right

    def at_scale(self, s: int) -> Degradation | None:
        """The same fraction; borders that are no multiples of s have no smaller form."""
        cuts = {f.name: getattr(self, f.name) for f in fields(self) if f.name in _SIDES}
        if self.fraction is not None:
            return self
        return None if any(cut % s for cut in cuts.values()) else Crop(**{k: cut // s for k, cut in cuts.items()})

    def _cuts(self, height: int, width: int) -> tuple[int, int, int, int]:
        """How much is cut off an image of this size: top, left, bottom, right."""
        if self.fraction is None:
            return self.top, self.left, self.bottom, self.right
        rows, columns = (size - max(1, round(size * self.fraction)) for size in (height, width))
        return rows // 2, columns // 2, rows - rows // 2, columns - columns // 2
