"""The registry: what plugins offer by name, and what is wrong with those that cannot."""

from __future__ import annotations

import importlib.metadata
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from gdpkit import hookimpl, param, registry
from gdpkit.components import Degradation, QualityLoss
from gdpkit.errors import GdpkitError, PluginError, UnknownNameError
from gdpkit.registry import Plugin, Registry


@dataclass(frozen=True, kw_only=True)
class Fog(Degradation):
    """Fog."""

    name = "fog"
    density: float = param(0.5, help="How thick.", min=0, max=1)


@dataclass(frozen=True, kw_only=True)
class OtherFog(Degradation):
    """Another fog."""

    name = "fog"


class NotDecorated(Fog):
    """Lacks its own @dataclass."""

    name = "plain"


@dataclass(frozen=True, kw_only=True)
class Nameless(Degradation):
    """Has no name."""


@dataclass(frozen=True, kw_only=True)
class Unresolved(Degradation):
    """Has a type that nobody knows."""

    name = "unresolved"
    value: Nowhere = param(help="?")  # type: ignore[name-defined]  # noqa: F821


def module(hook: str, offered: Any) -> ModuleType:
    """A plugin's module with one hook that returns this, or raises it."""

    def implementation() -> Any:
        if isinstance(offered, Exception):
            raise offered
        return offered

    made = ModuleType("made_up")
    setattr(made, hook, hookimpl(implementation))
    return made


def added(*modules: ModuleType) -> Registry:
    table = Registry()
    for name, content in zip("abcd", modules, strict=False):
        table.add(Plugin(name), content)
    return table


def test_a_plugin_offers_classes_by_name() -> None:
    table = added(module("gdpkit_degradations", [Fog]))
    assert table.names("degradations") == ["fog"]
    assert table.get("degradations", "fog") is Fog
    assert table.build("degradations", "fog:density=0.25") == Fog(density=0.25)
    (plugin,) = table.plugins
    assert (plugin.offers, plugin.errors) == (["degradation fog"], [])


def test_a_loss_is_called_a_loss() -> None:
    table = added(ModuleType("nothing"))
    with pytest.raises(UnknownNameError, match=r"^unknown loss 'tv'\.$"):
        table.get("losses", "tv")

    @dataclass(frozen=True, kw_only=True)
    class Ugly(QualityLoss):
        """Ugly."""

        name = "ugly"

    table = added(module("gdpkit_losses", [Ugly]))
    assert table.plugins[0].offers == ["loss ugly"]


def test_an_unknown_name_suggests_the_nearest() -> None:
    table = added(module("gdpkit_degradations", [Fog]))
    with pytest.raises(UnknownNameError, match=r"^unknown degradation 'frog'\. Did you mean 'fog'\?$"):
        table.get("degradations", "frog")


def test_a_name_that_two_plugins_claim_is_an_error_that_names_both() -> None:
    table = added(module("gdpkit_degradations", [Fog]), module("gdpkit_degradations", [OtherFog]))
    with pytest.raises(PluginError) as caught:
        table.build("degradations", "fog")
    both = f"a ({Fog.__module__}.Fog) and b ({OtherFog.__module__}.OtherFog)"
    assert both in str(caught.value)
    assert table.conflicts() == [f"degradations: 'fog' is claimed by {both}"]


def test_one_name_may_be_of_two_kinds() -> None:
    @dataclass(frozen=True, kw_only=True)
    class FogLoss(QualityLoss):
        """Fog, as a loss."""

        name = "fog"

    table = added(module("gdpkit_degradations", [Fog]), module("gdpkit_losses", [FogLoss]))
    assert table.conflicts() == []
    assert table.get("losses", "fog") is FogLoss


@pytest.mark.parametrize(
    ("hook", "offered", "error"),
    [
        ("gdpkit_degradations", [NotDecorated], "NotDecorated is not decorated with @dataclass(frozen=True)"),
        ("gdpkit_degradations", [Nameless], "Nameless has no `name`"),
        ("gdpkit_degradations", [Unresolved], "name 'Nowhere' is not defined"),
        ("gdpkit_degradations", [Fog()], "Fog(density=0.5) is not a subclass of Degradation"),
        ("gdpkit_samplers", [Fog], "is not a subclass of Sampler"),
        ("gdpkit_degradations", Fog, "gdpkit_degradations: TypeError"),
        ("gdpkit_degradations", OSError(5, "lost\nfile"), "gdpkit_degradations: OSError: [Errno 5] lost file"),
        ("gdpkit_degredations", [Fog], "no hook 'gdpkit_degredations'. Did you mean 'gdpkit_degradations'?"),
    ],
)
def test_a_fault_is_a_line_and_stops_nothing_else(hook: str, offered: Any, error: str) -> None:
    table = added(module(hook, offered), module("gdpkit_degradations", [Fog]))
    (line,) = table.plugins[0].errors
    assert error in line and "\n" not in line
    assert table.plugins[0].offers == []
    assert table.get("degradations", "fog") is Fog


