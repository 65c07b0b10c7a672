"""`gdpkit list`, `describe` and `plugins`: what there is, and what is wrong with it."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import click

from gdpkit import options, params, registry, report
from gdpkit.cli.base import Command, manual, summary
from gdpkit.errors import PluginError, UnknownNameError, did_you_mean


def list_command() -> click.Command:
    """The command `gdpkit list`."""
    return Command(
        "list",
        _list,
        help="List tasks, degradations, losses, samplers, priors and metrics, or one of these kinds.",
        examples=("gdpkit list", "gdpkit list degradations --json"),
        own=[click.Argument(["kind"], required=False, metavar="[KIND]"), _json_option()],
    )


def describe_command() -> click.Command:
    """The command `gdpkit describe`."""
    return Command(
        "describe",
        _describe,
        help="Explain a task, degradation, loss, sampler, prior or metric and its parameters.",
        examples=("gdpkit describe sr", "gdpkit describe downsample --json"),
        own=[click.Argument(["name"]), _json_option()],
    )


def plugins_command() -> click.Command:
    """The command `gdpkit plugins`."""
    return Command(
        "plugins",
        _plugins,
        help="Show the installed plugins, what each offers, and what is wrong with those that do not work.",
        examples=("gdpkit plugins", "gdpkit plugins --json"),
        own=[_json_option()],
    )


def _json_option() -> click.Option:
    return click.Option(["as_json", "--json"], is_flag=True, help="Print it as JSON.")


def _list(kind: str | None, as_json: bool) -> None:
    if kind is not None and kind not in registry.KINDS:
        raise UnknownNameError(f"unknown kind {kind!r}.{did_you_mean(kind, registry.KINDS)}")
    table = registry.load()
    rows = []
    for each in [kind] if kind else registry.KINDS:
        for name in table.names(each):
            try:
                about = summary(table.get(each, name))
            except PluginError as error:
                about = f"({error})"
            rows.append([_singular(each), name, about])
    if as_json:
        keys = ("kind", "name", "about")
        report.as_json({"components": [dict(zip(keys, row, strict=True)) for row in rows]})
    elif kind:
        report.table(["name", "what it does"], [row[1:] for row in rows])
    else:
        report.table(["kind", "name", "what it does"], rows)


def _describe(name: str, as_json: bool) -> None:
    table = registry.load()
    kinds = [kind for kind in registry.KINDS if name in table.names(kind)]
    if not kinds:
        known = [known for kind in registry.KINDS for known in table.names(kind)]
        raise UnknownNameError(f"nothing is called {name!r}.{did_you_mean(name, known)}{table.hidden()}")
    if as_json:
        records = [_record(kind, table.get(kind, name), table) for kind in kinds]
        report.as_json({"components": records})
        return
    for i, kind in enumerate(kinds):
        if i:
            click.echo()
        _describe_one(kind, table.get(kind, name), table)


def _describe_one(kind: str, cls: type, table: registry.Registry) -> None:
    name, what = str(cls.name), _singular(kind)  # type: ignore[attr-defined]
    plugin = _plugin(what, name, table)
    source = f", {what} of the plugin {plugin.name}" if plugin else f", {what}"
    if plugin and plugin.distribution:
        source += f" ({plugin.distribution} {plugin.version})"
    click.echo(f"{name}{source}\n\n{manual(cls)}\n")
    fields = params.declared(cls)
    if fields:
        rows = []
        for d in fields:
            default = "required" if d.required else options.default_text(d)
            own = [d.name, *([_option(cls, d)] if kind == "tasks" else [])]
            rows.append([*own, options.type_text(d), options.limits(d.about), default, d.about.help])
        option = ["option"] if kind == "tasks" else []
        report.table(["parameter", *option, "type", "limits", "default", "meaning"], rows)
        click.echo()
    if kind == "degradations" and registry.unknowns(cls) != ():
        told = ", ".join(registry.unknowns(cls) or ("not named by it",))
        click.echo(f"Unknowns, fitted when restoring and options of gdpkit degrade: {told}\n")
    click.echo(_use(kind, name, fields))


def _option(cls: type, declared: params.Declared) -> str:
    """How a task's parameter is given to `gdpkit run`."""
    return "IMAGE" if options.is_argument(cls, declared) else options.flag(declared)


def _plugin(what: str, name: str, table: registry.Registry) -> registry.Plugin | None:
    return next((p for p in table.plugins if f"{what} {name}" in p.offers), None)


def _record(kind: str, cls: type, table: registry.Registry) -> dict[str, Any]:
    """What `describe` tells, for a program; `unknowns` is null where a degradation does not name them."""
    name, what = str(cls.name), _singular(kind)  # type: ignore[attr-defined]
    plugin = _plugin(what, name, table)
    fields = params.declared(cls)
    record = {
        "kind": what,
        "name": name,
        "plugin": plugin and plugin.name,
        "about": manual(cls),
        "parameters": [_parameter(d) for d in fields],
        "use": _use(kind, name, fields).removeprefix("Use: "),
    }
    return record | ({"unknowns": registry.unknowns(cls)} if kind == "degradations" else {})


def _parameter(d: params.Declared) -> dict[str, Any]:
    facts = {"name": d.name, "option": f"--{d.option}", "type": options.type_text(d), "required": d.required}
    default = None if d.required else d.default
    plain = isinstance(default, bool | int | float | str | tuple | None)
    limits = {"min": d.about.min, "max": d.about.max, "unit": d.about.unit, "help": d.about.help}
    return {**facts, "default": default if plain else str(default), **limits}


def _use(kind: str, name: str, fields: tuple[params.Declared, ...]) -> str:
    """How a component is asked for on the command line."""
    if kind == "tasks":
        return f"Use: gdpkit run {name} --help"
    shown = [f"{d.name}={options.default_text(d) or '...'}" for d in fields if d.required or options.default_text(d)]
    spec = f"{name}:{','.join(shown)}" if shown else name
    option = {"degradations": "-d", "losses": "--loss", "samplers": "--sampler", "priors": "--prior"}.get(kind)
    option = "gdpkit eval --metric" if kind == "metrics" else option
    return f"Use: {option} {spec}" if option else f"Use: {spec}"


def _plugins(as_json: bool) -> None:
    table = registry.load()
    conflicts = table.conflicts()
    if as_json:
        plugins = [{**asdict(p), "state": table.state(p)} for p in table.plugins]
        report.as_json({"plugins": plugins, "conflicts": conflicts})
        return
    rows = [
        [p.name, table.state(p), p.distribution, p.version, ", ".join(p.offers) or "nothing"] for p in table.plugins
    ]
    report.table(["plugin", "state", "distribution", "version", "offers"], rows)
    problems = [f"{p.name}: {error}" for p in table.plugins for error in p.errors] + conflicts
    if problems:
        click.echo("\nProblems:")
        for problem in problems:
            click.echo(f"  {problem}")


def _singular(kind: str) -> str:
    return "loss" if kind == "losses" else kind.removesuffix("s")
