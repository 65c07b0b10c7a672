"""Newton's step towards a proximal point, where degradations, distances or losses leave no closed form."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from gdpkit import solvers
from gdpkit.components import SingularSystem
from gdpkit.distances import Misfit
from gdpkit.views import View

CG_ITERATIONS = 100
LINEARISED = 1e-2  # of an operator that is not linear, preconditioned
CG_TOLERANCE = 1e-4  # at 1e-3 what only a weak observation sees, beside a strong one, is 0.1 off


def step(
    z: Tensor,
    x: Tensor,
    variance: Tensor,
    compared: Sequence[tuple[View, Misfit]],
    *,
    diagonal: int = 0,
    quality: Callable[[Tensor], Tensor] | None = None,
    near: SingularSystem | None = None,
) -> Tensor:
    """The step from z, (B, 3, H, W), to the minimiser of E(z) + |z - x|^2 / variance, degradations linearised at z.

    compared: the observations, and how each is compared; a quadratic takes the place of each distance (iteratively
        reweighted least squares).
    diagonal: how many of them, the first ones, treat every value by itself, in degradation and distance.
    quality: sum_j lambda_j Q_j, (B,), whose curvature joins.
    near: of what the one degradation compared by squared error is near to.
    """
    rhs = x - z
    terms = []
    for view, misfit in compared:
        jacobian = view.jacobian(z)
        slope, bend = misfit.expansion(view.predict(z))
        rhs = rhs - variance * jacobian.transpose(slope)
        terms.append((jacobian, bend))
    curvature = None
    if quality is not None:
        told = quality
        pull = torch.func.grad(lambda v: v[0].numel() / 2 * told(v).sum())
        curvature = solvers.linearise(pull, z)
        rhs = rhs - variance * pull(z)

    def normal(d: Tensor) -> Tensor:
        product = d
        for jacobian, bend in terms:
            product = product.addcmul(variance, jacobian.transpose(bend(jacobian.forward(d))))
        return product if curvature is None else product + variance * curvature.forward(d)

    if not diagonal:
        inverse = None if near is None else _inverse(near, variance / compared[0][0].sigma ** 2)
        tolerance = CG_TOLERANCE if near is None else LINEARISED
        return solvers.conjugate_gradients(normal, rhs, CG_ITERATIONS, tolerance, inverse)
    # The matrix is diagonal but for the losses: divided by its diagonal it is nearly the identity, and one iteration
    # serves where dark and bright pixels would take a hundred. (A guide, which is not, is left to them.)
    whole = torch.ones_like(rhs)
    for (view, _), (jacobian, bend) in zip(compared[:diagonal], terms, strict=False):
        slopes = jacobian.transpose(torch.ones_like(view.image))
        whole = whole + variance * slopes * bend(slopes)
    root = whole.rsqrt()
    return root * solvers.conjugate_gradients(
        lambda d: root * normal(root * d), root * rhs, CG_ITERATIONS, CG_TOLERANCE
    )


def _inverse(near: SingularSystem, trust: Tensor) -> solvers.Map:
    """1 / (1 + trust D^T D), with D = U diag(s) V^T."""
    power = trust * near.values.to(trust).square()
    gain = power / (1 + power)
    return lambda r: r - near.synthesise(gain * near.analyse(r))
