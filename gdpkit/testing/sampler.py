"""The checker of samplers."""

from __future__ import annotations

import builtins
import copy
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal
from unittest import mock

import torch
from torch import Tensor

from gdpkit.components import Denoised, Measured, Noise, Objective, Observation, Prior, Problem, Sampler, Step
from gdpkit.errors import GdpkitError
from gdpkit.noise import SeededNoise
from gdpkit.objective import EnergyObjective
from gdpkit.priors.wrapped import WrappedPrior
from gdpkit.testing.common import check_component, require, require_close, require_finite


def check_sampler(s: Sampler, prior: Prior | None = None, objective: Objective | None = None) -> None:
    """Raise an AssertionError that says what a sampler does wrong.

    Its steps are numbered 1 .. total, each image of the objective's shape, float32, in [0, 1]; the prior is not asked
    more often than `evaluations` says; the same noise gives the same bytes; it opens no file and asks the objective for
    nothing beyond the contract; gradients are on between the steps; and the result explains the observation: its
    discrepancy is below 4, or a hundredth of that of a flat grey picture.

    By default the prior is a Gaussian field and the objective two 24x20 draws of it, each seen two times smaller
    through noise of 5/255; then each image is also restored by itself, and must come out the same.
    """
    check_component(s, Sampler)
    own = objective is None
    if prior is None:
        from gdpkit.priors.gaussian import GaussianPrior

        prior = GaussianPrior(deviation=0.12)
    problem = _problem()
    objective = EnergyObjective(problem) if objective is None else objective
    digests = [b"image %d" % i for i in range(objective.shape[0])]
    result, _ = run_checked(s, prior, objective, SeededNoise(0, digests))
    with _no_files(s.name):
        again, _ = run_checked(s, prior, objective, SeededNoise(0, digests))
    require(
        torch.equal(result, again), f"{s.name}: the same noise gives another image; draw all randomness from `noise`"
    )
    check_explains(s.name, objective, result)
    if own:
        for i in range(len(digests)):
            o = problem.observations[0]
            alone = EnergyObjective(Problem((Observation(o.image[i : i + 1], o.degradation, o.sigma),)))
            one, _ = run_checked(s, prior, alone, SeededNoise(0, digests[i : i + 1]))
            require_close(one, result[i : i + 1], 1e-3, f"{s.name}: image {i} alone and in a batch")


def _problem() -> Problem:
    from gdpkit.degradations.downsample import Downsample
    from gdpkit.priors.gaussian import GaussianPrior

    generator = torch.Generator().manual_seed(6)
    truth = GaussianPrior(deviation=0.12).draw(torch.randn(2, 3, 24, 20, generator=generator)).clamp(0, 1)
    small = Downsample(scale=2)(truth)
    return Problem(
        (Observation(small + 5 / 255 * torch.randn(small.shape, generator=generator), Downsample(scale=2), 5.0),)
    )


@dataclass(frozen=True, eq=False)
class _CountingPrior(WrappedPrior):
    """A prior that counts how often it is asked, and checks what it is asked."""

    name = "counting"
    sampler: str
    _calls: list[int] = field(default_factory=lambda: [0])

    @property
    def asked(self) -> int:
        return self._calls[0]

    def denoise(self, noisy: Tensor, sigma: float | Tensor) -> Denoised:
        self._calls[0] += 1
        require_finite(noisy, f"{self.sampler}: what it asks the prior to denoise")
        level = torch.as_tensor(sigma)
        require(
            bool((level >= 0).all()) and level.ndim <= 1,
            f"{self.sampler} asks for sigma = {sigma}: a float or (B,) from 0",
        )
        return super().denoise(noisy, sigma)


