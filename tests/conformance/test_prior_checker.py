"""The checker of priors says what is wrong with broken ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import pytest
import torch
from torch import Tensor

from gdpkit import testing
from gdpkit.components import Denoised, Prior
from gdpkit.priors.gaussian import GaussianPrior


@dataclass(frozen=True)
class PriorMixesBatch(GaussianPrior):
    """It takes the mean over the batch."""

    def denoise(self, noisy: Tensor, sigma: float | Tensor) -> Denoised:
        return Denoised(super().denoise(noisy, sigma).clean + 0.01 * noisy.mean())


@dataclass(frozen=True)
class EvenSizesOnly(GaussianPrior):
    """It loses the last row and column of odd sizes."""

    def denoise(self, noisy: Tensor, sigma: float | Tensor) -> Denoised:
        height, width = noisy.shape[-2:]
        return Denoised(super().denoise(noisy, sigma).clean[..., : height // 2 * 2, : width // 2 * 2])


@dataclass(frozen=True)
class FirstSigma(GaussianPrior):
    """It uses the first sigma for all."""

    def denoise(self, noisy: Tensor, sigma: float | Tensor) -> Denoised:
        return super().denoise(noisy, torch.as_tensor(sigma).reshape(-1)[0])


@dataclass(frozen=True)
class NoGradient(GaussianPrior):
    """It sets the gradient mode."""

    def denoise(self, noisy: Tensor, sigma: float | Tensor) -> Denoised:
        with torch.no_grad():
            return super().denoise(noisy, sigma)


@dataclass(frozen=True)
class Idle(GaussianPrior):
    """It does nothing."""

    def denoise(self, noisy: Tensor, sigma: float | Tensor) -> Denoised:
        return Denoised(noisy * 1.0)


@dataclass(frozen=True)
class WrongUnits(GaussianPrior):
    """It takes sigma for 0..255."""

    def denoise(self, noisy: Tensor, sigma: float | Tensor) -> Denoised:
        return super().denoise(noisy, sigma * 255)


@dataclass(frozen=True)
class ClaimsToBeLocal(GaussianPrior):
    """Its answer depends on the whole image."""

    receptive_field: ClassVar[int] = 3


@pytest.mark.parametrize(
    ("broken", "complaint"),
    [
        (PriorMixesBatch(), "in a batch"),
        (EvenSizesOnly(), "31x17 pixels gives"),
        (FirstSigma(), "another sigma"),
        (NoGradient(), "no gradient"),
        (Idle(), "leaves an error"),
        (WrongUnits(), "hardly change"),
        (ClaimsToBeLocal(), "receptive_field"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Prior) else "",
)
def test_broken_priors_are_told_so(broken: Prior, complaint: str) -> None:
    with pytest.raises(AssertionError, match=complaint):
        testing.check_prior(broken)
