"""Least squares without matrices: linearised operators and conjugate gradients."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

Map = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class LinearMap:
    """A linear map and its transpose."""

    forward: Map
    transpose: Map


def linearise(function: Map, at: Tensor) -> LinearMap:
    """The Jacobian of `function` at a point, as products with it and with its transpose.

    The product with the Jacobian is the derivative of the transposed product, which is linear: two reverse passes
    serve every operation that has a gradient, where forward-mode rules are missing for some.
    """
    value, pullback, *_ = torch.func.vjp(function, at)

    def transpose(cotangent: Tensor) -> Tensor:
        product: Tensor = pullback(cotangent)[0]
        return product

    pushforward = torch.func.vjp(transpose, torch.zeros_like(value))[1]

    def forward(tangent: Tensor) -> Tensor:
        product: Tensor = pushforward(tangent)[0]
        return product

    return LinearMap(forward, transpose)


def dot(a: Tensor, b: Tensor) -> Tensor:
    """Inner products of each item of a batch, shaped to multiply it."""
    return (a * b).flatten(1).sum(1).view(-1, *[1] * (a.ndim - 1))


def backtracked(energy: Map, start: Tensor, step: Tensor, halvings: int) -> Tensor:
    """start + t step with the first of t = 1, 1/2, 1/4, ... that does not raise the energy (B,); start where none does.

    Each item of the batch has a t of its own.
    """
    least = energy(start)
    result = start
    waiting = torch.ones_like(least, dtype=torch.bool)
    for k in range(halvings + 1):
        tried = start + step / 2**k
        better = waiting & (energy(tried) <= least)
        result = torch.where(better.view(-1, *[1] * (start.ndim - 1)), tried, result)
        waiting = waiting & ~better
        if not waiting.any():
            break
    return result


def conjugate_gradients(
    matrix: Map, rhs: Tensor, iterations: int, tolerance: float, inverse: Map | None = None
) -> Tensor:
    """Solve matrix(x) = rhs for a symmetric positive definite matrix, each item of the batch by itself.

    Stops after `iterations`, or where every residual is below `tolerance` times its right-hand side. Items that
    have converged stand still, so that a result does not depend on the rest of its batch (Hestenes & Stiefel 1952).
    `inverse` is a preconditioner, symmetric and positive definite: the nearer to that of the matrix, the fewer
    iterations.
    """
    if inverse is not None:
        return _preconditioned(matrix, rhs, iterations, tolerance, inverse)
    x = torch.zeros_like(rhs)
    residual, direction = rhs, rhs
    square = dot(rhs, rhs)
    target = square * tolerance**2
    for _ in range(iterations):
        active = square > target
        if not active.any():
            break
        product = matrix(direction)
        bend = dot(direction, product)
        active = active & (bend > 0)  # rounding, or a matrix that is not definite: what is found so far stands
        step = torch.where(active, square / bend.clamp_min(1e-30), 0)
        x = x + step * direction
        residual = residual - step * product
        new = dot(residual, residual)
        direction = torch.where(active, residual + new / square.clamp_min(1e-30) * direction, direction)
        square = torch.where(active, new, 0)
    return x


def settled(
    matrix: Map, rhs: Tensor, nearly: Map, least: Tensor | float, iterations: int, begun: Tensor | None = None
) -> Tensor:
    """Conjugate gradients that end where an iteration lowers x^T A x / 2 - b^T x by less than half of `least`.

    Each item of the batch by itself, from `begun` on, or from 0. `nearly` is a preconditioner, symmetric and positive
    definite.
    """
    x = torch.zeros_like(rhs) if begun is None else begun
    residual = rhs if begun is None else rhs - matrix(begun)
    direction = nearly(residual)
    square = dot(residual, direction)
    for _ in range(iterations):
        active = square > 0
        if not active.any():
            break
        product = matrix(direction)
        bend = dot(direction, product)
        active = active & (bend > 0)
        step = torch.where(active, square / bend.clamp_min(1e-30), 0)
        x = x.addcmul(step, direction)
        residual = residual.addcmul(step, product, value=-1)
        active = active & (step * square > least)
        if not active.any():
            break
        further = nearly(residual)
        new = dot(residual, further)
        direction = torch.where(active, further + new / square.clamp_min(1e-30) * direction, 0)
        square = torch.where(active, new, 0)
    return x


def _preconditioned(matrix: Map, rhs: Tensor, iterations: int, tolerance: float, inverse: Map) -> Tensor:
    x, residual = torch.zeros_like(rhs), rhs
    target = dot(rhs, rhs) * tolerance**2
    active = target > 0
    direction, slope = rhs, torch.ones_like(target)
    for k in range(iterations):
        active = active & (dot(residual, residual) > target)
        if not active.any():
            break
        nearly = inverse(residual)
        new = dot(residual, nearly)
        direction = nearly.addcmul(new / slope.clamp_min(1e-30), direction) if k else nearly
        slope = new
        product = matrix(direction)
        bend = dot(direction, product)
        active = active & (bend > 0) & (slope > 0)
        step = torch.where(active, slope / bend.clamp_min(1e-30), 0)
        x = x.addcmul(step, direction)
        residual = residual.addcmul(step, product, value=-1)
    return x
