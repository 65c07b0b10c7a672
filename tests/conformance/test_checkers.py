"""Each checker passes a right component and says what is wrong with a broken one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from gdpkit import testing
from gdpkit.components import (
    Degradation,
    Denoised,
    Metric,
    Noise,
    Objective,
    Observation,
    Prior,
    Problem,
    QualityLoss,
    Result,
    Sampler,
    Shape,
    Step,
    Task,
    Unknowns,
)
from gdpkit.params import param
from gdpkit.priors.gaussian import GaussianPrior

# -- degradations ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Shrink(Degradation):
    """y = half-size means, times an unknown gain."""

    name = "shrink"
    step: int = param(2, help="How many times smaller.", min=1)

    def __call__(self, image: Tensor, *, gain: Tensor) -> Tensor:  # type: ignore[override]
        return F.avg_pool2d(image, self.step) * gain

    def unknowns(self, observed: Tensor, shape: Shape) -> Unknowns:
        return {"gain": 0.5 + observed.mean(dim=(1, 2, 3), keepdim=True)}

    def constrain(self, **unknowns: Tensor) -> Unknowns:
        return {"gain": unknowns["gain"].clamp(min=0.1)}

    def clean_shape(self, observed_shape: Shape) -> Shape:
        channels, height, width = observed_shape
        return channels, self.step * height, self.step * width


@dataclass(frozen=True)
class Half(Degradation):
    """y = x / 2."""

    name = "half"
    linear: ClassVar[bool] = True

    def __call__(self, image: Tensor) -> Tensor:  # type: ignore[override]
        return image / 2

    def adjoint(self, observed: Tensor) -> Tensor:
        return observed / 2

    def pinv(self, observed: Tensor) -> Tensor:
        return 2 * observed

    def propagate(self, sigma: float) -> float:
        return sigma / 2


@dataclass(frozen=True)
class WrongAdjoint(Half):
    """Its adjoint is its inverse."""

    def adjoint(self, observed: Tensor) -> Tensor:
        return 2 * observed


@dataclass(frozen=True)
class WrongPinv(Half):
    """Its pseudo-inverse is its adjoint."""

    def pinv(self, observed: Tensor) -> Tensor:
        return observed / 2


@dataclass(frozen=True)
class NotLinear(Half):
    """It has an offset."""

    def __call__(self, image: Tensor) -> Tensor:  # type: ignore[override]
        return image / 2 + 0.1


@dataclass(frozen=True)
class WrongNoise(Half):
    """It says that noise passes unchanged."""

    def propagate(self, sigma: float) -> float:
        return sigma


@dataclass(frozen=True)
class MixesBatch(Half):
    """It normalises over the batch."""

    def __call__(self, image: Tensor) -> Tensor:  # type: ignore[override]
        return image - image.mean()


@dataclass(frozen=True)
class Random(Half):
    """It draws noise in the call."""

    def __call__(self, image: Tensor) -> Tensor:  # type: ignore[override]
        return image + torch.randn_like(image)


@dataclass(frozen=True)
class InPlace(Half):
    """It writes into its input."""

    def __call__(self, image: Tensor) -> Tensor:  # type: ignore[override]
        return image.mul_(0.5)


@dataclass(frozen=True)
class Detached(Half):
    """Its gradient is missing a factor."""

    def __call__(self, image: Tensor) -> Tensor:  # type: ignore[override]
        return image * image.detach()


@dataclass(frozen=True)
class WrongShape(Shrink):
    """It does not say that it shrinks."""

    def clean_shape(self, observed_shape: Shape) -> Shape:
        return observed_shape


@dataclass(frozen=True)
class DriftingConstraint(Shrink):
    """Constraining twice is more than once."""

    def constrain(self, **unknowns: Tensor) -> Unknowns:
        return {"gain": unknowns["gain"] * 0.9}


@dataclass(frozen=True)
class SharedUnknown(Shrink):
    """One gain for all images."""

    def unknowns(self, observed: Tensor, shape: Shape) -> Unknowns:
        return {"gain": torch.ones(1, 1, 1, 1)}


@dataclass(frozen=True)
class NoDocstring(Half):
    name = "undocumented"


@dataclass(frozen=True)
class NoHelp(Half):
    """A field without help."""

    name = "helpless"
    amount: float = 1.0


def test_right_degradations_pass() -> None:
    testing.check_degradation(Shrink())
    testing.check_degradation(Shrink(step=3))
    testing.check_degradation(Half())
    testing.check_degradation(Half() >> Shrink() >> Half())


@pytest.mark.parametrize(
    ("broken", "complaint"),
    [
        (WrongAdjoint(), "adjoint: <D x, y>"),
        (WrongPinv(), "pinv"),
        (NotLinear(), r"D\(2x - 3z\)"),
        (WrongNoise(), "propagate"),
        (MixesBatch(), "in a batch"),
        (Random(), "random"),
        (InPlace(), "in place"),
        (Detached(), "finite difference"),
        (WrongShape(), "clean_shape"),
        (DriftingConstraint(), "once and twice"),
        (SharedUnknown(), "lead with B"),
        (NoDocstring(), "no docstring"),
        (NoHelp(), "no help"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Degradation) else "",
)
def test_broken_degradations_are_told_so(broken: Degradation, complaint: str) -> None:
    with pytest.raises(AssertionError, match=complaint):
        testing.check_degradation(broken)


def test_matrix() -> None:
    assert torch.equal(testing.matrix(Half(), (1, 2, 3)), torch.eye(6, dtype=torch.float64) / 2)


# -- losses and metrics -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Sum(QualityLoss):
    """A sum over pixels, not a mean."""

    name = "sum"

    def __call__(self, image: Tensor, observed: Tensor | None) -> Tensor:
        return image.square().sum(dim=(1, 2, 3))


@dataclass(frozen=True)
class Weighted(QualityLoss):
    """It applies its own weight."""

    name = "weighted"

    def __call__(self, image: Tensor, observed: Tensor | None) -> Tensor:
        return self.weight * image.square().mean(dim=(1, 2, 3))


@dataclass(frozen=True)
class Kink(QualityLoss):
    """Its gradient is not a number on flat pictures."""

    name = "kink"

    def __call__(self, image: Tensor, observed: Tensor | None) -> Tensor:
        return image.diff(dim=-1).square().mean(dim=(1, 2, 3)).sqrt()


@dataclass(frozen=True)
class Scalar(QualityLoss):
    """One number for the batch."""

    name = "scalar"

    def __call__(self, image: Tensor, observed: Tensor | None) -> Tensor:
        return image.square().mean()


@pytest.mark.parametrize(
    ("broken", "complaint"),
    [(Sum(), "depends on the size"), (Weighted(), "weight"), (Kink(), "flat picture"), (Scalar(), r"not \(B,\)")],
    ids=["sum", "weighted", "kink", "scalar"],
)
def test_broken_losses_are_told_so(broken: QualityLoss, complaint: str) -> None:
    with pytest.raises(AssertionError, match=complaint):
        testing.check_loss(broken)


@dataclass(frozen=True)
class Error(Metric):
    """An error that claims to be better when it is larger."""

    name = "error"

    def __call__(self, image: Tensor, reference: Tensor | None) -> Tensor:
        assert reference is not None
        return (image - reference).abs().mean(dim=(1, 2, 3))


def test_a_metric_that_reads_the_wrong_way_is_told_so() -> None:
    with pytest.raises(AssertionError, match="higher_is_better"):
        testing.check_metric(Error())


# -- priors -----------------------------------------------------------------------------------------------------------


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


# -- samplers ---------------------------------------------------------------------------------------------------------


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
    """It says one evaluation too many."""

    @property
    def evaluations(self) -> int:
        return self.steps + 1


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


def test_a_right_sampler_passes() -> None:
    testing.check_sampler(Annealed())


@pytest.mark.parametrize(
    ("broken", "complaint"),
    [
        (Miscounts(), "asked the prior 6 times, but evaluations says 7"),
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


# -- tasks ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Brighten(Task):
    """Restore a picture of half the brightness."""

    name = "brighten"
    examples: ClassVar[tuple[str, ...]] = ("gdpkit run brighten dark.png",)
    image: Path = param(help="The dark picture.")

    def problem(self) -> Problem:
        return Problem((Observation(testing.picture(1, 3, 16, 16) / 2, Half(), 1.0),))


@dataclass(frozen=True, eq=False)
class WrongSize(Brighten):
    """Its degradation does not give the size that was observed."""

    def problem(self) -> Problem:
        return Problem((Observation(testing.picture(1, 3, 16, 16) / 2, WrongShape(), 1.0),))


@dataclass(frozen=True, eq=False)
class InLevels(Brighten):
    """It reads pictures in 0..255."""

    def problem(self) -> Problem:
        return Problem((Observation(testing.picture(1, 3, 16, 16) * 255, Half(), 1.0),))


@dataclass(frozen=True, eq=False)
class ForgetsBatch(Brighten):
    """Its output has no batch."""

    def finish(self, result: Result) -> Tensor:
        return result.image[0]


@dataclass(frozen=True, eq=False)
class OtherExample(Brighten):
    """Its example is of another task."""

    examples: ClassVar[tuple[str, ...]] = ("gdpkit run darken bright.png",)


def test_a_right_task_passes(tmp_path: Path) -> None:
    testing.check_task(testing.example(Brighten, tmp_path))
    assert (tmp_path / "image.png").is_file()


@pytest.mark.parametrize(
    ("broken", "complaint"),
    [
        (WrongSize, "its degradation of"),
        (InLevels, r"not within \[0, 1\]"),
        (ForgetsBatch, "finish"),
        (OtherExample, "is not a `gdpkit run"),
    ],
)
def test_broken_tasks_are_told_so(broken: type[Task], complaint: str, tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match=complaint):
        testing.check_task(testing.example(broken, tmp_path))


def test_examples_fill_required_files_only(tmp_path: Path) -> None:
    @dataclass(frozen=True)
    class Masked(Half):
        """Needs a file and several."""

        example_params: ClassVar[dict[str, int]] = {"count": 3}
        file: Path = param(help="A mask.")
        bracket: tuple[Path, ...] = param(help="Exposures.")
        count: int = param(help="A number.", min=2)
        other: Path | None = param(None, help="Not required.")

    Masked.__annotations__.update(file=Path, bracket=tuple[Path, ...], count=int, other=Path | None)
    masked = testing.example(Masked, tmp_path)
    assert masked.file == tmp_path / "file.png" and masked.file.is_file()
    assert [path.name for path in masked.bracket] == ["bracket0.png", "bracket1.png", "bracket2.png"]
    assert (masked.count, masked.other) == (3, None)
    assert testing.example(Masked, tmp_path, count=5).count == 5
