"""The optimisers of a training."""

from __future__ import annotations

import pytest
import torch

from gdpkit.priors.unet import UNet
from gdpkit.training.optimizers import Muon, optimizers, orthogonal


@pytest.mark.parametrize("shape", [(16, 144), (48, 12), (8, 8)])
def test_a_step_treats_all_directions_alike(shape: tuple[int, int]) -> None:
    matrix = torch.randn(shape, generator=torch.Generator().manual_seed(0)) * torch.logspace(0, -1, shape[1])
    values = torch.linalg.svdvals(orthogonal(matrix))
    assert float(values.min()) > 0.5
    assert float(values.max()) < 1.4


def test_every_weight_has_one_optimizer() -> None:
    network = UNet((16, 24), (1, 1))
    made = optimizers(network, 1e-3, 0.0)
    held = [id(p) for optimizer in made for group in optimizer.param_groups for p in group["params"]]
    assert sorted(held) == sorted(id(p) for p in network.parameters())
    assert [type(optimizer) for optimizer in made] == [torch.optim.AdamW, Muon]


def test_a_step_asks_its_closure_for_gradients_and_returns_the_loss() -> None:
    weight = torch.nn.Parameter(torch.ones(16, 16, 3, 3))
    optimizer = Muon([weight], lr=1e-2)

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = weight.square().sum()
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    first = optimizer.step(closure)
    assert first.item() == pytest.approx(weight.numel())
    assert closure().item() < first.item()


def test_a_step_has_the_size_that_the_rate_says() -> None:
    weight = torch.nn.Parameter(torch.zeros(24, 16, 3, 3))
    weight.grad = 1e-6 * torch.randn(weight.shape, generator=torch.Generator().manual_seed(0))
    Muon([weight], lr=1e-2).step()
    assert float(weight.detach().square().mean().sqrt()) == pytest.approx(0.2e-2, rel=0.3)
