"""`gdpkit bench`: how fast this machine is with a prior."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from gdpkit import options, registry, report
from gdpkit.cli.base import Command
from gdpkit.params import Declared, Param

if TYPE_CHECKING:
    import torch

    from gdpkit.components import Prior

TASKS = ("sr", "inpaint")
SIZE = 256
SIDE = 512  # of the restorations
PATIENCE = 120.0  # seconds that they may take unless --full

_HELP = """
Measure how fast this machine is with a prior.

Prints evaluations of the network a second; which share that is of the best convolution and of the matrix product that
were measured in the same run; on CUDA the same in bfloat16 and in float16; how much of a default sr and inpaint of
512x512 pixels is anything but the network; and the peak memory. What could not be measured is named, and is no error;
what would take long is done less often, and the time told. Other work on the machine changes the figures.
"""


def bench_command() -> click.Command:
    """The command `gdpkit bench`."""
    settings = (
        Declared("size", int, SIZE, Param("Side of the images that the network is timed on.", min=16, max=4096)),
        Declared("batch", int, 1, Param("How many images at once; on the CPU they come one after the other.", min=1)),
        Declared("prior", str, None, Param("The diffusion prior: NAME[:key=value,...], or a checkpoint's FILE.")),
        Declared("device", str, "auto", Param("auto, cpu, cuda or cuda:N.")),
    )
    return Command(
        "bench",
        _bench,
        help=_HELP,
        examples=("gdpkit bench", "gdpkit bench --size 512 --batch 4 --json"),
        own=[
            *(options.option(setting) for setting in settings),
            click.Option(["--full"], is_flag=True, help="Time the restorations even where they take minutes."),
            click.Option(["as_json", "--json"], is_flag=True, help="Print it as JSON, and only that."),
        ],
    )


def _bench(
    size: int | None, batch: int | None, prior: str | None, device: str | None, full: bool, as_json: bool
) -> None:
    from gdpkit import choices, speed
    from gdpkit.memory import PeakMemory

    size, batch = size or SIZE, batch or 1
    where, network = choices.device(device or "auto"), choices.prior(prior)
    network.load(where)
    speed.check_memory(network, where, size, batch)
    peak = PeakMemory(where)
    found: dict[str, Any] = {
        "device": str(where),
        **speed.machine(where),
        "prior": network.name,
        "prior_sha256": network.sha256,
        "size": size,
        "batch": batch,
        **speed.evaluation(network, where, size, batch, slow=_slow),
        "peak_memory_mib": peak.mib(),
    }
    skipped = list(_not_here(where))
    if found["network_gflops"] is None:
        skipped.append(f"shares of the peaks: the prior {network.name} does not count its operations")
    found["half_precisions"] = _half_precisions(network, where, size, batch, skipped)
    found["restorations"] = _restorations(network, where, found, full, skipped)
    found["skipped"] = skipped
    if as_json:
        report.as_json(found)
    else:
        _print(found)


def _slow(seconds: float, calls: int) -> None:
    from gdpkit import speed

    often = "once" if calls == 1 else f"{calls} times"
    report.warn(
        f"The batch takes about {report.duration(seconds)} and is evaluated {often}, not {speed.CALLS} times; a "
        "smaller --batch or --size takes less"
    )


def _not_here(device: torch.device) -> list[str]:
    import torch

    if device.type == "cuda":
        return []
    why = "not asked for (--device cuda)" if torch.cuda.is_available() else "there is no CUDA device here"
    half = (
        "bfloat16 and float16: measured on CUDA only, as the CPU computes in float32 to give the same bytes everywhere"
    )
    return [f"CUDA: {why}", half]


def _half_precisions(
    prior: Prior, device: torch.device, size: int, batch: int, skipped: list[str]
) -> list[dict[str, Any]]:
    """A row for each of bfloat16 and float16, on CUDA; `_not_here` tells why there is none elsewhere."""
    import torch

    from gdpkit import speed

    rows: list[dict[str, Any]] = []
    if device.type != "cuda":
        return rows
    for name, precision in (("bfloat16", torch.bfloat16), ("float16", torch.float16)):
        try:
            rows.append({"precision": name, **speed.evaluation(prior, device, size, batch, precision, slow=_slow)})
        except RuntimeError as error:
            skipped.append(f"{name}: the prior {prior.name} does not compute in it: {' '.join(str(error).split())}")
    return rows


def _restorations(
    prior: Prior, device: torch.device, found: dict[str, Any], full: bool, skipped: list[str]
) -> list[dict[str, Any]]:
    """A row for each task that is installed; the others join `skipped`."""
    from gdpkit import choices, speed

    here = [task for task in TASKS if task in registry.load().names("tasks")]
    skipped += [f"{task}: its plugin is not installed" for task in TASKS if task not in here]
    evaluations = registry.load().get("samplers", choices.DEFAULT_SAMPLER)().evaluations
    work = [prior.work(side, side) for side in (SIDE, found["size"])]
    share = work[0][0] / work[1][0] if work[0] and work[1] and work[1][0] else (SIDE / found["size"]) ** 2
    expected = len(here) * evaluations * share * found["seconds"] / found["batch"]
    if expected > PATIENCE and not full:
        skipped.append(f"restorations of {SIDE}x{SIDE}: about {report.duration(expected)}; --full measures them")
        return []
    with report.counting("bench", "restoration") as show:
        rows = []
        for done, task in enumerate(here, 1):
            rows.append(speed.overhead(task, prior, device, SIDE))
            show(done, len(here))
    return rows


def _print(found: dict[str, Any]) -> None:
    def share(value: float | None) -> str:
        return "" if value is None else f"{100 * value:.0f} %"

    def rate(value: float | None) -> str:
        return "" if value is None else f"{value:.1f}"

    threads = f", threads: {found['threads']}" if found["threads"] else ""
    report.facts({"machine": f"{found['processor']}{threads}, torch {found['torch']}", "prior": found["prior"]})
    click.echo()
    side, batch, unit = found["size"], found["batch"], "GFLOP/s"
    network = f"network, {side}x{side}" + (f", {batch} at once" if batch > 1 else "")
    rows = []
    for measured in ({"precision": "float32", **found}, *found["half_precisions"]):
        precision = measured["precision"]
        speed = f"{measured['evaluations_per_second']:.2f} evaluations/s"
        rows += [
            [network if measured["precision"] == "float32" else f"{network}, {precision}", speed,
             rate(measured["network_gflops"]), ""],
            [f"3x3 convolution, {precision}", "", rate(measured["convolution_peak_gflops"]),
             share(measured["share_of_convolution_peak"])],
            [f"matrix product, {precision}", "", rate(measured["matmul_peak_gflops"]),
             share(measured["share_of_matmul_peak"])],
        ]  # fmt: skip
    report.table(["what", "speed", unit, "the network's share of it"], rows)
    if found["restorations"]:
        click.echo()
        rows = [
            [f"{r['task']}, {r['size']}x{r['size']}", str(r["network_evaluations"]), f"{r['seconds']:.1f}",
             f"{r['network_seconds']:.1f}", f"{100 * r['engine_share']:.1f} %"]
            for r in found["restorations"]
        ]  # fmt: skip
        report.table(["restoration", "evaluations", "seconds", "in the network", "engine"], rows)
    click.echo()
    peaks = [r["peak_memory_mib"] for r in (found, *found["restorations"])]
    memory = ["not told by this system" if p is None else f"{p:.0f} MiB" for p in peaks]
    names = ["peak memory, network", *(f"peak memory, {r['task']}" for r in found["restorations"])]
    report.facts(dict(zip(names, memory, strict=True)))
    for line in found["skipped"]:
        report.warn(f"Skipped: {line}")
