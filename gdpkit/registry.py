"""The table of components: entry points in, classes by name out.

A plugin that cannot be loaded, or a hook that is misspelt, is remembered with its error and stops nothing else.
"""

from __future__ import annotations

import importlib.metadata
import inspect
import sys
import traceback
from collections.abc import Iterable, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass, field, is_dataclass
from functools import cache, reduce
from pathlib import Path
from types import ModuleType
from typing import Any

import pluggy

from gdpkit import hookspecs, params
from gdpkit.components import Component, Degradation, Metric, Prior, QualityLoss, Sampler, Task
from gdpkit.errors import GdpkitError, PluginError, UnknownNameError, did_you_mean

KINDS: dict[str, type[Component]] = {
    "tasks": Task,
    "degradations": Degradation,
    "losses": QualityLoss,
    "samplers": Sampler,
    "priors": Prior,
    "metrics": Metric,
}


@dataclass
class Plugin:
    """One entry point of the group `gdpkit`: what it offers and what is wrong with it."""

    name: str
    distribution: str = ""
    version: str = ""
    offers: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)


class Registry:
    """Components by kind and name. `load()` gives the one of all installed plugins."""

    def __init__(self) -> None:
        self.plugins: list[Plugin] = []
        self._table: dict[str, dict[str, list[tuple[str, type[Component]]]]] = {kind: {} for kind in KINDS}

    def add(self, plugin: Plugin, module: ModuleType | Any) -> None:
        """Register what a loaded module offers; faults become lines of `plugin.errors`."""
        self.plugins.append(plugin)
        plugin.errors += _misspelt(module)
        manager = pluggy.PluginManager("gdpkit")
        manager.add_hookspecs(hookspecs)
        try:
            manager.register(module, plugin.name)
        except Exception as error:
            plugin.errors.append(_one_line(error))
            return
        for kind, base in KINDS.items():
            try:
                offered = [c for classes in getattr(manager.hook, f"gdpkit_{kind}")() for c in classes]
            except Exception as error:
                plugin.errors.append(f"gdpkit_{kind}: {_one_line(error)}")
                continue
            for cls in offered:
                fault = _fault(cls, base)
                if fault:
                    plugin.errors.append(f"gdpkit_{kind}: {fault}")
                else:
                    plugin.offers.append(f"{kind[:-1] if kind != 'losses' else 'loss'} {cls.name}")
                    self._table[kind].setdefault(cls.name, []).append((plugin.name, cls))

    def names(self, kind: str) -> list[str]:
        """The names of a kind ("tasks", "degradations", ...), sorted."""
        return sorted(self._table[kind])

    def get(self, kind: str, name: str) -> type[Any]:
        """The class of that kind and name; an error suggests the nearest name, or names the plugins that clash."""
        claims = self._table[kind].get(name, [])
        if not claims:
            what = "loss" if kind == "losses" else kind[:-1]
            hint = did_you_mean(name, self._table[kind])
            raise UnknownNameError(f"unknown {what} {name!r}.{hint}{self.hidden()}")
        if len(claims) > 1:
            raise PluginError(f"{name!r} is claimed by two plugins, {_both(claims)}; uninstall one of them")
        return claims[0][1]

    def hidden(self) -> str:
        """A sentence for errors about unknown names, where plugins that do not work may be what offers them; or ""."""
        broken = [repr(p.name) for p in self.plugins if p.errors]
        if not broken:
            return ""
        plugins = f"plugin {broken[0]}" if len(broken) == 1 else f"plugins {', '.join(broken)}"
        return f" The {plugins} could not be loaded; see gdpkit plugins."

    def state(self, plugin: Plugin) -> str:
        """How a plugin is: "broken" where something is wrong with it, "conflict" where it shares a name, or "ok"."""
        if plugin.errors:
            return "broken"
        claims = [claims for table in self._table.values() for claims in table.values() if len(claims) > 1]
        return "conflict" if any(name == plugin.name for both in claims for name, _ in both) else "ok"

    def plugin_of(self, module: str) -> str | None:
        """The plugin, other than gdpkit's own, one of whose classes is of the same package as a module."""
        package = module.partition(".")[0]
        classes = [claim for table in self._table.values() for claims in table.values() for claim in claims]
        found = (name for name, cls in classes if cls.__module__.partition(".")[0] == package != "gdpkit")
        return next(found, None)

    def conflicts(self) -> list[str]:
        """A sentence for every name that more than one plugin claims."""
        return [
            f"{kind}: {name!r} is claimed by {_both(claims)}"
            for kind, table in self._table.items()
            for name, claims in table.items()
            if len(claims) > 1
        ]

    def build(self, kind: str, spec: str) -> Any:
        """A component from "name:key=value,..."."""
        name, values = params.parse(spec)
        return params.build(self.get(kind, name), values)


