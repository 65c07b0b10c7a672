"""A GPU that is only pretended, for machines without one: which tensors would be on it, and which operations would mix.

The mode stands between torch and whoever calls it. A tensor made for "cuda" is an ordinary one whose storage is noted;
what is computed from noted tensors is noted, and `device` and `is_cuda` say so. Operations on tensors of both kinds,
which CUDA refuses, raise here as well. What waits for the GPU is counted by its place in the code.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator
from types import FrameType
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch._C import _functorch as functorch
from torch.multiprocessing.reductions import StorageWeakRef
from torch.overrides import TorchFunctionMode, resolve_name

GPU = torch.device("cuda", 0)
WAITING = ("item", "tolist", "__bool__", "__float__", "__int__", "__index__", "equal", "nonzero", "numpy", "cpu")
INDEXED = (
    "__set__",
    "_has_compatible_shallow_copy_type",
    "__getitem__",
    "__setitem__",
    "copy_",
    "index_put_",
    "to",
    "type_as",
)
"""What takes tensors of the CPU beside those of the GPU: indices, and whatever copies."""


class PretendedGpu(TorchFunctionMode):
    """Within it, `torch.device("cuda", 0)` is a device like any other."""

    _there: ClassVar[dict[int, StorageWeakRef]] = {}  # of all, as caches hold tensors from one to the next

    def __init__(self) -> None:
        super().__init__()
        self.waits: Counter[str] = Counter()
        self.moves: Counter[str] = Counter()

    def holds(self, tensor: Tensor) -> bool:
        """Whether a tensor is on the GPU."""
        found = self._there.get(_storage(tensor)._cdata)
        return found is not None and not found.expired()  # type: ignore[no-untyped-call]

    def device(self, tensor: Tensor) -> torch.device:
        """Where a tensor is."""
        return GPU if self.holds(tensor) else tensor.device

    def put(self, value: Any) -> Any:
        """Note that a tensor, or those of a tuple, are on the GPU."""
        for tensor in _tensors(value):
            storage = _storage(tensor)
            self._there[storage._cdata] = StorageWeakRef(storage)  # type: ignore[no-untyped-call]
        return value

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        name = getattr(func, "__name__", "")
        owner = getattr(getattr(func, "__self__", None), "__name__", "")
        if name == "__get__" and owner in ("device", "is_cuda"):
            return self.holds(args[0]) if owner == "is_cuda" else self.device(args[0])
        if name in ("__get__", "_parse_to") or func is torch.device:
            return func(*args, **kwargs)
        if name == "pin_memory":  # there is nothing to pin it for
            return args[0]
        tensors = [*_tensors((args, kwargs))]
        there = [t for t in tensors if self.holds(t)]
        here = [t for t in tensors if not self.holds(t)]
        args, kwargs, wanted = _without_device(args, kwargs, self, name == "to")
        if wanted is not None or name in ("cpu", "cuda"):
            to_gpu = name == "cuda" or (wanted is not None and wanted.type == "cuda")
            if name == "cpu":
                args, func = args[:1], Tensor.clone if there else func
                self._wait(name, there)
            elif name == "to" and tensors and self.holds(tensors[0]) != to_gpu:
                kwargs["copy"] = True  # else a tensor of this type would be both
            if (
                to_gpu
                and here
                and name in ("to", "as_tensor", "tensor", "new_tensor")
                and not kwargs.get("non_blocking")
            ):
                self.moves[_place()] += 1
            made = func(*args, **kwargs)
            return self.put(made) if to_gpu else made
        if there and name == "new_tensor":
            self.moves[_place()] += 1
        if there and name in WAITING:
            self._wait(name, there)
            if name == "numpy":
                raise TypeError(f"can't convert a CUDA tensor to numpy, at {_place()}")
        if there and name not in INDEXED and (mixed := [t for t in here if t.ndim]):
            shapes = [tuple(t.shape) for t in mixed]
            raise RuntimeError(
                f"{resolve_name(func) or name} of tensors on the GPU and of {shapes} on the CPU, {_place()}"
            )
        if name in ("__getitem__", "__setitem__") and here and there and not self.holds(args[0]):
            raise RuntimeError(f"{name} of a tensor on the CPU with one on the GPU, at {_place()}")
        made = func(*args, **kwargs)
        return self.put(made) if there and name != "tolist" else made

    def _wait(self, name: str, there: list[Tensor]) -> None:
        if there:
            self.waits[f"{name} {_place()}"] += 1


def _storage(tensor: Tensor) -> Any:
    while functorch.is_functorch_wrapped_tensor(tensor):
        tensor = functorch.get_unwrapped(tensor)
    return tensor.untyped_storage()


def _tensors(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, dict):
        yield from _tensors([*value.values()])
    elif isinstance(value, tuple | list):
        for part in value:
            yield from _tensors(part)


def _without_device(
    args: Any, kwargs: dict[str, Any], mode: PretendedGpu, moves: bool
) -> tuple[Any, Any, torch.device | None]:
    """The arguments without the device that they ask for, and that device."""
    wanted: Any = None
    if _is_place(kwargs.get("device")):
        wanted = kwargs.pop("device")
    kept: list[Any] = []
    for k, value in enumerate(args):
        if _is_place(value):
            wanted = value
            kept += [torch.device("cpu")] if moves else []
        elif moves and k and isinstance(value, Tensor):  # x.to(other), x.type_as(other)
            wanted = mode.device(value)
            kept.append(value.dtype)
        else:
            kept.append(value)
    return tuple(kept), kwargs, None if wanted is None else torch.device(wanted)


def _is_place(value: Any) -> bool:
    """Whether it names the CPU or a GPU."""
    return isinstance(value, torch.device | str) and str(value).partition(":")[0] in ("cuda", "cpu")


def _place() -> str:
    """The nearest line of gdpkit, or of a plugin, that is being executed."""
    frame: FrameType | None = sys._getframe()
    while frame is not None:
        folder, name = ("/" + frame.f_code.co_filename).split("/")[-2:]
        if "gdpkit" in frame.f_code.co_filename and folder not in ("testing", "tests"):
            return f"{folder}/{name}:{frame.f_lineno}"
        frame = frame.f_back
    return "?"
