"""Layers that compute in the precision of what they are given, whatever precision their weights are held in.

A network of 553 million weights takes 1.1 GB in float16 and 2.2 GB in float32, and a CPU computes well in float32 only.
So each layer widens its own weights while it runs: beside the network there is never more than one layer's copy. What a
backward pass needs is the narrow weight again, not the copy, or a gradient through the network would keep every copy.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn import functional as F

HALF = (torch.float16, torch.bfloat16)

View = tuple[torch.Size, tuple[int, ...], int]
"""Shape, strides and offset of a tensor in its storage."""


def arithmetic(held: torch.dtype) -> torch.dtype:
    """What weights held so are computed with where nothing else is asked for: float32 at least."""
    return torch.promote_types(held, torch.float32)


@contextmanager
def widened(weight: Tensor, dtype: torch.dtype) -> Iterator[Tensor]:
    """The weight in `dtype`; layers called in this context remember the weight itself for their backward pass."""
    wide = weight.to(dtype)
    if wide is weight or not torch.is_grad_enabled():
        yield wide
        return

    home = wide.untyped_storage().data_ptr()  # and not `wide`, which would live on in the graph with this function

    def pack(saved: Tensor) -> Tensor | View:
        if saved.untyped_storage().data_ptr() != home:
            return saved
        # A linear layer remembers its weight transposed, so how the numbers are seen is remembered as well.
        return saved.shape, saved.stride(), int(saved.storage_offset())

    def unpack(saved: Tensor | View) -> Tensor:
        return saved if isinstance(saved, Tensor) else weight.detach().to(dtype).as_strided(*saved)

    with torch.autograd.graph.saved_tensors_hooks(pack, unpack):
        yield wide


def _like(bias: Tensor | None, x: Tensor) -> Tensor | None:
    return None if bias is None else bias.to(x.dtype)


class Conv1d(nn.Conv1d):
    """`nn.Conv1d` in the precision of its input."""

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, L) -> (B, out, L')."""
        with widened(self.weight, x.dtype) as weight:
            out: Tensor = self._conv_forward(x, weight, _like(self.bias, x))
        return out


class Conv2d(nn.Conv2d):
    """`nn.Conv2d` in the precision of its input."""

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, out, H', W')."""
        with widened(self.weight, x.dtype) as weight:
            out: Tensor = self._conv_forward(x, weight, _like(self.bias, x))
        return out


class Linear(nn.Linear):
    """`nn.Linear` in the precision of its input."""

    def forward(self, x: Tensor) -> Tensor:
        """(..., C) -> (..., out)."""
        with widened(self.weight, x.dtype) as weight:
            return F.linear(x, weight, _like(self.bias, x))


class GroupNorm(nn.GroupNorm):
    """`nn.GroupNorm`, in float32 at least: sums over a whole image overflow or lose their digits in half precision."""

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, ...) -> the same shape and dtype."""
        if x.is_cuda and x.dtype in HALF:  # there it sums in float32 itself, without a copy of all in float32
            return F.group_norm(x, self.num_groups, _like(self.weight, x), _like(self.bias, x), self.eps)
        wide = x.float() if x.dtype in HALF else x
        weight, bias = self.weight.to(wide.dtype), self.bias.to(wide.dtype)
        return F.group_norm(wide, self.num_groups, weight, bias, self.eps).to(x.dtype)


class Classes(nn.Embedding):
    """`nn.Embedding` of classes, where -1 is none of them: the mean of all stands in for it.

    To first order in the embedding that is what the mean of a network's answers over all classes would be.
    """

    def forward(self, y: Tensor) -> Tensor:
        """(B,) -> (B, E)."""
        known = super().forward(y.clamp_min(0))
        return torch.where((y < 0)[:, None], self.weight.float().mean(0).to(known), known)
