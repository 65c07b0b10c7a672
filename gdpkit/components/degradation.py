"""Degradation models and their chains: how a clean image becomes what was observed."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from gdpkit.components.base import Component

if TYPE_CHECKING:
    from torch import Tensor

    from gdpkit.components.sampler import Noise
    from gdpkit.components.singular import SingularSystem

Shape = tuple[int, int, int]
Unknowns = dict[str, "Tensor"]


@dataclass(frozen=True, kw_only=True)
class Degradation(Component):
    """y = D(x; u): the mean of what is observed when the clean image is x. No randomness in `__call__`."""

    linear: ClassVar[bool] = False

    clips: ClassVar[bool] = False
    """Whether black and white of what was observed say no more than "at most black" and "at least white".

    `__call__` goes on beyond [0, 1] then, and what lies beyond explains an observed 0 or 1.
    """

    optical: ClassVar[bool] = False
    """Whether it happens to the light, before a camera clips it: what is white was at least white (linear ones)."""

    pixelwise: ClassVar[bool] = False
    """Whether each value of the output depends on the same value of the input alone, alike at every place but for maps
    among the unknowns; solving it is then quick.

    If it also grows with it and the degradation has `inverse(observed, **unknowns)`, the clean image that explains
    every value by itself, several observations are combined in closed form: quicker where it has
    `slope(image, **unknowns)`, D(x) and dD/dx, and `slope_of_unknowns`, D(x) and a dictionary of derivatives.
    """

    @property
    def noise_sigma(self) -> float:
        """Deviation of the noise that its measurements carry, in 0..255."""
        return 0.0

    def propagate(self, sigma: float) -> float:
        """Deviation in 0..255 of the noise behind this degradation when the noise before it has deviation sigma."""
        return math.hypot(sigma, self.noise_sigma)

    def __call__(self, image: Tensor, **unknowns: Tensor) -> Tensor:
        """(B, C, H, W) -> the observation's mean, differentiable in the image and the unknowns."""
        raise NotImplementedError

    def simulate(self, image: Tensor, noise: Noise, **unknowns: Tensor) -> Tensor:
        """What a camera would record: the mean plus noise of `noise_sigma`. For `gdpkit degrade`."""
        mean = self(image, **unknowns)
        if not self.noise_sigma:
            return mean
        return mean + self.noise_sigma / 255 * noise.normal(mean.shape, mean.device)

    def unknowns(self, observed: Tensor, shape: Shape) -> Unknowns:
        """First guesses of the unknown parameters, each (B, ...); {} unless the degradation is blind.

        Args:
            observed: what was observed, (B, C, H, W).
            shape: (C, H, W) of this degradation's own clean input.
        """
        return {}

    def constrain(self, **unknowns: Tensor) -> Unknowns:
        """Project the unknowns to what is possible, e.g. positive, or summing to one."""
        return unknowns

    def penalty(self, **unknowns: Tensor) -> Tensor | float:
        """What speaks against these unknowns, (B,), in the units of the objective's energy; 0 without one."""
        return 0.0

    def clean_shape(self, observed_shape: Shape) -> Shape:
        """(C, H, W) of the clean input for an observation of this shape; the same unless overridden."""
        return observed_shape

    def accept(self, observed: Tensor) -> Tensor:
        """Reduce a 3-channel picture to what this degradation measures, by its own weights; as it is by default."""
        return observed

    def measured(self, observed: Tensor) -> Tensor | None:
        """Weights of what was observed, broadcastable to it: 0 where it tells nothing; None where all counts."""
        return None

    def spectral(self, shape: Shape, **unknowns: Tensor) -> SingularSystem | None:
        """The singular system of a linear degradation on clean images of this (C, H, W), where there is one."""
        return None

    def error(self, observed: Tensor) -> float | None:
        """Deviation in 0..255 of what this stage takes by rounding, told from what it gave; None where it does not.

        A chain is restored with such an error for noise (`gdpkit.recording`): the derivative of rounding tells nothing.
        """
        return None

    def near(self, shape: Shape, **unknowns: Tensor) -> SingularSystem | None:
        """The singular system of a linear operator that is near to this one; None where there is none.

        Of one that is not linear, near to its derivative wherever that is taken: it preconditions the data step, which
        is then one step of Newton's. Only s and V are asked for.
        """
        return self.spectral(shape, **unknowns)

    def at_scale(self, s: int) -> Degradation | None:
        """The same degradation seen s times smaller, or None where there is no such thing."""
        return None

    def __rshift__(self, then: Degradation) -> Chain:
        """`first >> then`: light meets `first` first."""
        return Chain(stages=(*_stages(self), *_stages(then)))


def _stages(degradation: Degradation) -> tuple[Degradation, ...]:
    return degradation.stages if isinstance(degradation, Chain) else (degradation,)


