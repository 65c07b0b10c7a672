"""`gdpkit list`, `describe` and `plugins`."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import click
import pytest

from gdpkit import hookimpl, registry
from gdpkit.components import Degradation

# torch's own forward-mode differentiation compiles its rules in a way that it deprecates.
pytestmark = pytest.mark.filterwarnings("ignore:.*torch.jit.script:DeprecationWarning")

Cli = Callable[..., Any]


def test_list_is_plain_and_whole_in_a_pipe(cli: Cli) -> None:
    text = cli("list").out
    assert "task         brighten  Brighten a dark photograph." in text.splitlines()
    assert cli("list", "degradations").out.splitlines() == ["name  what it does", "dim   Darken by a factor."]


def test_describe_tells_all_of_a_component(cli: Cli) -> None:
    text = cli("describe", "dim").out
    assert text.startswith("dim, degradation of the plugin ours (gdpkit-ours 1.2)\n\nDarken by a factor.\n")
    assert "factor     number  0 to 1  0.5      Share of the light." in text.splitlines()
    assert text.endswith("Use: -d dim:factor=0.5\n")
    assert "Use: gdpkit run brighten --help" in cli("describe", "brighten").out


def test_list_and_describe_as_json(cli: Cli) -> None:
    listed = json.loads(cli("list", "--json").out)["components"]
    assert {"kind": "task", "name": "brighten", "about": "Brighten a dark photograph."} in listed
    assert {c["kind"] for c in json.loads(cli("list", "priors", "--json").out)["components"]} == {"prior"}
    (dim,) = json.loads(cli("describe", "dim", "--json").out)["components"]
    assert (dim["kind"], dim["plugin"], dim["unknowns"]) == ("degradation", "ours", [])
    assert (dim["about"], dim["use"]) == ("Darken by a factor.", "-d dim:factor=0.5")
    factor = {"name": "factor", "type": "number", "required": False, "default": 0.5, "min": 0, "max": 1}
    assert dim["parameters"][0].items() >= factor.items()


def test_describe_of_a_task_shows_its_options(cli: Cli) -> None:
    lines = [line.split() for line in cli("describe", "brighten").out.splitlines()]
    assert ["factor", "--factor", "number"] in [line[:3] for line in lines]
    assert ["image", "IMAGE", "file"] in [line[:3] for line in lines]


def test_describe_names_what_is_fitted(cli: Cli, table: registry.Registry) -> None:
    @dataclass(frozen=True)
    class Veil(Degradation):
        """Mix with an unknown grey."""

        name = "veil"

        def __call__(self, image: Any, *, light: Any) -> Any:  # type: ignore[override]
            return image * light

        def unknowns(self, observed: Any, shape: Any) -> Any:
            return {"light": observed.mean()}

    class More:
        @hookimpl
        def gdpkit_degradations(self) -> list[type[Degradation]]:
            return [Veil]

    table.add(registry.Plugin("more"), More())
    assert "Unknowns, fitted when restoring and options of gdpkit degrade: light" in cli("describe", "veil").out
    assert "Unknowns" not in cli("describe", "dim").out


def test_plugins_fits_a_terminal(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "70")
    lines = click.unstyle(cli("plugins").out).splitlines()
    assert len(lines) > 2 and max(map(len, lines)) <= 70
    assert lines[1].startswith("ours")


def test_plugins_tells_what_is_broken(
    cli: Cli, table: registry.Registry, fast: tuple[str, ...], greedy: object
) -> None:
    table.add(registry.Plugin("greedy"), greedy)
    table.plugins.append(registry.Plugin("dead", errors=["ImportError: no module named x"]))
    result = cli("plugins")
    assert result.status == 0
    assert result.out.splitlines()[0].split() == ["plugin", "state", "distribution", "version", "offers"]
    states = [line.split()[:2] for line in result.out.splitlines()[1:4]]
    assert states == [["ours", "conflict"], ["greedy", "broken"], ["dead", "broken"]]
    assert "task brighten" in result.out
    assert "  greedy: there is no hook 'gdpkit_task'. Did you mean 'gdpkit_tasks'?" in result.out.splitlines()
    assert "  dead: ImportError: no module named x" in result.out.splitlines()
    assert "'flat' is claimed by ours" in result.out
    record = json.loads(cli("plugins", "--json").out)
    assert [p["name"] for p in record["plugins"]] == ["ours", "greedy", "dead"]
    assert [p["state"] for p in record["plugins"]] == ["conflict", "broken", "broken"]
    assert len(record["conflicts"]) == 1
    assert "(" in cli("list", "priors").out, "a name that two claim is listed with what is wrong"
    assert cli("run", "brighten", "photo.png", *fast).status == 2
