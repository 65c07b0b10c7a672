"""Networks compiled for a GPU, where that pays.

Compiling fuses what lies between the convolutions, and takes a minute. So a network first computes as it is; when it
has computed images of one shape for as long as compiling takes, it is compiled for that shape. No run then takes much
more than twice the time of the better choice, and short ones never wait. What cannot be compiled, as where there is no
compiler, goes on as it was, and a note says so.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from gdpkit import memory

PATIENCE = 60.0
"""Seconds on a GPU after which a network is compiled for a shape."""

MOST = 8  # shapes that one network is compiled for; torch gives up beyond

_STATE = "_gdpkit_compiling"
_patience = [PATIENCE]
_reasons: list[str] = []


def evaluated(network: Callable[..., Tensor], *batched: Tensor) -> Tensor:
    """`network(*batched)` on a GPU. With gradients always as it is."""
    gradients = torch.is_grad_enabled() and any(t.requires_grad for t in batched)
    if gradients or not isinstance(network, nn.Module):
        return network(*batched)
    state = vars(network).setdefault(_STATE, _State())  # past nn.Module, which would make a module of it
    found: Tensor = state.run(network, batched)
    return found


@contextmanager
def at_once() -> Iterator[None]:
    """Within it, networks are compiled when they are first asked; for measurements."""
    _patience.append(0.0)
    try:
        yield
    finally:
        _patience.pop()


def notes() -> tuple[str, ...]:
    """Whether a network could not be compiled, and why."""
    return tuple(f"the network could not be compiled, so it is slower than it might be: {why}" for why in _reasons)


class _State:
    """How long a network took for each shape, and what it was compiled to."""

    def __init__(self) -> None:
        self._spent: dict[Any, float] = defaultdict(float)
        self._running: list[tuple[Any, torch.cuda.Event, torch.cuda.Event]] = []
        self._compiled: Callable[..., Tensor] | None = None
        self._shapes: set[Any] = set()
        self._failed = False

    def run(self, network: nn.Module, batched: tuple[Tensor, ...]) -> Tensor:
        half = torch.get_autocast_dtype("cuda") if torch.is_autocast_enabled("cuda") else None
        key = (batched[0].shape, batched[0].dtype, half, getattr(network, "compute", None))
        self._read()
        if not self._failed and self._spent[key] >= _patience[-1] and len(self._shapes | {key}) <= MOST:
            try:
                if self._compiled is None:
                    self._compiled = torch.compile(network.forward, dynamic=False)
                found = self._compiled(*batched)
            except Exception as error:
                if memory.is_shortage(error):
                    raise
                self._failed = True
                why = str(error).strip().partition("\n")[0][:200] or type(error).__name__
                _reasons[:] = dict.fromkeys([*_reasons, why])
            else:
                self._shapes.add(key)
                return found
        return self._timed(network, batched, key)

    def _timed(self, network: nn.Module, batched: tuple[Tensor, ...], key: Any) -> Tensor:
        if self._failed:
            return network(*batched)  # type: ignore[no-any-return]
        with torch.cuda.device(batched[0].device):  # on whose stream events are noted
            start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))  # type: ignore[no-untyped-call]
            start.record()
            found: Tensor = network(*batched)
            end.record()
        self._running.append((key, start, end))
        return found

    def _read(self) -> None:
        """Add up what is done by now; nothing is waited for."""
        while self._running and self._running[0][2].query():  # type: ignore[no-untyped-call]
            key, start, end = self._running.pop(0)
            self._spent[key] += start.elapsed_time(end) / 1000
