"""Priors: what clean photographs look like, told by a denoiser."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gdpkit.components.base import Component

if TYPE_CHECKING:
    import torch
    from torch import Tensor


@dataclass(frozen=True)
class Denoised:
    """The answer of a prior.

    clean: E[clean | noisy], (B, 3, H, W), not clipped.
    variance_fraction: the network's learned interpolation between the smallest (0) and the largest (1) variance of the
        reverse step, the same shape; None where the prior has none (Nichol & Dhariwal 2021).
    """

    clean: Tensor
    variance_fraction: Tensor | None = None


@dataclass(frozen=True, kw_only=True)
class Prior(Component):
    """Knowledge of clean images. Weights are cached by file, device and dtype, never held in fields."""

    def denoise(self, noisy: Tensor, sigma: float | Tensor) -> Denoised:
        """Noisy = clean + sigma * n, (B, 3, H, W) with clean in [0, 1] -> the clean image expected there.

        Any image size; differentiable in `noisy`; runs on the device of `noisy`. `sigma` is in the units of the
        image, a float or (B,). Never sets the gradient mode.
        """
        raise NotImplementedError

    def load(self, device: str | torch.device) -> None:
        """Bring the weights to a device, so that what is wrong with them shows before the work; nothing to do here."""

    @property
    def receptive_field(self) -> int | None:
        """Side in pixels of the square that one output pixel depends on; None: the whole image.

        Where it is known, large images are divided into tiles with that much around them, which begin at multiples of
        64 pixels, and the answer is that of the whole image.
        """
        return None

    @property
    def training_size(self) -> int | None:
        """Side in pixels of the images it was trained on, where that matters: larger ones are seen in such windows."""
        return None

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences that a person who uses it should read, such as about what it was not told; after `load`."""
        return ()

    @property
    def sha256(self) -> str | None:
        """SHA-256 of the weights' file, or None for a prior without one."""
        return None

    def work(self, height: int, width: int) -> tuple[float, float] | None:
        """(floating-point operations, bytes held, weights included) of one evaluation of one image; None: not known."""
        return None

    @property
    def weight_bytes(self) -> int:
        """How many of the bytes that `work` tells are weights, which images done at once have in common."""
        return 0
