"""Losing pixels."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from gdpkit.components import Degradation, Shape, SingularSystem
from gdpkit.errors import GdpkitError, ImageError
from gdpkit.params import param

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Mask(Degradation):
    """Lose pixels: y = m x, m = 0 where a pixel is lost, in all channels together, and 1 elsewhere.

    `file` is a picture of the size of the image at this stage, whose white (any value but 0) pixels are lost.
    `missing` loses that share of the pixels at random, for trials: the same seed and size lose the same ones. Lost
    pixels weigh nothing when the image is restored.
    """

    name = "mask"
    linear: ClassVar[bool] = True
    example_params: ClassVar[Mapping[str, Any]] = {"missing": 0.25}

    file: Path | None = param(None, help="The mask: white (any value but 0) pixels are lost.")
    missing: float | None = param(None, help="Instead of a file: the share of pixels to lose at random.", min=0, max=1)
    seed: int = param(0, help="Of the pixels lost at random.", min=0)

    def __post_init__(self) -> None:
        super().__post_init__()
        if (self.file is None) == (self.missing is None):
            raise GdpkitError("mask needs either file, as in mask:file=dust.png, or missing, as in mask:missing=0.25")
        if self.file is not None and not isinstance(self.file, str | os.PathLike):
            from gdpkit import images

            # Pictures compare by identity, where arrays compare value by value: degradations must have one truth.
            object.__setattr__(self, "file", images.open_picture(self.file))

    def kept(self, height: int, width: int, like: Tensor | None = None) -> Tensor:
        """1 where a pixel of an image of this size is kept and 0 where it is lost, (1, 1, H, W).

        On the device and in the type of `like`, else float32 on the CPU. Raises `ImageError` where the file cannot be
        read, or has another size.
        """
        import torch

        from gdpkit import masks

        kind = (torch.device("cpu"), torch.float32) if like is None else (like.device, like.dtype)
        if self.missing is not None:
            return masks.scattered(self.missing, self.seed, height, width, *kind)
        assert self.file is not None
        found = masks.kept(self.file, *kind)
        self._check_size(found, height, width)
        return found

    def __call__(self, image: Tensor) -> Tensor:  # type: ignore[override]
        """(B, C, H, W) -> the same, 0 where lost."""
        return image * self.kept(image.shape[-2], image.shape[-1], image)

    def adjoint(self, observed: Tensor) -> Tensor:
        """The transpose: the mask itself."""
        return self(observed)

    def pinv(self, observed: Tensor) -> Tensor:
        """The pseudo-inverse: the mask itself, which is a projection."""
        return self(observed)

    def spectral(self, shape: Shape, **unknowns: Tensor) -> SingularSystem:
        """Singular values 1 at kept pixels, 0 at lost ones."""
        from gdpkit import spectra

        return spectra.tight(self, self.adjoint, self.kept(*shape[1:]))

    def measured(self, observed: Tensor) -> Tensor:
        """Lost pixels weigh 0."""
        return self.kept(observed.shape[-2], observed.shape[-1], observed)

    def clean_shape(self, observed_shape: Shape) -> Shape:
        """The same; a mask of another size is an error."""
        self.kept(*observed_shape[1:])
        return observed_shape

    def at_scale(self, s: int) -> Degradation | None:
        """The file's mask made smaller, where a pixel is lost if any behind it is; none of pixels lost at random."""
        from gdpkit import images, masks

        if self.file is None:
            return None
        smaller = masks.shrunk(masks.lost(self.file), s)
        return Mask(file=images.Picture(smaller.float()))  # type: ignore[arg-type]

    def _check_size(self, found: Tensor, height: int, width: int) -> None:
        rows, columns = found.shape[-2:]
        if (rows, columns) == (height, width):
            return
        what = (
            f"the mask {_named(self.file)} is {columns}x{rows} pixels, but the image at its stage is {width}x{height}"
        )
        if (columns, rows) == (height, width):
            raise ImageError(f"{what}: turn the mask by 90 degrees (photographs are turned upright when they are read)")
        moved = "before the stages that make the image smaller" if rows * columns > height * width else (
            "behind the stages that make the image smaller"
        )  # fmt: skip
        raise ImageError(f"{what}; in a chain, move the mask {moved}, or draw it at {width}x{height}")


def _named(file: Any) -> str:
    return str(getattr(file, "source", file))
