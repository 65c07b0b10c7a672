"""Batches for a training, made one ahead in a thread, and where in their sequence the training is."""

from __future__ import annotations

import json
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np
from torch import Tensor

from gdpkit.training.photos import Photos
from gdpkit.training.recipe import Recipe


class Feed:
    """An endless sequence of batches, the same for the same seed; it can go on from its `state`."""

    def __init__(self, photos: Photos, recipe: Recipe, seed: int) -> None:
        self._photos, self._recipe = photos, recipe
        self._random = np.random.default_rng(seed)
        self._state = self._random.bit_generator.state
        self._threads = ThreadPoolExecutor(1, "feed")
        self._next: Future[tuple[Tensor, Mapping[str, Any]]] | None = None

    def take(self) -> Tensor:
        """The next batch; the one after it is begun meanwhile."""
        batch, self._state = (self._next or self._threads.submit(self._make)).result()
        self._next = self._threads.submit(self._make)
        return batch

    @property
    def state(self) -> str:
        """Where it is, as JSON: after the batches taken, whatever has been made ahead."""
        return json.dumps(self._state)

    @state.setter
    def state(self, state: str) -> None:
        if self._next is not None:
            self._next.result()
            self._next = None
        self._state = json.loads(state)
        self._random.bit_generator.state = self._state

    def close(self) -> None:
        """End the thread."""
        self._threads.shutdown(cancel_futures=True)

    def _make(self) -> tuple[Tensor, Mapping[str, Any]]:
        batch = self._photos.batch(self._recipe.batch, self._recipe.grey, self._random)
        return batch, self._random.bit_generator.state
