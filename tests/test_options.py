"""From the fields of a component to options that a person types."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal

import click
import pytest

from gdpkit import options, param, report
from gdpkit.cli.base import Command
from gdpkit.components import PhotoTask, Task
from gdpkit.errors import GdpkitError
from gdpkit.params import Declared, Param, declared


@dataclass(frozen=True, kw_only=True)
class Everything(Task):
    """Every kind of field."""

    name = "everything"
    scale: int = param(4, help="How much larger.", min=2, max=8, unit="times")
    sigma: float | None = param(None, help="Noise.", min=0)
    kernel: str = param("average", help="What made it small.", choices=("average", "bicubic"))
    mode: Literal["fast", "slow"] = param("fast", help="Speed.")
    align: bool = param(True, help="Align first.")
    air_light: str = param("", help="Colour of the haze.")
    mask: Path | None = param(None, help="White: lost.")
    exposures: tuple[Path, ...] = param((), help="The bracket.")
    times: tuple[float, ...] = param((), help="Shutter times.", min=0, unit="seconds")
    stages: tuple[str, ...] = param((), help="The chain.", short="d")
    crop: tuple[int, int] | None = param(None, help="Width and height.", min=1)


@dataclass(frozen=True, kw_only=True)
class Photo(PhotoTask):
    """A task about one photograph."""

    name = "photo"
    level: int = param(help="A required one.")


def parse(cls: type, *args: str) -> dict[str, Any]:
    """What the options of a component make of a command line."""
    got: dict[str, Any] = {}
    own = options.parameters(cls)
    command = Command("x", lambda **values: got.update(options.given(values)), help="", examples=(), own=own)
    command.main(list(args), prog_name="x", standalone_mode=False)
    return got


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        ((), {}),
        (("--scale", "2"), {"scale": 2}),
        (("--sigma", "1/30"), {"sigma": float(Fraction(1, 30))}),
        (("--kernel=bicubic", "--mode", "slow"), {"kernel": "bicubic", "mode": "slow"}),
        (("--no-align",), {"align": False}),
        (("--align",), {"align": True}),
        (("--air-light", "white"), {"air_light": "white"}),
        (("--mask", "m.png"), {"mask": Path("m.png")}),
        (("--exposures", "a.jpg", "b.jpg", "--scale", "3"), {"exposures": (Path("a.jpg"), Path("b.jpg")), "scale": 3}),
        (("--exposures", "a.jpg", "--exposures", "b.jpg"), {"exposures": (Path("a.jpg"), Path("b.jpg"))}),
        (("--times=1/30", "1/8", "0.5"), {"times": (1 / 30, 0.125, 0.5)}),
        (("--crop", "640", "480"), {"crop": (640, 480)}),
    ],
)
def test_values(args: tuple[str, ...], expected: dict[str, Any]) -> None:
    assert parse(Everything, *args) == expected
    Everything(**expected)


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("--scale", "0"), "--scale must be at least 2, not 0"),
        (("--scale", "9"), "--scale must be at most 8, not 9"),
        (("--scale", "two"), "--scale must be a whole number, not 'two'"),
        (("--scale", "1" * 400), "--scale must be at most 8, not 1"),
        (("--sigma", "-1"), "--sigma must be at least 0, not -1.0"),
        (("--sigma", "nan"), "--sigma must be a finite number, not nan"),
        (("--sigma", "1/0"), "--sigma must be a number, and '1/0' divides by zero"),
        (("--kernel", "lanczos"), "--kernel must be one of average, bicubic, not 'lanczos'"),
        (("--mode", "medium"), "--mode must be one of fast, slow, not 'medium'"),
        (("--times", "1", "photo.jpg"), "--times must be a number, not 'photo.jpg'"),
        (("--times", "1", "-2"), "--times must be at least 0, not -2.0"),
        (("--times",), "--times needs at least one value"),
        (("--exposures", "--scale", "3"), "--exposures needs at least one value"),
    ],
)
def test_a_bad_value_is_an_error_that_names_the_option(args: tuple[str, ...], message: str) -> None:
    with pytest.raises(GdpkitError) as caught:
        parse(Everything, *args)
    assert str(caught.value).startswith(message)


def test_a_misspelt_option_is_suggested() -> None:
    with pytest.raises(click.NoSuchOption) as caught:
        parse(Everything, "--scal", "4")
    assert report.explain(caught.value) == ("there is no option --scal. Did you mean '--scale'?", 2)


def test_a_photograph_is_the_argument() -> None:
    assert parse(Photo, "a.jpg", "b.jpg", "--level", "1") == {"image": (Path("a.jpg"), Path("b.jpg")), "level": 1}
    with pytest.raises(click.MissingParameter, match=r"image|IMAGE"):
        parse(Photo, "--level", "1")


def test_a_repeated_short_option_leaves_the_photograph_alone() -> None:
    @dataclass(frozen=True, kw_only=True)
    class Chained(PhotoTask):
        name = "chained"
        stages: tuple[str, ...] = param(help="The chain.", short="d")
        scale: int = param(4, help="How much larger.", short="s")

    expected = {"stages": ("gray", "noise:sigma=5"), "image": (Path("old.png"),), "scale": 2}
    assert parse(Chained, "-d", "gray", "-d", "noise:sigma=5", "old.png", "-s", "2") == expected
    with pytest.raises(GdpkitError, match=r"^-s must be a whole number"):
        parse(Chained, "old.png", "-s", "two", "-d", "gray")


def test_a_required_option_is_asked_for() -> None:
    with pytest.raises(click.MissingParameter) as caught:
        parse(Photo, "a.jpg")
    assert "--level" in caught.value.format_message()


def test_values_end_at_the_double_dash() -> None:
    args = ["--times", "1", "2", "--", "photo.jpg", "--times"]
    assert list(options.spread(args, {"--times"})) == ["--times", "1", "--times", "2", "--", "photo.jpg", "--times"]


def test_a_negative_number_is_a_value() -> None:
    assert list(options.spread(["--shift", "-1", "-.5", "-o", "x"], {"--shift"})) == [
        *("--shift", "-1", "--shift", "-.5", "-o", "x")
    ]


def test_help_says_limits_unit_and_default() -> None:
    context = click.Context(click.Command("x"))
    records = [p.get_help_record(context) for p in options.parameters(Everything)]
    assert ("--scale N", "How much larger.  [2 to 8 times; default 4]") in records
    assert ("--sigma X", "Noise.  [at least 0]") in records
    assert ("--kernel [average|bicubic]", "What made it small.  [default average]") in records
    assert ("--align / --no-align", "Align first.  [default yes]") in records
    assert ("--exposures FILE...", "The bracket.") in records
    assert ("--crop N N", "Width and height.  [at least 1]") in records
    assert ("-d, --stages TEXT", "The chain.") in records
    assert options.parameters(Photo)[1].get_help_record(context) == ("--level N", "A required one.  [required]")


def test_every_field_is_declared_once() -> None:
    assert [d.name for d in declared(Everything)] == [p.name for p in options.parameters(Everything)]


def test_type_texts() -> None:
    texts = {d.name: options.type_text(d) for d in declared(Everything)}
    assert texts["scale"] == "whole number"
    assert texts["exposures"] == "files"
    assert texts["mode"] == "fast | slow"
    assert options.type_text(Declared("x", float | str, None, Param())) == "text"
