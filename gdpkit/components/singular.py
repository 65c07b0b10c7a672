"""The singular system of a linear degradation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

EQUAL = 1.001  # so much may singular values that count as the same differ
LEAST = 1e-5
"""Singular values below this share of the largest are 0 to within the rounding of float32."""


@dataclass(frozen=True, eq=False)
class SingularSystem:
    """D = U diag(s) V^T, as functions on images; no matrix is ever built.

    Coefficients have the shape of the observation, or one that broadcasts with it. Rows of V^T with s = 0 may be left
    out: what `analyse` does not see of an image, D does not see either.

    values: s, from 0, broadcastable to the coefficients.
    analyse: V^T x, (B, C, H, W) -> coefficients; may give anything where s = 0.
    synthesise: V c, coefficients -> (B, C, H, W); its columns with s = 0 are zero.
    observe: U^T y, (B, C, h, w) -> coefficients.
    render: U c, coefficients -> (B, C, h, w).
    pixelwise: whether U is the identity: then a weight for each pixel is one for each coefficient.
    """

    values: Tensor
    analyse: Callable[[Tensor], Tensor]
    synthesise: Callable[[Tensor], Tensor]
    observe: Callable[[Tensor], Tensor]
    render: Callable[[Tensor], Tensor]
    pixelwise: bool = False

    @cached_property
    def uneven(self) -> bool:
        """Whether pixels are seen one by one, with noise that differs."""
        if not self.pixelwise:
            return False
        s = self.values
        return bool(s.max() > EQUAL * s.masked_fill(s <= 0, float("inf")).min())

    def weighed(self, weight: Tensor) -> SingularSystem:
        """Of sqrt(weight) D, and with y likewise weighed in `observe`; only where it is pixelwise."""
        root = weight.sqrt()
        return replace(
            self,
            values=self.values.to(root) * root,
            observe=lambda y: root * self.observe(y),
            render=lambda c: self.render(c / root.clamp_min(1e-30)),
        )

    def pinv(self, y: Tensor) -> Tensor:
        """The smallest image that is mapped to y, or nearest to it."""
        return self.synthesise(self.inverse().to(y) * self.observe(y))

    def inverse(self) -> Tensor:
        """1 / s, and 0 where s is 0 to within rounding."""
        s = self.values
        return (s > LEAST * s.max()) / s.clamp_min(1e-30)


@dataclass(frozen=True, eq=False)
class Measured:
    """What a sampler that works in the singular basis is given: y = U diag(s) V^T x + sigma n.

    observed: U^T y.
    sigma: the noise, in the units of the image.
    """

    system: SingularSystem
    observed: Tensor
    sigma: float

    @property
    def parts(self) -> Sequence[Measured]:
        """What was observed, apart where several observations tell of different things; most are in one part."""
        return (self,)

    def moved(self, x: Tensor, gain: Callable[[Tensor], Tensor]) -> Tensor:
        """x + V diag(gain(s)) (U^T y - s V^T x): every data step is one of these with another gain."""
        s = self.system.values.to(x)
        missing = self.observed.addcmul(s, self.system.analyse(x), value=-1)
        return x + self.system.synthesise(missing.mul_(gain(s)))
