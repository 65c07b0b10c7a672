"""Checkpoints of the embedded prior's kind: one safetensors file that says what it is.

The header's metadata holds `format`, `architecture` (JSON: the arguments of `UNet`), `content_sha256` (see `seal`) and
free text such as `licence` and `trained_with`. Weights are float16 in the file and float32 in memory.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import torch
from safetensors.torch import save

from gdpkit.atomic import whole_file
from gdpkit.errors import GdpkitError
from gdpkit.priors.known import sha256 as sha256
from gdpkit.priors.unet import UNet
from gdpkit.priors.weights import describe_weights, read_weights

FORMAT = "gdpkit-prior-1"
_UNSEALED = "0" * 64
_SEAL = re.compile(rb'"content_sha256":"([0-9a-f]{64})"')


@dataclass(frozen=True)
class Loaded:
    """A network ready to run, and what its file says of itself."""

    network: UNet
    metadata: Mapping[str, str]


def load_unet(file: Path, device: str | torch.device) -> Loaded:
    """The network of a file on a device, cached until the file changes. A bad file is a `GdpkitError` naming it."""
    try:
        stamp = file.stat().st_mtime_ns
    except OSError as error:
        raise GdpkitError(f"cannot read the prior {file}: {error.strerror}") from error
    return _load(file, stamp, torch.device(device))


@lru_cache(maxsize=4)
def _load(file: Path, stamp: int, device: torch.device) -> Loaded:
    tensors, metadata = read_weights(file)
    if metadata.get("format") != FORMAT:
        raise GdpkitError(f"{file}: is no prior of gdpkit's own format ({FORMAT})")
    check_intact(file)
    try:
        network = UNet(**json.loads(metadata["architecture"]))
        network.load_state_dict({key: tensor.float() for key, tensor in tensors.items()})
    except (LookupError, TypeError, ValueError, ArithmeticError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise GdpkitError(f"{file}: does not hold the network that it declares ({reason})") from error
    network = network.eval().requires_grad_(False).to(device)
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return Loaded(network, metadata)


def is_ours(file: Path) -> bool:
    """Whether a file is of this format; one that cannot be read is a `GdpkitError`."""
    return describe_weights(file)[1].get("format") == FORMAT


def save_unet(file: Path, network: UNet, about: Mapping[str, str], overwrite: bool = True) -> None:
    """Write a network's weights in float16 with its metadata; the file appears whole or not at all.

    The same weights and metadata are the same bytes.
    """
    architecture = json.dumps(network.architecture)
    metadata = {**about, "format": FORMAT, "architecture": architecture, "content_sha256": _UNSEALED}
    weights = {k: v.detach().half().cpu().contiguous() for k, v in network.state_dict().items()}
    with whole_file(file, overwrite) as temporary:
        temporary.write_bytes(seal(_in_order(save(weights, metadata))))


def _in_order(content: bytes) -> bytes:
    """The same file with its metadata in the order of their names: safetensors writes them in another every time."""
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)  # the tensors are aligned
    return len(text).to_bytes(8, "little") + text + content[8 + length :]


def seal(content: bytes) -> bytes:
    """Put into a file's metadata the SHA-256 of all its bytes, where those of this SHA-256 itself are 64 zeros.

    So a file tells of any byte that changed in it, without a list of known files.
    """
    place = _seal_of(content)
    if place is None:
        raise ValueError("the metadata has no content_sha256")
    return content[: place.start(1)] + _digest(content, place) + content[place.end(1) :]


def is_intact(file: Path) -> bool | None:
    """Whether a file is what its seal says; None: it has none."""
    content = file.read_bytes()
    place = _seal_of(content)
    return None if place is None else place[1] == _digest(content, place)


def check_intact(file: Path) -> None:
    """Raise a `GdpkitError` where a file is not what its seal says; one without a seal passes."""
    if is_intact(file) is False:
        raise GdpkitError(f"{file}: is damaged: its content differs from the SHA-256 that it carries")


def _seal_of(content: bytes) -> re.Match[bytes] | None:
    return _SEAL.search(content, 0, 8 + int.from_bytes(content[:8], "little"))


def _digest(content: bytes, place: re.Match[bytes]) -> bytes:
    view = memoryview(content)  # not copied: a start of gdpkit waits for this
    digest = hashlib.sha256(view[: place.start(1)])
    digest.update(_UNSEALED.encode())
    digest.update(view[place.end(1) :])
    return digest.hexdigest().encode()
