"""Several exposures whose unknowns are fitted to what the others say."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import pytest
import torch
from torch import Tensor

from gdpkit.components import Degradation, Observation, Problem, Shape, Unknowns
from gdpkit.degradations.expose import Expose
from gdpkit.objective import EnergyObjective
from gdpkit.testing import picture

SIGMA = 2.0


@dataclass(frozen=True)
class Silent(Degradation):
    """An exposure that does not tell its slopes."""

    name = "silent"
    clips: ClassVar[bool] = True
    pixelwise: ClassVar[bool] = True
    own: ClassVar[Expose] = Expose(start=0.3, map="smooth", smoothness=1e-4, tone="log")

    def __call__(self, image: Tensor, **unknowns: Tensor) -> Tensor:
        return self.own(image, **unknowns)

    def inverse(self, observed: Tensor, **unknowns: Tensor) -> Tensor:
        return self.own.inverse(observed, **unknowns)

    def unknowns(self, observed: Tensor, shape: Shape) -> Unknowns:
        return self.own.unknowns(observed, shape)

    def constrain(self, **unknowns: Tensor) -> Unknowns:
        return self.own.constrain(**unknowns)

    def penalty(self, **unknowns: Tensor) -> Tensor | float:
        return self.own.penalty(**unknowns)


def test_exposures_agree_alike_whether_or_not_they_tell_their_slopes() -> None:
    clean = picture(1, 3, 72, 80)
    reference, other = Expose(gain=1.5, tone="log"), Expose(gain=0.37, tone="log")
    noise = SIGMA / 255 * torch.randn(2, *clean.shape, generator=torch.Generator().manual_seed(0))
    bright, dark = ((d(clean) + n).clamp(0, 1) for d, n in zip((reference, other), noise, strict=True))
    found = []
    for believed in (Silent.own, Silent()):
        seen = ((bright, reference), (dark, believed))
        both = EnergyObjective(Problem(tuple(Observation(y, d, SIGMA) for y, d in seen)))
        told = both.spectral()
        found.append((both.unknowns["1.log_gain"], told.system.values, told.observed))
    assert float(found[0][0].exp()) == pytest.approx(0.37, rel=0.01)
    for told, autograd in zip(*found, strict=True):
        assert torch.allclose(told, autograd, rtol=2e-3, atol=2e-3 * float(autograd.abs().max()))
