"""Muon: momentum whose matrices are made orthogonal before each step (Jordan et al., 2024)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

COEFFICIENTS = (3.4445, -4.7750, 2.0315)  # of the quintic whose iteration brings singular values near 1


class Muon(torch.optim.Optimizer):
    """For weights of convolutions, as matrices of outputs by inputs; a step has the RMS that one of Adam would."""

    def __init__(
        self, weights: Iterable[Tensor], lr: float, momentum: float = 0.95, weight_decay: float = 1e-4
    ) -> None:
        super().__init__(weights, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:
        """One step."""
        for group in self.param_groups:
            for weight in group["params"]:
                state = self.state[weight]
                moment = state.setdefault("moment", torch.zeros_like(weight))
                moment.lerp_(weight.grad, 1 - group["momentum"])
                nesterov = weight.grad.lerp(moment, group["momentum"])
                matrix = nesterov.flatten(1)
                step = orthogonal(matrix) * (0.2 * max(matrix.shape) ** 0.5)
                weight.mul_(1 - group["lr"] * group["weight_decay"])
                weight.add_(step.view_as(weight), alpha=-group["lr"])


def orthogonal(matrix: Tensor) -> Tensor:
    """The matrix with its singular values brought near 1, by five Newton-Schulz iterations."""
    a, b, c = COEFFICIENTS
    tall = matrix.shape[0] > matrix.shape[1]
    x = (matrix.T if tall else matrix).bfloat16()
    x = x / (x.norm() + 1e-7)
    for _ in range(5):
        square = x @ x.T
        x = a * x + (b * square + c * square @ square) @ x
    return (x.T if tall else x).to(matrix.dtype)
