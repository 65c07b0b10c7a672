"""What one evaluation of a network costs, counted on the `meta` device: shapes only, no time and no memory."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode


def evaluation(network: Callable[[], nn.Module], height: int, width: int, *rest: Tensor) -> tuple[float, float]:
    """(floating-point operations, bytes) of `network(x, *rest)` for one x (1, 3, height, width), without gradients.

    The bytes are the weights and four times the largest tensor that a layer puts out.
    """
    largest = 0

    def measure(module: nn.Module, inputs: object, output: object) -> None:
        nonlocal largest
        if isinstance(output, Tensor):
            largest = max(largest, 4 * output.numel())

    with torch.device("meta"), torch.no_grad():
        built = network()
        for module in built.modules():
            module.register_forward_hook(measure)
        with FlopCounterMode(display=False) as counter:
            built(torch.empty(1, 3, height, width), *(r.to("meta") for r in rest))
    weights = sum(4 * p.numel() for p in built.parameters())
    return float(counter.get_total_flops()), float(weights + 4 * largest)
