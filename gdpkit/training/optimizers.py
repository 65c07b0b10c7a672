"""The optimisers of a training: Muon for the convolutions between layers of features, AdamW for the rest."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

QUINTIC = (3.4445, -4.7750, 2.0315)  # whose iteration brings singular values near 1
ITERATIONS = 5
LIKE_ADAM = 0.2  # the root mean square of a step of AdamW, in learning rates, so that one rate serves both
FEATURES = 12  # the channels of the image as the network sees it; layers of more on both sides are between features


class Muon(torch.optim.Optimizer):
    """Momentum whose matrices are made orthogonal before each step (Jordan et al., 2024).

    For weights of convolutions, as matrices of outputs by inputs. A step has the root mean square that one of AdamW
    would (Liu et al., "Muon is scalable for LLM training", 2025, section 2.2).
    """

    def __init__(
        self, weights: Iterable[Tensor], lr: float, momentum: float = 0.95, weight_decay: float = 1e-4
    ) -> None:
        super().__init__(weights, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        """One step, with Nesterov's momentum. `closure`, where there is one, computes the gradients and the loss."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is None:
                    continue
                state = self.state[weight]
                if not state:
                    state["moment"] = torch.zeros_like(weight)
                moment = state["moment"].lerp_(weight.grad, 1 - group["momentum"])
                matrix = weight.grad.lerp(moment, group["momentum"]).flatten(1)
                step = orthogonal(matrix) * (LIKE_ADAM * max(matrix.shape) ** 0.5)
                weight.mul_(1 - group["lr"] * group["weight_decay"])
                weight.add_(step.view_as(weight), alpha=-group["lr"])
        return loss


def orthogonal(matrix: Tensor) -> Tensor:
    """The matrix with its singular values brought to between about 0.7 and 1.2, by Newton-Schulz iterations."""
    a, b, c = QUINTIC
    tall = matrix.shape[0] > matrix.shape[1]
    x = (matrix.T if tall else matrix).bfloat16()
    x = x / (x.norm() + 1e-7)
    for _ in range(ITERATIONS):
        square = x @ x.T
        x = a * x + (b * square + c * square @ square) @ x
    result: Tensor = (x.T if tall else x).to(matrix.dtype)
    return result


def optimizers(network: nn.Module, rate: float, weight_decay: float) -> list[torch.optim.Optimizer]:
    """Those of a network, which between them hold each of its parameters once."""
    inner: list[nn.Parameter] = []
    rest: list[nn.Parameter] = []
    for parameter in network.parameters():
        between = parameter.ndim == 4 and min(parameter.shape[:2]) > FEATURES
        (inner if between else rest).append(parameter)
    fused = all(parameter.device.type == "cuda" for parameter in rest)
    made: list[torch.optim.Optimizer] = [
        torch.optim.AdamW(rest, lr=rate, betas=(0.9, 0.99), weight_decay=weight_decay, fused=fused)
    ]
    if inner:
        made.append(Muon(inner, lr=rate, weight_decay=weight_decay))
    return made
