"""Least squares without matrices, against dense algebra."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from gdpkit import solvers


def systems(batch: int, size: int, spread: float) -> tuple[Tensor, Tensor]:
    """Symmetric positive definite matrices with eigenvalues from 1 to `spread`, and right-hand sides."""
    generator = torch.Generator().manual_seed(0)
    turned = torch.linalg.qr(torch.randn(batch, size, size, generator=generator, dtype=torch.float64))[0]
    values = torch.logspace(0, torch.tensor(spread).log10().item(), size, dtype=torch.float64)
    matrices = turned @ torch.diag(values) @ turned.mT
    return matrices, torch.randn(batch, size, generator=generator, dtype=torch.float64)


def apply(matrices: Tensor) -> solvers.Map:
    return lambda x: torch.einsum("bij,bj->bi", matrices, x)


@pytest.mark.parametrize("spread", [1.0, 10.0, 1000.0])
def test_conjugate_gradients_solve(spread: float) -> None:
    matrices, rhs = systems(3, 12, spread)
    found = solvers.conjugate_gradients(apply(matrices), rhs, iterations=60, tolerance=1e-8)
    assert torch.allclose(found, torch.linalg.solve(matrices, rhs), atol=1e-7)


def test_a_preconditioner_near_the_inverse_leaves_little_to_do() -> None:
    """Likewise solved, each item by itself, in a quarter of the products."""
    matrices, rhs = systems(3, 40, 1000.0)
    counts = []
    noise = torch.randn(3, 40, 40, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    inverses = torch.linalg.inv(matrices + 0.01 * (noise + noise.mT))

    def solved(items: slice, inverse: solvers.Map | None) -> Tensor:
        calls = []

        def counted(x: Tensor) -> Tensor:
            calls.append(1)
            return apply(matrices[items])(x)

        found = solvers.conjugate_gradients(counted, rhs[items], 200, 1e-8, inverse)
        counts.append(len(calls))
        return found

    plain, quick = solved(slice(None), None), solved(slice(None), apply(inverses))
    assert torch.allclose(quick, torch.linalg.solve(matrices, rhs), atol=1e-7)
    assert torch.allclose(quick, plain, atol=1e-6)
    assert counts[1] < counts[0] / 4
    assert torch.allclose(solved(slice(1, 2), apply(inverses[1:2])), quick[1:2], atol=1e-12)


def test_conjugate_gradients_stop_at_the_tolerance() -> None:
    matrices, rhs = systems(3, 40, 100.0)
    calls = []

    def counted(x: Tensor) -> Tensor:
        calls.append(1)
        return apply(matrices)(x)

    found = solvers.conjugate_gradients(counted, rhs, iterations=1000, tolerance=0.1)
    residual = (rhs - apply(matrices)(found)).norm(dim=1) / rhs.norm(dim=1)
    assert float(residual.max()) <= 0.1
    assert len(calls) < 25


def test_an_item_does_not_depend_on_the_rest_of_its_batch() -> None:
    """One that is solved at once and one that takes long, together and alone: the same bytes."""
    matrices, rhs = systems(3, 12, 1000.0)
    matrices[0] = torch.eye(12)
    rhs[1] = 0
    together = solvers.conjugate_gradients(apply(matrices), rhs, iterations=7, tolerance=1e-3)
    for i in range(3):
        one = solvers.conjugate_gradients(apply(matrices[i : i + 1]), rhs[i : i + 1], iterations=7, tolerance=1e-3)
        assert torch.equal(one[0], together[i])
    assert torch.equal(together[0], rhs[0])
    assert torch.equal(together[1], torch.zeros(12, dtype=torch.float64))


@pytest.mark.parametrize("batch", [1, 2])
def test_linearise_gives_the_jacobian_and_its_transpose(batch: int) -> None:
    at = torch.rand(batch, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(1))

    def function(x: Tensor) -> Tensor:
        return torch.stack((x.square().sum(1), x.sin().prod(1), x[:, 0] * x[:, 1]), dim=1)

    jacobian = solvers.linearise(function, at)
    dense = torch.autograd.functional.jacobian(lambda x: function(x).sum(0), at).permute(1, 0, 2)  # type: ignore[no-untyped-call]
    tangent, cotangent = torch.randn(batch, 5, dtype=at.dtype), torch.randn(batch, 3, dtype=at.dtype)
    assert torch.allclose(jacobian.forward(tangent), torch.einsum("bij,bj->bi", dense, tangent))
    assert torch.allclose(jacobian.transpose(cotangent), torch.einsum("bij,bi->bj", dense, cotangent))
