"""What every component is: a frozen dataclass with a name and checked parameters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from gdpkit.params import check


@dataclass(frozen=True, kw_only=True)
class Component:
    """Anything a plugin offers. Its fields are its parameters; limits declared with `param` are checked here.

    `name` is how a person asks for it, and the first line of the docstring is its description.
    """

    name: ClassVar[str]

    example_params: ClassVar[Mapping[str, Any]] = {}
    """Values of parameters with which `gdpkit.testing` makes an example: required ones, and those that make it quick.

    Required files need none: `gdpkit.testing.example` writes small pictures for them.
    """

    def __post_init__(self) -> None:
        check(self)
