"""How much memory a run took."""

from __future__ import annotations

import sys

import torch


class PeakMemory:
    """The most memory held at once: on CUDA by the tensors since construction, on the CPU by the process so far."""

    def __init__(self, device: torch.device) -> None:
        """Start measuring."""
        self._device = device
        if device.type == "cuda":
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
