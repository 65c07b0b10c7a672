"""The checker of tasks."""

from __future__ import annotations

import torch
from torch import Tensor

from gdpkit.components import Observation, Problem, QualityLoss, Result, Task
from gdpkit.objective import EnergyObjective
from gdpkit.testing.common import check_component, picture, require, require_finite


def check_task(t: Task) -> None:
    """Raise an AssertionError that says what a task does wrong. No network is run.

    It has a name, a docstring and help for each parameter, examples that are commands; `problem()` gives observations
    that their degradations can explain, the same ones twice, with losses; `finish` makes a picture, (B, 1 or 3, H, W).
    """
    check_component(t, Task)
    require("sample" not in type(t).__dict__, f"{t.name}: a task states its problem and never samples")
    for command in t.examples:
        require(f"gdpkit run {t.name}" in command, f"{t.name}: example {command!r} is not a `gdpkit run {t.name} ...`")
    problem = t.problem()
    require(isinstance(problem, Problem), f"{t.name}: problem() gives a {type(problem).__name__}, not a Problem")
    require(len(problem.observations) > 0, f"{t.name}: the problem has no observation")
    for k, o in enumerate(problem.observations):
        _check_observation(f"{t.name}: observation {k}", o)
    for loss in problem.losses:
        require(isinstance(loss, QualityLoss), f"{t.name}: {loss!r} among the losses is not a QualityLoss")
    for first, second in zip(problem.observations, t.problem().observations, strict=True):
        require(torch.equal(first.image, second.image), f"{t.name}: problem() gives another problem the second time")
    objective = EnergyObjective(problem)
    image = picture(*objective.shape)
    require_finite(objective.energy(image), f"{t.name}: the energy of a picture")
    for linear in (False, True):
        finished = t.finish(Result(image, objective.unknowns, problem, scene_linear=linear))
        require(
            finished.ndim == 4 and len(finished) == len(image) and finished.shape[1] in (1, 3),
            f"{t.name}: finish() gives {tuple(finished.shape)}, not (B, 1 or 3, H, W)",
        )
        require_finite(finished, f"{t.name}: what finish() makes")


def _broadcasts(weight: Tensor, image: Tensor) -> bool:
    return weight.ndim == 4 and all(w in (1, n) for w, n in zip(weight.shape, image.shape, strict=True))


def _check_observation(what: str, o: Observation) -> None:
    require(o.image.ndim == 4 and o.image.shape[1] in (1, 3), f"{what} has shape {tuple(o.image.shape)}")
    require(o.image.dtype == torch.float32, f"{what} is {o.image.dtype}, not float32")
    require_finite(o.image, what)
    low, high = float(o.image.min()), float(o.image.max())
    require(low >= 0 and high <= 1, f"{what} spans [{low:.3g}, {high:.3g}], not within [0, 1]")
    if o.weight is not None:
        require(
            _broadcasts(o.weight, o.image),
            f"{what}: weight is {tuple(o.weight.shape)}, the image {tuple(o.image.shape)}",
        )
        require(bool((o.weight >= 0).all()), f"{what}: a weight is negative")
    clean = picture(len(o.image), *o.clean_shape)
    unknowns = o.degradation.unknowns(o.image, o.clean_shape)
    predicted = o.degradation(clean, **unknowns)
    require(
        predicted.shape == o.image.shape,
        f"{what} is {tuple(o.image.shape)}, but its degradation of {tuple(clean.shape)} gives {tuple(predicted.shape)}",
    )
