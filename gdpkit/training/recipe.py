"""The recipe of a training: a TOML file, kept with its checkpoints and written into the finished prior."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar

from gdpkit import params
from gdpkit.errors import GdpkitError
from gdpkit.params import param

RECIPES = Path(__file__).with_name("recipes")
EMBEDDED = RECIPES / "embedded.toml"
FINE_TUNE = RECIPES / "fine-tune.toml"
DURATION = ("minutes", "steps")
"""What may change when a training goes on."""


@dataclass(frozen=True)
class Recipe:
    """How a prior is trained. The values of gdpkit's own, with reasons, are in `recipes/embedded.toml`."""

    name: ClassVar[str] = "recipe"
    minutes: float = param(help="Training time.", min=0)
    steps: int = param(help="Training steps; 0: minutes decide.", min=0)
    widths: tuple[int, ...] = param(help="Channels of each level.", min=1)
    depths: tuple[int, ...] = param(help="Residual blocks on each side of each level.", min=0)
    sigma_data: float = param(help="Below it the network tells the noise, above it the image.", min=0.01)
    batch: int = param(help="Crops in a step.", min=1)
    crop: int = param(help="Side of a crop.", min=8, unit="pixels")
    short_side: int = param(help="To which larger photographs are reduced.", min=64, unit="pixels")
    grey: float = param(help="Share of crops without colour.", min=0, max=1)
    learning_rate: float = param(help="The highest.", min=0)
    warmup_steps: int = param(help="Steps over which it rises.", min=1)
    decay: float = param(help="Share of the time, at the end, over which it falls.", min=0.001, max=1)
    weight_decay: float = param(help="Of both optimisers.", min=0)
    average: float = param(help="Of the running average of the weights.", min=0, max=0.999999)
    sigma_log_mean: float = param(help="Of the logarithm of the noise level.")
    sigma_log_deviation: float = param(help="Of the logarithm of the noise level.", min=0)
    spread: float = param(help="Share of noise levels that is log-uniform.", min=0, max=1)
    less_noise: float = param(help="Share of crops with less noise than the level.", min=0, max=1)
    sigma_least: float = param(help="The lowest noise level.", min=1e-6)
    sigma_most: float = param(help="The highest noise level.", min=1e-6)

    def __post_init__(self) -> None:
        params.check(self)
        if not self.widths or len(self.widths) != len(self.depths):
            raise GdpkitError(f"recipe: {len(self.widths)} widths but {len(self.depths)} depths; one of each a level")
        if self.crop % 2 ** len(self.widths):
            multiple = 2 ** len(self.widths)
            raise GdpkitError(f"recipe: crop must be a multiple of {multiple} with {len(self.widths)} levels")
        if self.short_side < self.crop:
            raise GdpkitError(f"recipe: short_side must be at least crop, {self.crop}, not {self.short_side}")
        if self.sigma_least >= self.sigma_most:
            raise GdpkitError("recipe: sigma_least must be less than sigma_most")
        if not self.steps and not self.minutes:
            raise GdpkitError("recipe: minutes or steps must be more than 0")

    @classmethod
    def read(cls, *files: Path, **more: Any) -> Recipe:
        """The recipe of the embedded prior, changed by files, each by the next, and at last by `more`.

        What cannot be read, is unknown or lies outside its limits is a `GdpkitError` that names the file.
        """
        values: dict[str, Any] = {}
        for file in (EMBEDDED, *files):
            values |= _values(file)
            try:
                recipe = params.build(cls, values)
            except GdpkitError as error:
                raise type(error)(f"{file}: {error}") from None
        return params.build(cls, values | more) if more else recipe

    def rate(self, step: int, passed: float) -> float:
        """The learning rate at a step, when `passed` (0..1) of the training has gone."""
        warm = min(1.0, (step + 1) / self.warmup_steps)
        left = 1.0 if passed < 1 - self.decay else max(0.01, (1 - passed) / self.decay)
        return self.learning_rate * warm * left

    def differences(self, other: Mapping[str, Any]) -> list[str]:
        """What another recipe, as JSON keeps it, has otherwise, apart from how long: "batch is 8, was 32"."""
        now: dict[str, Any] = {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self).items()}
        return [
            f"{key} is {value}, was {other[key]}"
            for key, value in now.items()
            if key not in DURATION and key in other and other[key] != value
        ]


def _values(file: Path) -> dict[str, Any]:
    """What a file holds, each value of its parameter's kind; unknown keys are left for `params.build` to refuse."""
    try:
        values = tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise GdpkitError(f"cannot read the recipe {file}: {error.strerror}") from error
    except ValueError as error:
        raise GdpkitError(f"{file}: is not TOML ({error})") from error
    known = params.declared(Recipe)
    lists = {d.name for d in known if str(d.type).startswith("tuple")}
    numbers = {d.name for d in known} - lists
    for key, value in values.items():
        if key in lists and not (isinstance(value, list) and all(type(item) is int for item in value)):
            raise GdpkitError(f"{file}: {key} must be a list of whole numbers such as [64, 128], not {value!r}")
        if key in numbers and type(value) not in (int, float):
            raise GdpkitError(f"{file}: {key} must be a number, not {value!r}")
    return values
