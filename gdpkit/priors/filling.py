"""Weights from a file into a network: each of its shape, in the precision they come in, after a look at the memory."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor, nn

from gdpkit import memory
from gdpkit.errors import GdpkitError
from gdpkit.priors import cost
from gdpkit.priors.layers import HALF
from gdpkit.priors.weights import describe_weights, each_weight

N = TypeVar("N", bound=nn.Module)

LEAST_SIDE = 128
"""Loading asks for the memory of one evaluation of a picture of this side; that of larger ones is the run's matter."""


def outline(
    build: Callable[[], N], path: Path, *, hold: torch.dtype | None = None, names: Mapping[str, str] | None = None
) -> N:
    """The network of a file on the `meta` device: its shapes and precisions, and no weight is read.

    Weights are held as the file has them: float16 stays float16. `hold` is what wider ones are held in instead; a
    module that `build()` makes in half precision stays so. `names` are the network's names of what the file calls
    otherwise. Raises `GdpkitError` where the file's weights do not fit the network.
    """
    stored = _stored(path, names)
    with torch.device("meta"):
        network = build()
    wanted = network.state_dict()
    _check_fit(path, stored, wanted)
    state = {name: tensor.to(_kind(tensor.dtype, stored[name].dtype, hold)) for name, tensor in wanted.items()}
    network.load_state_dict(state, assign=True)
    return network.eval().requires_grad_(False)


def fill(
    network: N,
    path: Path,
    *,
    device: str | torch.device = "cpu",
    names: Mapping[str, str] | None = None,
    rest: Sequence[Tensor] = (),
) -> N:
    """The weights of a file into its outline, on a device. `rest` is what the network is called with besides an image.

    Raises `GdpkitError` before a weight is read, where the memory does not hold them and a small evaluation.
    """
    device, names = torch.device(device), names or {}
    _check_memory(network, path, device, rest)
    state, stored = network.state_dict(), _stored(path, names)
    copied = device.type != "cpu" or any(stored[name].dtype != state[name].dtype for name in state)
    for found, tensor in each_weight(path, mapped=copied):
        name = names.get(found, found)
        state[name] = tensor.detach().to(device, state[name].dtype, copy=copied)
    network.load_state_dict(state, assign=True)
    if device.type == "cuda":
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return network.requires_grad_(False)


def weight_bytes(network: nn.Module) -> int:
    """Those of its weights, in the precisions that it has them in."""
    return sum(p.nbytes for p in network.parameters())


def evaluation(network: nn.Module, height: int, width: int, rest: Sequence[Tensor]) -> tuple[float, float]:
    """`cost.evaluation` of an outline."""
    return cost.evaluation(lambda: network, height, width, *rest)


def _stored(path: Path, names: Mapping[str, str] | None) -> dict[str, Tensor]:
    return {(names or {}).get(name, name): tensor for name, tensor in describe_weights(path)[0].items()}


def _kind(built: torch.dtype, stored: torch.dtype, hold: torch.dtype | None) -> torch.dtype:
    """What a weight is held in."""
    if built in HALF or stored in HALF:
        return built if built in HALF else stored
    return hold or torch.float32


def _check_memory(network: nn.Module, path: Path, device: torch.device, rest: Sequence[Tensor]) -> None:
    weights = weight_bytes(network)
    _, needed = evaluation(network, LEAST_SIDE, LEAST_SIDE, rest)
    half = all(p.dtype in HALF for p in network.parameters())
    narrower = "" if half else ", hold its weights in half (precision=float16)"
    memory.require(
        needed,
        device,
        f"{path}: its network of {sum(p.numel() for p in network.parameters()) / 1e6:.1f} million weights",
        f"({memory.told(weights)} for the weights, the rest for a picture of {LEAST_SIDE}x{LEAST_SIDE}; larger ones "
        f"take more.)\nClose other programs{narrower}, or use a smaller prior, such as embedded.",
    )


def _check_fit(path: Path, found: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> None:
    """Every parameter, no other, each of its shape; or an error that names the first few that differ."""
    faults = []
    missing = [name for name in wanted if name not in found]
    extra = [name for name in found if name not in wanted]
    differ = [
        f"{name} is {tuple(found[name].shape)} instead of {tuple(wanted[name].shape)}"
        for name in wanted
        if name in found and found[name].shape != wanted[name].shape
    ]
    for what, names in (("missing", missing), ("unexpected", extra), ("of another shape", differ)):
        if names:
            faults.append(f"{len(names)} {what} ({', '.join(names[:3])}{', ...' if len(names) > 3 else ''})")
    if faults:
        raise GdpkitError(f"{path}: its parameters do not fit its configuration: {'; '.join(faults)}.")
