"""Evaluating a network on a batch."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


def one_by_one(network: Callable[..., Tensor], *batched: Tensor) -> Tensor:
    """`network(*batched)`; on the CPU image by image, where convolutions round differently in batches of other sizes.

    There it costs nothing, and the bytes of a result do not depend on what shares its batch.
    """
    if batched[0].is_cuda or len(batched[0]) == 1:
        return network(*batched)
    return torch.cat([network(*(t[b : b + 1] for t in batched)) for b in range(len(batched[0]))])
