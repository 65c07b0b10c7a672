"""Blur by an unknown kernel."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from gdpkit.components import Shape, SingularSystem, Unknowns
from gdpkit.degradations.optics import LIGHTS, Optics
from gdpkit.errors import GdpkitError, ImageError
from gdpkit.params import param

if TYPE_CHECKING:
    from torch import Tensor

LOUD = 2.0  # known errors, in 0..255, from which the edges of an estimate move a kernel away from the true one


@dataclass(frozen=True)
class BlindBlur(Optics):
    """Blur the image by a kernel that nobody knows: y = k * x, k from 0 and summing to one.

    The first guess is found coarse to fine from the observation alone (`gdpkit.blind`); each `fit` then moves the
    kernel towards the one that maps the edges of the present estimate of the clean image to the observed edges.
    Beyond the border the image is mirrored (`reflect`), or unknown (`valid`), so that the result is smaller. Only
    shifts by less than half of `size` can be told.
    """

    name = "blind-blur"
    example_params: ClassVar[Mapping[str, Any]] = {"size": 5}

    size: int = param(25, help="Side of the square that holds the kernel, odd; rather too large than too small.", min=3,
                      max=75, unit="pixels")  # fmt: skip

    boundary: str = param("reflect", help="What lies beyond the border.", choices=("reflect", "valid"))
    light: str = param("encoded", help="What is averaged: values as they are in the file, by a program, or light "
                       "(linear), by a lens or a hand.", choices=LIGHTS)  # fmt: skip
    noise: float = param(0.0, help="Deviation of the errors of the observation that are known, as of a lossy file.",
                         min=0, max=255, unit="0..255")  # fmt: skip
    search: bool = param(True, help="Look for the kernel; else it is a single point, which leaves the image as it is.")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.size % 2 == 0:
            right = f"{self.size - 1} or {self.size + 1}"
            raise GdpkitError(
                f"blind-blur: size must be odd, so that the kernel has a middle: {right}, not {self.size}"
            )

        if not self.search and self.boundary == "valid":
            raise GdpkitError("blind-blur: search=false leaves the image as it is, with boundary=reflect only")

    def __call__(self, image: Tensor, *, kernel: Tensor) -> Tensor:  # type: ignore[override]
        """(B, C, H, W) and (B, size, size) -> the same size; smaller by size - 1 for "valid"."""
        return self.averaged(image, kernel)

    def adjoint(self, observed: Tensor, *, kernel: Tensor) -> Tensor:
        """The transpose."""
        from gdpkit import convolution

        return convolution.transposed(observed, kernel, self.boundary)

    def near(self, shape: Shape, *, kernel: Tensor) -> SingularSystem | None:  # type: ignore[override]
        """Of the kernel, or of the mean of several, as if borders wrapped."""
        from gdpkit import spectra

        if not self.linear:
            return None
        return spectra.periodic_filter(kernel.mean(0).cpu(), *shape[1:])

    def prox(self, image: Tensor, observed: Tensor, sigma: Tensor, noise: float, *, kernel: Tensor) -> Tensor | None:
        """The mean of N(image, sigma^2) where the boundary is "valid", the unseen border solved for, or of light."""
        from gdpkit import borders, weighed_blur

        if not self.search:
            trust = (sigma / noise) ** 2
            return (image + trust * observed) / (1 + trust)
        if not self.linear:
            return weighed_blur.prox(image, observed, kernel, sigma, noise, light=True, boundary=self.boundary)
        return borders.prox(image, observed, kernel, sigma, noise) if self.boundary == "valid" else None

    def prox_where(
        self, image: Tensor, observed: Tensor, weight: Tensor, sigma: Tensor, noise: float, *, kernel: Tensor
    ) -> Tensor:
        """The same where values weigh differently."""
        from gdpkit import weighed_blur

        light, boundary = not self.linear, self.boundary
        return weighed_blur.prox(image, observed, kernel, sigma, noise, weight=weight, light=light, boundary=boundary)

    def unknowns(self, observed: Tensor, shape: Shape) -> Unknowns:
        """`kernel`, (B, size, size), from the grey value of the observation; a flat one is an `ImageError`."""
        import torch

        grey = observed.mean(1)
        if bool((grey.amax((1, 2)) == grey.amin((1, 2))).any()):
            raise ImageError("the photograph is of one grey all over: it has no edge that tells how it was blurred")
        return {"kernel": torch.stack([self.guess(image[None])[0] for image in observed])}

    def guess(self, observed: Tensor) -> tuple[Tensor, bool]:
        """The kernel of one observation (1, C, H, W), (size, size), and whether it is a simple one, or a point."""
        from gdpkit import blind

        if not self.search:
            return blind.point(self.size).to(observed), True
        seen = observed.detach().cpu()  # so that whoever asks again, on a GPU, asks the same
        kernel, simple = blind.guess(self._grey(seen)[0], self.size, self._error(seen))
        return kernel.to(observed), simple

    def gained(self, observed: Tensor, kernel: Tensor) -> float:
        """How much better a kernel explains the spectrum of one observation (1, C, H, W) than no blur does.

        The mean over frequencies of what Whittle's log-likelihood gains; see `blind.DOUBT`.
        """
        from gdpkit import blind

        return blind.gained(self._grey(observed)[0].cpu(), kernel.cpu(), self._error(observed))

    def _grey(self, image: Tensor) -> Tensor:
        """Of the light or the values, (B, H, W)."""
        from gdpkit import weighed_blur

        return (image if self.linear else weighed_blur.decoded(image)).mean(1)

    def _error(self, observed: Tensor) -> float:
        """The deviation of the known errors, in light or values."""
        from gdpkit import weighed_blur

        return self.noise / 255 * (1.0 if self.linear else weighed_blur.spread(observed))

    def constrain(self, *, kernel: Tensor) -> Unknowns:  # type: ignore[override]
        """Not negative, and summing to one."""
        from gdpkit import blind

        return {"kernel": blind.on_simplex(kernel.flatten(1)).view_as(kernel)}

    def fit(self, image: Tensor, observed: Tensor, unknowns: Unknowns) -> Unknowns:
        """The kernel between the present one and what the edges of this image tell, (B, size, size); on the CPU.

        A simple kernel, which the spectrum told, stays, and so does one where the edges hold as much noise.
        """
        import torch

        from gdpkit import blind

        if not self.search or self.noise >= LOUD:
            return unknowns
        first = [self.guess(seen[None]) for seen in observed]
        kept = [
            simple and torch.allclose(k, now, atol=1e-6)
            for (k, simple), now in zip(first, unknowns["kernel"], strict=True)
        ]
        if all(kept):
            return unknowns
        if self.boundary == "valid":
            edge = self.size // 2
            image = image[..., edge:-edge, edge:-edge]
        grey = zip(self._grey(image).cpu(), self._grey(observed).cpu(), unknowns["kernel"].cpu(), strict=True)
        errors = [self._error(seen[None]) for seen in observed]
        refined = [
            now if stays else blind.refined(sharp, seen, now, error)
            for (sharp, seen, now), error, stays in zip(grey, errors, kept, strict=True)
        ]
        return {"kernel": torch.stack(refined).to(image.device)}

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