@dataclass(frozen=True, kw_only=True)
class Chain(Degradation):
    """Degradations in the order light meets them. Unknowns of the i-th stage are called "i.name"."""

    name: ClassVar[str] = "chain"
    stages: tuple[Degradation, ...]

    @property
    def linear(self) -> bool:  # type: ignore[override]
        """Linear where every stage is."""
        return all(stage.linear for stage in self.stages)

    @property
    def clips(self) -> bool:  # type: ignore[override]
        """Where a stage does."""
        return any(stage.clips for stage in self.stages)

    @property
    def optical(self) -> bool:  # type: ignore[override]
        """Where a stage is."""
        return any(stage.optical for stage in self.stages)

    @property
    def pixelwise(self) -> bool:  # type: ignore[override]
        """Where every stage is."""
        return all(stage.pixelwise for stage in self.stages)

    @property
    def noise_sigma(self) -> float:
        """The noise of every stage, carried through the stages after it."""
        return self.propagate(0.0)

    def propagate(self, sigma: float) -> float:
        """Stage by stage."""
        for stage in self.stages:
            sigma = stage.propagate(sigma)
        return sigma

    def __call__(self, image: Tensor, **unknowns: Tensor) -> Tensor:
        """Apply every stage to the output of the one before."""
        for i, stage in enumerate(self.stages):
            image = stage(image, **_of_stage(i, unknowns))
        return image

    def simulate(self, image: Tensor, noise: Noise, **unknowns: Tensor) -> Tensor:
        """Record through every stage, each adding its own noise."""
        for i, stage in enumerate(self.stages):
            image = stage.simulate(image, noise, **_of_stage(i, unknowns))
        return image

    def unknowns(self, observed: Tensor, shape: Shape) -> Unknowns:
        """Each stage guesses from the observation brought to the size and channels that it puts out."""
        shapes = self._shapes(_image_shape(observed))
        found: Unknowns = {}
        for i, stage in enumerate(self.stages):
            seen = _fit_to(observed, shapes[i + 1])
            found |= {f"{i}.{name}": value for name, value in stage.unknowns(seen, shapes[i]).items()}
        return found

    def constrain(self, **unknowns: Tensor) -> Unknowns:
        """Each stage constrains its own."""
        possible: Unknowns = {}
        for i, stage in enumerate(self.stages):
            possible |= {f"{i}.{k}": v for k, v in stage.constrain(**_of_stage(i, unknowns)).items()}
        return possible

    def penalty(self, **unknowns: Tensor) -> Tensor | float:
        """The sum of the stages' penalties."""
        return sum((stage.penalty(**_of_stage(i, unknowns)) for i, stage in enumerate(self.stages)), start=0.0)

    def clean_shape(self, observed_shape: Shape) -> Shape:
        """Back through every stage, last first."""
        return self._shapes(observed_shape)[0]

    def _shapes(self, observed: Shape) -> list[Shape]:
        shapes = [observed]
        for stage in reversed(self.stages):
            shapes.insert(0, stage.clean_shape(shapes[0]))
        return shapes

    def accept(self, observed: Tensor) -> Tensor:
        """By the weights of the stage that reduces the channels."""
        for stage in reversed(self.stages):
            observed = stage.accept(observed)
        return observed

    def measured(self, observed: Tensor) -> Tensor | None:
        """What lost pixels reach through later stages is lost as well."""
        import torch

        shapes = self._shapes(_image_shape(observed))
        weight: Tensor | None = None
        for i, stage in enumerate(self.stages):
            seen = _fit_to(observed, shapes[i + 1])
            if weight is not None:
                unknowns = stage.unknowns(seen, shapes[i])
                whole = stage(torch.ones_like(weight), **unknowns)
                weight = (stage(weight, **unknowns) > 0.999 * whole).to(whole)
            own = stage.measured(seen)
            if own is not None:
                own = own.expand_as(seen)
                weight = own if weight is None else weight * own
        return weight

    def spectral(self, shape: Shape, **unknowns: Tensor) -> SingularSystem | None:
        """Where all stages but the last have D D^T = c, a number; noise, which changes no mean, aside."""
        return self._composed("spectral", shape, unknowns)

    def near(self, shape: Shape, **unknowns: Tensor) -> SingularSystem | None:
        """Of what the stages are near to, likewise."""
        return self._composed("near", shape, unknowns)

    def prox(self, image: Tensor, observed: Tensor, sigma: Tensor, noise: float, **unknowns: Tensor) -> Tensor | None:
        """That of a linear stage beside which there is only noise, which changes no mean; None elsewhere."""
        told = [i for i, stage in enumerate(self.stages) if not _changes_nothing(stage, image)]
        own = getattr(self.stages[told[0]], "prox", None) if self.linear and len(told) == 1 else None
        return None if own is None else own(image, observed, sigma, noise, **_of_stage(told[0], unknowns))

    def _composed(self, what: str, shape: Shape, unknowns: Unknowns) -> SingularSystem | None:
        import torch

        from gdpkit import spectra

        image = torch.zeros(1, *shape)
        systems = []
        for i, stage in enumerate(self.stages):
            own = {name: u[:1].to(image) for name, u in _of_stage(i, unknowns).items()}
            systems.append(getattr(stage, what)(_image_shape(image), **_of_stage(i, unknowns)))
            image = stage(image, **own)
        return spectra.composed(systems)

    def at_scale(self, s: int) -> Degradation | None:
        """Every stage seen s times smaller; None where one has no such form."""
        smaller = [stage.at_scale(s) for stage in self.stages]
        if any(stage is None for stage in smaller):
            return None
        return Chain(stages=tuple(stage for stage in smaller if stage is not None))


def _of_stage(i: int, unknowns: Mapping[str, Tensor]) -> Unknowns:
    prefix = f"{i}."
    return {key.removeprefix(prefix): value for key, value in unknowns.items() if key.startswith(prefix)}


def _changes_nothing(stage: Degradation, image: Tensor) -> bool:
    from gdpkit import spectra

    return stage.pixelwise and stage.spectral(_image_shape(image)) is spectra.IDENTITY


def _image_shape(image: Tensor) -> Shape:
    channels, height, width = image.shape[-3:]
    return channels, height, width


def _fit_to(observed: Tensor, shape: Shape) -> Tensor:
    from gdpkit import functional

    return functional.resize(functional.with_channels(observed, shape[0]), shape[1:])
