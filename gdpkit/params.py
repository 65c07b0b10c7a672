"""Parameters of components, declared once as dataclass fields: for Python, the command line and `name:key=value`."""

from __future__ import annotations

import dataclasses
import inspect
import math
import types
import typing
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field
from fractions import Fraction
from numbers import Integral, Real
from pathlib import Path
from typing import Any, Literal, TypeVar, Union

from gdpkit.errors import GdpkitError, PluginError, UnknownNameError, did_you_mean

T = TypeVar("T")
_KEY = "gdpkit"


@dataclass(frozen=True)
class Param:
    """What `param` declares about one field."""

    help: str = ""
    min: float | None = None
    max: float | None = None
    choices: tuple[str, ...] = ()
    unit: str = ""
    short: str = ""
    metavar: str = ""


def param(
    default: Any = MISSING,
    *,
    help: str,
    min: float | None = None,
    max: float | None = None,
    choices: tuple[str, ...] = (),
    unit: str = "",
    short: str = "",
    metavar: str = "",
) -> Any:
    """Declare a parameter of a component: a dataclass field that also becomes a command-line option.

    Args:
        default: the value where none is given; a parameter without one is required.
        help: one sentence for `--help` and `gdpkit describe`.
        min: the least allowed number (each number, for a tuple).
        max: the greatest allowed number, itself allowed.
        choices: the allowed words of a string.
        unit: shown behind the help, e.g. "pixels" or "0..255".
        short: one letter, "d" for -d. Of several values such an option then takes one each time that it is given,
            so that it may stand before a file: -d gray -d noise old.png.
        metavar: what stands for the value in `--help`, e.g. "STAGE"; by the type where it is empty.

    Values are checked when the component is constructed; a bad one is a `GdpkitError` that names it.
    """
    return field(default=default, metadata={_KEY: Param(help, min, max, choices, unit, short, metavar)})


@dataclass(frozen=True)
class Declared:
    """One parameter of a component class, as the command line and the documentation see it."""

    name: str
    type: Any
    default: Any
    about: Param

    @property
    def required(self) -> bool:
        """Whether a value must be given."""
        return self.default is MISSING

    @property
    def option(self) -> str:
        """The name on the command line."""
        return self.name.strip("_").replace("_", "-")


def declared(cls: type) -> tuple[Declared, ...]:
    """The parameters of a component class, its own first, then those of its bases."""
    try:
        hints = typing.get_type_hints(cls)
    except NameError as error:
        raise PluginError(f"{cls.__qualname__}: the type of a field cannot be resolved: {error}") from error
    own = set(inspect.get_annotations(cls))
    found = []
    for f in sorted(dataclasses.fields(cls), key=lambda f: f.name not in own):
        if f.init:
            default = f.default if f.default_factory is MISSING else f.default_factory()
            found.append(Declared(f.name, hints[f.name], default, f.metadata.get(_KEY, Param())))
    return tuple(found)


def check(component: Any) -> None:
    """Raise a `GdpkitError` where a field of a component lies outside its declared limits."""
    for f in dataclasses.fields(component):
        about: Param | None = f.metadata.get(_KEY)
        if about is None:
            continue
        value = getattr(component, f.name)
        where = f"{component.name}: {f.name}"
        for item in value if isinstance(value, tuple) else (value,):
            check_value(item, about, where)
            if str(f.type).startswith("int") and isinstance(item, Real) and not isinstance(item, Integral):
                raise GdpkitError(f"{where} must be a whole number, not {item}")


