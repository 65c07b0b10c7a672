"""Tensors out of a checkpoint file, never code: safetensors, or what torch.save wrote, read with weights_only."""

from __future__ import annotations

import json
import re
import warnings
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gdpkit import memory
from gdpkit.errors import GdpkitError
from gdpkit.priors import foreign


def describe_weights(file: str | Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """What `read_weights` would give, as tensors on the `meta` device: shapes and dtypes, without reading the weights.

    (The format that torch.save had before version 1.6 is read in full for it.)
    """
    path = Path(file)
    if _is_safetensors(path):
        from safetensors import safe_open

        with _understood(path), safe_open(path, framework="pt") as opened:
            found = {name: opened.get_tensor(name).to("meta") for name in opened.keys()}  # noqa: SIM118
            return found, opened.metadata() or {}
    return {name: tensor.to("meta") for name, tensor in _read_torch(path, mapped=True).items()}, {}


def read_weights(file: str | Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The tensors of a checkpoint by name, on the CPU as stored, and its metadata (safetensors only).

    What the file is, its first bytes say, not its suffix. A pickle that needs more than tensors, a file cut short
    and one that is no checkpoint are `GdpkitError`s.
    """
    path = Path(file)
    if _is_safetensors(path):
        return dict(each_weight(path)), describe_weights(path)[1]
    return _read_torch(path), {}


def each_weight(file: str | Path, mapped: bool = False) -> Iterator[tuple[str, Tensor]]:
    """The tensors of a checkpoint one after the other, on the CPU as stored: of safetensors, one is held at a time.

    `mapped`: for a caller that copies each; then what torch.save wrote is not held as a whole either, but mapped.
    """
    path = Path(file)
    if not _is_safetensors(path):
        content = _read_torch(path, mapped)
        while content:
            name = next(iter(content))
            yield name, content.pop(name)
        return
    described, _ = describe_weights(path)  # and with that, the header is known to be right
    with path.open("rb") as stream:
        size = int.from_bytes(stream.read(8), "little")
        header: dict[str, Any] = json.loads(stream.read(size))
        for name, shape in described.items():
            # Read, not mapped: a mapped file that changes would change the network, and counts as memory besides.
            tensor = torch.empty(shape.shape, dtype=shape.dtype)
            if tensor.numel():
                stream.seek(8 + size + header[name]["data_offsets"][0])
                stream.readinto(tensor.view(-1).view(torch.uint8).numpy().data)
            yield name, tensor


def _is_safetensors(path: Path) -> bool:
    """Whether the file begins as such: 8 bytes of length, then a JSON object."""
    try:
        with path.open("rb") as stream:
            return stream.read(9)[8:] == b"{"
    except OSError as error:
        raise GdpkitError(f"{path}: cannot be read ({error.strerror}).") from None


@contextmanager
def _understood(path: Path) -> Iterator[None]:
    from safetensors import SafetensorError

    try:
        yield
    except (SafetensorError, OSError, ValueError, RuntimeError) as error:
        raise _damaged(path, str(error)) from None


def _read_torch(path: Path, mapped: bool = False) -> dict[str, Tensor]:
    """`mapped`: the weights stay in the file until they are used, where the format allows it."""
    mapped = mapped and zipfile.is_zipfile(path)
    if not mapped:
        memory.require(path.stat().st_size, torch.device("cpu"), f"{path}: reading it", "Close other programs.")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about formats of its own that torch no longer likes
            content = torch.load(path, map_location="cpu", weights_only=True, mmap=mapped or None)
    except MemoryError:
        raise
    except Exception as error:  # a foreign file can break the unpickler in any way it likes
        needed = re.search(r"GLOBAL ([\w.]+)", str(error))
        if needed is None:
            # What else it says is about its own insides, or about how to switch the protection off.
            foreign = "not a pickle of tensors alone, which is all that is read"
            raise _damaged(path, foreign if "weights_only" in str(error) else "") from None
        raise GdpkitError(
            f"{path}: refused, because loading it would run code ({needed[1]}).\n"
            "A checkpoint may hold tensors only: save the network's state_dict, best as safetensors."
        ) from None
    if not isinstance(content, dict) or not all(isinstance(k, str) for k in content):
        raise GdpkitError(f"{path}: holds a {type(content).__name__}, not a state_dict (tensors by name).")
    other = [name for name, value in content.items() if not isinstance(value, Tensor)]
    if other:
        raise GdpkitError(f"{path}: is not a state_dict, {other[0]!r} is not a tensor. Save the network's state_dict.")
    return content


def _damaged(path: Path, reason: str = "") -> GdpkitError:
    told = foreign.file(path)
    if told is not None:
        return GdpkitError(f"{path}: {told}.")
    first = reason.strip().partition("\n")[0][:120]
    return GdpkitError(f"{path}: is cut short, damaged or not a checkpoint{first and f' ({first})'}.")
