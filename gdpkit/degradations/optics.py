"""What blurs have in common: values or light that are averaged, and a scene that goes on beyond the border or not."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gdpkit.components import Degradation

if TYPE_CHECKING:
    from torch import Tensor

LIGHTS = ("encoded", "linear")


class Optics(Degradation):
    """A blur of an image's values, or of the light of which they are encodings."""

    light: str
    boundary: str

    @property
    def linear(self) -> bool:  # type: ignore[override]
        """Unless it averages light, of pictures that hold it encoded."""
        return self.light == "encoded"

    @property
    def optical(self) -> bool:  # type: ignore[override]
        """Where the scene goes on beyond the border: a lens or a hand blurred it, no program."""
        return self.boundary == "valid"

    def averaged(self, image: Tensor, kernel: Tensor) -> Tensor:
        """The image's values, or its light, averaged by a kernel, (h, w) or (B, h, w)."""
        from gdpkit import convolution, weighed_blur

        if self.linear:
            return convolution.convolve(image, kernel, self.boundary)
        return weighed_blur.encoded(convolution.convolve(weighed_blur.decoded(image), kernel, self.boundary))
