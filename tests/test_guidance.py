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


@pytest.mark.parametrize(("taken", "factor"), [(0.0, 0.5), (0.5, 0.5), (0.8, 1.0), (1.0, 1.5), (2.0, 1.5)])
def test_a_step_is_as_long_as_the_share_that_the_observations_take_back_allows(taken: float, factor: float) -> None:
    before, change = picture(2, 3, 16, 16), torch.rand(2, 3, 16, 16)
    denoised = before + change
    informed = denoised - taken**0.5 * change
    assert torch.allclose(guidance.relaxation(before, denoised, informed), torch.full((2, 1, 1, 1), factor), atol=1e-4)


def test_an_image_that_the_prior_leaves_as_it_is_has_a_step_of_finite_length() -> None:
    x = picture(1, 3, 16, 16)
    assert guidance.relaxation(x, x, x).item() == guidance.SHORTEST


def test_pixels_of_different_noise_are_mixed_to_the_level_that_comes_next() -> None:
    """None has more noise than the prior is told next; far noisier ones are left to the prior."""
    x, y = torch.full((1, 3, 16, 16), 0.5), torch.full((1, 3, 16, 16), 0.75)
    sigmas = torch.tensor([2.0, 6.0, 9.0, 30.0]).repeat_interleave(4).view(1, 1, 1, 16) / 255
    weight = ((2 / 255 / sigmas) ** 2).expand_as(y)
    objective = EnergyObjective(Problem((Observation(y, GaussianNoise(), 2.0, weight),)))
    found = guidance.informed(objective, x, 8 / 255, after=4 / 255)
    share = ((found - x) / (y - x))[0, 0, 0, ::4]
    assert torch.allclose(share, torch.tensor([1.0, 4 / 6, 4 / 9, 0.0]), atol=1e-3)


def test_pixels_of_one_noise_are_replaced_or_left() -> None:
    x, y = torch.full((1, 3, 16, 16), 0.5), torch.full((1, 3, 16, 16), 0.75)
    objective = EnergyObjective(Problem((Observation(y, GaussianNoise(), 6.0),)))
    assert torch.allclose(guidance.informed(objective, x, 8 / 255, after=4 / 255), y)
    assert torch.allclose(guidance.informed(objective, x, 5 / 255, after=4 / 255), x)


def test_noise_that_was_estimated_a_little_too_small_is_not_put_back() -> None:
    x = picture(1, 3, 32, 32) * 0.5 + 0.25
    noise = 5 / 255 * torch.randn(x.shape, generator=torch.Generator().manual_seed(0))

    def last(sigma: float) -> Tensor:
        objective = EnergyObjective(Problem((Observation(x + noise, GaussianNoise(), sigma),)))
        return guidance.faithful(objective, x, 0.02)

    assert torch.equal(last(4.7), x)
    assert not torch.equal(last(4.0), x)
