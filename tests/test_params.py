"""Parameters: from a declared field to a checked value, and the words in between."""

from __future__ import annotations

from dataclasses import MISSING, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pytest

from gdpkit import param, params
from gdpkit.components import Component
from gdpkit.errors import GdpkitError, PluginError, UnknownNameError, did_you_mean

if TYPE_CHECKING:
    from decimal import Decimal


@dataclass(frozen=True, kw_only=True)
class Light(Component):
    """Something that shines."""

    power: float = param(10.0, help="How bright.", min=0, max=100, unit="watts")


@dataclass(frozen=True, kw_only=True)
class Lamp(Light):
    """Light in the house."""

    name = "lamp"
    colour: str = param(help="Its colour.", choices=("warm", "cold"))
    lambda_: float | None = param(None, help="Wavelength.", min=380)
    hours: tuple[int, int] = param((8, 20), help="When it is on.", min=0, max=24)


@pytest.mark.parametrize(
    ("spec", "name", "values"),
    [
        ("gray", "gray", {}),
        ("gray:", "gray", {}),
        ("downsample:scale=4,kernel=average", "downsample", {"scale": "4", "kernel": "average"}),
        (" blur : sigma = 2 , size=9", "blur", {"sigma": "2", "size": "9"}),
        ("mask:file=C:/a=b.png", "mask", {"file": "C:/a=b.png"}),
        ("text:word=", "text", {"word": ""}),
    ],
)
def test_parse(spec: str, name: str, values: dict[str, str]) -> None:
    assert params.parse(spec) == (name, values)


@pytest.mark.parametrize(
    ("spec", "reason"),
    [
        ("downsample:4", "'4' is not of the form key=value"),
        ("downsample:scale=4,", "'' is not of the form key=value"),
        ("downsample:=4", "'=4' is not of the form key=value"),
        ("downsample:scale=4,scale=2", "scale is given twice"),
    ],
)
def test_what_cannot_be_parsed_is_quoted(spec: str, reason: str) -> None:
    with pytest.raises(GdpkitError) as caught:
        params.parse(spec)
    assert str(caught.value) == f"{spec!r}: {reason}"


@pytest.mark.parametrize(
    ("text", "kind", "value"),
    [
        ("4", int, 4),
        ("2.5e-1", float, 0.25),
        ("1/8", float, 0.125),
        ("Yes", bool, True),
        ("0", bool, False),
        ("a.png", Path, Path("a.png")),
        ("slow", Literal["fast", "slow"], "slow"),
        ("2", Literal[1, 2], 2),
        ("3", int | None, 3),
        ("3", int | str, "3"),
        ("1 2 3", tuple[int, ...], (1, 2, 3)),
        (["1/2", 3.0], tuple[float, float], (0.5, 3.0)),
        (("a", Path("b")), tuple[Path, ...], (Path("a"), Path("b"))),
        (7, float, 7),
        (None, int, None),
    ],
)
def test_convert(text: Any, kind: Any, value: Any) -> None:
    assert params.convert(text, kind, "x") == value


@pytest.mark.parametrize(
    ("text", "kind", "reason"),
    [
        ("four", int, "x must be a whole number, not 'four'"),
        ("4.5", int, "x must be a whole number, not '4.5'"),
        ("", float, "x must be a number, not ''"),
        ("1/0", float, "x must be a number, and '1/0' divides by zero"),
        ("", Path, "x: the name of the file is empty"),
        ("maybe", bool, "x must be true or false, not 'maybe'"),
        ("quick", Literal["fast", "slow"], "x must be one of fast, slow, not 'quick'"),
        ("1 2 3", tuple[int, int], "x takes 2 values, not 3"),
        ("1 b", tuple[int, ...], "x must be a whole number, not 'b'"),
    ],
)
def test_what_cannot_be_converted_is_named(text: Any, kind: Any, reason: str) -> None:
    with pytest.raises(GdpkitError) as caught:
        params.convert(text, kind, "x")
    assert str(caught.value) == reason


def test_build_takes_texts_and_values_and_hyphens_for_underscores() -> None:
    lamp = params.build(Lamp, {"colour": "warm", "power": "1/4", "hours": (9, 17)})
    assert lamp == Lamp(colour="warm", power=0.25, hours=(9, 17))
    assert params.build(Lamp, {"colour": "cold", "lambda_": 500.0}).lambda_ == 500


@pytest.mark.parametrize("key", ["lambda", "lambda_"])
def test_a_field_whose_name_had_to_be_bent_goes_by_its_option(key: str) -> None:
    assert params.build(Lamp, {"colour": "cold", key: "400"}).lambda_ == 400


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"colour": "warm", "power": "-1"}, "lamp: power must be at least 0, not -1.0"),
        ({"colour": "warm", "power": 101}, "lamp: power must be at most 100, not 101"),
        ({"colour": "warm", "power": "nan"}, "lamp: power must be a finite number, not nan"),
        ({"colour": "warm", "power": True}, "lamp: power must be a number, not True"),
        ({"colour": "warm", "hours": "8 25"}, "lamp: hours must be at most 24, not 25"),
        ({"colour": "green"}, "lamp: colour must be one of warm, cold, not 'green'"),
        ({}, "lamp needs colour, e.g. lamp:colour=..."),
    ],
)
def test_what_cannot_be_built_is_named(values: dict[str, Any], reason: str) -> None:
    with pytest.raises(GdpkitError) as caught:
        params.build(Lamp, values)
    assert str(caught.value) == reason


def test_limits_hold_for_the_constructor_and_include_their_ends() -> None:
    assert Lamp(colour="warm", power=100).power == 100
    with pytest.raises(GdpkitError, match="at most 100"):
        Lamp(colour="warm", power=100.1)


def test_an_unknown_parameter_suggests_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match=r"^lamp has no parameter 'colur'\. Did you mean 'colour'\?$"):
        params.build(Lamp, {"colur": "warm"})


def test_letters_that_changed_places_are_put_right_first() -> None:
    assert did_you_mean("hrd", ["red", "hdr", "hqs"]) == " Did you mean 'hdr'?"
    assert did_you_mean("rad", ["red", "hdr", "hqs"]) == " Did you mean 'red'?"


def test_did_you_mean_lists_what_is_known_where_nothing_is_near() -> None:
    assert did_you_mean("xyzzy", ["tv", "adm"]) == " Known: adm, tv."
    assert did_you_mean("xyzzy", []) == ""


def test_declared_lists_own_parameters_first_then_those_of_the_base() -> None:
    found = {d.name: d for d in params.declared(Lamp)}
    assert list(found) == ["colour", "lambda_", "hours", "power"]
    assert found["colour"].required and found["colour"].default is MISSING
    assert (found["power"].default, found["power"].type, found["power"].about.unit) == (10.0, float, "watts")
    assert found["lambda_"].option == "lambda"


def test_a_type_that_cannot_be_resolved_is_a_fault_of_the_plugin() -> None:
    @dataclass(frozen=True, kw_only=True)
    class Broken(Component):
        name = "broken"
        value: Decimal = param(help="Imported for typing only.")

    with pytest.raises(PluginError, match=r"Broken: the type of a field cannot be resolved: .*Decimal"):
        params.declared(Broken)
