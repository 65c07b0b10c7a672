"""How much memory there is, how much a run took, and whether it ran out."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import torch

from gdpkit.errors import GdpkitError

_GROUP = Path("/sys/fs/cgroup")
_SHORTAGE = ("DefaultCPUAllocator", "CUDA error: out of memory", "ALLOC_FAILED", "HOST_ALLOCATION_FAILED")
"""How torch says it of the CPU, of CUDA itself, and of cuFFT, cuBLAS and cuDNN, which take memory of their own."""


def free(device: torch.device) -> int | None:
    """Bytes that could still be taken; None where the system does not tell.

    Of the GPU, what is free and what this process keeps in reserve. Of the machine, the least of what the system has
    free, what the control group of a container leaves, and what `ulimit -v` leaves; all of it where that is not told.
    """
    if device.type == "cuda":
        reserve = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return int(torch.cuda.mem_get_info(device)[0]) + reserve
    return min(_of_the_system(), default=None)


def available(device: torch.device) -> int | None:
    """Bytes that this process may hold in all, what it holds by now and what is free; None where that is not told."""
    left = free(device)
    if device.type == "cuda":
        return None if left is None else left + torch.cuda.memory_allocated(device)
    try:
        held = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):  # no Linux
        held = 0
    return None if left is None else left + held


def is_shortage(error: BaseException) -> bool:
    """Whether an error says that memory ran out; the CPU and the libraries of CUDA say it by a RuntimeError."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(sign in str(error) for sign in _SHORTAGE)


def require(needed: float, device: torch.device, what: str, otherwise: str) -> None:
    """Raise a `GdpkitError` where `needed` bytes are more than is free: `what` needs them, `otherwise` helps."""
    left = free(device)
    if left is not None and needed > left:
        raise GdpkitError(f"{what} needs {told(needed)} of memory on {device}, and {told(left)} are free.\n{otherwise}")


def told(count: float) -> str:
    """Bytes as a person reads them: "1.1 GiB", "350 MiB"."""
    return f"{count / 2**30:.1f} GiB" if count >= 2**30 else f"{count / 2**20:.0f} MiB"


def _of_the_system() -> Iterator[int]:
    status = _numbers(Path("/proc/meminfo"))
    if "MemAvailable:" in status:
        yield status["MemAvailable:"] * 1024
    elif hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:  # macOS says how much there is, not how full
        yield os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    for group in _groups():
        most = _number(group / "memory.max") or _number(group / "memory.limit_in_bytes")
        now = _number(group / "memory.current") or _number(group / "memory.usage_in_bytes")
        if most is not None and now is not None:
            # What of files is kept at hand counts as used, and is given up when it is needed.
            kept = _numbers(group / "memory.stat")
            yield max(most - now + kept.get("total_inactive_file", kept.get("inactive_file", 0)), 0)
    try:
        import resource
    except ImportError:  # Windows
        return
    most = resource.getrlimit(resource.RLIMIT_AS)[0]
    now = _number(Path("/proc/self/statm"))
    if most != resource.RLIM_INFINITY and now is not None:
        yield max(most - now * resource.getpagesize(), 0)


def _groups() -> set[Path]:
    """The folders that tell of this process's control group and of those that hold it."""
    try:
        lines = Path("/proc/self/cgroup").read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError):
        return set()
    found = set()
    for _, kinds, path in (line.split(":", 2) for line in lines if line.count(":") >= 2):
        if not kinds or "memory" in kinds.split(","):  # version 2, or the memory's hierarchy of version 1
            base = _GROUP / kinds.partition(",")[0]
            # In a container the path may be that of the machine: its own limits are then at the top.
            found |= {base, *(base / "/".join(Path(path).parts[1:n]) for n in range(2, len(Path(path).parts) + 1))}
    return found


def _number(file: Path) -> int | None:
    """The first number in a file; None where there is none."""
    try:
        return int(file.read_text(encoding="ascii").split()[0])
    except (OSError, ValueError, IndexError):
        return None


def _numbers(file: Path) -> dict[str, int]:
    """A file of lines "name number ..."; {} where there is none."""
    try:
        lines = [line.split() for line in file.read_text(encoding="ascii").splitlines()]
    except (OSError, ValueError):
        return {}
    return {line[0]: int(line[1]) for line in lines if len(line) > 1 and line[1].isdecimal()}


class PeakMemory:
    """The most memory held at once: on CUDA by the tensors since construction, on the CPU by the process so far."""

    def __init__(self, device: torch.device) -> None:
        """Start measuring."""
        self._device = device
        if device.type == "cuda":
            # With a prior without weights nothing may have been there yet.
            torch.cuda.init()  # type: ignore[no-untyped-call]
            torch.cuda.reset_peak_memory_stats(device)

    def mib(self) -> float | None:
        """In MiB; None where the system does not tell."""
        if self._device.type == "cuda":
            return torch.cuda.max_memory_allocated(self._device) / 2**20
        try:
            import resource
        except ImportError:  # Windows
            return None
        unit = 1 if sys.platform == "darwin" else 1024  # ru_maxrss is in bytes there, in KiB elsewhere
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20


def settle(device: torch.device) -> None:
    """Wait until a GPU has done what it was told; before and after anything that is timed."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
