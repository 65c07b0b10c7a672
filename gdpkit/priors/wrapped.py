"""A prior that stands for another and adds something of its own: tiles, a count, a clock."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gdpkit.components import Denoised, Prior

if TYPE_CHECKING:
    import torch
    from torch import Tensor


@dataclass(frozen=True, kw_only=True, eq=False)
class WrappedPrior(Prior):
    """All answers are those of `prior`; what inherits from this gives those that differ."""

    name = "wrapped"
    prior: Prior

    def denoise(self, noisy: Tensor, sigma: float | Tensor) -> Denoised:
        """As of the prior."""
        return self.prior.denoise(noisy, sigma)

    def load(self, device: str | torch.device) -> None:
        """The prior's weights."""
        self.prior.load(device)

    @property
    def receptive_field(self) -> int | None:
        """Of the prior."""
        return self.prior.receptive_field

    @property
    def training_size(self) -> int | None:
        """Of the prior."""
        return self.prior.training_size

    @property
    def notes(self) -> tuple[str, ...]:
        """Of the prior."""
        return self.prior.notes

    @property
    def sha256(self) -> str | None:
        """Of the prior."""
        return self.prior.sha256

    def work(self, height: int, width: int) -> tuple[float, float] | None:
        """Of the prior."""
        return self.prior.work(height, width)

    @property
    def weight_bytes(self) -> int:
        """Of the prior."""
        return self.prior.weight_bytes
