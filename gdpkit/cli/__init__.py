"""The command line: `gdpkit run | degrade | eval | list | describe | plugins | prior | bench`.

A command is loaded when asked for. `gdpkit --help` answers in about 0.1 s: nothing here imports torch, numpy, a plugin
or an image library.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Sequence

import click

from gdpkit import __version__, report
from gdpkit.cli.base import Lazy

_COMMANDS = {
    "run": "Restore photographs.",
    "degrade": "Damage a photograph the way a restoration assumes it was.",
    "eval": "Measure pictures against what they should be.",
    "list": "List tasks, degradations, losses, samplers, priors and metrics.",
    "describe": "Explain one of them and its parameters.",
    "plugins": "Show what is installed, and what is wrong with it.",
    "prior": "Train, fetch and check priors.",
    "bench": "Measure how fast this machine is.",
}


def _load(name: str) -> click.Command:
    where = {"run": "run", "degrade": "degrade", "eval": "evaluate", "prior": "prior", "bench": "bench"}
    module = importlib.import_module(f"gdpkit.cli.{where.get(name, 'catalogue')}")
    command: click.Command = getattr(module, f"{name}_command")()
    return command


def cli() -> click.Group:
    """The click group behind the command `gdpkit`."""
    debug = click.Option(["--debug"], is_flag=True, expose_value=False, help="Show the traceback of an error.")
    group = Lazy(
        "gdpkit",
        "command",
        lambda: _COMMANDS,
        _load,
        help="Restore photographs with one pretrained diffusion model.",
        examples=("gdpkit run sr small.jpg --scale 4 -o large.png", "gdpkit describe sr"),
        params=[debug],
    )
    return click.version_option(__version__, prog_name="gdpkit", message="%(prog)s %(version)s")(group)


def main(args: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status: 0, 1 (a failure of ours), 2 (a person can mend it) or 130.

    Errors are told on standard error, in one to three lines; a traceback only with `--debug`.
    """
    args = list(sys.argv[1:] if args is None else args)
    debug = "--debug" in args  # here and not from the parser, which may be what fails
    try:
        status = cli().main(args, prog_name="gdpkit", standalone_mode=False, obj=debug)
    except (click.Abort, KeyboardInterrupt):
        report.warn("Stopped.")
        return 130
    except BrokenPipeError:  # the reader has seen enough, as in `gdpkit list | head -1`
        sys.stdout = open(os.devnull, "w")  # noqa: PTH123, SIM115 - or the interpreter complains again when it flushes
        return 0
    except Exception as error:
        return report.failure(error, debug=debug)
    return status if isinstance(status, int) else 0
