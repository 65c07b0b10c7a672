"""What every test of the engine relies on."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from gdpkit import Degradation
from gdpkit.testing import matrix

# Pictures here are tiny: more threads would wait for one another, and slow down whatever else the machine does.
torch.set_num_threads(1)


Excess = Callable[[Degradation, Tensor, Tensor, Tensor, float, float], Tensor]


@pytest.fixture
def excess() -> Excess:
    """How much more E(z) + |z - x|^2 / sigma^2 is at z than at its least, (B,): `excess(d, z, x, y, sigma, noise)`.

    E(z) = |y - d(z)|^2 / noise^2 of a linear d that treats the channels alike; the least is found by dense matrices.
    """

    def of(d: Degradation, z: Tensor, x: Tensor, y: Tensor, sigma: float, noise: float) -> Tensor:
        dense = matrix(d, (1, *x.shape[2:])).double()
        normal = dense.T @ dense + (noise / sigma) ** 2 * torch.eye(dense.shape[1])
        rhs = dense.T @ (y - d(x)).double().flatten(2).flatten(0, 1).T
        best = x.double() + torch.linalg.solve(normal, rhs).T.reshape(x.shape)

        def energy(at: Tensor) -> Tensor:
            residual = (d(at) - y) / noise
            return residual.square().flatten(1).sum(1) + ((at - x) / sigma).square().flatten(1).sum(1)

        return energy(z.double()) - energy(best)

    return of
