"""What a file is that is no prior, in words, where it can be told: by its first bytes, or by the names in it."""

from __future__ import annotations

import zipfile
from collections.abc import Collection
from pathlib import Path

_AUTOENCODER = ("encoder.", "decoder.", "quant_conv.", "post_quant_conv.", "first_stage_model.")


def file(path: Path) -> str | None:
    """Of a file that cannot be read as a checkpoint; None where it tells nothing."""
    with path.open("rb") as stream:
        begins = stream.read(64)
    if not begins:
        return "is cut short: it is empty (0 bytes); fetch it again"
    if begins.startswith(b"version https://git-lfs"):
        return "is a Git LFS pointer, not the file itself, which `git lfs pull` fetches"
    if begins.lstrip().lower().startswith((b"<!doctype html", b"<html")):
        return "is a web page, not a checkpoint: what it was downloaded from answered with one; fetch it again"
    if not begins.startswith(b"PK\x03\x04"):
        return None
    if not zipfile.is_zipfile(path):
        return "is cut short: its end is missing; fetch it again"
    with zipfile.ZipFile(path) as archive:
        saved = any(name.endswith("data.pkl") for name in archive.namelist())
    return None if saved else "is a ZIP archive, but not of torch.save"


def network(names: Collection[str]) -> str:
    """Of a checkpoint with parameters of these names, which are those of no network that is understood."""
    if any("lora" in name.lower() for name in names):
        return "holds a LoRA, which changes a larger network and is no prior by itself."
    if any(name.startswith("model.diffusion_model.") for name in names):
        return "holds a latent diffusion model, as Stable Diffusion is; only networks that work on pixels are priors."
    if any(name.startswith(_AUTOENCODER) for name in names):
        return "holds an autoencoder (VAE) or a part of one; only diffusion networks that work on pixels are priors."
    if names and all(name.startswith("module.") for name in names):
        return "its names begin with 'module.', as DataParallel writes them; save model.module.state_dict() instead."
    return (
        "holds no network that is understood: neither one of guided diffusion (it has no time_embed.0.weight) nor a "
        "UNet2DModel of diffusers (no conv_in.weight). gdpkit prior list tells which are."
    )
