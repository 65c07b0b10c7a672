"""What a run will take, without running it."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, replace
from typing import Any

import torch

from gdpkit import budget, choices, memory
from gdpkit.choices import Chosen, Settings
from gdpkit.components import Prior, Problem, Task
from gdpkit.hierarchy import sizes
from gdpkit.objective import EnergyObjective
from gdpkit.priors.tiled import TiledPrior

PROBE_SIDE = 128
LONG_SECONDS = 2.0
SMALL = 512 * 512  # pixels


@dataclass(frozen=True)
class Plan:
    """The size and cost of a run. `seconds` and `memory_mib` are estimates, None where the prior cannot tell."""

    task: str
    prior: str
    sampler: str
    device: str
    size: tuple[int, int]
    evaluations: int | None
    seconds: float | None
    memory_mib: float | None

    def record(self) -> dict[str, Any]:
        """For `--json`."""
        return {
            "task": self.task,
            "prior": self.prior,
            "sampler": self.sampler,
            "device": self.device,
            "size": list(self.size),
            "network_evaluations": self.evaluations,
            "seconds": self.seconds,
            "memory_mib": self.memory_mib,
            "dry_run": True,
        }


def plan(task: Task, settings: Settings) -> Plan:
    """Read the task's files, count the evaluations, and time one of a small image on this machine."""
    chosen = choices.choose(task, settings)
    started = time.perf_counter()
    problem = task.problem()
    problem = replace(problem, losses=problem.losses + chosen.losses)
    reading = time.perf_counter() - started
    shape = problem.shape
    _, height, width = shape
    chosen.prior.load(chosen.device)
    levels = sizes(problem, chosen)
    held = budget.images(problem, chosen.distance, guided=len(levels) > 1)
    tiled = budget.tiled(chosen.prior, shape, chosen.device, settings.memory, held)
    each = chosen.sampler.evaluations
    shapes = [level.shape for level in levels]
    seconds = mebibytes = None
    work = tiled.work(height, width)
    if each is not None:
        share = sum(shape[0] * _share(tiled, *shape[1:]) for shape in shapes)
        network = each * share * _seconds_of_probe(chosen.prior, chosen.device)
        seconds = round(reading + network + each * _seconds_of_a_step(problem, chosen), 2)
    if work is not None:
        mebibytes = round(budget.needed(tiled, shape, chosen.device, held) / 2**20, 0)
    return Plan(
        task=task.name,
        prior=chosen.prior.name,
        sampler=chosen.sampler.name,
        device=str(chosen.device),
        size=(width, height),
        evaluations=None if each is None else each * len(shapes),
        seconds=seconds,
        memory_mib=mebibytes,
    )


def _share(tiled: TiledPrior, height: int, width: int) -> float:
    """How many times the work of the probe an image is."""
    # Where the operations are known: attention grows with the square of the pixels, sides are extended.
    work, probed = tiled.work(height, width), tiled.prior.work(PROBE_SIDE, PROBE_SIDE)
    return work[0] / probed[0] if work and probed and probed[0] else tiled.pixels(height, width) / PROBE_SIDE**2


def _seconds_of_a_step(problem: Problem, chosen: Chosen) -> float:
    """How long the rest of a step takes: tried where the image is small, elsewhere it is little beside the network."""
    if math.prod(problem.shape) > SMALL:
        return 0.0
    objective = EnergyObjective(problem, chosen.distance, chosen.device)
    x = torch.full(objective.shape, 0.5, device=objective.device)
    objective.fit(objective.prox(x, 0.1))  # what is prepared once
    memory.settle(objective.device)
    started = time.perf_counter()
    objective.fit(objective.prox(x, 0.1))
    memory.settle(objective.device)
    return time.perf_counter() - started


def _seconds_of_probe(prior: Prior, device: torch.device) -> float:
    """How long one evaluation of a small image takes, the best of three; once, where that takes long."""
    probe = torch.full((1, 3, PROBE_SIDE, PROBE_SIDE), 0.5, device=device)
    best = math.inf
    with torch.no_grad():
        for _ in range(3):
            started = time.perf_counter()
            prior.denoise(probe, 0.1)
            memory.settle(device)
            best = min(best, time.perf_counter() - started)
            if best > LONG_SECONDS:
                break
    return best
