"""Noise that can be drawn again: each image's depends on the seed and on the image, on nothing else.

It is drawn on the CPU whatever the device, so that batches, tiles, workers and a resumed run see the same noise.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from gdpkit.components import Problem


class SeededNoise:
    """Standard normal noise from (seed, digest of the image, number of the draw)."""

    def __init__(self, seed: int, digests: Sequence[bytes], draws: int = 0) -> None:
        """`digests`: one for each image of the batch; `draws`: how many draws to pass over, for resuming."""
        self.seed, self.digests, self.draws = seed, tuple(digests), draws

    @classmethod
    def of(cls, seed: int, problem: Problem) -> SeededNoise:
        """The noise of a run on this problem."""
        return cls(seed, digests(problem))

    def normal(self, shape: Sequence[int], device: Any = None) -> Tensor:
        """The next draw, (B, ...) float32."""
        drawn = []
        for digest in self.digests:
            key = hashlib.sha256(b"%d/%d/" % (self.seed, self.draws) + digest).digest()
            generator = torch.Generator().manual_seed(int.from_bytes(key[:8], "big") >> 1)
            drawn.append(torch.randn(tuple(shape[1:]), generator=generator))
        self.draws += 1
        found = torch.stack(drawn)
        if device is not None and torch.device(device).type == "cuda":
            # From pinned memory it is brought while the GPU computes; torch keeps that memory until it has arrived.
            return found.pin_memory().to(device, non_blocking=True)
        return found.to(device)


class ReplayedNoise:
    """Noise that was recorded: returns the given tensors, one a draw."""

    def __init__(self, draws: Sequence[Tensor]) -> None:
        self._draws = iter(draws)

    def normal(self, shape: Sequence[int], device: Any = None) -> Tensor:
        """The next recorded draw; its shape must be the one asked for."""
        draw = next(self._draws, None)
        if draw is None:
            raise ValueError("all recorded noise has been drawn")
        if tuple(draw.shape) != tuple(shape):
            raise ValueError(f"the recorded noise has shape {tuple(draw.shape)}, not {tuple(shape)}")
        return draw.to(device)


def digests(problem: Problem) -> list[bytes]:
    """SHA-256 of everything observed of each image of the batch."""
    batch = len(problem.observations[0].image)
    return [digest(*(o.image[b] for o in problem.observations)) for b in range(batch)]


def digest(*tensors: Tensor) -> bytes:
    """SHA-256 of the values of tensors."""
    found = hashlib.sha256()
    for tensor in tensors:
        found.update(tensor.detach().cpu().contiguous().numpy().data)
    return found.digest()
