"""Which prior a file or folder is, by what is in it, never by its name."""

from __future__ import annotations

from pathlib import Path

from gdpkit.errors import GdpkitError
from gdpkit.priors import foreign
from gdpkit.priors.checkpoint import FORMAT
from gdpkit.priors.unet2d_config import CONFIG, is_folder, read_folder
from gdpkit.priors.weights import describe_weights


def kind(path: Path) -> str:
    """The name of the prior: embedded (one that gdpkit trained), adm or diffusers. No weight is read for it.

    A path that is none of them, or cannot be read, is a `GdpkitError`.
    """
    if path.is_dir():
        if is_folder(path):
            return "diffusers"
        raise GdpkitError(
            f"{path}: is a folder, not a checkpoint (nor one of a diffusers model, which holds a {CONFIG} beside the "
            "weights)."
        )
    tensors, metadata = describe_weights(path)
    if metadata.get("format") == FORMAT:
        return "embedded"
    if "time_embed.0.weight" in tensors:
        return "adm"
    if "conv_in.weight" not in tensors or not any(name.startswith("down_blocks.") for name in tensors):
        raise GdpkitError(f"{path}: {foreign.network(tensors)}")
    if not is_folder(path):
        raise GdpkitError(f"{path}: are the weights of a diffusers model, which needs its {CONFIG} beside them.")
    return "diffusers"


def weights_file(path: Path) -> Path:
    """The file that holds the weights of a prior's file or folder."""
    return read_folder(path).weights if kind(path) == "diffusers" else path
