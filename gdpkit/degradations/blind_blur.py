"""Blur by an unknown kernel."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from gdpkit.components import Degradation, Shape, SingularSystem, Unknowns
from gdpkit.errors import GdpkitError, ImageError
from gdpkit.params import param

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class BlindBlur(Degradation):
    """Blur the image by a kernel that nobody knows: y = k * x, k from 0 and summing to one.

    The first guess is found coarse to fine from the observation alone (`gdpkit.blind`); each `fit` then moves the
    kernel towards the one that maps the edges of the present estimate of the clean image to the observed edges.
    Beyond the border the image is mirrored (`reflect`), or unknown (`valid`), so that the result is smaller. Only
    shifts by less than half of `size` can be told.
    """

    name = "blind-blur"
    linear: ClassVar[bool] = True
    example_params: ClassVar[Mapping[str, Any]] = {"size": 5}

    size: int = param(25, help="Side of the square that holds the kernel, odd; rather too large than too small.", min=3,
                      max=75, unit="pixels")  # fmt: skip

    boundary: str = param("reflect", help="What lies beyond the border.", choices=("reflect", "valid"))

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.size % 2 == 0:
            right = f"{self.size - 1} or {self.size + 1}"
            raise GdpkitError(
                f"blind-blur: size must be odd, so that the kernel has a middle: {right}, not {self.size}"
            )

    def __call__(self, image: Tensor, *, kernel: Tensor) -> Tensor:  # type: ignore[override]
        """(B, C, H, W) and (B, size, size) -> the same size; smaller by size - 1 for "valid"."""
        from gdpkit import convolution

        return convolution.convolve(image, kernel, self.boundary)

    @property
    def optical(self) -> bool:  # type: ignore[override]
        """Where the scene goes on beyond the border: a lens or a hand blurred it, no program."""
        return self.boundary == "valid"

    def adjoint(self, observed: Tensor, *, kernel: Tensor) -> Tensor:
        """The transpose."""
        from gdpkit import convolution

        return convolution.transposed(observed, kernel, self.boundary)

    def near(self, shape: Shape, *, kernel: Tensor) -> SingularSystem | None:  # type: ignore[override]
        """Of the kernel, or of the mean of several, as if borders wrapped."""
        from gdpkit import spectra

        return spectra.periodic_filter(kernel.mean(0).cpu(), *shape[1:])

    def prox(self, image: Tensor, observed: Tensor, sigma: Tensor, noise: float, *, kernel: Tensor) -> Tensor | None:
        """The mean of N(image, sigma^2) where the boundary is "valid", the unseen border solved for; else None."""
        from gdpkit import borders

        return borders.prox(image, observed, kernel, sigma, noise) if self.boundary == "valid" else None

    def prox_where(
        self, image: Tensor, observed: Tensor, weight: Tensor, sigma: Tensor, noise: float, *, kernel: Tensor
    ) -> Tensor:
        """The same where values weigh differently."""
        from gdpkit import weighed_blur

        return weighed_blur.prox(image, observed, kernel, sigma, noise, weight=weight, boundary=self.boundary)

    def unknowns(self, observed: Tensor, shape: Shape) -> Unknowns:
        """`kernel`, (B, size, size), from the grey value of the observation; a flat one is an `ImageError`."""
        import torch

        from gdpkit import blind

        grey = observed.mean(1)
        if bool((grey.amax((1, 2)) == grey.amin((1, 2))).any()):
            raise ImageError("the photograph is of one grey all over: it has no edge that tells how it was blurred")
        return {"kernel": torch.stack([blind.guess(image, self.size) for image in grey])}

    def constrain(self, *, kernel: Tensor) -> Unknowns:  # type: ignore[override]
        """Not negative, and summing to one."""
        from gdpkit import blind

        return {"kernel": blind.on_simplex(kernel.flatten(1)).view_as(kernel)}

    def fit(self, image: Tensor, observed: Tensor, unknowns: Unknowns) -> Unknowns:
        """The kernel between the present one and what the edges of this image tell, (B, size, size); on the CPU."""
        import torch

        from gdpkit import blind

        if self.boundary == "valid":
            edge = self.size // 2
            image = image[..., edge:-edge, edge:-edge]
        grey = zip(image.mean(1).cpu(), observed.mean(1).cpu(), unknowns["kernel"].cpu(), strict=True)
        refined = torch.stack([blind.refined(sharp, seen, kernel) for sharp, seen, kernel in grey])
        return {"kernel": refined.to(image.device)}

    def clean_shape(self, observed_shape: Shape) -> Shape:
        """The same, or larger by size - 1 where the boundary is "valid"."""
        if self.boundary == "reflect":
            return observed_shape
        channels, height, width = observed_shape
        return channels, height + self.size - 1, width + self.size - 1

    def propagate(self, sigma: float) -> float:
        """What a gaussian that the square holds to three deviations leaves of independent noise."""
        from gdpkit import kernels

        return sigma * kernels.euclidean_norm(kernels.gaussian(self.size / 6, self.size))
