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


def conjugate_gradients(matrix: Map, rhs: Tensor, iterations: int, tolerance: float) -> Tensor:
    """Solve matrix(x) = rhs for a symmetric positive definite matrix, each item of the batch by itself.

    Stops after `iterations`, or where every residual is below `tolerance` times its right-hand side. Items that
    have converged stand still, so that a result does not depend on the rest of its batch (Hestenes & Stiefel 1952).
    """
    x = torch.zeros_like(rhs)
    residual, direction = rhs, rhs
    square = dot(rhs, rhs)
    target = square * tolerance**2
    for _ in range(iterations):
        active = square > target
        if not active.any():
            break
        product = matrix(direction)
        step = torch.where(active, square / dot(direction, product).clamp_min(1e-30), 0)
        x = x + step * direction
        residual = residual - step * product
        new = dot(residual, residual)
        direction = torch.where(active, residual + new / square.clamp_min(1e-30) * direction, direction)
        square = torch.where(active, new, square)
    return x