def test_a_hook_that_takes_arguments_is_a_fault() -> None:
    made = ModuleType("made_up")
    made.gdpkit_tasks = hookimpl(lambda more: [])  # type: ignore[attr-defined]
    table = added(made, module("gdpkit_degradations", [Fog]))
    (line,) = table.plugins[0].errors
    assert "more" in line and "\n" not in line
    assert table.names("degradations") == ["fog"]


def entry(name: str, value: str) -> importlib.metadata.EntryPoint:
    return importlib.metadata.EntryPoint(name=name, value=value, group="gdpkit")


@pytest.fixture
def loaded(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Registry]:
    """`registry.load`, without its cache, of these entry points."""

    def load(*points: importlib.metadata.EntryPoint) -> Registry:
        monkeypatch.setattr(importlib.metadata, "entry_points", lambda group: points)
        table: Registry = registry.load.__wrapped__()
        return table

    return load


def test_a_plugin_that_cannot_be_imported_is_a_line(loaded: Callable[..., Registry]) -> None:
    table = loaded(entry("broken", "gdpkit.no_such_module"), entry("builtin", "gdpkit.builtin"))
    assert [p.name for p in table.plugins] == ["builtin", "broken"]  # core first, whatever the order of installation
    assert table.plugins[1].errors == ["ModuleNotFoundError: No module named 'gdpkit.no_such_module'"]
    assert "downsample" in table.names("degradations")
    assert table.plugins[0].errors == []


@pytest.fixture
def written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, loaded: Callable[..., Registry]
) -> Callable[..., Registry]:
    """The registry of one plugin, given its source."""

    def load(source: str) -> Registry:
        name = f"written_{tmp_path.name}".replace("-", "_")
        (tmp_path / f"{name}.py").write_text(source, encoding="utf-8")
        monkeypatch.syspath_prepend(tmp_path)
        return loaded(entry("mine", name))

    return load


@pytest.mark.parametrize(
    ("source", "error", "line"),
    [
        ("\nimport no_such_module\n", "ModuleNotFoundError: No module named 'no_such_module'", 2),
        ("\n\nraise ValueError('no')\n", "ValueError: no", 3),
        ("\ndef broken(:\n", "SyntaxError: ", 2),
        ("import gdpkit\n@gdpkit.hookimpl\ndef gdpkit_tasks():\n    return 1 / 0\n", "ZeroDivisionError: ", 4),
    ],
)
def test_a_failure_is_told_with_its_file_and_line(
    written: Callable[..., Registry], tmp_path: Path, source: str, error: str, line: int
) -> None:
    (told,) = written(source).plugins[0].errors
    assert error in told
    assert re.search(rf"\({re.escape(str(tmp_path))}.*\.py, line {line}\)$", told)


def test_an_unknown_name_may_be_that_of_a_plugin_that_failed(written: Callable[..., Registry]) -> None:
    table = written("raise ValueError")
    with pytest.raises(UnknownNameError, match=r"'fog'\. The plugin 'mine' could not be loaded; see gdpkit plugins\.$"):
        table.get("degradations", "fog")


def test_what_a_plugin_prints_stays_off_standard_output(
    written: Callable[..., Registry], capsys: pytest.CaptureFixture[str]
) -> None:
    source = "import gdpkit\nprint('hello')\n@gdpkit.hookimpl\ndef gdpkit_tasks():\n    print('tasks')\n    return []\n"
    assert written(source).plugins[0].errors == []
    told = capsys.readouterr()
    assert (told.out, told.err) == ("", "hello\ntasks\n")


def test_a_plugin_in_a_conflict_says_so() -> None:
    fog, other = module("gdpkit_degradations", [Fog]), module("gdpkit_degradations", [OtherFog])
    table = added(fog, other, ModuleType("nothing"))
    assert [table.state(plugin) for plugin in table.plugins] == ["conflict", "conflict", "ok"]


def test_everything_installed_here_loads_without_a_fault() -> None:
    assert {p.name: p.errors for p in registry.load().plugins if p.errors} == {}
    assert registry.load().conflicts() == []
    assert issubclass(UnknownNameError, GdpkitError) and issubclass(PluginError, GdpkitError)
