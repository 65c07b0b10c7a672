"""`gdpkit prior train | list | info | verify | fetch`: the networks that know what photographs look like."""

from __future__ import annotations

import importlib

import click

from gdpkit.cli.base import Lazy

_COMMANDS = {
    "train": "Train a prior on photographs, or train one further.",
    "list": "List the priors that are installed, and those that were fetched.",
    "info": "Say what a prior is, where it came from and under which licence.",
    "verify": "Check that a prior's file is what it should be.",
    "fetch": "Download a public checkpoint.",
}


def _load(name: str) -> click.Command:
    module = importlib.import_module("gdpkit.cli.prior." + (name if name in ("train", "fetch") else "files"))
    command: click.Command = getattr(module, f"{name}_command")()
    return command


def prior_command() -> click.Group:
    """The group `gdpkit prior`."""
    return Lazy(
        "prior",
        "command",
        lambda: _COMMANDS,
        _load,
        help="Train, fetch and check priors: the networks that know what photographs look like.",
        examples=("gdpkit prior info embedded", "gdpkit prior train photos/ -o my-prior.safetensors --minutes 120"),
    )
