"""What the command line says of itself."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable
from typing import Any

import pytest

import gdpkit

# torch's own forward-mode differentiation compiles its rules in a way that it deprecates.
pytestmark = pytest.mark.filterwarnings("ignore:.*torch.jit.script:DeprecationWarning")

Cli = Callable[..., Any]


def test_the_help_of_a_task_is_its_manual(cli: Cli) -> None:
    text = cli("run", "brighten", "--help").out
    assert "A second paragraph says more." in text
    assert text.index("Options of brighten:") < text.index("--factor") < text.index("Common options:")
    assert text.index("Common options:") < text.index("--seed") < text.index("Examples:")
    assert text.count("gdpkit run brighten photo.jpg") == 2
    assert "gdpkit run merge --exposures FILE... -o result.png" in cli("run", "merge", "--help").out


def test_run_lists_the_tasks(cli: Cli) -> None:
    assert "brighten  Brighten a dark photograph." in cli("run", "--help").out


def test_a_command_without_arguments_shows_its_help(cli: Cli) -> None:
    for args in ((), ("run",)):
        result = cli(*args)
        assert result.status == 2
        assert "Examples:" in result.err


def test_version(cli: Cli) -> None:
    assert cli("--version").out == f"gdpkit {gdpkit.__version__}\n"


def test_the_console_script_is_declared() -> None:
    scripts = importlib.metadata.entry_points(group="console_scripts", name="gdpkit")
    assert {script.value for script in scripts} <= {"gdpkit.cli:main"}
