"""Low light: a dark photograph as a longer exposure would have shown it, without the noise."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

from gdpkit import Degradation, ImageError, Observation, PhotoTask, Problem, Result, Task, hookimpl, param
from gdpkit.degradations.expose import Expose
from gdpkit.degradations.noise import GaussianNoise

if TYPE_CHECKING:
    from torch import Tensor

    from gdpkit.images import Picture

LEAST_STOPS = 0.01
TELLS, AFTER = "--sigma, of the dark photograph,", "after the gain "
UNLIKE = 1.4  # times its pixels' deviation that noise counts as; less is white noise that depends on the level


@dataclass(frozen=True)
class Brightened(GaussianNoise):
    """Noise that is not white, as a prior is told of it, of a photograph whose light was multiplied already."""

    name = "brightened"
    pixels: float = param(0.0, help="Deviation of single pixels.", min=0, max=255, unit="0..255")
    gain: float = param(1.0, help="By how much its light was multiplied.", min=1)
    stops: float = param(LEAST_STOPS, help="Of the tone `shoulder` of expose.", min=LEAST_STOPS, max=24)


@dataclass(frozen=True, eq=False)
class Lowlight(PhotoTask):
    """Brighten a dark photograph: the clean image whose shorter exposure the photograph is.

    The photograph is f times the light of the image (stage `expose`), through the sRGB curve, with the noise that is
    found in it. f is the one that makes the image as bright as `--target` on average, where the photograph is not
    black: a longer exposure, which black borders and a night sky survive. What becomes brighter than white is rolled
    off, with little change of hue, so that lamps keep their shape and skies their colour. Noise that a gain alone would
    amplify is removed by the prior, the more the darker a place is; that of a camera, which is not white, is told from
    the photograph after the gain. A photograph that is as bright already is only denoised.
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
        if self.sigma is None and not self.fit:
            problem = self._of_coloured_noise(picture, self._exposure(gain, stops))
            if problem is not None:
                return problem
        picture = picture.noted(_said(gain, self.target))
        problem = self.problem_of(picture, self._exposure(gain, stops))
        return replace(problem, observations=(self._with_noise(problem.observations[0], picture),))

    def finish(self, result: Result) -> Tensor:
        """The clean image, whose highlights are rolled off with less change of hue."""
        from gdpkit import estimate
        from gdpkit_lowlight import functional

        model = result.problem.observations[0].degradation
        assert isinstance(model, (Expose, Brightened))
        clipped = model.pixels if isinstance(model, Brightened) else 0.0
        image = estimate.unclipped(result.image, clipped)
        return super().finish(replace(result, image=functional.with_hues(image, model.stops)))

    def _exposure(self, gain: float, stops: float) -> Expose:
        return Expose(
            gain=None if self.fit else 1 / gain,
            start=1 / gain if self.fit else None,
            map="smooth" if self.fit else "none",
            tone="shoulder",
            stops=max(stops, LEAST_STOPS),
        )

    def _of_coloured_noise(self, picture: Picture, model: Expose) -> Problem | None:
        """The problem of a photograph whose noise is not white: the bright one, with its noise; None for others.

        It is told from the bright photograph, and stated of it: in the dark one a camera's noise is a few levels,
        which could be texture, and it depends on the level. In the bright one it is as strong as it will look, and
        about as strong everywhere, for sRGB is nearly the root of light, which makes the noise of photons white. Noise
        of one strength is what samplers remove best.
        """
        from gdpkit import coloured_noise
        from gdpkit_lowlight import functional

        noise = coloured_noise.found(model.inverse(picture.pixels).clamp(0, 1))
        if not noise.coloured or noise.sigma < UNLIKE * noise.pixels:
            return None
        gain, stops = functional.brightness(picture.pixels, self.target, noisy=True)
        stops = max(stops, LEAST_STOPS)
        bright = self._exposure(gain, stops).inverse(picture.pixels).clamp(0, 1)
        noise = coloured_noise.found(bright)
        found = Brightened(sigma=noise.sigma, pixels=noise.pixels, gain=gain, stops=stops)
        told = picture.noted(_said(gain, self.target)).noted(noise.said(TELLS, AFTER))
        return replace(self.problem_of(replace(told, pixels=bright), found), source=told)

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