@cache
def load() -> Registry:
    """The registry of everything installed, core first."""
    registry = Registry()
    points = importlib.metadata.entry_points(group="gdpkit")
    for point in sorted(points, key=lambda p: (p.name != "builtin", p.name)):
        plugin = Plugin(point.name)
        if point.dist is not None:
            plugin.distribution, plugin.version = point.dist.name, point.dist.version
        # Standard output belongs to results: what a plugin prints as it is imported would spoil --json.
        with redirect_stdout(sys.stderr):
            try:
                module = point.load()
            except (Exception, SystemExit) as error:
                plugin.errors.append(_one_line(error))
                registry.plugins.append(plugin)
                continue
            registry.add(plugin, module)
    return registry


def chain(stages: str | Degradation | Sequence[str | Degradation]) -> Degradation:
    """One degradation of stages in the order light meets them, each a `Degradation` or "name:key=value"."""
    if isinstance(stages, str | Degradation):
        stages = (stages,)
    if not stages:
        raise GdpkitError("a chain needs at least one stage, e.g. downsample:scale=4")
    built = [_stage(s) if isinstance(s, str) else s for s in stages]
    return reduce(lambda first, then: first >> then, built)


def unknowns(cls: type[Degradation]) -> tuple[str, ...] | None:
    """The names of a degradation's unknowns, () where it has none; None: its `__call__` does not name them."""
    if cls.unknowns is Degradation.unknowns:
        return ()
    keywords = inspect.signature(cls.__call__).parameters.values()
    return tuple(p.name for p in keywords if p.kind is p.KEYWORD_ONLY) or None


def _stage(spec: str) -> Degradation:
    name, values = params.parse(spec)
    cls: type[Degradation] = load().get("degradations", name)
    for key in values:
        if key.replace("-", "_") in (unknowns(cls) or ()):
            raise GdpkitError(f"{name}: {key} is not known when restoring, and is fitted; leave it out of {spec!r}")
    return params.build(cls, values)


def _misspelt(module: Any) -> Iterable[str]:
    known = [f"gdpkit_{kind}" for kind in KINDS]
    for name, function in inspect.getmembers(module, callable):
        marked = getattr(function, "gdpkit_impl", None) is not None
        if marked and name not in known:
            yield f"there is no hook {name!r}.{did_you_mean(name, known)}"
        if name in known and not marked:
            yield f"{name} is not marked with @hookimpl, so it is never called"


def _fault(cls: Any, base: type[Component]) -> str | None:
    if not isinstance(cls, type) or not issubclass(cls, base):
        return f"{cls!r} is not a subclass of {base.__name__}"
    if not isinstance(getattr(cls, "name", None), str):
        return f"{cls.__qualname__} has no `name`"
    if not is_dataclass(cls) or "__dataclass_fields__" not in cls.__dict__:
        return f"{cls.__qualname__} is not decorated with @dataclass(frozen=True)"
    try:
        params.declared(cls)
    except PluginError as error:
        return str(error)
    return None


def _both(claims: list[tuple[str, type[Component]]]) -> str:
    return " and ".join(f"{plugin} ({cls.__module__}.{cls.__qualname__})" for plugin, cls in claims)


def _one_line(error: BaseException) -> str:
    """What went wrong, and in which line of the plugin's file, where it is in one."""
    text = f"{type(error).__name__}: {' '.join(str(error).split())}"
    if isinstance(error, SyntaxError):
        return f"{type(error).__name__}: {error.msg} ({error.filename}, line {error.lineno})"
    own = (__file__, inspect.getfile(importlib), inspect.getfile(importlib.metadata), "<frozen")
    folders = (str(Path(pluggy.__file__).parent), *own)
    frames = [f for f in traceback.extract_tb(error.__traceback__) if not f.filename.startswith(folders)]
    return f"{text} ({frames[-1].filename}, line {frames[-1].lineno})" if frames else text
