"""Blur that changes across the image, as lenses and turning cameras cause it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from gdpkit.components import Degradation, Shape, SingularSystem
from gdpkit.degradations.blur import BOUNDARIES
from gdpkit.params import param

if TYPE_CHECKING:
    from torch import Tensor

    from gdpkit.mosaic import Mosaic


@dataclass(frozen=True)
class BlurGrid(Degradation):
    """Blur by kernels on a grid, interpolated across the image: y = sum_g w_g (k_g * x).

    The weights w_g are bilinear between the middles of the grid's cells and sum to one at every pixel, so that each
    pixel sees the interpolated kernel (Nagy & O'Leary, "Restoring images degraded by spatially variant blur", SIAM J.
    Sci. Comput. 1998). The file is a picture of the kernels side by side, or a .npy array of that picture or of shape
    (rows, columns, h, w); each kernel is divided by its sum.
    """

    name = "blur-grid"
    linear: ClassVar[bool] = True

    file: Path = param(help="Picture or .npy array of all kernels, row by row.")
    rows: int = param(2, help="How many kernels stand above each other.", min=1, max=16)
    columns: int = param(2, help="How many kernels stand side by side.", min=1, max=16)
    boundary: str = param("reflect", help="What lies beyond the border.",
                          choices=tuple(b for b in BOUNDARIES if b != "valid"))  # fmt: skip

    def weights(self) -> Tensor:
        """The kernels, (rows, columns, h, w) with odd sides, float64; the values of each sum to one.

        Raises `ImageError` where the file cannot be read or holds no such grid.
        """
        from gdpkit import kernels

        return kernels.read_grid(self.file, self.rows, self.columns)

    def __call__(self, image: Tensor) -> Tensor:  # type: ignore[override]
        """(B, C, H, W) -> the same size."""
        return self._mosaic(image).blurred(image)

    def adjoint(self, observed: Tensor) -> Tensor:
        """The transpose."""
        return self._mosaic(observed).transposed(observed)

    def prox(self, image: Tensor, observed: Tensor, sigma: Tensor, noise: float) -> Tensor:
        """The mean of N(image, sigma^2) given what was observed with this noise."""
        from gdpkit import patches

        return patches.prox(image, observed, self._mosaic(image), sigma, noise)

    def near(self, shape: Shape, **unknowns: Tensor) -> SingularSystem | None:
        """Of the mean kernel, as if borders wrapped."""
        from gdpkit import spectra

        return spectra.periodic_filter(self.weights().mean((0, 1)), *shape[1:])

    def _mosaic(self, image: Tensor) -> Mosaic:
        from gdpkit import mosaic

        height, width = image.shape[-2:]
        return mosaic.mosaic(self.weights(), height, width, self.boundary, image.device)

    def propagate(self, sigma: float) -> float:
        """Averaging independent noise divides it: by the Euclidean norm of the kernels, on average."""
        from gdpkit import kernels

        return sigma * kernels.euclidean_norm(self.weights())
