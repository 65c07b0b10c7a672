"""From what a person asked for, by name or not at all, to the components that will run."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from difflib import get_close_matches
from numbers import Integral, Real
from pathlib import Path
from typing import Any, TypeVar

import torch

from gdpkit import components, params, registry
from gdpkit.components import Component, Prior, QualityLoss, Sampler, Task
from gdpkit.errors import GdpkitError, UnknownNameError, did_you_mean

C = TypeVar("C", bound=Component)
DEFAULT_PRIOR = "embedded"
DEFAULT_SAMPLER = "hqs"
HIERARCHY = ("auto", "on", "off")


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What a run can be told besides its task; `gdpkit.restore` documents each."""

    prior: str | Path | Prior | None = None
    sampler: str | Sampler | None = None
    steps: int | None = None
    fidelity: float | None = None
    distance: str = "mse"
    losses: tuple[str | QualityLoss, ...] = ()
    seed: int = 0
    device: str = "auto"
    preset: str = "default"
    memory: float | None = None
    hierarchy: str = "auto"

    def __post_init__(self) -> None:
        for name, least in (("steps", 1), ("seed", 0)):
            value = getattr(self, name)
            if value is not None and (not isinstance(value, Integral) or value < least):
                raise GdpkitError(f"{name} must be a whole number of at least {least}, not {value!r}")
        if self.memory is not None and not (isinstance(self.memory, Real) and 0 < self.memory < math.inf):
            raise GdpkitError(f"memory must be more than 0 GB, a number, not {self.memory!r}")
        if self.hierarchy not in HIERARCHY:
            raise GdpkitError(f"hierarchy must be auto, on or off, not {self.hierarchy!r}")


@dataclass(frozen=True)
class Chosen:
    """The components of one run."""

    prior: Prior
    sampler: Sampler
    losses: tuple[QualityLoss, ...]
    distance: str
    device: torch.device
    hierarchy: str


def task(name: str | Task, parameters: Mapping[str, Any]) -> Task:
    """The task called `name` with these parameters; a `Task` as it is."""
    if isinstance(name, Task):
        if parameters:
            raise GdpkitError(f"a Task takes no further parameters here, but {', '.join(parameters)} was given")
        return name
    cls: type[Task] = registry.load().get("tasks", name)
    own = [d.name for d in params.declared(cls)]
    settings = [f.name for f in fields(Settings)]
    for key in parameters:
        # In Python both are arguments of one call: what is misspelt may be an option of the run.
        meant = get_close_matches(key, [*own, *settings], 1)
        if meant and meant[0] not in own:
            raise UnknownNameError(f"{name} has no parameter {key!r}. Did you mean {meant[0]!r}?")
    return params.build(cls, parameters)


def choose(task: Task, settings: Settings) -> Chosen:
    """The components of a run: what the settings say, else the task's preset, else the defaults."""
    preset = _preset(task, settings.preset)
    known = registry.load()
    sampler = preset.get("sampler", DEFAULT_SAMPLER) if settings.sampler is None else settings.sampler
    if isinstance(sampler, str):
        sampler = known.build("samplers", sampler)
    wished = {"steps": settings.steps, "fidelity": settings.fidelity}
    own = (preset["loss"],) if "loss" in preset else ()
    losses = [known.build("losses", q) if isinstance(q, str) else q for q in (*own, *settings.losses)]
    return Chosen(
        prior=prior(preset.get("prior") if settings.prior is None else settings.prior),
        sampler=_with(sampler, {key: value for key, value in wished.items() if value is not None}),
        losses=tuple(losses),
        distance=settings.distance,
        device=device(settings.device),
        # What a preset repeats was published without it.
        hierarchy="off" if settings.preset != "default" and settings.hierarchy == "auto" else settings.hierarchy,
    )


def departure(task: Task, settings: Settings) -> tuple[str, ...]:
    """A sentence where other options replace what the preset says, so that it is no longer the preset."""
    declared = _preset(task, settings.preset)
    of = {"prior": "prior", "sampler": "sampler", "steps": "sampler", "fidelity": "sampler"}
    changed = [f"--{key}" for key, part in of.items() if part in declared and getattr(settings, key) is not None]
    if not changed or settings.preset == "default":
        return ()
    return (f"with {' and '.join(changed)} this is no longer the preset {settings.preset}",)


def prior(wanted: str | Path | Prior | None) -> Prior:
    """A prior by name, by "name:key=value", or by its checkpoint, which is recognised by its contents.

    A checkpoint is the path of a file or of a diffusers model's folder, or the name of a file that `gdpkit prior
    fetch` brought.
    """
    if isinstance(wanted, Prior):
        return wanted
    wanted = DEFAULT_PRIOR if wanted is None else str(wanted)
    known = registry.load()
    name = wanted.partition(":")[0]
    if name in known.names("priors"):
        built: Prior = known.build("priors", wanted)
        return built
    from gdpkit.priors import recognise
    from gdpkit.priors.known import checkpoint_file

    try:
        file = checkpoint_file(wanted, known.names("priors"))
    except UnknownNameError as error:
        raise UnknownNameError(f"{error}{known.hidden()}") from None
    cls: type[Prior] = known.get("priors", recognise.kind(file))
    return params.build(cls, {"file": file})


def device(wanted: str) -> torch.device:
    """auto: CUDA where there is one, else the CPU."""
    if wanted == "auto":
        wanted = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        chosen = torch.device(wanted)
    except RuntimeError:
        chosen = None
    if chosen is None or chosen.type not in ("cpu", "cuda"):
        raise GdpkitError(f"--device must be auto, cpu, cuda or cuda:N, not {wanted!r}")
    if chosen.type == "cpu":
        return chosen
    if (chosen.index or 0) >= torch.cuda.device_count():
        raise GdpkitError(f"--device {wanted}: this machine has {torch.cuda.device_count()} CUDA devices")
    # With its number, as tensors on it say: caches by device would otherwise hold everything twice.
    return torch.device("cuda", torch.cuda.current_device() if chosen.index is None else chosen.index)


def _preset(task: components.Task, name: str) -> Mapping[str, str]:
    if name == "default" and name not in task.presets:
        return {}
    if name not in task.presets:
        hint = did_you_mean(name, ["default", *task.presets])
        raise UnknownNameError(f"{task.name} has no preset {name!r}.{hint}")
    return task.presets[name]


def _with(component: C, values: Mapping[str, Any]) -> C:
    for key in values:
        if key not in {f.name for f in fields(component)}:
            raise GdpkitError(f"the sampler {component.name} has no parameter {key!r}, so --{key} cannot set it")
    return replace(component, **values)
