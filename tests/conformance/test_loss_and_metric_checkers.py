"""The checkers of losses and of metrics say what is wrong with broken ones."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from torch import Tensor

from gdpkit import testing
from gdpkit.components import Metric, QualityLoss


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
