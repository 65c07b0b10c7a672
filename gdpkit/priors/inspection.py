"""What a checkpoint's file says of itself, and whether it is what it ought to be. Nothing in it is ever executed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from torch import nn

from gdpkit.components import Prior
from gdpkit.errors import GdpkitError
from gdpkit.priors import checkpoint, known, recognise
from gdpkit.priors.adm import AdmPrior
from gdpkit.priors.diffusers import DiffusersPrior
from gdpkit.priors.embedded import EmbeddedPrior

SIDE = 256
"""The memory of an evaluation is told for a picture of this side."""


def about(file: Path, prior: Prior | None = None) -> dict[str, Any]:
    """Everything about a checkpoint, or about the folder of a diffusers model; one that cannot be used is an error.

    `prior` is the one to describe, where it was told more than its file. Of public checkpoints no weight is loaded, so
    that it takes no memory. Keys: file, bytes, sha256, format, architecture, parameters, receptive_field (None: the
    whole image), licence, recipe, trained_with, memory_mib (of one evaluation with the weights), and whatever else its
    metadata says.
    """
    kind = recognise.kind(file)
    if kind == "embedded":
        record = _ours(file)
        prior = prior or EmbeddedPrior(file=file)
    elif isinstance(prior, DiffusersPrior) or kind == "diffusers":
        prior = prior if isinstance(prior, DiffusersPrior) else DiffusersPrior(file=file)
        folder, unet = prior.outline()
        record = _public(file, "diffusers", {**asdict(folder.config), "training": asdict(folder.training)}, unet)
    else:
        prior = prior if isinstance(prior, AdmPrior) else AdmPrior(file=file)
        network = prior.outline()
        record = _public(file, "adm", asdict(network.config), network)
    work = prior.work(SIDE, SIDE)
    memory = {} if work is None else {"memory_mib": {f"{SIDE}x{SIDE}": round(work[1] / 2**20)}}
    weights = recognise.weights_file(file)
    found = {"file": str(file), "bytes": weights.stat().st_size, "sha256": checkpoint.sha256(weights)}
    return {**found, **record, **memory}


def _public(file: Path, kind: str, architecture: dict[str, Any], network: nn.Module) -> dict[str, Any]:
    precisions = sorted({str(p.dtype).removeprefix("torch.") for p in network.parameters()})
    return {
        "format": kind,
        "architecture": architecture,
        "parameters": sum(p.numel() for p in network.parameters()),
        "precision": " ".join(precisions),
        "receptive_field": None,
        "licence": next((e.licence for e in known.table().values() if e.file == file.name), "not known"),
        "recipe": None,
        "trained_with": "not known",
    }


def verify(file: Path, sha256: str | None = None, prior: Prior | None = None) -> str:
    """Look into a checkpoint, compare it with what is known of it, and return what speaks for it.

    `sha256` is one to compare with. A file that is damaged, of a wrong shape or holds code is a `GdpkitError`, and so
    is one of which nothing is known to compare it with: that a file can be read does not mean that it is intact.
    """
    weights = recognise.weights_file(file)
    wanted = known_sha256(weights, sha256)
    found = checkpoint.sha256(weights)
    if wanted is not None and found != wanted[0]:
        raise GdpkitError(
            f"{file}: is damaged or another file: its SHA-256 is\n{found}, that of {wanted[1]} is\n{wanted[0]}"
        )
    ours = about(file, prior)["format"] == checkpoint.FORMAT
    if ours:
        checkpoint.check_intact(file)
    if wanted is not None:
        return f"its SHA-256 is that of {wanted[1]}"
    if ours and checkpoint.is_intact(file):
        return "its content has the SHA-256 that it carries"
    if found in {entry.sha256 for entry in known.table().values()}:
        return "its SHA-256 is that of gdpkit's list"
    raise GdpkitError(
        f"{file}: can be read, but whether it is intact cannot be told: no SHA-256 of it is known.\n"
        f"Its own is {found}; compare that with its publisher's, with --sha256."
    )


def known_sha256(file: Path, given: str | None) -> tuple[str, str] | None:
    """The SHA-256 to compare with, and by whom it is: the one given, or one that is known."""
    return (known.valid_sha256(given), "--sha256") if given is not None else known.expected_sha256(file)


def _ours(file: Path) -> dict[str, Any]:
    loaded = checkpoint.load_unet(file, "cpu")
    metadata = dict(loaded.metadata)
    entry = known.table()["embedded"]
    inside = file.resolve() == known.checkpoint_file("embedded")
    return {
        "format": metadata.pop("format"),
        "architecture": _json(metadata.pop("architecture")),
        "parameters": sum(p.numel() for p in loaded.network.parameters()),
        "receptive_field": loaded.network.receptive_field,
        "licence": metadata.pop("licence", "") or (entry.licence if inside else "not known"),
        "recipe": _json(metadata.pop("recipe", "null")),
        "trained_with": metadata.pop("trained_with", "not known"),
        **_rest(metadata),
    }


def _rest(metadata: Mapping[str, str]) -> dict[str, Any]:
    return {key: _json(value) for key, value in sorted(metadata.items()) if key != "content_sha256"}


def _json(text: str) -> Any:
    """What the text says as JSON, or else the text."""
    try:
        return json.loads(text)
    except ValueError:
        return text
