"""What a run will take, without running it."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn import functional as F

from gdpkit import choices
from gdpkit.choices import Settings
from gdpkit.components import Task

SUSTAINED = 0.7  # share of the probe's rate that whole networks reach
LIBRARIES_MIB = 400  # what the process holds before the work


@dataclass(frozen=True)
class Plan:
    """The size and cost of a run. `seconds` and `memory_mib` are estimates, None where the prior cannot tell."""

    task: str
    prior: str
    sampler: str
    device: str
    size: tuple[int, int]
    evaluations: int
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
    """Read the task's files and count: evaluations, and from the network's shapes and this machine's speed, time."""
    chosen = choices.choose(task, settings)
    observation = task.problem().observations[0]
    _, height, width = observation.clean_shape
    chosen.prior.load("cpu")
    work = chosen.prior.work(height, width)
    seconds = memory = None
    if work is not None:
        operations, held = work
        per_second = convolution_rate(chosen.device) * SUSTAINED
        seconds = round(chosen.sampler.evaluations * len(observation.image) * operations / per_second, 2)
        memory = round(held * len(observation.image) / 2**20 + LIBRARIES_MIB, 0)
    return Plan(
        task=task.name,
        prior=chosen.prior.name,
        sampler=chosen.sampler.name,
        device=str(chosen.device),
        size=(width, height),
        evaluations=chosen.sampler.evaluations,
        seconds=seconds,
        memory_mib=memory,
    )


def convolution_rate(device: torch.device) -> float:
    """Floating-point operations per second of a 3x3 convolution of 64 channels, the best of five."""
    x = torch.ones(1, 64, 128, 128, device=device).to(memory_format=torch.channels_last)
    weight = torch.ones(64, 64, 3, 3, device=device).to(memory_format=torch.channels_last)
    best = float("inf")
    with torch.no_grad():
        for _ in range(6):
            started = time.perf_counter()
            F.conv2d(x, weight, padding=1)
            if device.type == "cuda":
                torch.cuda.synchronize(device)
            best = min(best, time.perf_counter() - started)
    return 2 * 64 * 64 * 9 * 128 * 128 / best
