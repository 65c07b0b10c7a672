"""What judges a picture: quality losses, which guide, and metrics, which measure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from gdpkit.components.base import Component
from gdpkit.errors import GdpkitError
from gdpkit.params import param

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class QualityLoss(Component):
    """Q(x): what speaks against a picture whatever was observed. Guides every task through `--loss`."""

    weight: float = param(1.0, help="Weight lambda of the loss in the objective.", min=0)

    def __call__(self, image: Tensor, observed: Tensor | None) -> Tensor:
        """(B, 3, H, W) -> (B,), differentiable, without `weight`; a mean over pixels, so that size does not matter.

        `observed` is the first observation's image where its size is the image's own, else None.
        """
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True)
class Metric(Component):
    """A number for a picture. `reference` says what it is compared with, `higher_is_better` how to read it."""

    reference: ClassVar[Literal["truth", "input", "exposures", "none"]] = "truth"
    higher_is_better: ClassVar[bool] = True
    radiance: ClassVar[bool] = False
    """Whether it measures scene-linear radiance, which has no upper bound, instead of sRGB-encoded [0, 1]."""
    degraded: ClassVar[bool] = False
    """Whether it measures the picture degraded again, D(x), which the caller gives it, instead of the picture."""

    def __call__(self, image: Tensor, reference: Tensor | None) -> Tensor:
        """(B, C, H, W) in [0, 1] and what it is compared with -> (B,)."""
        raise NotImplementedError

    def named(self, name: str) -> Metric:
        """The metric for the picture of this file name: itself, unless it reads of each picture in a file."""
        return self


@dataclass(frozen=True, kw_only=True)
class SetMetric(Metric):
    """A number for a set of pictures, not for one, such as the distance of two sets in the features of a network."""

    def features(self, image: Tensor) -> Tensor:
        """(B, C, H, W) in [0, 1] -> (B, F): all that the number needs to know of each picture."""
        raise NotImplementedError

    def distance(self, found: Tensor, wanted: Tensor) -> Tensor:
        """The features of the set, (N, F), and of what it is compared with, (M, F) -> the number, ()."""
        raise NotImplementedError

    def __call__(self, image: Tensor, reference: Tensor | None) -> Tensor:
        """The number for two batches as sets, the same for each picture: (B,)."""
        if reference is None:
            raise GdpkitError(f"{self.name} compares two sets of pictures and was given one")
        value = self.distance(self.features(image), self.features(reference))
        return value.to(image).expand(len(image))
