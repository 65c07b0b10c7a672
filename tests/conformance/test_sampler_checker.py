"""The checker of samplers passes a right one and says what is wrong with broken ones."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest
import torch

from gdpkit import testing
from gdpkit.components import Noise, Objective, Prior, Sampler, Step
from gdpkit.degradations.gray import Gray
from gdpkit.errors import GdpkitError
from gdpkit.params import param


@dataclass(frozen=True)
class Annealed(Sampler):
    """Denoise, bring back to the observation, add less noise than before: DiffPIR in five lines."""

    name = "annealed"
    steps: int = param(6, help="Evaluations of the prior.", min=1)

    @property
    def evaluations(self) -> int:
        return self.steps

    @torch.no_grad()
    def sample(self, prior: Prior, objective: Objective, noise: Noise) -> Iterator[Step]:
        sigmas = [0.5 ** (k + 1) for k in range(self.steps)]
        x = 0.5 + sigmas[0] * noise.normal(objective.shape, objective.device)
        for k, sigma in enumerate(sigmas, start=1):
            z = objective.prox(prior.denoise(x, sigma).clean, sigma).clamp(0, 1)
            yield Step(k, self.steps, z)
            if k < self.steps:
                x = z + sigmas[k] * noise.normal(objective.shape, objective.device)


@dataclass(frozen=True)
class Miscounts(Annealed):
    """It says one evaluation too few."""

    @property
    def evaluations(self) -> int:
        return self.steps - 1


@dataclass(frozen=True)
class OwnNoise(Annealed):
    """It draws noise of its own."""

    def sample(self, prior: Prior, objective: Objective, noise: Noise) -> Iterator[Step]:
        for step in super().sample(prior, objective, noise):
            yield Step(step.index, step.total, (step.image + 0.01 * torch.rand_like(step.image)).clamp(0, 1))


@dataclass(frozen=True)
class NotClipped(Annealed):
    """It leaves [0, 1]."""

    def sample(self, prior: Prior, objective: Objective, noise: Noise) -> Iterator[Step]:
        for step in super().sample(prior, objective, noise):
            yield Step(step.index, step.total, step.image - 1)


@dataclass(frozen=True)
class Unfaithful(Annealed):
    """It forgets the observation."""

    def sample(self, prior: Prior, objective: Objective, noise: Noise) -> Iterator[Step]:
        for step in super().sample(prior, objective, noise):
            yield Step(step.index, step.total, step.image.flip(-1))


@dataclass(frozen=True)
class LooksAtTheTask(Annealed):
    """It asks for what is not in the contract."""

    def sample(self, prior: Prior, objective: Objective, noise: Noise) -> Iterator[Step]:
        print(objective.problem)  # type: ignore[attr-defined]
        yield from super().sample(prior, objective, noise)


@dataclass(frozen=True)
class ReadsAFile(Annealed):
    """It reads a file."""

    def sample(self, prior: Prior, objective: Objective, noise: Noise) -> Iterator[Step]:
        with open(__file__):  # noqa: PTH123
            pass
        yield from super().sample(prior, objective, noise)


@dataclass(frozen=True)
class StopsEarly(Annealed):
    """It stops before its last step."""

    def sample(self, prior: Prior, objective: Objective, noise: Noise) -> Iterator[Step]:
        for step in super().sample(prior, objective, noise):
            yield Step(step.index, step.total + 1, step.image)


@dataclass(frozen=True)
class LeaksNoGrad(Annealed):
    """Its generator leaves gradients off while the caller works."""

    def sample(self, prior: Prior, objective: Objective, noise: Noise) -> Iterator[Step]:
        with torch.no_grad():
            yield from Annealed.sample.__wrapped__(self, prior, objective, noise)  # type: ignore[attr-defined]


@dataclass(frozen=True)
class Refuses(Annealed):
    """It takes nothing, and says so."""

    name = "refuses"
    says: str = param("refuses cannot take this; use --sampler hqs", help="What it says.")
    late: bool = param(False, help="Only after it has asked the prior.")

    def sample(self, prior: Prior, objective: Objective, noise: Noise) -> Iterator[Step]:
        if self.late:
            prior.denoise(noise.normal(objective.shape), 1.0)
        raise GdpkitError(self.says)
        yield


def test_a_degradation_is_explained_or_refused() -> None:
    assert testing.check_sampler_on(Annealed(), Gray())
    assert not testing.check_sampler_on(Refuses(), Gray())


@pytest.mark.parametrize(
    ("broken", "complaint"),
    [
        (Unfaithful(), "annealed on gray: the result does not explain"),
        (Refuses(late=True), "after 1 evaluations of the prior"),
        (Refuses(says="refuses cannot take gray"), "names no sampler that could take it"),
        (Refuses(says="this cannot be; use --sampler hqs"), "does not name the sampler"),
    ],
    ids=["unfaithful", "late", "no other", "no name"],
)
def test_broken_pairs_are_told_so(broken: Sampler, complaint: str) -> None:
    with pytest.raises(AssertionError, match=complaint):
        testing.check_sampler_on(broken, Gray())


def test_a_right_sampler_passes() -> None:
    testing.check_sampler(Annealed())


@pytest.mark.parametrize(
    ("broken", "complaint"),
    [
        (Miscounts(), "asked the prior 6 times, but evaluations says 5"),
        (OwnNoise(), "the same noise gives another image"),
        (NotClipped(), r"not within \[0, 1\]"),
        (Unfaithful(), "does not explain"),
        (LooksAtTheTask(), "'problem', which is not in the contract"),
        (ReadsAFile(), "opens a file"),
        (StopsEarly(), "stops at step 6 of 7"),
        (LeaksNoGrad(), "gradients are off"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Sampler) else "",
)
def test_broken_samplers_are_told_so(broken: Sampler, complaint: str) -> None:
    with pytest.raises(AssertionError, match=complaint):
        testing.check_sampler(broken)
