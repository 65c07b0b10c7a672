"""What one evaluation of a network costs, counted on the `meta` device: shapes only, no time and no memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.multiprocessing.reductions import StorageWeakRef
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode


def evaluation(network: Callable[[], nn.Module], height: int, width: int, *rest: Tensor) -> tuple[float, float]:
    """(floating-point operations, bytes) of `network(x, *rest)` for one x (1, 3, height, width), without gradients.

    The bytes are the weights in the precision that the network has them in, and the most that its layers hold at once.
    """
    with torch.device("meta"), torch.no_grad():
        built = network()
        with FlopCounterMode(display=False) as counter, _Held(built) as held, _Attention(held):
            built(torch.empty(1, 3, height, width), *(r.to("meta") for r in rest))
    weights = sum(p.nbytes for p in built.parameters())
    return float(counter.get_total_flops()), float(weights + held.most)


class _Held(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """The most bytes that the tensors made in this context held at once."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.most = 0
        self._weights = {p.untyped_storage()._cdata for p in network.parameters()}
        self.paused = False
        self._live: dict[int, tuple[StorageWeakRef, int]] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
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
