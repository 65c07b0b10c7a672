"""The objective: what the observations and the quality losses say about a clean image, and the unknowns they fit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import copy
from typing import Literal

import torch
from torch import Tensor

from gdpkit import agreement, fitting, newton, pointwise, solvers, spectra
from gdpkit.components import Measured, Problem, SingularSystem, Unknowns
from gdpkit.distances import Distance, Misfit, by_name
from gdpkit.errors import GdpkitError
from gdpkit.functional import levels
from gdpkit.views import View

NEWTON_STEPS = 3
HALVINGS = 4


class EnergyObjective:
    """E(x, u) = sum_i sum_pixels weight_i L(D_i(x; u_i), y_i) / sigma_i^2 + sum_j lambda_j N Q_j(x).

    For squared error and linear D the likelihood of x is exp(-E / 2). N is the number of values of x, so that no
    term depends on the image's size. The unknowns start from the degradations' first guesses; `fit` moves them. The
    problem's guide is one more observation i, of which nothing is reported.
    """

    def __init__(self, problem: Problem, distance: str = "mse", device: str | torch.device = "cpu") -> None:
        """Bring the problem to a device. `distance` is L: mse, ssim, l1 or huber."""
        self._distance: Distance = by_name(distance)
        self._losses = problem.losses
        self.device = torch.device(device)
        own = [View(observation, device) for observation in problem.observations]
        self._see(own, own if problem.guide is None else [*own, View(problem.guide, device)])

    def _see(self, own: list[View], views: list[View]) -> None:
        """Take these observations, and all that follows from them."""
        self._own, self._views = own, views
        self._misfits = self._compared(self._distance)
        # SSIM of images that have nothing in common says little about the way to the nearest that has.
        self._starts = None if self._distance.convex else self._compared(by_name("mse"))
        batch, _, height, width = views[0].clean_shape
        self.shape = (batch, 3, height, width)
        self._pointwise = views[0].certain if self._alone else all(view.invertible for view in views)
        self._combined: Measured | None = None
        self._joinable = len(views) > len(own) == 1
        self._agreed = False

    def _compared(self, distance: Distance) -> list[Misfit]:
        return [distance.misfit(view.image, view.sigma, view.weight) for view in self._views]

    @property
    def unknowns(self) -> Unknowns:
        """The present unknowns; those of the k-th of several observations are called "k.name"."""
        if len(self._own) == 1:
            return dict(self._own[0].unknowns)
        return {f"{k}.{name}": u for k, view in enumerate(self._own) for name, u in view.unknowns.items()}

    def supports(self, what: Literal["linear", "project", "spectral", "losses", "squares", "brighter"]) -> bool:
        """Whether all observations are linear, can be projected on, have a singular system; whether losses guide.

        "squares": whether L is squared error. "brighter": whether the image may be brighter than white.
        """
        if what == "losses":
            return bool(self._losses)
        if what == "squares":
            return self._distance.quadratic
        if what == "brighter":
            return any(view.overexposed for view in self._views)
        linear = all(view.degradation.linear for view in self._views)
        if what == "linear":
            return linear
        decomposed = self._decomposed is not None
        if what == "spectral":
            return (decomposed or self._pointwise) and self._distance.quadratic and not self._losses
        return linear and (decomposed or (self._alone and self._whole))

    @property
    def _alone(self) -> bool:
        return len(self._views) == 1

    @property
    def _plain(self) -> bool:
        return self._distance.quadratic and not self._losses

    @property
    def _whole(self) -> bool:
        return all(view.weight is None for view in self._views)

    @property
    def _decomposed(self) -> Measured | None:
        """What is measured in the singular system, of one observation, or of one and a guide apart from it."""
        if not (self._alone or self._joinable):
            return None
        if self._combined is None:
            measured = [view.measured() for view in self._views]
            found = [one for one in measured if one is not None]
            if len(found) == len(measured) and (self._alone or spectra.orthogonal(found[0], found[1], self.shape)):
                self._combined = found[0] if self._alone else spectra.Beside(found)
            else:
                self._joinable = False
        return self._combined

    def _in_strips(self, ask: Callable[[EnergyObjective, Tensor], Tensor], x: Tensor) -> Tensor | None:
        """What `ask` says of x strip by strip, where values have nothing to do with each other and x is large."""
        if self._own != self._views or self._losses or not self._distance.pixelwise:
            return None
        return pointwise.in_strips(self._views, lambda views, rows: ask(self._seeing(views), rows), x)

    def _seeing(self, views: list[View]) -> EnergyObjective:
        other = copy(self)
        other._see(views, views)
        other._pointwise = self._pointwise  # else strips without clipped values would take another data step
        return other

    def energy(self, x: Tensor) -> Tensor:
        """E, (B,)."""
        total = self._data(x)
        return total + x[0].numel() * self._quality(x) if self._losses else total

    def gradient(self, x: Tensor, reduction: Literal["sum", "mean"] = "sum") -> Tensor:
        """The gradient of E at x, or, with "mean", of the published loss: the mean over pixels of L plus lambda Q."""
        whole = self._in_strips(lambda part, rows: part.gradient(rows), x) if reduction == "sum" else None
        if whole is not None:
            return whole
        if reduction == "sum" and self._plain and self.supports("linear"):  # then it takes no graph
            z, pairs = x.detach(), zip(self._views, self._misfits, strict=True)
            pulls = (view.jacobian(z).transpose(misfit.expansion(view.predict(z))[0]) for view, misfit in pairs)
            return 2 * sum(pulls, start=torch.zeros_like(z))
        with torch.enable_grad():
            leaf = x.detach().requires_grad_()
            if reduction == "sum":
                total = self.energy(leaf)
            else:
                total = self._quality(leaf)
                for view, misfit in zip(self._views, self._misfits, strict=True):
                    total = total + misfit.energy(view.predict(leaf)) * view.sigma**2 / view.count()
            (gradient,) = torch.autograd.grad(total.sum(), leaf)
        return gradient

    def discrepancy(self, x: Tensor) -> Tensor:
        """The data's part of E over what unit noise is expected to give, (B,): 1 where x fits as the truth does.

        Of several pixelwise observations, what they say together: no image could mend how they differ.
        """
        if self._pointwise and self.supports("spectral"):
            measured = self.spectral()
            s = measured.system.values
            excess = (measured.observed - s * x).square().flatten(1).sum(1) / measured.sigma**2
            return excess / (s > 0).flatten(1).sum(1).clamp_min(1)
        count = sum((view.count() for view in self._views), start=x.new_zeros(len(x)))
        return self._data(x) / (count * self._distance.expected)

    def prox(self, x: Tensor, sigma: float | Tensor) -> Tensor:
        """The minimiser over z of E(z) + |z - x|^2 / sigma^2, the mean of N(x, sigma^2) given the observations.

        Exact for linear degradations and squared error: in the singular basis where there is one, else by conjugate
        gradients; for several pixelwise ones, value by value. Elsewhere Newton steps on the linearised degradations,
        with the distance's weights (iteratively reweighted least squares) and the losses' curvature; none of them
        raises the sum. Where the degradation tells what its derivative is near to (`near`), one step, preconditioned. A
        degradation may bring its own, `prox(image, observed, sigma, noise)`: the mean of N(image, sigma^2) given what
        was observed with that noise, or None where it knows no better (see docs/writing-a-plugin.md).
        """
        variance = levels(sigma, x, x.dtype).reshape(-1, 1, 1, 1) ** 2
        if self.supports("spectral"):
            measured = self.spectral()
            noise = measured.sigma**2
            return measured.moved(x, lambda s: variance * s / (noise + variance * s.square()))
        x = x.contiguous()  # a turned image is slow to go through again and again
        if self._plain:
            moved = self._views[0].prox(x, variance.sqrt()) if self._alone else None
            if moved is not None:
                return moved
            if self.supports("linear"):
                return x + self._newton(x, x, variance, self._misfits)
        if (whole := self._in_strips(lambda part, rows: part.prox(rows, sigma), x)) is not None:
            return whole

        def penalised(z: Tensor) -> Tensor:
            return self.energy(z) + ((z - x) ** 2 / variance).flatten(1).sum(1)

        z = x
        stages = [self._misfits] * (NEWTON_STEPS if self._near is None else 1)
        if self._starts is not None:
            stages.insert(0, self._starts)
        for misfits in stages:
            before = z
            z = solvers.backtracked(penalised, z, self._newton(z, x, variance, misfits), halvings=HALVINGS)
            if misfits is self._misfits and torch.equal(z, before):
                break  # the same step would be refused again, as where derivatives pass over rounding
        return z

    @property
    def _near(self) -> SingularSystem | None:
        """Of what the derivative of the one degradation is near to, wherever it is taken."""
        return self._views[0].near() if self._alone and self._plain and not self.supports("linear") else None

    def _newton(self, z: Tensor, x: Tensor, variance: Tensor, misfits: Sequence[Misfit]) -> Tensor:
        # Of SSIM, whose windows join values, products with the slopes are no diagonal and may be negative.
        alone = self._distance.pixelwise and all(view.degradation.pixelwise for view in self._own)
        diagonal = len(self._own) if alone else 0
        quality = self._quality if self._losses else None
        pairs = [*zip(self._views, misfits, strict=True)]
        return newton.step(z, x, variance, pairs, diagonal=diagonal, quality=quality, near=self._near)

    def project(self, x: Tensor) -> Tensor:
        """x + D^+ (y - D x): the nearest image that explains the one linear observation exactly."""
        if not self.supports("project"):
            raise GdpkitError("only one linear observation can be projected on; prox serves the others")
        if not self._alone:
            measured = self.spectral() if self.supports("spectral") else self._decomposed
            assert measured is not None
            return measured.moved(x, lambda s: (s > 0) / s.clamp_min(1e-30))
        view = self._views[0]
        return x + view.pinv(view.image - view.predict(x))

    def spectral(self) -> Measured:
        """The singular system of the one linear observation, and what was observed in it.

        Of several pixelwise observations, that of all of them, linearised at what they say together.
        """
        if self._pointwise and self.supports("spectral"):
            self._agree()
            if self._combined is None:
                self._combined = pointwise.combined(self._views)
            return self._combined
        if (measured := self._decomposed) is None or not self.supports("spectral"):
            raise GdpkitError(f"{self._without_system()}; use --sampler hqs, which needs none")
        return measured

    def _without_system(self) -> str:
        """Why there is no singular system."""
        if len(self._own) == 1 and not self._alone:
            return "what the small restoration tells, others tell too, so there is no singular system (--hierarchy off)"
        if not self._alone:
            return "a problem of several observations has no singular system"
        return self._views[0].without_system(bool(self._losses))

    def sharpness(self) -> float | None:
        """The largest eigenvalue of half the Hessian of E, where what a linear D is near to tells it; else None."""
        # Where derivatives pass over rounding, the sampler's levels do better with the steeper slope that is found.
        whole = all(view.weight is None or view.overexposed for view in self._views)  # then the weights only lower it
        told = self._alone and self._plain and whole and self.supports("linear")
        near = self._views[0].near() if told else None
        return None if near is None else float(near.values.max() / self._views[0].sigma) ** 2

    def fit(self, x: Tensor) -> None:
        """Move every unknown once; a degradation with a method `fit(image, observed, unknowns)` moves its own.

        Those of several pixelwise observations, each fitted to what the others say, do not depend on the image: they
        were fitted before it was first asked what all say together. What was rounded when it was recorded moves as
        well, within what was recorded.
        """
        if recalling := [view for view in self._views if view.recalls]:
            for view in recalling:
                view.recall(x.detach())
            self._see(self._own, self._views)
        if self._pointwise and self.supports("spectral"):
            self._agree()
            return
        for view in (each for each in self._views if each.unknowns):
            self._combined = None
            own = getattr(view.degradation, "fit", None)
            view.move(own(x, view.recorded, view.unknowns) if own else fitting.improved(view, x.detach()))

    def _agree(self) -> None:
        if not self._agreed:
            self._agreed = True
            agreement.reached(self._views)

    def bounded(self, x: Tensor) -> Tensor:
        """x, no darker than what clipped values say: at least white, which no prior knows better.

        Of observations that say value by value which clean image explains them; others change nothing.
        """
        for view in (own for own in self._own if own.invertible):
            x = torch.maximum(x, pointwise.least(view))
        return x

    def consistency(self, x: Tensor) -> Tensor:
        """MSE between D(x) and what was observed, in 0..255, over what was measured of all observations, (B,)."""
        errors = [pointwise.squares(v, x) / v.count() for v in self._own]
        return torch.stack(errors).mean(0)

    def _data(self, x: Tensor) -> Tensor:
        pairs = zip(self._views, self._misfits, strict=True)
        return sum((misfit.energy(view.predict(x)) for view, misfit in pairs), start=x.new_zeros(len(x)))

    def _quality(self, x: Tensor) -> Tensor:
        total = x.new_zeros(len(x))
        y = self._views[0].image
        seen = y if y.shape[-2:] == x.shape[-2:] else None
        for loss in self._losses:
            total = total + loss.weight * loss(x, seen)
        return total
