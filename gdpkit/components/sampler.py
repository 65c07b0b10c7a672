"""Samplers: how the clean image is drawn from the prior while the objective keeps it true to the observations."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol

from gdpkit.components.base import Component

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from gdpkit.components.prior import Prior
    from gdpkit.components.singular import Measured


class Noise(Protocol):
    """A source of standard normal noise. `gdpkit.noise.SeededNoise` is the one that runs use."""

    def normal(self, shape: Sequence[int], device: Any = None) -> Tensor:
        """The next draw, (B, ...) float32, independent for each image of the batch."""
        ...


class Objective(Protocol):
    """What a sampler may ask of the observations. All of it is per image and none of it depends on the image's size.

    E(x, u) = sum_i sum_pixels weight_i L(D_i(x; u_i), y_i) / sigma_i^2 + sum_j lambda_j N Q_j(x), so that for squared
    error and linear D the likelihood of x is exp(-E / 2). `gdpkit.objective.EnergyObjective` is the implementation.
    """

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(B, 3, H, W) of the clean image."""
        ...

    @property
    def device(self) -> torch.device:
        """Where the observations are."""
        ...

    def supports(self, what: Literal["linear", "project", "spectral", "losses", "squares", "brighter"]) -> bool:
        """Whether all observations are linear, can be projected on, have a singular system; whether losses guide.

        "squares": whether L is squared error. "brighter": whether places that were seen as white may be brighter, so
        that an image explains what was observed before it is cut off at 1.
        """
        ...

    def energy(self, x: Tensor) -> Tensor:
        """E, (B,)."""
        ...

    def gradient(self, x: Tensor, reduction: Literal["sum", "mean"] = "sum") -> Tensor:
        """The gradient of E; with "mean" that of the published loss: mean over pixels of L, plus lambda Q."""
        ...

    def prox(self, x: Tensor, sigma: float | Tensor) -> Tensor:
        """The minimiser over z of E(z) + |z - x|^2 / sigma^2: the mean of N(x, sigma^2) given the observations."""
        ...

    def project(self, x: Tensor) -> Tensor:
        """The nearest image that explains the observations exactly."""
        ...

    def spectral(self) -> Measured:
        """The singular system of the one linear observation and what was observed, where `supports("spectral")`."""
        ...

    def sharpness(self) -> float | None:
        """The largest eigenvalue of half the Hessian of E, nearly, where it is known without a search; else None."""
        ...

    def discrepancy(self, x: Tensor) -> Tensor:
        """The data's part of E over what unit noise is expected to give, (B,): 1 where x fits as the truth does."""
        ...

    def fit(self, x: Tensor) -> None:
        """Update the unknowns once, given the present estimate of the clean image."""
        ...


@dataclass(frozen=True)
class Step:
    """One step of a sampler.

    index, total: 1 .. total; a sampler that ends earlier numbers its last step `total`, or the result is not taken.
    image: the present estimate of the clean image, (B, 3, H, W) in [0, 1]; of the last step, the result.
    """

    index: int
    total: int
    image: Tensor


@dataclass(frozen=True, kw_only=True)
class Sampler(Component):
    """Draws the clean image. It sees the prior and the objective, and knows no task, no file and no plugin."""

    needs_spectral: ClassVar[bool] = False
    """Whether it cannot do without `objective.spectral()`: then it is given no guide that would leave none."""

    @property
    def evaluations(self) -> int | None:
        """How many evaluations of the prior one run takes, at most; None where that cannot be told beforehand."""
        return None

    def sample(self, prior: Prior, objective: Objective, noise: Noise) -> Iterator[Step]:
        """Yield every step; the image of the last one is the result."""
        raise NotImplementedError
