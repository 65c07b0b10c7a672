"""Any prior on images of any size: tile by tile, as many at once as there is memory for."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from gdpkit.components import Denoised, Prior
from gdpkit.priors import tiles
from gdpkit.priors.tiles import Tile
from gdpkit.priors.wrapped import WrappedPrior

if TYPE_CHECKING:
    from torch import Tensor

Part = tuple[int, Tile]
"""A tile of the image of that number in the batch."""


@dataclass(frozen=True, eq=False)
class TiledPrior(WrappedPrior):
    """Another prior, shown large images in tiles (`gdpkit.priors.tiles`); what is small enough it sees whole.

    Where the prior declares a receptive field, the answer is the untiled one but for rounding, provided that the
    network reduces the image by a divisor of 64 and extends it at the right and at the bottom only. Elsewhere windows
    of its training size are blended. Where memory runs out, half as many tiles are done at once from then on, and
    `notes` says so. With gradients, tiles are computed again on the way back: one at a time holds its layers' values.

    prior: the other one.
    batch: how many tiles are done at once. On the CPU 1: more are no quicker there, and round differently.
    """

    name = "tiled"
    batch: int = 1
    _halved: list[int] = field(default_factory=list)

    def denoise(self, noisy: Tensor, sigma: float | Tensor) -> Denoised:
        """As of the prior, for any batch."""
        division = self.tiles(*noisy.shape[-2:])
        if len(division) == 1 and len(noisy) <= self.at_once:
            found = self._ask(noisy, sigma, again=False)
            if found is not None:
                return found
        alike: dict[tuple[int, int], list[Part]] = defaultdict(list)
        for tile in division:
            alike[tile.size] += [(image, tile) for image in range(len(noisy))]
        canvas = _Canvas(noisy)
        for parts in alike.values():
            done = 0
            while done < len(parts):
                now = parts[done : done + self.at_once]
                found = self._ask(_cut(noisy, now), _of(sigma, now), again=len(division) > 1)
                if found is not None:
                    canvas.paint(now, found)
                    done += len(now)
        return canvas.painted()

    @property
    def at_once(self) -> int:
        """How many tiles are done at once now."""
        return self._halved[-1] if self._halved else self.batch

    @property
    def notes(self) -> tuple[str, ...]:
        """Those of the prior, whether it could not be compiled, and whether memory ran out."""
        from gdpkit.priors import compiling

        told = (*self.prior.notes, *compiling.notes())
        if not self._halved:
            return told
        least = self._halved[-1]
        return (
            *told,
            f"memory ran out, so {least} tile{'s were' if least > 1 else ' was'} done at once, not {self.batch}",
        )

    def tiles(self, height: int, width: int) -> list[Tile]:
        """Those of an image of this size."""
        return tiles.divide(height, width, *self._reach)

    @cached_property
    def _reach(self) -> tuple[int | None, int | None]:
        return self.prior.receptive_field, self.prior.training_size

    def pixels(self, height: int, width: int) -> int:
        """How many pixels the prior is shown of an image of this size, those that several tiles share as often."""
        return sum(math.prod(tile.size) for tile in self.tiles(height, width))

    def work(self, height: int, width: int) -> tuple[float, float] | None:
        """The operations of all tiles, and the memory of as many as are done at once, which share the weights."""
        sizes = [tile.size for tile in self.tiles(height, width)]
        costs = {size: self.prior.work(*size) for size in sizes}
        told = {size: cost for size, cost in costs.items() if cost is not None}
        if len(told) < len(costs):
            return None
        most = max(size[1] for size in told.values())
        weights = min(self.weight_bytes, most)
        return sum(told[size][0] for size in sizes), weights + min(self.at_once, len(sizes)) * (most - weights)

    def _ask(self, noisy: Tensor, sigma: float | Tensor, *, again: bool) -> Denoised | None:
        """The prior's answer; None where memory ran out, from when on fewer are asked for at once."""
        import torch

        from gdpkit import memory

        try:
            if again and noisy.requires_grad and torch.is_grad_enabled():
                return _recomputed(self.prior, noisy, sigma)
            return self.prior.denoise(noisy, sigma)
        except Exception as error:
            if len(noisy) == 1 or not memory.is_shortage(error):
                raise
        self._halved.append(math.ceil(len(noisy) / 2))
        if noisy.is_cuda:
            torch.cuda.empty_cache()
        return None


class _Canvas:
    """An answer that is put together of parts."""

    def __init__(self, noisy: Tensor) -> None:
        self._like = noisy
        self._clean: Tensor | None = None
        self._fraction: Tensor | None = None

    def paint(self, parts: Sequence[Part], found: Denoised) -> None:
        self._clean = self._painted(self._clean, parts, found.clean)
        if found.variance_fraction is not None:
            self._fraction = self._painted(self._fraction, parts, found.variance_fraction)

    def painted(self) -> Denoised:
        assert self._clean is not None
        return Denoised(self._clean, self._fraction)

    def _painted(self, whole: Tensor | None, parts: Sequence[Part], found: Tensor) -> Tensor:
        whole = self._like.new_zeros(self._like.shape, dtype=found.dtype) if whole is None else whole
        for (image, tile), seen in zip(parts, found, strict=True):
            kept = seen[:, tile.rows.inside, tile.columns.inside]
            where = (image, slice(None), tile.rows.kept, tile.columns.kept)
            if tile.blends:
                down, across = (kept.new_tensor(span.weights()) for span in (tile.rows, tile.columns))
                whole[where] += down[:, None] * across * kept
            else:
                whole[where] = kept
        return whole


def _cut(noisy: Tensor, parts: Sequence[Part]) -> Tensor:
    import torch

    return torch.stack([noisy[image, :, tile.rows.seen, tile.columns.seen] for image, tile in parts])


def _of(sigma: float | Tensor, parts: Sequence[Part]) -> float | Tensor:
    """The noise of each part: a prior takes one for all, or as many as it is shown images."""
    if isinstance(sigma, float | int) or not sigma.ndim:
        return sigma
    return sigma[[image if len(sigma) > 1 else 0 for image, _ in parts]]


def _recomputed(prior: Prior, noisy: Tensor, sigma: float | Tensor) -> Denoised:
    from torch.utils.checkpoint import checkpoint

    def answer(part: Tensor) -> tuple[Tensor, Tensor | None]:
        found = prior.denoise(part, sigma)
        return found.clean, found.variance_fraction

    clean, fraction = checkpoint(answer, noisy, use_reentrant=False, preserve_rng_state=False)
    return Denoised(clean, fraction)
