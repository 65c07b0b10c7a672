"""The objective: what the observations and the quality losses say about a clean image, and the unknowns they fit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor

from gdpkit import solvers
from gdpkit.components import Degradation, Observation, Problem, Unknowns
from gdpkit.distances import Distance, by_name
from gdpkit.errors import GdpkitError
from gdpkit.solvers import LinearMap

CG_ITERATIONS = 60
CG_TOLERANCE = 1e-3
NEWTON_STEPS = 3
FIT_ITERATIONS = 12


@dataclass
class _View:
    """One observation on the device of the run, with the present values of its unknowns."""

    observation: Observation
    unknowns: Unknowns
    map: LinearMap | None = None

    @property
    def sigma(self) -> float:
        """The noise in the units of the image."""
        return self.observation.sigma / 255

    def predict(self, x: Tensor, unknowns: Unknowns | None = None) -> Tensor:
        mean = self.observation.degradation(x, **(self.unknowns if unknowns is None else unknowns))
        if mean.shape[1:] != self.observation.image.shape[1:]:
            raise GdpkitError(
                f"{self.observation.degradation.name} gives {tuple(mean.shape[1:])} where "
                f"{tuple(self.observation.image.shape[1:])} was observed (channels, height, width)"
            )
        return mean

    def residual(self, x: Tensor, unknowns: Unknowns | None = None) -> Tensor:
        """(y - D(x)) / sigma, with the weights' square roots."""
        r = (self.observation.image - self.predict(x, unknowns)) / self.sigma
        return r if self.observation.weight is None else r * self.observation.weight.sqrt()

    def count(self) -> Tensor | float:
        """How much is measured of each image: the sum of the weights."""
        y = self.observation.image
        if self.observation.weight is None:
            return float(y[0].numel())
        return self.observation.weight.expand_as(y).flatten(1).sum(1).clamp_min(1)


class EnergyObjective:
    """E(x, u) = sum_i sum_pixels weight_i L(D_i(x; u_i), y_i) / sigma_i^2 + sum_j lambda_j N Q_j(x).

    For squared error and linear D the likelihood of x is exp(-E / 2). N is the number of values of x, so that no
    term depends on the image's size. The unknowns start from the degradations' first guesses; `fit` moves them.
    """

    def __init__(self, problem: Problem, distance: str = "mse", device: str | torch.device = "cpu") -> None:
        """Bring the problem to a device. `distance` is L: mse, l1 or huber."""
        self._distance: Distance = by_name(distance)
        self._losses = problem.losses
        self._views = []
        for o in problem.observations:
            weight = None if o.weight is None else o.weight.to(device, torch.float32)
            o = replace(o, image=o.image.to(device, torch.float32), weight=weight)
            guesses = o.degradation.unknowns(o.image, o.clean_shape)
            view = _View(o, o.degradation.constrain(**guesses) if guesses else {})
            if o.degradation.linear:
                view.map = _linear_map(o.degradation, o.image, (len(o.image), *o.clean_shape))
            self._views.append(view)
        first = problem.observations[0]
        _, height, width = first.clean_shape
        self.shape = (len(first.image), 3, height, width)
        self.device = torch.device(device)

    @property
    def unknowns(self) -> Unknowns:
        """The present unknowns; those of the k-th of several observations are called "k.name"."""
        if len(self._views) == 1:
            return dict(self._views[0].unknowns)
        return {f"{k}.{name}": u for k, view in enumerate(self._views) for name, u in view.unknowns.items()}

    def supports(self, what: Literal["linear", "project", "spectral"]) -> bool:
        """Whether the observations are linear in the image, can be projected on, or have a singular system."""
        linear = all(view.map is not None for view in self._views)
        if what == "linear":
            return linear
        one = linear and len(self._views) == 1
        return one and (what == "project" or hasattr(self._views[0].observation.degradation, "spectral"))

    def energy(self, x: Tensor) -> Tensor:
        """E, (B,)."""
        total = x.new_zeros(len(x))
        for view in self._views:
            total = total + self._distance.energy(view.residual(x)).flatten(1).sum(1)
        return total + x[0].numel() * self._quality(x)

    def gradient(self, x: Tensor, reduction: Literal["sum", "mean"] = "sum") -> Tensor:
        """The gradient of E at x, or, with "mean", of the published loss: the mean over pixels of L plus lambda Q."""
        with torch.enable_grad():
            leaf = x.detach().requires_grad_()
            if reduction == "sum":
                total = self.energy(leaf)
            else:
                total = self._quality(leaf)
                for view in self._views:
                    sums = self._distance.energy(view.residual(leaf)).flatten(1).sum(1)
                    total = total + sums * view.sigma**2 / view.count()
            (gradient,) = torch.autograd.grad(total.sum(), leaf)
        return gradient

    def discrepancy(self, x: Tensor) -> Tensor:
        """Mean over the measurements of (D(x) - y)^2 / sigma^2, (B,): 1 where x fits as well as the truth does."""
        squares = x.new_zeros(len(x))
        count: Tensor | float = 0.0
        for view in self._views:
            squares = squares + view.residual(x).square().flatten(1).sum(1)
            count = count + view.count()
        return squares / count

    def prox(self, x: Tensor, sigma: float | Tensor) -> Tensor:
        """The minimiser over z of E(z) + |z - x|^2 / sigma^2, the mean of N(x, sigma^2) given the observations.

        Exact for linear degradations and squared error, by conjugate gradients. Elsewhere Gauss-Newton steps on
        the linearised degradations, with the distance's weights (iteratively reweighted least squares).
        """
        variance = torch.as_tensor(sigma, dtype=x.dtype, device=x.device).reshape(-1, 1, 1, 1) ** 2
        simple = self.supports("linear") and self._distance.quadratic and not self._losses
        z = x
        for _ in range(1 if simple else NEWTON_STEPS):
            z = z + self._newton(z, x, variance)
        return z

    def _newton(self, z: Tensor, x: Tensor, variance: Tensor) -> Tensor:
        maps, weights = [], []
        rhs = (x - z) / variance
        for view in self._views:
            jacobian = view.map or solvers.linearise(view.predict, z)
            weight = self._distance.weight(view.residual(z)) / view.sigma**2
            if view.observation.weight is not None:
                weight = weight * view.observation.weight
            rhs = rhs + jacobian.transpose(weight * (view.observation.image - view.predict(z)))
            maps.append(jacobian)
            weights.append(weight)
        if self._losses:
            with torch.enable_grad():
                leaf = z.detach().requires_grad_()
                quality = leaf[0].numel() * self._quality(leaf).sum()
                rhs = rhs - torch.autograd.grad(quality, leaf)[0] / 2

        def normal(d: Tensor) -> Tensor:
            product = d
            for jacobian, weight in zip(maps, weights, strict=True):
                product = product + variance * jacobian.transpose(weight * jacobian.forward(d))
            return product

        return solvers.conjugate_gradients(normal, variance * rhs, CG_ITERATIONS, CG_TOLERANCE)

    def project(self, x: Tensor) -> Tensor:
        """x + D^+ (y - D x): the nearest image that explains the one linear observation exactly."""
        if not self.supports("project"):
            raise GdpkitError("only one linear observation can be projected on; prox serves the others")
        view = self._views[0]
        residual = view.observation.image - view.predict(x)
        pinv: Callable[[Tensor], Tensor] | None = getattr(view.observation.degradation, "pinv", None)
        if pinv is not None:
            return x + pinv(residual)
        assert view.map is not None
        forward, transpose = view.map.forward, view.map.transpose
        return x + transpose(
            solvers.conjugate_gradients(lambda y: forward(transpose(y)), residual, CG_ITERATIONS, CG_TOLERANCE)
        )

    def spectral(self) -> Any:
        """The singular system of the one linear observation."""
        if not self.supports("spectral"):
            raise GdpkitError(f"{self._views[0].observation.degradation.name} declares no singular system")
        return self._views[0].observation.degradation.spectral()  # type: ignore[attr-defined]

    def fit(self, x: Tensor) -> None:
        """Move every unknown once, by a Gauss-Newton step on the residual and the penalty, then constrain it.

        A degradation with a method `fit(image, observed, unknowns)` updates its own. Such steps need no rate
        and do not depend on the size of the image.
        """
        for view in self._views:
            if not view.unknowns:
                continue
            degradation = view.observation.degradation
            own = getattr(degradation, "fit", None)
            moved = own(x, view.observation.image, view.unknowns) if own else _gauss_newton(view, x.detach())
            view.unknowns = {k: u.detach() for k, u in degradation.constrain(**moved).items()}

    def consistency(self, x: Tensor) -> Tensor:
        """MSE between D(x) and what was observed, in 0..255, over all observations, (B,)."""
        errors = [(255 * (v.predict(x) - v.observation.image)).square().flatten(1).mean(1) for v in self._views]
        return torch.stack(errors).mean(0)

    def _quality(self, x: Tensor) -> Tensor:
        total = x.new_zeros(len(x))
        if self._losses:
            y = self._views[0].observation.image
            seen = y if y.shape[-2:] == x.shape[-2:] else None
            for loss in self._losses:
                total = total + loss.weight * loss(x, seen)
        return total