def check_value(value: Any, about: Param, where: str) -> None:
    """Raise a `GdpkitError` that begins with `where`, where one value lies outside the declared limits."""
    if about.choices and value is not None and value not in about.choices:
        raise GdpkitError(f"{where} must be one of {', '.join(about.choices)}, not {value!r}")
    if isinstance(value, Real) and not isinstance(value, bool):
        number: Any = value  # int, float and numpy's; the abstract Real lacks comparisons for the type checker
        if not isinstance(value, Integral) and not math.isfinite(value):
            raise GdpkitError(f"{where} must be a finite number, not {value}")
        if about.min is not None and number < about.min:
            raise GdpkitError(f"{where} must be at least {about.min:g}, not {value}")
        if about.max is not None and number > about.max:
            raise GdpkitError(f"{where} must be at most {about.max:g}, not {value}")
    elif (about.min is not None or about.max is not None) and isinstance(value, (str, bool)):
        raise GdpkitError(f"{where} must be a number, not {value!r}")


def convert(text: Any, kind: Any, where: str) -> Any:
    """Turn the text of an option into the type of its field; what is not text passes unchanged.

    Understands str, int, float (also "1/30"), bool, Path, Literal, unions with None, and tuple[T, ...] or tuple[T, T]
    from a sequence, or from one text with the values between blanks. Raises `GdpkitError` naming `where`.
    """
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (Union, types.UnionType):
        kinds = [k for k in arguments if k is not type(None)]
        return convert(text, kinds[0], where) if len(kinds) == 1 else text
    if origin is tuple:
        items = text.split() if isinstance(text, str) else tuple(text)
        if arguments[-1] is not Ellipsis and len(items) != len(arguments):
            raise GdpkitError(f"{where} takes {len(arguments)} values, not {len(items)}")
        return tuple(convert(item, arguments[0], where) for item in items)
    if not isinstance(text, str):
        return text
    if origin is Literal:
        words = {str(word): word for word in arguments}
        if text not in words:
            raise GdpkitError(f"{where} must be one of {', '.join(words)}, not {text!r}")
        return words[text]
    try:
        if kind is bool:
            return {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}[text.lower()]
        if kind is int:
            return int(text)
        if kind is float:
            return float(Fraction(text)) if "/" in text else float(text)
    except ZeroDivisionError:
        raise GdpkitError(f"{where} must be a number, and {text!r} divides by zero") from None
    except (ValueError, KeyError, OverflowError):
        wanted = {bool: "true or false", int: "a whole number", float: "a number"}[kind]
        raise GdpkitError(f"{where} must be {wanted}, not {text!r}") from None
    if kind is Path and not text:
        raise GdpkitError(f"{where}: the name of the file is empty")  # Path("") would be this folder
    return Path(text) if kind is Path else text


def parse(spec: str) -> tuple[str, dict[str, str]]:
    """Split "name:key=value,key=value" into the name and its parameters.

    >>> parse("downsample:scale=4,kernel=average")
    ('downsample', {'scale': '4', 'kernel': 'average'})
    """
    name, _, rest = spec.partition(":")
    values: dict[str, str] = {}
    for item in rest.split(",") if rest else ():
        key, equals, value = item.partition("=")
        if not equals or not key.strip():
            raise GdpkitError(f"{spec!r}: {item!r} is not of the form key=value")
        if key.strip() in values:
            raise GdpkitError(f"{spec!r}: {key.strip()} is given twice")
        values[key.strip()] = value.strip()
    return name.strip(), values


def build(cls: type[T], values: Mapping[str, Any]) -> T:
    """Construct a component from texts or values, with errors that name the parameter and suggest the right one."""
    known = {d.name: d for d in declared(cls)}
    by_option = {d.option: d for d in known.values()}  # "lambda" for the field lambda_
    name = getattr(cls, "name", cls.__name__)
    ready = {}
    for key, value in values.items():
        d = known.get(key) or by_option.get(key.strip("_").replace("_", "-"))
        if d is None:
            raise UnknownNameError(f"{name} has no parameter {key!r}.{did_you_mean(key, known)}")
        ready[d.name] = convert(value, d.type, f"{name}: {d.name}")
    missing = [d.name for d in known.values() if d.required and d.name not in ready]
    if missing:
        raise GdpkitError(f"{name} needs {', '.join(missing)}, e.g. {name}:{missing[0]}=...")
    return cls(**ready)
