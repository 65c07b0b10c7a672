"""Blur that changes across the picture: large grids and kernels, and the data step."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from gdpkit import convolution, kernels, mosaic, solvers, wiener
from gdpkit.components import Observation, Problem
from gdpkit.degradations.blur import Blur
from gdpkit.degradations.blur_grid import BlurGrid
from gdpkit.objective import EnergyObjective
from gdpkit.testing import picture


def grid(path: Path, made: list[Tensor], rows: int, columns: int) -> BlurGrid:
    """The stage of these kernels, brought to one size."""
    side = max(max(kernel.shape) for kernel in made)
    square = torch.zeros(len(made), side, side, dtype=torch.float64)
    for plane, kernel in zip(square, made, strict=True):
        top, left = ((side - length) // 2 for length in kernel.shape)
        plane[top : top + kernel.shape[0], left : left + kernel.shape[1]] = kernel
    np.save(path, square.reshape(rows, columns, side, side).numpy())
    return BlurGrid(file=path, rows=rows, columns=columns)


@pytest.mark.parametrize("boundary", ["reflect", "replicate", "circular"])
@pytest.mark.parametrize(("rows", "columns", "side"), [(1, 1, 3), (3, 2, 5), (5, 7, 13)])
def test_a_grid_is_the_weighed_sum_of_its_blurs(
    tmp_path: Path, rows: int, columns: int, side: int, boundary: str
) -> None:
    """Also of tiles that kernels are longer than."""
    generator = torch.Generator().manual_seed(1)
    made = list(torch.rand(rows * columns, side, side, generator=generator, dtype=torch.float64))
    blur = BlurGrid(
        file=grid(tmp_path / "grid.npy", made, rows, columns).file, rows=rows, columns=columns, boundary=boundary
    )
    image = picture(2, 3, 37, 45)
    each = [convolution.convolve(image, kernel / kernel.sum(), boundary) for kernel in made]
    at = [((torch.arange(n) + 0.5) * k / n - 0.5).clamp(0, k - 1) for n, k in ((37, rows), (45, columns))]
    down, across = (
        (1 - (a - torch.arange(k)[:, None]).abs()).clamp_min(0) for a, k in zip(at, (rows, columns), strict=True)
    )
    wanted = sum(down[i][:, None] * across[j] * each[i * columns + j] for i in range(rows) for j in range(columns))
    assert torch.allclose(blur(image), wanted, atol=1e-6)


@pytest.mark.parametrize("sigma", [0.3, 0.03])
def test_the_data_step_of_a_grid_is_the_minimum_to_within_its_noise(
    excess: Callable[..., Tensor], tmp_path: Path, sigma: float
) -> None:
    """Of E(z) + |z - x|^2 / sigma^2, which grows by 1 for each value that is off by its noise; alone as in a batch."""
    made = [kernels.gaussian(1.0, 7), kernels.motion(5, 20), kernels.disk(2.0), kernels.gaussian(1.6, 7)]
    blur = grid(tmp_path / "grid.npy", made, 2, 2)
    x = picture(2, 3, 36, 41)
    y = blur(picture(2, 3, 36, 41, seed=5))
    y = y + 0.01 * torch.randn(y.shape, generator=torch.Generator().manual_seed(0))
    found = blur.prox(x, y, torch.full((2, 1, 1, 1), sigma), 0.01)
    assert float(excess(blur, found, x, y, sigma, 0.01).max()) < 0.002 * x[0].numel()
    alone = blur.prox(x[1:], y[1:], torch.full((1, 1, 1, 1), sigma), 0.01)
    assert torch.allclose(alone[0], found[1], atol=1e-5)


def test_a_grid_of_one_kernel_is_undone_as_one_blur_is(tmp_path: Path) -> None:
    """The patches' filters are then exact but for what reaches beyond their overlap."""
    kernel, sigma, noise = kernels.gaussian(1.5, 9), 0.1, 0.02
    blur = grid(tmp_path / "grid.npy", [kernel] * 4, 2, 2)
    x, y = picture(1, 3, 150, 130), blur(picture(1, 3, 150, 130, seed=5))
    one = EnergyObjective(Problem((Observation(y, Blur(sigma=1.5, size=9), 255 * noise),))).prox(x, sigma)
    found = blur.prox(x, y, torch.full((1, 1, 1, 1), sigma), noise)
    assert float((one - x).square().mean().sqrt()) > 0.2
    assert float((found - one).square().mean().sqrt()) < 0.05 * noise


@pytest.mark.parametrize(("second", "known"), [(kernels.gaussian(1.3, 9), True), (kernels.motion(9, 90), False)])
def test_patches_tell_how_far_their_answer_is_off(tmp_path: Path, second: Tensor, known: bool) -> None:
    """Much where kernels differ within a patch, little where they hardly change; it is never off by far more."""
    blur = grid(tmp_path / "grid.npy", [kernels.gaussian(1.5, 9), second], 1, 2)
    trust = torch.full((1, 1, 1, 1), 100.0)
    tiles = mosaic.mosaic(blur.weights(), 96, 192, "reflect", torch.device("cpu"))
    residual = blur(torch.rand(1, 3, 96, 192, generator=torch.Generator().manual_seed(0)) - 0.5)
    answer, doubt = wiener.patches(tiles).answer(residual, trust)

    def matrix(s: Tensor) -> Tensor:
        return s + trust * tiles.transposed(tiles.blurred(s))

    best = solvers.conjugate_gradients(matrix, trust * tiles.transposed(residual), 200, 1e-6)
    lacking = float(((answer - best) * matrix(answer - best)).sum())
    assert lacking < 2 * float(doubt) + 1e-4 * residual.numel()  # the latter where windows cut filters off
    assert (float(doubt) < 0.003 * float(trust * residual.square().sum())) == known


def test_the_sharpness_of_a_grid_is_told_without_a_search(tmp_path: Path) -> None:
    blur = grid(tmp_path / "grid.npy", [kernels.gaussian(1.0, 7), kernels.gaussian(1.6, 7)], 1, 2)
    objective = EnergyObjective(Problem((Observation(picture(1, 3, 32, 40), blur, 2.55),)))
    assert objective.sharpness() == pytest.approx(1e4, rel=1e-3)
