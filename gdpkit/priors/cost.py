"""What one evaluation of a network costs, counted from the operations that it is made of."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from torch.multiprocessing.reductions import StorageWeakRef
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

_OF_SQUARES: WeakKeyDictionary[nn.Module, dict[int, tuple[float, float]]] = WeakKeyDictionary()
"""What was counted of networks that do alike to every pixel: each run asks, and it takes an evaluation."""


def evaluation(network: Callable[[], nn.Module], height: int, width: int, *rest: Tensor) -> tuple[float, float]:
    """(floating-point operations, bytes) of `network(x, *rest)` for one x (1, 3, height, width), without gradients.

    The bytes are the weights in the precision that the network has them in, and the most that its layers hold at once.
    Counted on the `meta` device, with shapes only; torch imports its compiler for it, which takes a second.
    """
    with torch.device("meta"):
        return _counted(network(), torch.empty(1, 3, height, width), *(r.to("meta") for r in rest))


def of_pixels(network: nn.Module, height: int, width: int, *rest: Tensor, side: int) -> tuple[float, float]:
    """The same of a network that does alike to every pixel, told at once from an evaluation of side x side pixels."""
    known = _OF_SQUARES.setdefault(network, {})
    if side not in known:
        known[side] = _counted(network, torch.zeros(1, 3, side, side), *rest)
    operations, held = known[side]
    weights = _weights(network)
    times = height * width / side**2
    return times * operations, weights + times * (held - weights)


def _counted(network: nn.Module, *inputs: Tensor) -> tuple[float, float]:
    with torch.no_grad(), _Held(network) as held, _Attention(held):
        network(*inputs)
    return float(held.operations), float(_weights(network) + held.most)


def _weights(network: nn.Module) -> int:
    return sum(p.nbytes for p in network.parameters())


class _Held(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """The most bytes that the tensors made in this context held at once, and the operations that made them."""

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Nothing is compiled in this context. By default torch imports its compiler to say so, for a second."""
        return False

    def __init__(self, network: nn.Module) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.most = self.operations = 0
        self._weights = {p.untyped_storage()._cdata for p in network.parameters()}
        self.paused = False
        self._live: dict[int, tuple[StorageWeakRef, int]] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        if (operations := flop_registry.get(func.overloadpacket)) is not None:
            self.operations += operations(*args, **(kwargs or {}), out_val=out)
        if not self.paused:
            # A convolution holds its input and output once more, in the layout that it computes in.
            own = isinstance(out, Tensor) and "convolution" in func.name()
            self.count(out, args[0].nbytes + out.nbytes if own else 0)
        return out

    def count(self, out: Any, besides: int = 0) -> None:
        """Take note of what an operation gave, and of what it held `besides` while it ran."""
        for tensor in out if isinstance(out, tuple | list) else (out,):
            if isinstance(tensor, Tensor):
                storage = tensor.untyped_storage()
                if storage._cdata not in self._weights:  # a view of one holds nothing more
                    self._live[storage._cdata] = StorageWeakRef(storage), storage.nbytes()  # type: ignore[no-untyped-call]
        gone = [key for key, (storage, _) in self._live.items() if storage.expired()]  # type: ignore[no-untyped-call]
        for key in gone:
            del self._live[key]
        self.most = max(self.most, besides + sum(size for _, size in self._live.values()))


class _Attention(TorchFunctionMode):
    """Counts attention as the kernels do it that never hold the matrix of all positions with all others."""

    def __init__(self, held: _Held) -> None:
        super().__init__()
        self._held = held

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is not F.scaled_dot_product_attention:
            return func(*args, **(kwargs or {}))
        self._held.paused = True
        try:
            out = func(*args, **(kwargs or {}))
        finally:
            self._held.paused = False
        self._held.count(out)
        return out
