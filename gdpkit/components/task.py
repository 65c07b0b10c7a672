"""Tasks: what a person asks for. A task states its problem and never contains a sampling loop."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from gdpkit.components.base import Component
from gdpkit.components.degradation import Degradation
from gdpkit.components.observation import Observation, Problem, Result
from gdpkit.errors import ImageError
from gdpkit.params import param

if TYPE_CHECKING:
    from torch import Tensor

    from gdpkit.components.prior import Prior
    from gdpkit.images import Picture


@dataclass(frozen=True, kw_only=True, eq=False)
class Task(Component):
    """What was observed, through which degradations, and which quality losses."""

    presets: ClassVar[Mapping[str, Mapping[str, str]]] = {}
    """`--preset NAME` -> options of the run, e.g. {"paper": {"sampler": "gdp:scale=2000"}}."""

    examples: ClassVar[tuple[str, ...]] = ()
    """Complete command lines for `--help`."""

    gives_radiance: ClassVar[bool] = False
    """Whether `finish` gives linear radiance, unbounded, where `Result.scene_linear` asks for it: for .exr and .hdr."""

    toning: ClassVar[tuple[str, ...]] = ()
    """Parameters that make a picture of radiance and change no radiance: whoever gives one and saves .exr is told."""

    def problem(self) -> Problem:
        """Read the files and state the problem."""
        raise NotImplementedError

    def notes(self, problem: Problem, prior: Prior) -> Sequence[str]:
        """Sentences that whoever asked should know about this problem with this prior; they change nothing."""
        return ()

    def finish(self, result: Result) -> Tensor:
        """Make the output picture, (B, C, H, W), of the clean image; the identity for most tasks."""
        return result.image


@dataclass(frozen=True, kw_only=True, eq=False)
class PhotoTask(Task):
    """A task about one photograph: a subclass says only through which degradation it was seen."""

    smallest: ClassVar[int] = 16
    """The least side, in pixels, that the photograph must have."""

    undoes_jpeg: ClassVar[bool] = False
    """Whether what JPEG took from the file counts as noise: for tasks that would make its traces stronger."""

    image: Path = param(help="The photograph: a file, or from Python also an array or tensor in [0, 1].")

    def degradation(self) -> Degradation:
        """D: how the clean image became this photograph."""
        raise NotImplementedError

    def problem(self) -> Problem:
        """One observation: the photograph, with the noise of its degradation and of its own rounding."""
        from gdpkit import images

        return self.problem_of(images.open_picture(self.image), self.degradation())

    def problem_of(self, picture: Picture, degradation: Degradation) -> Problem:
        """What `problem` states, of a photograph that was read already and a degradation that it told more about."""
        from gdpkit import functional, grey, recording

        height, width = picture.pixels.shape[-2:]
        if min(height, width) < self.smallest:
            side = self.smallest
            raise ImageError(f"{picture.source} is {width}x{height} pixels; {self.name} needs at least {side}x{side}")
        observed = degradation.accept(picture.pixels)
        if observed.shape[1] < picture.pixels.shape[1] and functional.is_coloured(picture.pixels):
            picture = picture.noted("its colours are not used: the degradation says that the photograph has none")
        stated, (degradation, recorder) = degradation, recording.apart(degradation, observed)
        sigma = math.hypot(degradation.noise_sigma, max(picture.rounding_sigma, functional.LEAST_SIGMA))
        if self.undoes_jpeg and degradation is stated and stated.error(observed) is None:
            recorder, error, told = recording.of_file(picture, observed)
            sigma = math.hypot(sigma, error)
            picture = picture.noted(told) if told else picture
        weight = degradation.measured(observed)
        if weight is not None and not bool((weight > 0).any()):
            raise ImageError(f"{picture.source}: nothing of it is measured, so nothing tells what it showed")
        coloured = False
        if not self._adds_colour(degradation, picture):
            noisy = picture.grey and degradation.noise_sigma >= grey.FELT
            coloured = noisy and grey.is_seen_in_place(degradation, observed)
            if coloured:
                observed, recorder = grey.coloured(observed, sigma, weight), None
            sigma = grey.told(sigma, noisy)
            observed = functional.with_channels(observed, 3)
        return Problem((Observation(observed, degradation, sigma, weight, coloured, recorder),), source=picture)

    def finish(self, result: Result) -> Tensor:
        """A grey photograph stays grey unless its degradation took the colour away."""
        source = result.problem.source
        if source is None or not source.grey or self._adds_colour(result.problem.observations[0].degradation, source):
            return result.image
        return result.image.mean(dim=1, keepdim=True)

    @staticmethod
    def _adds_colour(degradation: Degradation, picture: Picture) -> bool:
        height, width = picture.pixels.shape[-2:]
        return degradation.clean_shape((1, height, width))[0] == 3
