"""Low light: a dark photograph as a longer exposure would have shown it, without the noise."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

from gdpkit import Degradation, ImageError, Observation, PhotoTask, Problem, Result, Task, hookimpl, param
from gdpkit.degradations.expose import Expose

if TYPE_CHECKING:
    from torch import Tensor

    from gdpkit.images import Picture

LEAST_STOPS = 0.01


@dataclass(frozen=True, eq=False)
class Lowlight(PhotoTask):
    """Brighten a dark photograph: the clean image whose shorter exposure the photograph is.

    The photograph is f times the light of the image (stage `expose`), through the sRGB curve, with the noise that is
    found in it. f is the one that makes the image as bright as `--target` on average, where the photograph is not
    black: a longer exposure, which black borders and a night sky survive. What becomes brighter than white is rolled
    off, with little change of hue, so that lamps keep their shape and skies their colour. Noise that a gain alone would
    amplify is removed by the prior, the more the darker a place is. A photograph that is as bright already is only
    denoised.
    """

    name = "lowlight"
    examples: ClassVar[tuple[str, ...]] = (
        "gdpkit run lowlight dark.jpg -o bright.png",
        "gdpkit run lowlight night.dng --target 0.3 --compare both.png -o bright.png",
    )
    presets: ClassVar[Mapping[str, Mapping[str, str]]] = {
        "default": {"sampler": "hqs:steps=6"},
        "paper": {"sampler": "gdp:scale=80000"},
    }

    target: float = param(0.4, help="Mean brightness wanted, of what is not black.", min=0.02, max=0.9, unit="0..1")
    sigma: float | None = param(None, help="Deviation of the photograph's noise; estimated by default.", min=0.01,
                                max=100, unit="0..255")  # fmt: skip
    fit: bool = param(False, help="Fit f and a smooth map M from there on, as the paper does.")

    def degradation(self) -> Degradation:
        """The exposure, as far as the parameters tell it; `problem` finds the gain."""
        return Expose(tone="shoulder", map="smooth" if self.fit else "none", target=self.target)

    def problem(self) -> Problem:
        """One observation: the photograph, with the gain that its brightness and the noise that its pixels tell."""
        from gdpkit import images
        from gdpkit_lowlight import functional

        picture = images.open_picture(self.image)
        if min(picture.pixels.shape[-2:]) < self.smallest:
            return super().problem()  # which tells the size
        if not functional.tells(picture.pixels):
            raise ImageError(f"{picture.source} is black all over: there is no light in it to be amplified")
        gain, stops = functional.brightness(picture.pixels, self.target)
        picture = picture.noted(_said(gain, self.target))
        model = Expose(
            gain=None if self.fit else 1 / gain,
            start=1 / gain if self.fit else None,
            map="smooth" if self.fit else "none",
            tone="shoulder",
            stops=max(stops, LEAST_STOPS),
        )
        problem = self.problem_of(picture, model)
        return replace(problem, observations=(self._with_noise(problem.observations[0], picture),))

    def finish(self, result: Result) -> Tensor:
        """The clean image, whose highlights are rolled off with less change of hue."""
        from gdpkit_lowlight import functional

        model = result.problem.observations[0].degradation
        assert isinstance(model, Expose)
        return super().finish(replace(result, image=functional.with_hues(result.image, model.stops)))

    def _with_noise(self, seen: Observation, picture: Picture) -> Observation:
        from gdpkit import recording
        from gdpkit_lowlight import functional

        if self.sigma is not None:
            return replace(seen, sigma=math.hypot(self.sigma, seen.sigma))
        # A gain makes visible what a JPEG took. Half of it: in the dark cells are wide, and what they took is less.
        _, error, _ = recording.of_file(picture, picture.pixels)
        sigma, weight = functional.noise(picture.pixels, max(seen.sigma, error / 2))
        if picture.pixels.shape[1] == 1:
            return replace(seen, sigma=sigma, weight=weight)
        image, white = functional.whitened(picture.pixels, sigma, weight)
        return replace(seen, image=image, sigma=white, weight=weight, coloured=white > sigma)


def _said(gain: float, target: float) -> str:
    if gain <= 1:
        return f"it is as bright as --target {target:g} already and is only denoised; a higher one brightens it"
    return f"its light is multiplied by {gain:.1f} for a mean of {target:g}; --target sets another"


@hookimpl
def gdpkit_tasks() -> Sequence[type[Task]]:
    """The one task."""
    return [Lowlight]
