"""What a run spends: no evaluation twice, no graph where no gradient is needed, and honest clocks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch
from torch import Tensor

import gdpkit
from gdpkit import Denoised, speed
from gdpkit.priors import cost
from gdpkit.priors.embedded import EmbeddedPrior
from gdpkit.priors.wrapped import WrappedPrior

PHOTO = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))
LINEAR: dict[str, tuple[str, Mapping[str, Any]]] = {
    "sr": ("sr", {"image": PHOTO, "scale": 2}),
    "sr bicubic": ("sr", {"image": PHOTO, "scale": 2, "kernel": "bicubic"}),
    "inpaint": ("inpaint", {"image": PHOTO, "mask": (PHOTO[0, :1] > 0.7).float()}),
    "deblur": ("deblur", {"image": PHOTO, "kernel": "gaussian:5,1", "boundary": "reflect", "noise": 2.0}),
    "denoise": ("denoise", {"image": PHOTO, "sigma": 25.0}),
    "chain": ("restore", {"image": PHOTO.mean(1, keepdim=True), "stages": ("downsample:scale=2", "gray")}),
}


@dataclass(frozen=True, eq=False)
class Watched(WrappedPrior):
    """A prior that remembers what it was asked, and whether gradients were on."""

    name = "watched"
    asked: list[tuple[Tensor, float]] = field(default_factory=list)
    gradients: list[bool] = field(default_factory=list)

    def denoise(self, noisy: Tensor, sigma: float | Tensor) -> Denoised:
        self.asked.append((noisy.clone(), float(sigma)))
        self.gradients.append(torch.is_grad_enabled())
        return self.prior.denoise(noisy, sigma)


class Graphs:
    """Counts the tensors that autograd keeps for a way back."""

    def __init__(self) -> None:
        self.kept = 0

    def pack(self, tensor: Tensor) -> Tensor:
        self.kept += 1
        return tensor


def watched(task: str, parameters: Mapping[str, Any]) -> tuple[Watched, Graphs, gdpkit.Restoration]:
    prior, graphs = Watched(prior=EmbeddedPrior()), Graphs()
    with torch.autograd.graph.saved_tensors_hooks(graphs.pack, lambda tensor: tensor):
        result = gdpkit.restore(task, prior=prior, device="cpu", **parameters)
    return prior, graphs, result


@pytest.mark.parametrize("case", LINEAR)
def test_linear_tasks_record_no_graph_and_ask_nothing_twice(case: str) -> None:
    prior, graphs, result = watched(*LINEAR[case])
    assert graphs.kept == 0
    assert not any(prior.gradients)
    assert not result.tensor.requires_grad
    assert result.record["network_evaluations"] == len(prior.asked) <= (8 if case == "denoise" else 20)
    for k, (noisy, sigma) in enumerate(prior.asked):
        for other, level in prior.asked[:k]:
            assert level != sigma or not torch.equal(other, noisy)


def test_a_task_that_needs_gradients_shows_that_graphs_are_seen() -> None:
    chain = {"image": PHOTO, "stages": ("jpeg:quality=30",)}
    prior, graphs, _ = watched("restore", chain)
    assert graphs.kept > 0
    assert not any(prior.gradients)  # through the degradation, and never through the network


def test_the_engines_share_is_what_is_left_of_the_time() -> None:
    found = speed.overhead("inpaint", EmbeddedPrior(), torch.device("cpu"), 32)
    assert found["network_evaluations"] == 20
    assert 0 < found["network_seconds"] < found["seconds"]
    assert found["engine_share"] == pytest.approx(1 - found["network_seconds"] / found["seconds"])


def test_a_precision_is_what_the_network_computes_in(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = set()
    convolution = torch.nn.Conv2d.forward

    def watching(self: torch.nn.Conv2d, x: Tensor) -> Tensor:
        y = convolution(self, x)
        seen.add(y.dtype)
        return y

    monkeypatch.setattr(cost, "of_pixels", lambda *_, **__: (1.0, 1.0))  # which evaluates it to count the operations
    monkeypatch.setattr(torch.nn.Conv2d, "forward", watching)
    speed.evaluation(EmbeddedPrior(), torch.device("cpu"), 32, 1)
    assert seen == {torch.float32}
    seen.clear()
    speed.evaluation(EmbeddedPrior(), torch.device("cpu"), 32, 1, torch.bfloat16)
    assert seen == {torch.bfloat16}


def test_shares_follow_from_the_work_and_the_time() -> None:
    prior = EmbeddedPrior()
    rates = speed.evaluation(prior, torch.device("cpu"), 32, 2)
    found = {name: value for name, value in rates.items() if value is not None}
    assert found.keys() == rates.keys()
    assert found["evaluations_per_second"] == pytest.approx(2 / found["seconds"])
    assert found["network_gflops"] == pytest.approx(2 * prior.work(32, 32)[0] / found["seconds"] / 1e9)
    assert found["share_of_matmul_peak"] == pytest.approx(found["network_gflops"] / found["matmul_peak_gflops"])
