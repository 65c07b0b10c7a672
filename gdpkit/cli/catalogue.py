"""`gdpkit list`, `describe` and `plugins`: what there is, and what is wrong with it."""

from __future__ import annotations

import json
from dataclasses import asdict

import click

from gdpkit import options, params, registry, report
from gdpkit.cli.base import Command, manual, summary
from gdpkit.errors import PluginError, UnknownNameError, did_you_mean

_JSON = "Print it as JSON."


def list_command() -> click.Command:
    """The command `gdpkit list`."""
    return Command(
        "list",
        _list,
        help="List tasks, degradations, losses, samplers, priors and metrics, or one of these kinds.",
        examples=("gdpkit list", "gdpkit list degradations"),
        own=[click.Argument(["kind"], required=False, metavar="[KIND]")],
    )


def describe_command() -> click.Command:
    """The command `gdpkit describe`."""
    return Command(
        "describe",
        _describe,
        help="Explain a task, degradation, loss, sampler, prior or metric and its parameters.",
        examples=("gdpkit describe sr", "gdpkit describe downsample"),
        own=[click.Argument(["name"])],
    )


def plugins_command() -> click.Command:
    """The command `gdpkit plugins`."""
    return Command(
        "plugins",
        _plugins,
        help="Show the installed plugins, what each offers, and what is wrong with those that do not work.",
        examples=("gdpkit plugins", "gdpkit plugins --json"),
        own=[click.Option(["as_json", "--json"], is_flag=True, help=_JSON)],
    )


def _list(kind: str | None) -> None:
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
            rows.append([name, about] if kind else [_singular(each), name, about])
    report.table(["name", "what it does"] if kind else ["kind", "name", "what it does"], rows)


def _describe(name: str) -> None:
    table = registry.load()
    kinds = [kind for kind in registry.KINDS if name in table.names(kind)]
    if not kinds:
        known = [known for kind in registry.KINDS for known in table.names(kind)]
        raise UnknownNameError(f"nothing is called {name!r}.{did_you_mean(name, known)}{table.hidden()}")
    for i, kind in enumerate(kinds):
        if i:
            click.echo()
        _describe_one(kind, table.get(kind, name), table)


def _describe_one(kind: str, cls: type, table: registry.Registry) -> None:
    name, what = str(cls.name), _singular(kind)  # type: ignore[attr-defined]
    plugin = next((p for p in table.plugins if f"{what} {name}" in p.offers), None)
    source = f", {what} of the plugin {plugin.name}" if plugin else f", {what}"
    if plugin and plugin.distribution:
        source += f" ({plugin.distribution} {plugin.version})"
    click.echo(f"{name}{source}\n\n{manual(cls)}\n")
    fields = params.declared(cls)
    if fields:
        rows = []
        for d in fields:
            default = "required" if d.required else options.default_text(d)
            rows.append([d.name, options.type_text(d), options.limits(d.about), default, d.about.help])
        report.table(["parameter", "type", "limits", "default", "meaning"], rows)
        click.echo()
    click.echo(_use(kind, name, fields))


def _use(kind: str, name: str, fields: tuple[params.Declared, ...]) -> str:
    """How a component is asked for on the command line."""
    if kind == "tasks":
        return f"Use: gdpkit run {name} --help"
    shown = [f"{d.name}={options.default_text(d) or '...'}" for d in fields if d.required or options.default_text(d)]
    spec = f"{name}:{','.join(shown)}" if shown else name
    option = {"degradations": "-d", "losses": "--loss", "samplers": "--sampler", "priors": "--prior"}.get(kind)
    return f"Use: {option} {spec}" if option else f"Use: {spec}"


def _plugins(as_json: bool) -> None:
    table = registry.load()
    conflicts = table.conflicts()
    if as_json:
        plugins = [{**asdict(p), "state": table.state(p)} for p in table.plugins]
        click.echo(json.dumps({"plugins": plugins, "conflicts": conflicts}, indent=2))
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
