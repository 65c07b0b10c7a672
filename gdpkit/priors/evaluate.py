"""Evaluating a network on a batch."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor

from gdpkit.priors import compiling


def one_by_one(network: Callable[..., Tensor], *batched: Tensor) -> Tensor:
    """`network(*batched)`; on the CPU image by image, where convolutions round differently in batches of other sizes.

    There it costs nothing, and the bytes of a result do not depend on what shares its batch.
    """
    if batched[0].is_cuda:
        return compiling.evaluated(network, *batched)
    if len(batched[0]) == 1:
        return network(*batched)
    return torch.cat([network(*(t[b : b + 1] for t in batched)) for b in range(len(batched[0]))])


def autocast(precision: str, noisy: Tensor) -> AbstractContextManager[object]:
    """In which a network whose weights are held in float32 computes in this precision; auto: float16 on a GPU.

    A CPU computes float16 slowly, so there float32 stands in for it; so it does for gradients, which would underflow.
    """
    if precision == "bfloat16":
        return torch.autocast(noisy.device.type, torch.bfloat16)
    gradients = noisy.requires_grad and torch.is_grad_enabled()
    if noisy.is_cuda and precision != "float32" and not gradients:
        return torch.autocast("cuda", torch.float16)
    return nullcontext()
