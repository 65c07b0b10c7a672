"""How fast this machine runs a prior, how near to its peak that is, and what the engine adds."""

from __future__ import annotations

import math
import os
import platform
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from gdpkit import budget, memory
from gdpkit.components import Denoised, Prior
from gdpkit.engine import restore
from gdpkit.errors import GdpkitError
from gdpkit.priors.wrapped import WrappedPrior

ROUNDS = 5  # of which the quickest counts: what else the machine does only ever takes time
CALLS = 2 + ROUNDS  # of an operation: the first two prepare it
PATIENCE = 60.0  # seconds that the calls of one operation may take; there is always one
WHOLE_SECONDS = 0.3  # a round of a quick operation repeats it for so long
SCALE, LOST = 4, 0.25  # of the two restorations that are timed
LEVEL = 0.1  # any: the network's work does not depend on it


@dataclass(frozen=True, eq=False)
class Timed(WrappedPrior):
    """A prior that measures the time spent in it: `seconds` has one entry an evaluation."""

    name = "timed"
    seconds: list[float] = field(default_factory=list)

    def denoise(self, noisy: Tensor, sigma: float | Tensor) -> Denoised:
        """Ask the prior, and note how long it took."""
        memory.settle(noisy.device)
        started = time.perf_counter()
        answer = self.prior.denoise(noisy, sigma)
        memory.settle(noisy.device)
        self.seconds.append(time.perf_counter() - started)
        return answer


def machine(device: torch.device) -> dict[str, Any]:
    """What computes: its name, the number of threads, and the version of torch."""
    if device.type == "cuda":
        return {"processor": torch.cuda.get_device_name(device), "threads": None, "torch": torch.__version__}
    return {"processor": _processor(), "threads": torch.get_num_threads(), "torch": torch.__version__}


