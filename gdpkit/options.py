"""Dataclass fields -> click parameters: the fields of a task are its options on the command line."""

from __future__ import annotations

import re
import types
import typing
from collections.abc import Collection, Iterator, Sequence
from dataclasses import MISSING
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Union

import click

from gdpkit import params
from gdpkit.components import PhotoTask
from gdpkit.errors import GdpkitError
from gdpkit.params import Declared, Param

_NUMBER = re.compile(r"-\.?\d")
_METAVARS: dict[Any, str] = {int: "N", float: "X", Path: "FILE", str: "TEXT"}


if TYPE_CHECKING:
    _ParamType = click.ParamType[Any]
else:
    _ParamType = click.ParamType  # generic for the type checker only: click before 8.2 knows no parameter


class Field(_ParamType):
    """The type of one declared parameter: texts are converted and checked as the component itself would.

    Errors name the option as it was typed, before any component is made.
    """

    def __init__(self, declared: Declared) -> None:
        self.declared = declared
        self.kind = _item(declared.type)
        self.name = declared.option

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """One value of the option, converted; a `GdpkitError` where it cannot be."""
        where = flag(self.declared)
        value = params.convert(value, self.kind, where)
        params.check_value(value, self.declared.about, where)
        return value


class File(_ParamType):
    """A file or folder by name. An empty name is an error: `Path("")` would be the current folder."""

    name = "file"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The name as a Path."""
        if value == "":
            where = param.get_error_hint(ctx) if param is not None and ctx is not None else "a file"
            raise GdpkitError(f"{where}: the name of the file is empty")
        return Path(value)


def option(declared: Declared) -> click.Option:
    """The click option of one parameter. Its value is None, or () for several values, where it is not given.

    Defaults stay with the dataclass: they are shown, and never passed.
    """
    about = _describe(declared)
    if _bare(declared.type) is bool:
        names = [declared.name, *_flags(declared)[:-1], f"--{declared.option}/--no-{declared.option}"]
        return click.Option(names, default=None, required=declared.required, help=about)
    length = _length(declared.type)
    return click.Option(
        [declared.name, *_flags(declared)],
        type=Field(declared),
        multiple=length is None,
        nargs=length or 1,
        required=declared.required,
        metavar=metavar(declared),
        help=about,
    )


def parameters(cls: type) -> list[click.Parameter]:
    """The click parameters of a component class; a `PhotoTask`'s `image` is the argument IMAGE..."""
    found: list[click.Parameter] = []
    for declared in params.declared(cls):
        if is_argument(cls, declared):
            image = click.Argument(["image"], type=File(), nargs=-1, required=True)
            found.insert(0, image)
        else:
            found.append(option(declared))
    return found


def is_argument(cls: type, declared: Declared) -> bool:
    """Whether a parameter is the argument IMAGE instead of an option."""
    return declared.name == "image" and issubclass(cls, PhotoTask)


def several(parameters: Sequence[click.Parameter]) -> frozenset[str]:
    """The options that take several values at once, for `spread`: those that may be repeated and have no short form."""
    repeated = [p.opts for p in parameters if isinstance(p, click.Option) and p.multiple]
    return frozenset(names[0] for names in repeated if len(names) == 1)


def given(values: dict[str, Any]) -> dict[str, Any]:
    """The values that were given: those not given leave the dataclass its defaults."""
    return {name: value for name, value in values.items() if value is not None and value != ()}


def spread(args: Sequence[str], several: Collection[str]) -> Iterator[str]:
    """Rewrite options that take several values for a parser that knows one value an option.

    The values reach to the next option; "--" ends them, as it ends all options.

    >>> list(spread(["--times", "1/30", "2", "-o", "x.png"], {"--times"}))
    ['--times', '1/30', '--times', '2', '-o', 'x.png']
    """
    taking, taken = "", True
    for i, arg in enumerate(args):
        if taking and (not arg.startswith("-") or arg == "-" or _NUMBER.match(arg)):
            yield from (taking, arg)
            taken = True
            continue
        if not taken:
            break
        taking = ""
        if arg == "--":
            yield from args[i:]
            return
        name, equals, value = arg.partition("=")
        if name not in several:
            yield arg
        elif equals:
            taking = name
            yield from (name, value)
        else:
            taking, taken = name, False
    if not taken:
        raise GdpkitError(f"{taking} needs at least one value")


def metavar(declared: Declared) -> str:
    """How the values of a parameter are written in its help, e.g. "FILE..." or "[average|bicubic]"."""
    words = _words(declared)
    one = f"[{'|'.join(words)}]" if words else _METAVARS.get(_item(declared.type), "TEXT")
    one = declared.about.metavar or one
    length = _length(declared.type)
    if length is None:
        return one if declared.about.short else f"{one}..."
    return " ".join([one] * length)


def limits(about: Param) -> str:
    """The limits and the unit of a parameter in words, e.g. "2 to 8 pixels"; "" where there are none.

    >>> limits(Param(min=0, unit="seconds"))
    'at least 0 seconds'
    """
    text = ""
    if about.min is not None and about.max is not None:
        text = f"{about.min:g} to {about.max:g}"
    elif about.min is not None:
        text = f"at least {about.min:g}"
    elif about.max is not None:
        text = f"at most {about.max:g}"
    return f"{text} {about.unit}".strip()


def default_text(declared: Declared) -> str:
    """The default as a person would type it; "" where there is nothing to say."""
    value = declared.default
    if value is MISSING or value is None or value in ("", ()):
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:g}"
    return " ".join(map(str, value)) if isinstance(value, tuple) else str(value)


def type_text(declared: Declared) -> str:
    """The type of a parameter for `gdpkit describe`, e.g. "number", "files" or "average | bicubic"."""
    words = _words(declared)
    if words:
        return " | ".join(words)
    one = {int: "whole number", float: "number", Path: "file", bool: "yes or no"}.get(_item(declared.type), "text")
    return one if _length(declared.type) == 1 else f"{one}s"


def flag(declared: Declared) -> str:
    """How a person would write the option: its short form where there is one."""
    return _flags(declared)[0]


def _flags(declared: Declared) -> list[str]:
    """How the option is written: the short form, where there is one, then the long one."""
    short = [f"-{declared.about.short}"] if declared.about.short else []
    return [*short, f"--{declared.option}"]


def _describe(declared: Declared) -> str:
    default = default_text(declared)
    facts = [limits(declared.about), default and f"default {default}"]  # click itself adds "required"
    known = "; ".join(fact for fact in facts if fact)
    return f"{declared.about.help}  [{known}]" if known else declared.about.help


def _words(declared: Declared) -> tuple[str, ...]:
    item = _item(declared.type)
    if typing.get_origin(item) is Literal:
        return tuple(map(str, typing.get_args(item)))
    return declared.about.choices


def _bare(kind: Any) -> Any:
    """The type without None; `str` where it is a union of several, which a component takes apart itself."""
    if typing.get_origin(kind) in (Union, types.UnionType):
        kinds = [k for k in typing.get_args(kind) if k is not type(None)]
        return kinds[0] if len(kinds) == 1 else str
    return kind


def _item(kind: Any) -> Any:
    """The type of one value."""
    bare = _bare(kind)
    return _bare(typing.get_args(bare)[0]) if typing.get_origin(bare) is tuple else bare


def _length(kind: Any) -> int | None:
    """How many values one option takes; None: one or more."""
    bare = _bare(kind)
    if typing.get_origin(bare) is not tuple:
        return 1
    arguments = typing.get_args(bare)
    return None if arguments[-1] is Ellipsis else len(arguments)
