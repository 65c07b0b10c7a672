"""The sampler's smooth start: what is lost over wide areas goes on as it is around, whatever the width."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

import gdpkit
from gdpkit import Denoised, Prior
from gdpkit.components import Observation, Problem
from gdpkit.degradations.mask import Mask
from gdpkit.objective import EnergyObjective
from gdpkit.samplers import guidance, membrane


def sloping(height: int, width: int) -> Tensor:
    """Dark at the top left, bright at the bottom right, another slope in each channel; nowhere near grey."""
    rows, columns = torch.linspace(0, 1, height)[:, None], torch.linspace(0, 1, width)
    planes = [0.6 + 0.3 * rows + 0 * columns, 0.1 + 0.2 * columns + 0 * rows, 0.05 + 0.1 * (rows + columns)]
    return torch.stack(planes)[None]


def start(image: Tensor, lost: Tensor, sigma: float = 0.29) -> Tensor:
    degradation = Mask(file=lost.float())  # type: ignore[arg-type]
    observed = degradation(image)
    problem = Problem((Observation(observed, degradation, sigma, degradation.measured(observed)),))
    return guidance.smooth(EnergyObjective(problem), 0.3)


@pytest.mark.parametrize(("hole", "sigma"), [(5, 0.29), (40, 0.29), (150, 0.29), (280, 0.29), (150, 25), (150, 80)])
def test_a_hole_of_any_width_holds_no_grey(hole: int, sigma: float) -> None:
    height, width = 331, 302
    lost = torch.zeros(1, height, width)
    top, left = (height - hole) // 2, (width - hole) // 2
    lost[:, top : top + hole, left : left + hole] = 1
    image = sloping(height, width)
    found = start(image, lost, sigma)
    inside = (found - image)[..., top : top + hole, left : left + hole]
    assert float(inside.abs().max()) < 0.06
    if sigma < 1:
        assert torch.allclose(found[..., lost[0] == 0], image[..., lost[0] == 0], atol=1e-3)


def test_a_hole_at_the_border_goes_on_from_its_one_side() -> None:
    image = sloping(96, 200)
    lost = torch.zeros(1, 96, 200)
    lost[:, :, 120:] = 1
    assert float((start(image, lost) - image).abs().mean()) < 0.03


def test_an_image_of_a_batch_does_not_depend_on_the_others() -> None:
    lost = torch.zeros(1, 64, 64)
    lost[:, 8:56, 8:56] = 1
    images = torch.cat([sloping(64, 64), sloping(64, 64).flip(3)])
    for one, alone in zip(start(images, lost), images, strict=True):
        assert torch.allclose(one, start(alone[None], lost)[0], atol=1e-6)


def test_an_image_without_a_hole_does_not_depend_on_one_with_a_hole() -> None:
    weight = torch.ones(2, 3, 64, 64)
    weight[0, :, 8:56, 8:56] = 0
    weight[1, :, 30:33] = 0
    images = torch.cat([sloping(64, 64), sloping(64, 64).flip(3)])
    both = Problem((Observation(images, Mask(missing=0), 0.29, weight),))
    found = guidance.smooth(EnergyObjective(both), 0.3)
    for k in range(2):
        alone = Problem((Observation(images[k : k + 1], Mask(missing=0), 0.29, weight[k : k + 1]),))
        assert torch.equal(guidance.smooth(EnergyObjective(alone), 0.3)[0], found[k])


@dataclass(frozen=True)
class Reddening(Prior):
    """Answers with what it is shown, too red and too bright by as much as it is told of noise."""

    name = "reddening"

    def denoise(self, noisy: Tensor, sigma: float | Tensor) -> Denoised:
        return Denoised(noisy + float(sigma) * torch.tensor([0.3, 0.1, 0.1]).view(3, 1, 1))


def test_an_error_of_the_prior_that_shows_around_a_hole_is_taken_from_the_hole_too() -> None:
    image = sloping(96, 112) / 20  # nearly black
    lost = torch.zeros(96, 112, dtype=torch.bool)
    lost[20:76, 30:90] = True
    damaged = torch.where(lost, 0, image)[0]
    found = gdpkit.restore("inpaint", image=damaged, mask=lost.float()[None], prior=Reddening(), device="cpu").tensor
    assert float((found - image)[..., lost].abs().max()) < 0.01


def test_where_no_block_is_open_there_is_nothing_to_fill() -> None:
    lost = torch.zeros(1, 64, 64)
    lost[:, 30:34] = 1
    degradation = Mask(file=lost)  # type: ignore[arg-type]
    observed = degradation(sloping(64, 64))
    objective = EnergyObjective(Problem((Observation(observed, degradation, 0.29, degradation.measured(observed)),)))
    known = objective.prox(torch.full(objective.shape, 0.5), 0.3)
    assert membrane.filled(objective, known, 0.3) is None
    assert guidance.told(objective, 0.3) is None


def test_nothing_goes_on_into_images_without_a_hole() -> None:
    told = torch.ones(2, 3, 6, 6)
    told[0, :, 2:4, 2:4] = 0
    change = torch.full((2, 3, 48, 48), 0.1)
    change[0, :, 16:32, 16:32] = 0
    going_on = membrane.continued(change, told)
    assert torch.allclose(going_on[0], torch.full((3, 48, 48), 0.1), atol=1e-4)
    assert not going_on[1].any()
