"""Making an image smaller."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from gdpkit.components import Degradation, Shape, SingularSystem
from gdpkit.errors import GdpkitError
from gdpkit.params import param

if TYPE_CHECKING:
    from torch import Tensor

KERNELS = ("average", "bicubic", "gaussian", "lanczos")


@dataclass(frozen=True)
class Downsample(Degradation):
    """Make the image `scale` times smaller: y = S_s (k * x), for a kernel k centred on each s x s block.

    `average` is the mean of the block, as in the paper's super-resolution. Borders reflect. An image whose sides
    are no multiples of the scale loses the rest at the bottom and the right.
    """

    name = "downsample"
    linear: ClassVar[bool] = True
    scale: int = param(4, help="How many times smaller.", min=1, max=32)
    kernel: str = param("average", help="What averages the pixels.", choices=KERNELS)
    sigma: float | None = param(None, help="Deviation of the gaussian kernel; scale / 2 by default.", min=0.1,
                                max=64, unit="pixels")  # fmt: skip

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.sigma is not None and self.kernel != "gaussian":
            raise GdpkitError(f"downsample: sigma belongs to the gaussian kernel, not to {self.kernel}")

    def __call__(self, image: Tensor) -> Tensor:  # type: ignore[override]
        """(B, C, H, W) -> (B, C, H / scale, W / scale)."""
        from torch.nn import functional as F

        from gdpkit import functional

        height, width = image.shape[-2:]
        if min(height, width) < self.scale:
            least = f"{self.scale}x{self.scale}"
            raise GdpkitError(f"downsample:scale={self.scale} needs at least {least} pixels, not {width}x{height}")
        if self.kernel == "average":
            return F.avg_pool2d(image, self.scale)
        return functional.decimate(image, *functional.downsample_taps(self.kernel, self.scale, self.sigma), self.scale)

    def adjoint(self, observed: Tensor) -> Tensor:
        """The transpose, (B, C, h, w) -> (B, C, h * scale, w * scale)."""
        from gdpkit import functional

        if self.kernel == "average":
            return self.pinv(observed) / self.scale**2
        taps, first = functional.downsample_taps(self.kernel, self.scale, self.sigma)
        return functional.decimate_transpose(observed, taps, first, self.scale)

    def pinv(self, observed: Tensor) -> Tensor:
        """The smallest image that is observed like this; for `average`, every pixel repeated over its block."""
        if self.kernel == "average":
            return observed.repeat_interleave(self.scale, -1).repeat_interleave(self.scale, -2)
        channels, height, width = observed.shape[1:]
        return self.spectral(self.clean_shape((channels, height, width))).pinv(observed)

    def spectral(self, shape: Shape, **unknowns: Tensor) -> SingularSystem:
        """Means of blocks do not overlap; of other kernels, in cosines."""
        from gdpkit import functional, spectra

        if self.kernel == "average":
            return spectra.tight(self, self.adjoint, 1 / self.scale**2)
        taps, first = functional.downsample_taps(self.kernel, self.scale, self.sigma)
        return spectra.decimation(taps, first, self.scale, shape[1] // self.scale, shape[2] // self.scale)

    def propagate(self, sigma: float) -> float:
        """Averaging independent noise divides it: by the Euclidean norm of the kernel."""
        from gdpkit import functional

        taps, _ = functional.downsample_taps(self.kernel, self.scale, self.sigma)
        return sigma * sum(t * t for t in taps)

    def clean_shape(self, observed_shape: Shape) -> Shape:
        """`scale` times the observation."""
        channels, height, width = observed_shape
        return channels, height * self.scale, width * self.scale