class _OnlyTheContract:
    """An objective that answers what `gdpkit.components.Objective` names and nothing else."""

    def __init__(self, objective: Objective, sampler: str) -> None:
        # A copy, for a run may fit the unknowns, and the next one must start from the same.
        self._objective, self._sampler = copy.deepcopy(objective), sampler

    @property
    def shape(self) -> tuple[int, int, int, int]:
        return self._objective.shape

    @property
    def device(self) -> torch.device:
        return self._objective.device

    def supports(self, what: Literal["linear", "project", "spectral", "losses", "squares", "brighter"]) -> bool:
        return self._objective.supports(what)

    def energy(self, x: Tensor) -> Tensor:
        return self._objective.energy(x)

    def gradient(self, x: Tensor, reduction: Literal["sum", "mean"] = "sum") -> Tensor:
        return self._objective.gradient(x, reduction)

    def prox(self, x: Tensor, sigma: float | Tensor) -> Tensor:
        return self._objective.prox(x, sigma)

    def project(self, x: Tensor) -> Tensor:
        return self._objective.project(x)

    def spectral(self) -> Measured:
        return self._objective.spectral()

    def sharpness(self) -> float | None:
        return self._objective.sharpness()

    def discrepancy(self, x: Tensor) -> Tensor:
        return self._objective.discrepancy(x)

    def fit(self, x: Tensor) -> None:
        self._objective.fit(x)

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"{self._sampler} asks the objective for {name!r}, which is not in the contract")


def run_checked(s: Sampler, prior: Prior, objective: Objective, noise: Noise) -> tuple[Tensor, Objective]:
    """The result of a run whose every step is checked, and the objective as the run left it, unknowns fitted."""
    counting = _CountingPrior(prior=prior, sampler=s.name)
    seen = _OnlyTheContract(objective, s.name)
    step: Step | None = None
    steps = enumerate(_telling(s.sample(counting, seen, noise), counting), start=1)
    for k, step in steps:
        where = f"{s.name}, step {k}"
        require(step.index == k, f"{where} is numbered {step.index}")
        require(step.total >= k, f"{where} is one more than the total of {step.total}")
        require(
            step.image.shape == objective.shape,
            f"{where} has an image of {tuple(step.image.shape)}, not {objective.shape}",
        )
        require(step.image.dtype == torch.float32, f"{where} has an image of {step.image.dtype}")
        require_finite(step.image, f"{where}: the image")
        low, high = float(step.image.min()), float(step.image.max())
        require(low >= 0 and high <= 1, f"{where}: the image spans [{low:.3g}, {high:.3g}], not within [0, 1]")
        require(not step.image.requires_grad, f"{where}: the image still carries a graph; detach it")
        require(torch.is_grad_enabled(), f"{where}: gradients are off between the steps; decorate with torch.no_grad()")
    require(step is not None, f"{s.name} yields no step")
    assert step is not None
    require(step.index == step.total, f"{s.name} stops at step {step.index} of {step.total}")
    require(
        s.evaluations is None or counting.asked <= s.evaluations,
        f"{s.name} asked the prior {counting.asked} times, but evaluations says {s.evaluations} at most",
    )
    return step.image, seen


def _telling(steps: Iterator[Step], counting: _CountingPrior) -> Iterator[Step]:
    """The steps; an error among them carries how often the prior had been asked, as `evaluations`."""
    try:
        yield from steps
    except GdpkitError as error:
        error.evaluations = counting.asked  # type: ignore[attr-defined]
        raise


@contextmanager
def _no_files(name: str) -> Iterator[None]:
    def refuse(file: Any, *args: Any, **kwargs: Any) -> Any:
        raise AssertionError(f"{name} opens a file while it samples: {file}")

    with mock.patch.object(builtins, "open", refuse):
        yield


def check_explains(what: str, objective: Objective, result: Tensor, share: float = 0.01) -> None:
    """The discrepancy is below 4, or this share of that of flat grey."""
    found = objective.discrepancy(result)
    grey = objective.discrepancy(torch.full_like(result, 0.5))
    worst = float((found / torch.maximum(torch.full_like(grey, 4.0), grey * share)).max())
    require(
        math.isfinite(worst) and worst <= 1,
        f"{what}: the result does not explain the observation: (D(x) - y)^2 / sigma^2 is {found.tolist()} "
        f"on average, 1 for the truth, {grey.tolist()} for flat grey",
    )
