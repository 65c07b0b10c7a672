"""Checkpoints of the embedded prior's kind: one safetensors file that says what it is.

The header's metadata holds `format`, `architecture` (JSON: the arguments of `UNet`) and free text such as `licence`
and `trained_on`. Weights are float16 in the file and float32 in memory.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import torch
from safetensors.torch import save

from gdpkit.atomic import whole_file
from gdpkit.errors import GdpkitError
from gdpkit.priors.unet import UNet
from gdpkit.priors.weights import read_weights

FORMAT = "gdpkit-prior-1"


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
    return read_weights(file)[1].get("format") == FORMAT


def save_unet(file: Path, network: UNet, about: Mapping[str, str]) -> None:
    """Write a network's weights in float16 with its metadata; the file appears whole or not at all."""
    architecture = json.dumps({"widths": network.widths, "depths": network.depths})
    metadata = {**about, "format": FORMAT, "architecture": architecture}
    weights = {k: v.detach().half().cpu().contiguous() for k, v in network.state_dict().items()}
    with whole_file(file) as temporary:
        temporary.write_bytes(save(weights, metadata))


def sha256(file: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()
