"""Consistency: whether a restored picture, degraded again, is the picture that was given."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from gdpkit.components import Metric
from gdpkit.metrics.pairs import compared

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Consistency(Metric):
    """Mean squared error, in 0..255, between the output degraded again and the input.

    mean (255 (D(x) - y))^2 over C, H and W ("Cons" of the GDP paper, Fei et al., CVPR 2023, table 1). The caller
    applies D: the metric is given D(x) and y. 0 is best; rounding to 8 bits alone costs 1/12.
    """

    name = "consistency"
    reference: ClassVar[Literal["truth", "input", "exposures", "none"]] = "input"
    higher_is_better: ClassVar[bool] = False
    degraded: ClassVar[bool] = True

    def __call__(self, image: Tensor, reference: Tensor | None) -> Tensor:
        """D(output), (B, C, h, w) in [0, 1], and the input, of the same shape -> (B,) in 0..255 squared."""
        again, given = compared(self.name, image, reference)
        return (255 * (again - given)).square().mean(dim=(1, 2, 3)).to(image.dtype)
