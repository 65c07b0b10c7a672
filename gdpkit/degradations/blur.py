"""Blur by one kernel, known and the same everywhere."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gdpkit.components import Shape, SingularSystem
from gdpkit.degradations.optics import LIGHTS, Optics
from gdpkit.errors import GdpkitError
from gdpkit.params import param

if TYPE_CHECKING:
    from torch import Tensor

PARAMETERS: Mapping[str, Mapping[str, Any]] = {
    "gaussian": {"sigma": 2.0, "size": None},
    "box": {"size": 9},
    "motion": {"length": 15.0, "angle": 0.0},
    "disk": {"radius": 4.0},
    "file": {"file": None},
}
"""The parameters of each kernel, with what they are where they are not given."""

BOUNDARIES = ("reflect", "replicate", "circular", "valid")


@dataclass(frozen=True)
class Blur(Optics):
    """Blur the image by a kernel: y = k * x.

    `gaussian` (sigma, size), `box` (size), `motion` (length, angle), `disk` (radius), or `file`: a picture or .npy
    array of the kernel, which is divided by its sum. Beyond the border the image is mirrored with its edge pixel
    repeated (`reflect`), or goes on with its edge pixel (`replicate`) or from the other side (`circular`); `valid`
    keeps only what the whole kernel sees, so that the result is smaller.
    """

    name = "blur"

    kernel: str = param("gaussian", help="The kernel.", choices=tuple(PARAMETERS))
    size: int | None = param(None, help="Side of a box (9), or of a gaussian (to 3 sigma); odd.", min=1, max=255,
                             unit="pixels")  # fmt: skip
    sigma: float | None = param(None, help="Deviation of a gaussian (2).", min=0.1, max=64, unit="pixels")
    length: float | None = param(None, help="Way of a motion (15).", min=1, max=255, unit="pixels")
    angle: float | None = param(None, help="Direction of a motion (0), counter-clockwise from the right.", min=-360,
                                max=360, unit="degrees")  # fmt: skip
    radius: float | None = param(None, help="Radius of a disk (4).", min=0.5, max=127, unit="pixels")
    file: Path | None = param(None, help="Picture or .npy array of the kernel, with kernel=file.")
    boundary: str = param("reflect", help="What lies beyond the border.", choices=BOUNDARIES)
    light: str = param("encoded", help="What is averaged: values as they are in the file, by a program, or light "
                       "(linear), by a lens or a hand.", choices=LIGHTS)  # fmt: skip

    def __post_init__(self) -> None:
        super().__post_init__()
        own = PARAMETERS[self.kernel]
        for key in ("size", "sigma", "length", "angle", "radius", "file"):
            if getattr(self, key) is not None and key not in own:
                raise GdpkitError(
                    f"blur: {key} is no parameter of the {self.kernel} kernel, which has {', '.join(own)}"
                )
        if self.size is not None and self.size % 2 == 0:
            right = f"{self.size - 1} or {self.size + 1}"
            raise GdpkitError(f"blur: size must be odd, so that the kernel has a middle: {right}, not {self.size}")
        if self.kernel == "file" and self.file is None:
            raise GdpkitError("blur: kernel=file needs the kernel's file, e.g. blur:kernel=file,file=kernel.png")

    def weights(self) -> Tensor:
        """The kernel, (h, w) with odd sides, float64; its values sum to one.

        Raises `ImageError` where a file cannot be read or is no kernel.
        """
        from gdpkit import kernels

        if self.file is not None:
            return kernels.read(self.file)
        chosen = {
            key: default if getattr(self, key) is None else getattr(self, key)
            for key, default in PARAMETERS[self.kernel].items()
        }
        made: Tensor = getattr(kernels, self.kernel)(**chosen)
        return made

    def __call__(self, image: Tensor) -> Tensor:  # type: ignore[override]
        """(B, C, H, W) -> the same size; smaller by the kernel less one pixel where the boundary is "valid"."""
        kernel = self.weights()
        if self.boundary == "valid":
            self._check_room(image, kernel)
        return self.averaged(image, kernel)

    def _check_room(self, image: Tensor, kernel: Tensor) -> None:
        (rows, columns), (height, width) = kernel.shape, image.shape[-2:]
        if height < rows or width < columns:
            raise GdpkitError(
                f"blur: nothing is left of {width}x{height} pixels by a kernel of {columns}x{rows} with boundary=valid"
            )

    def adjoint(self, observed: Tensor) -> Tensor:
        """The transpose."""
        from gdpkit import convolution

        return convolution.transposed(observed, self.weights(), self.boundary)

    def spectral(self, shape: Shape, **unknowns: Tensor) -> SingularSystem | None:
        """In cosines where borders reflect and the kernel is symmetric, in waves where they wrap."""
        from gdpkit import spectra

        if not self.linear:
            return None
        kernel = self.weights()
        if self.boundary == "circular":
            return spectra.periodic_filter(kernel, *shape[1:])
        if self.boundary == "reflect" and spectra.symmetric(kernel):
            return spectra.cosine_filter(kernel, *shape[1:])
        return None

    def near(self, shape: Shape, **unknowns: Tensor) -> SingularSystem | None:
        """Of "valid", of which it is a part: as if borders wrapped."""
        from gdpkit import spectra

        if self.boundary != "valid" or not self.linear:
            return self.spectral(shape)
        return spectra.periodic_filter(self.weights(), *shape[1:])

    def prox(self, image: Tensor, observed: Tensor, sigma: Tensor, noise: float) -> Tensor | None:
        """The mean of N(image, sigma^2) where the boundary is "valid", the unseen border solved for, or of light."""
        from gdpkit import borders, weighed_blur

        if not self.linear:
            return weighed_blur.prox(image, observed, self.weights(), sigma, noise, light=True, boundary=self.boundary)
        return borders.prox(image, observed, self.weights(), sigma, noise) if self.boundary == "valid" else None

    def prox_where(self, image: Tensor, observed: Tensor, weight: Tensor, sigma: Tensor, noise: float) -> Tensor:
        """The same where values weigh differently."""
        from gdpkit import weighed_blur

        light, boundary = not self.linear, self.boundary
        return weighed_blur.prox(
            image, observed, self.weights(), sigma, noise, weight=weight, light=light, boundary=boundary
        )

    def propagate(self, sigma: float) -> float:
        """Averaging independent noise divides it: by the Euclidean norm of the kernel."""
        from gdpkit import kernels

        return sigma * kernels.euclidean_norm(self.weights())

    def clean_shape(self, observed_shape: Shape) -> Shape:
        """The same, or larger by the kernel less one pixel where the boundary is "valid"."""
        if self.boundary != "valid":
            return observed_shape
        channels, height, width = observed_shape
        rows, columns = self.weights().shape
        return channels, height + rows - 1, width + columns - 1
