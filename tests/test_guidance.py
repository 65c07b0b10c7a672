"""The last data step: it ends where no image explains what was observed, and the others of a batch do not notice."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from gdpkit import chain, solvers
from gdpkit.components import Observation, Problem
from gdpkit.degradations.gray import Gray
from gdpkit.degradations.noise import GaussianNoise
from gdpkit.losses.tv import TotalVariation
from gdpkit.objective import EnergyObjective
from gdpkit.samplers import guidance
from gdpkit.testing import picture


class Counting(EnergyObjective):
    """Counts its data steps."""

    steps = 0

    def prox(self, x: Tensor, sigma: float | Tensor) -> Tensor:
        self.steps += 1
        return super().prox(x, sigma)


def test_what_no_image_in_range_explains_is_not_tried_to_the_end() -> None:
    beyond = torch.full((1, 3, 16, 16), 1.2)
    objective = Counting(Problem((Observation(beyond, GaussianNoise(), 2.0),)))
    found = guidance.prox_within_range(objective, picture(1, 3, 16, 16), 0.01)
    assert objective.steps < guidance.CLIPPINGS
    assert torch.equal(found, torch.ones_like(found))


def test_an_image_that_cannot_be_explained_leaves_the_others_as_they_are() -> None:
    y = torch.cat([torch.full((1, 1, 16, 16), 1.2), Gray()(picture(1, 3, 16, 16)).clamp_min(0.9)])
    x = picture(2, 3, 16, 16)

    def found(rows: slice) -> Tensor:
        objective = EnergyObjective(Problem((Observation(y[rows], Gray(), 2.0),)))
        return guidance.prox_within_range(objective, x[rows], 0.01)

    assert torch.allclose(found(slice(None))[1:], found(slice(1, 2)), atol=1e-6)


def test_a_step_that_was_refused_is_not_computed_again(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = chain(["downsample:scale=2", "noise:sigma=5", "jpeg:quality=30"])
    told = (Observation(picture(1, 3, 16, 16), seen, 5.0),)
    objective = EnergyObjective(Problem(told, (TotalVariation(),)))  # beside a loss there are several steps
    refused = []

    def refuse(energy: object, start: Tensor, step: Tensor, halvings: int) -> Tensor:
        refused.append(step)
        return start

    monkeypatch.setattr(solvers, "backtracked", refuse)
    x = picture(1, 3, 32, 32)
    assert torch.equal(objective.prox(x, 0.05), x)
    assert len(refused) == 1