def _linear_map(degradation: Degradation, observed: Tensor, shape: tuple[int, ...]) -> LinearMap:
    adjoint = getattr(degradation, "adjoint", None)
    if adjoint is None:
        adjoint = solvers.linearise(degradation, observed.new_zeros(shape)).transpose
    return LinearMap(degradation, adjoint)


def _gauss_newton(view: _View, x: Tensor) -> Unknowns:
    """One damped Gauss-Newton step of min_u |r(u)|^2 / m + penalty(u), m the present mean square of r.

    Dividing by m keeps the image's own error, early in a run, from outweighing the penalty.
    """
    names = list(view.unknowns)
    sizes = [view.unknowns[n].shape for n in names]
    batch = len(x)
    start = torch.cat([view.unknowns[n].reshape(batch, -1) for n in names], dim=1)
    scale = view.residual(x).square().flatten(1).mean(1).clamp_min(1)

    def named(u: Tensor) -> Unknowns:
        parts = torch.split(u, [s.numel() // batch for s in sizes], dim=1)
        return {n: p.reshape(s) for n, p, s in zip(names, parts, sizes, strict=True)}

    def residual(u: Tensor) -> Tensor:
        r = view.residual(x, named(u)).flatten(1)
        return r / scale.sqrt()[:, None]

    def penalty(u: Tensor) -> Tensor:
        value = view.observation.degradation.penalty(**named(u))
        return value.sum() if isinstance(value, Tensor) else u.new_zeros(())

    jacobian = solvers.linearise(residual, start)
    slope = torch.func.grad(penalty)
    curvature = solvers.linearise(slope, start)
    rhs = -jacobian.transpose(residual(start)) - slope(start) / 2

    def normal(u: Tensor) -> Tensor:
        return jacobian.transpose(jacobian.forward(u)) + curvature.forward(u) / 2 + 1e-6 * u

    return named(start + solvers.conjugate_gradients(normal, rhs, FIT_ITERATIONS, 1e-4))