def check_memory(prior: Prior, device: torch.device, size: int, batch: int) -> None:
    """Raise a `GdpkitError` that names the option where `batch` images of size x size are more than is free."""
    images, work = budget.EVALUATING * 4.0 * 3 * size * size, prior.work(size, size)
    layers = 0.0 if work is None else work[1] - prior.weight_bytes  # the weights are loaded by now
    # On the CPU the images come one after the other, so that the layers of one are held.
    each, once = (images, layers) if device.type == "cpu" else (images + layers, 0.0)
    left = memory.free(device)
    if left is None or batch * each + once <= left:
        return
    most = int(max(0.0, left - once) // each)
    would = f"--batch {most} would do" if most else "a smaller --size would do"
    raise GdpkitError(
        f"--batch {batch} of --size {size} takes about {memory.told(batch * each + once)} of memory with the prior "
        f"{prior.name} on {device}, and {memory.told(left)} are free; {would}"
    )


def evaluation(
    prior: Prior,
    device: torch.device,
    size: int,
    batch: int,
    precision: torch.dtype = torch.float32,
    slow: Callable[[float, int], None] = lambda seconds, calls: None,
) -> dict[str, float | None]:
    """Evaluations a second of `batch` images of size x size, and the machine's peaks, all in the same rounds.

    `precision` is what the peaks are computed in and, by its `precision` or by autocast, the network.
    `slow` is told, before the whole batch is evaluated, about how many seconds that takes and how often it is done
    where `CALLS` times would try the user's patience; `network_calls` is how often it was.

    `seconds` are of one batch. `network_gflops`, None where the prior does not count its operations, and the peaks are
    in 10^9 floating-point operations a second: the best 3x3 convolution of 64 or 128 channels, channels last, at a half
    and a quarter of the size, where networks of such widths work; and the product of two square matrices.
    """
    noisy = torch.rand(batch, 3, size, size, generator=torch.Generator().manual_seed(0)).to(device)
    work = prior.work(size, size)
    product = 4096 if device.type == "cuda" else 1024
    factors = torch.ones(2, product, product, device=device, dtype=precision)

    chosen = device.type == "cuda" and any(f.name == "precision" for f in fields(prior))
    if chosen:  # a GPU computes in what the prior thinks best, unless it is told
        prior = replace(prior, precision=str(precision).removeprefix("torch."))  # type: ignore[call-arg]

    def network(images: Tensor = noisy) -> Denoised:
        if chosen:
            return prior.denoise(images, LEVEL)
        with torch.autocast(device.type, precision, enabled=precision != torch.float32):
            return prior.denoise(images, LEVEL)

    jobs: dict[str, tuple[float, Callable[[], object]]] = {
        "network": (batch * work[0] if work else math.nan, network),
        "matmul": (2.0 * product**3, lambda: factors[0] @ factors[1]),
        "conv64": _convolution(64, max(16, size // 2), device, precision),
        "conv128": _convolution(128, max(16, size // 4), device, precision),
    }
    try:
        with torch.no_grad():
            expected = batch * _seconds(lambda: network(noisy[:1]), 1, device)
            calls = _affordable(expected)
            if calls < CALLS:
                slow(expected, calls)
            best = _best_of(jobs, device, {"network": calls})
    except Exception as error:
        if not memory.is_shortage(error):
            raise
        told = f"memory ran out at --batch {batch} of --size {size} on {device}; less of either would do"
        raise GdpkitError(told) from error
    rates = {name: jobs[name][0] / seconds / 1e9 for name, seconds in best.items()}
    peak = max(rates["conv64"], rates["conv128"])
    return {
        "seconds": best["network"],
        "network_calls": calls,
        "evaluations_per_second": batch / best["network"],
        "network_gflops": rates["network"] if work else None,
        "convolution_peak_gflops": peak,
        "matmul_peak_gflops": rates["matmul"],
        "share_of_convolution_peak": rates["network"] / peak if work else None,
        "share_of_matmul_peak": rates["network"] / rates["matmul"] if work else None,
    }


def overhead(task: str, prior: Prior, device: torch.device, size: int) -> dict[str, Any]:
    """A default run of "sr" or "inpaint" on a made-up picture of size x size: how long, and the share of the engine."""
    picture = _picture(size)
    given: Mapping[str, Any] = {"image": F.avg_pool2d(picture, SCALE), "scale": SCALE}
    if task == "inpaint":
        lost = torch.rand(1, size, size, generator=torch.Generator().manual_seed(1)) < LOST
        given = {"image": picture, "mask": lost.float()}
    timed = Timed(prior=prior)
    started = time.perf_counter()
    result = restore(task, prior=timed, device=str(device), **given)
    whole = time.perf_counter() - started
    return {
        "task": task,
        "size": size,
        "network_evaluations": result.record["network_evaluations"],
        "seconds": whole,
        "network_seconds": sum(timed.seconds),
        "engine_share": 1 - sum(timed.seconds) / whole,
        "peak_memory_mib": result.record["peak_memory_mib"],
    }


def _affordable(seconds: float) -> int:
    """How often something that takes so long is done."""
    return max(1, min(CALLS, int(PATIENCE / max(seconds, 1e-9))))


def _best_of(
    jobs: Mapping[str, tuple[float, Callable[[], object]]], device: torch.device, calls: Mapping[str, int]
) -> dict[str, float]:
    """Seconds of one call of each; they take turns, so that what slows the machine for a while slows all of them.

    `calls`: how often those are done that are not done `CALLS` times.
    """
    best = {name: _seconds(job, 1, device) for name, (_, job) in jobs.items()}
    for turn in range(1, CALLS):
        for name, (_, job) in jobs.items():
            if turn >= calls.get(name, CALLS):
                continue
            if turn == 1:
                best[name] = _seconds(job, 1, device)  # the first call also chose and prepared the kernels
                continue
            times = max(1, round(WHOLE_SECONDS / ROUNDS / best[name]))
            best[name] = min(best[name], _seconds(job, times, device))
    return best


def _seconds(job: Callable[[], object], times: int, device: torch.device) -> float:
    memory.settle(device)
    started = time.perf_counter()
    for _ in range(times):
        job()
    memory.settle(device)
    return (time.perf_counter() - started) / times


def _convolution(
    channels: int, side: int, device: torch.device, precision: torch.dtype
) -> tuple[float, Callable[[], object]]:
    def ones(*shape: int) -> Tensor:
        return torch.ones(shape, device=device, dtype=precision).contiguous(memory_format=torch.channels_last)

    x, weight = ones(1, channels, side, side), ones(channels, channels, 3, 3)
    return 2.0 * 9 * channels**2 * side**2, lambda: F.conv2d(x, weight, padding=1)


def _picture(size: int) -> Tensor:
    """Smooth colours with edges, (1, 3, size, size), in whole levels of 255."""
    coarse = torch.rand(1, 3, 9, 9, generator=torch.Generator().manual_seed(0))
    smooth, cells = F.interpolate(coarse, (size, size), mode="bicubic"), F.interpolate(coarse.flip(2), (size, size))
    return (255 * (0.7 * smooth + 0.3 * cells).clamp(0, 1)).round() / 255


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine() or os.name
