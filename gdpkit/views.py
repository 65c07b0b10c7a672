"""One observation on the device of a run, with the present values of its unknowns."""

from __future__ import annotations

from collections.abc import Callable
from copy import copy
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor

from gdpkit import exposure, recording, solvers
from gdpkit.components import Chain, Measured, Observation, SingularSystem, Unknowns
from gdpkit.errors import GdpkitError
from gdpkit.overexposure import Overexposed, beyond
from gdpkit.solvers import LinearMap

BRIGHTEST = 1e-3  # of the clean image's range: so little above it counts as nothing
FAR = 1e30  # times any difference of two values, beyond what is predicted


class View:
    """What the objective asks of one observation. The unknowns start from the degradation's first guesses."""

    def __init__(self, observation: Observation, device: str | torch.device) -> None:
        """Bring the observation to a device, in float32."""
        weight = observation.weight
        self.image = observation.image.to(device, torch.float32)
        self.weight = None if weight is None else weight.to(device, torch.float32).expand_as(self.image)
        self.degradation = observation.degradation
        self.sigma = observation.sigma / 255
        """The noise, in the units of the image."""
        self.coloured = observation.coloured
        self.recorder, self.recorded = observation.recorder, self.image
        self._known = None if self.recorder is None else recording.known(self.recorder, self.image)
        self._over = Overexposed.of(observation, self.weight, self.image, self.sigma)
        self.weight = self.weight if self._over is None else self._over.weight
        self.clean_shape = (len(self.image), *observation.clean_shape)
        self._linear: LinearMap | None = None
        self._system: SingularSystem | None = None
        self._decomposed = False
        self._near: list[SingularSystem | None] | None = None
        self._observed: Tensor | None = None
        guesses = self.degradation.unknowns(self.image, observation.clean_shape)
        self.unknowns: Unknowns = self.degradation.constrain(**guesses) if guesses else {}

    def predict(self, x: Tensor, unknowns: Unknowns | None = None) -> Tensor:
        """D(x; u), with the present unknowns unless others are given; what explains a clipped value is that value."""
        mean = self.degradation(x, **(self.unknowns if unknowns is None else unknowns))
        if mean.shape[1:] != self.image.shape[1:]:
            raise GdpkitError(
                f"{self.degradation.name} gives {tuple(mean.shape[1:])} where {tuple(self.image.shape[1:])} was "
                "observed (channels, height, width)"
            )
        return self.capped(mean)

    def capped(self, mean: Tensor) -> Tensor:
        """A prediction, of which what lies beyond the white or black that was observed is that value."""
        if not self.degradation.clips:
            return mean
        if mean.requires_grad:  # masks take little of a graph's memory
            mean = torch.where(self.image >= 1, mean.clamp_max(1), mean)
            return torch.where(self.image <= 0, mean.clamp_min(0), mean)
        # Where nothing is clipped limits are far away: masks as irregular as noise take a processor much longer.
        mean = torch.minimum(mean, (1 - self.image).clamp_min_(0).mul_(FAR).add_(1))
        return torch.maximum(mean, self.image.clamp_min(0).mul_(-FAR))

    def explained(self, mean: Tensor) -> Tensor | None:
        """Where a mean lies beyond the white or black that was observed, which `predict` makes that value."""
        if not self.degradation.clips:
            return None
        return ((self.image >= 1) & (mean > 1)) | ((self.image <= 0) & (mean < 0))

    @property
    def invertible(self) -> bool:
        """Whether D is pixelwise and can say which clean image explains what was observed."""
        return self.degradation.pixelwise and hasattr(self.degradation, "inverse")

    @property
    def certain(self) -> bool:
        """Whether it alone tells every value: D is known, and what is clipped at white leaves nothing brighter open."""
        if not self.invertible or self.unknowns:
            return False
        open_ended = self.degradation.clips and bool((self.image >= 1).any())
        return not open_ended or float(self.inverse(torch.ones_like(self.image[:, :, :1, :1])).min()) > 1 - BRIGHTEST

    def inverse(self, observed: Tensor | None = None) -> Tensor:
        """What an invertible D says of the clean image, each value by itself; of other values, where they are given."""
        own: Callable[..., Tensor] = self.degradation.inverse  # type: ignore[attr-defined]
        return own(self.image if observed is None else observed, **self.unknowns)

    def thinned(self, block: int, most: int) -> tuple[View, Callable[[Tensor], Tensor]]:
        """The view of some whole blocks of pixels, at most `most` a side, and what thins an image likewise.

        Only of a pixelwise D, as neighbours are lost.
        """
        rows, columns = (_blocks(side, block, most) for side in self.image.shape[-2:])

        def thin(image: Tensor) -> Tensor:
            return image[..., rows, :][..., columns]

        few = copy(self)
        few.image = thin(self.image)
        few.weight = None if self.weight is None else thin(self.weight)
        few.clean_shape = (*self.clean_shape[:2], *few.image.shape[-2:])
        return few, thin

    @property
    def slanted(self) -> bool:
        """Whether D tells its slope at every value itself; its maps are then those that `exposure.spread` spreads."""
        return self.degradation.pixelwise and hasattr(self.degradation, "slope")

    def slope(self, at: Tensor, inner: tuple[Tensor, Tensor] | None = None) -> tuple[Tensor, Tensor]:
        """D(x) and its derivative for each value of a pixelwise D, both (B, C, H, W).

        inner: what D's `inner` says of the image, where that is known.
        """
        if inner is not None:
            predicted, slope = self.degradation.outer_slope(inner[0], **self.unknowns)  # type: ignore[attr-defined]
            return predicted, slope.mul_(inner[1])
        own: Callable[..., tuple[Tensor, Tensor]] | None = getattr(self.degradation, "slope", None)
        if own is not None:
            return own(at, **self.unknowns)
        with torch.enable_grad():
            leaf = at.detach().requires_grad_()
            predicted = self.degradation(leaf, **self.unknowns)
            (slope,) = torch.autograd.grad(predicted.sum(), leaf)
        return predicted.detach(), slope

    def spread(self) -> View:
        """The view whose maps have a cell for each pixel, so that rows of it are an observation of their own."""
        other = copy(self)
        size = self.image.shape[-2:]
        other.unknowns = {n: u if _number(u) else exposure.spread(u, *size) for n, u in self.unknowns.items()}
        return other

    @property
    def divisible(self) -> bool:
        """Whether rows of it are an observation of their own: of a pixelwise D none of whose unknowns is a map."""
        return self.degradation.pixelwise and all(_number(u) for u in self.unknowns.values())

    def rows(self, rows: slice) -> View:
        """The view of some rows of pixels, with the present unknowns; only where it is divisible, or was `spread`."""
        few = copy(self)
        few.unknowns = {n: u if _number(u) else u[..., rows, :] for n, u in self.unknowns.items()}
        few.image = self.image[..., rows, :]
        few.weight = None if self.weight is None else self.weight[..., rows, :]
        few.clean_shape = (*self.clean_shape[:2], *few.image.shape[-2:])
        few._linear = few._system = few._observed = few._near = None
        few._decomposed = False
        return few

    def weighed(self, share: Tensor) -> View:
        """The view with its weights multiplied by these."""
        other = copy(self)
        other.weight = share if self.weight is None else self.weight * share
        return other

    def residual(self, x: Tensor, unknowns: Unknowns | None = None) -> Tensor:
        """(y - D(x)) / sigma, not weighted."""
        return (self.image - self.predict(x, unknowns)) / self.sigma

    def deviation(self, x: Tensor) -> Tensor:
        """D(x) - y, of what a camera recorded: where the colours of y are noise that was added, of their mean."""
        if self._over is not None:
            return self._over.deviation(self.predict(x), self.degradation(beyond(x), **self.unknowns))
        if self.recorder is not None:
            return self.recorder(self.predict(x)) - self.recorded
        found = self.predict(x) - self.image
        return found.mean(1, keepdim=True).expand_as(found).clone() if self.coloured else found

    def total(self, values: Tensor) -> Tensor:
        """The weighted sum over the measurements of each image, (B,)."""
        return (values if self.weight is None else values * self.weight).flatten(1).sum(1)

    def count(self) -> Tensor:
        """How much is measured of each image: the sum of the weights, (B,)."""
        return self.total(torch.ones_like(self.image)).clamp_min(1)

    def jacobian(self, at: Tensor) -> LinearMap:
        """The derivative of D at an image; of a linear D, D itself with its adjoint."""
        if not self.degradation.linear:
            return solvers.linearise(self.predict, at)
        if self._linear is None:
            adjoint: Callable[..., Tensor] | None = getattr(self.degradation, "adjoint", None)
            transpose: solvers.Map
            if adjoint is not None:
                transpose = partial(adjoint, **self.unknowns)
            else:
                transpose = solvers.linearise(self.predict, self.image.new_zeros(self.clean_shape)).transpose
            self._linear = LinearMap(self.predict, transpose)
        return self._linear

    def spectral(self) -> SingularSystem | None:
        """The singular system of a linear D, weighed; None where there is none."""
        if not self._decomposed:
            self._system, self._decomposed = self._decompose(), True
        return self._system

    def observed(self, system: SingularSystem) -> Tensor:
        """U^T y of its own system, computed once."""
        if self._observed is None:
            self._observed = system.observe(self.image)
        return self._observed

    def measured(self) -> Measured | None:
        """What was observed, in the singular system of a linear D; None where there is none."""
        system = self.spectral()
        return None if system is None else Measured(system, self.observed(system), self.sigma)

    def _decompose(self) -> SingularSystem | None:
        if not self.degradation.linear:
            return None
        channels, height, width = self.clean_shape[1:]
        system = self._here(self.degradation.spectral((channels, height, width), **self.unknowns))
        if system is None or self.weight is None:
            return system
        # Of lost pixels all channels are lost together: one root of the weight serves them.
        weight = self.weight if self.weight.stride(1) else self.weight[:, :1]
        return system.weighed(weight) if system.pixelwise else None

    def pinv(self, y: Tensor) -> Tensor:
        """The smallest image that a linear D maps to y, or nearest to it; pixels of no weight do not count."""
        system = self.spectral()
        if system is not None:
            return system.pinv(y)
        own: Callable[..., Tensor] | None = getattr(self.degradation, "pinv", None)
        if own is not None:
            return own(y, **self.unknowns)
        jacobian = self.jacobian(y)
        return jacobian.transpose(
            solvers.conjugate_gradients(lambda v: jacobian.forward(jacobian.transpose(v)), y, 200, 1e-5)
        )

    def prox(self, x: Tensor, sigma: Tensor) -> Tensor | None:
        """The degradation's own mean of N(x, sigma^2) given what was observed; None where it has none.

        A linear one's is of all that it sees, so that there is none where pixels weigh less than others.
        """
        degradation = self.degradation
        own: Callable[..., Tensor | None] | None = getattr(degradation, "prox", None)
        weighed: Callable[..., Tensor | None] | None = getattr(degradation, "prox_where", None)
        if self.weight is not None and weighed is not None:
            return weighed(x, self.image, self.weight, sigma, self.sigma, **self.unknowns)
        if degradation.linear and self.weight is not None:
            return None
        return None if own is None else own(x, self.image, sigma, self.sigma, **self.unknowns)

    def without_system(self, losses: bool) -> str:
        """Why it has no singular system, or none that serves; `losses`: whether quality losses guide."""
        stages = self.degradation.stages if isinstance(self.degradation, Chain) else (self.degradation,)
        name = " >> ".join(stage.name for stage in stages)
        if not self.degradation.linear:
            return f"{name} is not linear and has no singular system"
        if self.spectral() is not None:
            alone = "without --loss" if losses else "with --distance mse"
            return f"a singular system serves {alone} only, so {name} has no singular system here"
        if self.weight is not None:
            return f"{name} has no singular system where only some pixels are measured"
        return f"{name} has no singular system"

    def near(self) -> SingularSystem | None:
        """The singular system of what D is near to; None where there is none, or where D is its own diagonal."""
        if self.degradation.pixelwise:
            return None
        if self._near is None:
            channels, height, width = self.clean_shape[1:]
            self._near = [self._here(self.degradation.near((channels, height, width), **self.unknowns))]
        return self._near[0]

    def _here(self, system: SingularSystem | None) -> SingularSystem | None:
        """With its values on a GPU, once: they are as large as an image, and every data step asks for them."""
        if system is None or self.image.device == system.values.device:
            return system
        return replace(system, values=system.values.to(self.image))

    @property
    def recalls(self) -> bool:
        """Whether what was seen, or where it tells anything, depends on the present estimate."""
        return self._known is not None or self.overexposed

    @property
    def overexposed(self) -> bool:
        """Whether the clean image may be brighter than white."""
        return self._over is not None

    def recall(self, x: Tensor) -> None:
        """Move what was seen to where a clean image predicts it, as far as the recorder and white leave open."""
        predicted = self.predict(x)
        if self.recorder is not None and self._known is not None:
            moved = recording.moved(self.recorder, predicted, self.recorded, self._known, self.sigma)
            if self.degradation.clips:  # black and white go on to say "at most" and "at least"
                moved = torch.where((self.recorded <= 0) | (self.recorded >= 1), self.recorded, moved)
            self.image, self._observed = moved if self._over is None else self._over.restored(moved), None
        if self._over is not None:
            self._over.recall(predicted)
            self.weight = self._over.weight

    def move(self, unknowns: Unknowns) -> None:
        """Take new values of the unknowns, constrained to what is possible."""
        self.unknowns = {name: value.detach() for name, value in self.degradation.constrain(**unknowns).items()}
        self._linear = self._observed = self._near = None
        self._decomposed = False


def _number(unknown: Tensor) -> bool:
    """Whether it is the same at every place, and no map."""
    return unknown.shape[-2:].numel() == 1


def _blocks(side: int, block: int, most: int) -> Tensor:
    """The pixels of at most `most` blocks spread evenly over a side."""
    count = max(1, min(side // block, most))
    starts = torch.linspace(0, max(0, side - block), count).round().long()
    return (starts[:, None] + torch.arange(min(block, side))).flatten()
