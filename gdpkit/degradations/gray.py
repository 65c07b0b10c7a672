"""Losing the colour."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from gdpkit.components import Degradation, Shape, SingularSystem
from gdpkit.errors import GdpkitError
from gdpkit.params import param

if TYPE_CHECKING:
    from torch import Tensor

WEIGHTS = {"mean": (1 / 3, 1 / 3, 1 / 3), "bt601": (0.299, 0.587, 0.114)}


@dataclass(frozen=True)
class Gray(Degradation):
    """Turn colour to grey: y = w_R R + w_G G + w_B B.

    `mean` weighs the channels alike, as in the paper; `bt601` is the luma of JPEG and television (ITU-R BT.601).
    """

    name = "gray"
    linear: ClassVar[bool] = True
    weights: str = param("mean", help="How the channels are weighed.", choices=tuple(WEIGHTS))

    def __call__(self, image: Tensor) -> Tensor:  # type: ignore[override]
        """(B, 3, H, W) -> (B, 1, H, W); a grey image stays as it is."""
        if image.shape[1] == 1:
            return image
        return (image * self._weights(image)).sum(dim=1, keepdim=True)

    def adjoint(self, observed: Tensor) -> Tensor:
        """The transpose: (B, 1, H, W) -> (B, 3, H, W)."""
        return observed * self._weights(observed)

    def _weights(self, like: Tensor) -> Tensor:
        from gdpkit import functional

        return functional.constant(WEIGHTS[self.weights], like.dtype, like.device)[:, None, None]

    def spectral(self, shape: Shape, **unknowns: Tensor) -> SingularSystem:
        """One value: the length of the weights."""
        from gdpkit import spectra

        if shape[0] == 1:
            return spectra.IDENTITY
        return spectra.tight(self, self.adjoint, sum(w * w for w in WEIGHTS[self.weights]))

    def accept(self, observed: Tensor) -> Tensor:
        """A colour picture is reduced by these weights."""
        return self(observed)

    def propagate(self, sigma: float) -> float:
        """Independent noise of the channels averages out."""
        return float(sigma * sum(w * w for w in WEIGHTS[self.weights]) ** 0.5)

    def clean_shape(self, observed_shape: Shape) -> Shape:
        """Three channels, from one."""
        channels, height, width = observed_shape
        if channels != 1:
            raise GdpkitError(f"gray gives one channel, so its observation has one, not {channels}")
        return 3, height, width
