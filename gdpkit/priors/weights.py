"""Tensors out of a checkpoint file, never code: safetensors, or what torch.save wrote, read with weights_only."""

from __future__ import annotations

import re
import warnings
from pathlib import Path

from torch import Tensor

from gdpkit.errors import GdpkitError


def read_weights(file: str | Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The tensors of a checkpoint by name, on the CPU as stored, and its metadata (safetensors only).

    What the file is, its first bytes say, not its suffix. A pickle that needs more than tensors, a file cut short
    and one that is no checkpoint are `GdpkitError`s.
    """
    path = Path(file)
    try:
        with path.open("rb") as stream:
            start = stream.read(9)
    except OSError as error:
        raise GdpkitError(f"{path}: cannot be read ({error.strerror}).") from None
    # safetensors: 8 bytes of length, then a JSON object.
    return _read_safetensors(path) if start[8:9] == b"{" else (_read_torch(path), {})


def _read_safetensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as opened:
            return {name: opened.get_tensor(name) for name in opened.keys()}, opened.metadata() or {}  # noqa: SIM118
    except (SafetensorError, OSError, ValueError, RuntimeError) as error:
        raise _damaged(path, str(error)) from None


def _read_torch(path: Path) -> dict[str, Tensor]:
    import torch

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about formats of its own that torch no longer likes
            content = torch.load(path, map_location="cpu", weights_only=True)
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
    first = reason.strip().partition("\n")[0][:120]
    return GdpkitError(f"{path}: is cut short, damaged or not a checkpoint{first and f' ({first})'}.")
