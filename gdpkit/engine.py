"""The engine: a task in, a restored picture out. Each line of `restore` is one step of the method."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from gdpkit import budget, choices, params
from gdpkit.choices import Chosen, Settings
from gdpkit.components import Denoised, Prior, Problem, QualityLoss, Result, Sampler, Step, Task
from gdpkit.errors import GdpkitError
from gdpkit.hierarchy import guided, sizes
from gdpkit.memory import PeakMemory
from gdpkit.noise import SeededNoise
from gdpkit.objective import EnergyObjective
from gdpkit.priors.wrapped import WrappedPrior
from gdpkit.restoration import Restoration

if TYPE_CHECKING:
    from pathlib import Path


def restore(
    task: str | Task,
    *,
    prior: str | Path | Prior | None = None,
    sampler: str | Sampler | None = None,
    steps: int | None = None,
    fidelity: float | None = None,
    distance: str = "mse",
    losses: Sequence[str | QualityLoss] = (),
    seed: int = 0,
    device: str = "auto",
    preset: str = "default",
    memory: float | None = None,
    hierarchy: str = "auto",
    on_step: Callable[[Step], None] | None = None,
    **parameters: Any,
) -> Restoration:
    """Restore what a task observed.

    Args:
        task: its name with `parameters` as its options, as in `restore("sr", image="small.png", scale=4)`, or a
            `Task`. Where the command line takes a file, an array (H, W[, 3]) or tensor ([B,] C, H, W) serves as well.
        prior: "name", "name:key=value", a checkpoint's path, or a `Prior`; the embedded one by default.
        sampler: "name", "name:key=value" or a `Sampler`; the preset's by default.
        steps: sets the sampler's parameter of that name.
        fidelity: likewise.
        distance: how observations are compared: mse, ssim, l1 or huber.
        losses: quality losses to add, "name:key=value" or `QualityLoss`.
        seed: of the noise. The same seed and input give the same bytes.
        device: auto, cpu, cuda or cuda:N.
        preset: default, or another that the task declares, such as paper.
        memory: how many GB (of 2^30 bytes) the run may take; all that is free by default. On the CPU the bytes of the
            result do not depend on it.
        hierarchy: whether the problem is solved at smaller sizes first, to guide the large one (docs/method.md): auto,
            on or off.
        on_step: called with every `Step`, numbered through all sizes; raise from it to cancel.
        **parameters: the task's own.

    Raises:
        GdpkitError: for everything that the caller can mend, with a message that says how.
    """
    settings = Settings(
        prior=prior, sampler=sampler, steps=steps, fidelity=fidelity, distance=distance, losses=tuple(losses),
        seed=seed, device=device, preset=preset, memory=memory, hierarchy=hierarchy,
    )  # fmt: skip
    return solve([state(choices.task(task, parameters), settings)], on_step)[0]


@dataclass(frozen=True, eq=False)
class Stated:
    """A task whose files were read, in `seconds`, and all that its run is told."""

    task: Task
    problem: Problem
    chosen: Chosen
    settings: Settings
    seconds: float


def state(task: Task, settings: Settings) -> Stated:
    """Choose the components and read the files."""
    chosen = choices.choose(task, settings)
    started = time.perf_counter()
    problem = task.problem()
    problem = replace(problem, losses=problem.losses + chosen.losses)
    chosen.prior.load(chosen.device)
    return Stated(task, problem, chosen, settings, time.perf_counter() - started)


def solve(stated: Sequence[Stated], on_step: Callable[[Step], None] | None = None) -> list[Restoration]:
    """Restore one, or several that `gdpkit.together.alike` says can be, in one batch."""
    started = time.perf_counter()
    chosen, settings = stated[0].chosen, stated[0].settings
    problem = stated[0].problem if len(stated) == 1 else Problem.stack([one.problem for one in stated])
    levels = sizes(problem, chosen)
    held = budget.images(problem, chosen.distance, guided=len(levels) > 1)
    prior = budget.tiled(chosen.prior, problem.shape, chosen.device, settings.memory, held)
    counted = _Counted(prior=prior)
    answer = None
    peak = PeakMemory(chosen.device)
    on_step = _counting_on(on_step, len(levels))
    for level in levels:
        objective = EnergyObjective(guided(level, answer), chosen.distance, chosen.device)
        noise = SeededNoise.of(settings.seed, level)
        answer = _last(chosen.sampler, chosen.sampler.sample(counted, objective, noise), on_step)
    assert answer is not None  # there is one size at least
    with torch.no_grad():
        answer = objective.bounded(answer)
        consistency = objective.consistency(answer)
    found = Result(answer.cpu(), {name: value.cpu() for name, value in objective.unknowns.items()}, problem)
    seconds = (time.perf_counter() - started) / len(stated)
    finished = []
    for one, own, misfit in _apart(found, consistency, stated):
        started = time.perf_counter()
        output = one.task.finish(own)
        record = {
            "outputs": [],
            "size": [output.shape[-1], output.shape[-2]],
            "task": one.task.name,
            "prior": chosen.prior.name,
            "prior_sha256": chosen.prior.sha256,
            "sampler": chosen.sampler.name,
            "network_evaluations": counted.calls,
            "seconds": round(one.seconds + seconds + time.perf_counter() - started, 3),
            "peak_memory_mib": peak.mib(),
            "device": str(chosen.device),
            "seed": settings.seed,
            "consistency": round(misfit.mean().item(), 4),
        }
        scene = partial(one.task.finish, replace(own, scene_linear=True)) if one.task.gives_radiance else None
        notes = (*prior.notes, *one.task.notes(one.problem, chosen.prior))
        made = Restoration(output, own.unknowns, record, one.problem, notes, radiance=scene, unused=_toning(one.task))
        finished.append(made)
    return finished


def _counting_on(on_step: Callable[[Step], None] | None, levels: int) -> Callable[[Step], None] | None:
    """`on_step` with steps that are numbered through all sizes, each of which is taken to have as many as the first."""
    if on_step is None or levels == 1:
        return on_step
    told, done, left = on_step, 0, levels

    def counted(step: Step) -> None:
        nonlocal done, left
        told(Step(done + step.index, done + left * step.total, step.image))
        if step.index == step.total:
            done, left = done + step.total, left - 1

    return counted


def _last(sampler: Sampler, steps: Iterator[Step], on_step: Callable[[Step], None] | None) -> Tensor:
    """The image of the last step, after telling of each."""
    image, at = None, (0, 0)
    for step in steps:
        if on_step is not None:
            on_step(step)
        at = step.index, step.total
        image = step.image if step.index == step.total else None
        del step  # or it would hold its image while the next one is made
    if image is not None:
        return image
    if at == (0, 0):
        raise GdpkitError(f"the sampler {sampler.name} took no step")
    raise GdpkitError(
        f"the sampler {sampler.name} stopped at step {at[0]} of {at[1]}: its last step must be number {at[1]}"
    )


def _toning(task: Task) -> str:
    """The options given that make a picture of radiance, as they would be written."""
    given = [(d, getattr(task, d.name)) for d in params.declared(type(task)) if d.name in task.toning]
    return " ".join(f"--{d.option} {value}" for d, value in given if value != d.default)


def _apart(found: Result, consistency: Tensor, stated: Sequence[Stated]) -> Iterator[tuple[Stated, Result, Tensor]]:
    """Each one's part of what was found for all."""
    first = 0
    for one in stated:
        own = slice(first, first + one.problem.shape[0])
        unknowns = {name: value[own] for name, value in found.unknowns.items()} if len(stated) > 1 else found.unknowns
        yield one, Result(found.image[own], unknowns, one.problem), consistency[own]
        first = own.stop


def load_prior(name_or_file: str | Path | None = None, device: str = "auto") -> Prior:
    """The prior that `run` would use, its weights read and checked: by name, "name:key=value", or a file's path."""
    prior = choices.prior(name_or_file)
    prior.load(choices.device(device))
    return prior


@dataclass(frozen=True, eq=False)
class _Counted(WrappedPrior):
    """A prior that counts its evaluations."""

    name = "counted"
    _calls: list[int] = field(default_factory=lambda: [0])

    @property
    def calls(self) -> int:
        return self._calls[0]

    def denoise(self, noisy: Tensor, sigma: float | Tensor) -> Denoised:
        self._calls[0] += 1
        return super().denoise(noisy, sigma)
