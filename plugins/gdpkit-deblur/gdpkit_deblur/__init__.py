"""Deblurring: undo a known blur, or find out which one it was."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from gdpkit import Degradation, GdpkitError, PhotoTask, Problem, Result, Task, hookimpl, param, params
from gdpkit.degradations.blind_blur import BlindBlur
from gdpkit.degradations.blur import BOUNDARIES, LIGHTS, Blur

if TYPE_CHECKING:
    from torch import Tensor

    from gdpkit import Prior
    from gdpkit.images import Picture

ORDER: Mapping[str, tuple[str, ...]] = {
    "gaussian": ("size", "sigma"),
    "box": ("size",),
    "motion": ("length", "angle"),
    "disk": ("radius",),
}
"""The kernels by name, with their parameters in the order in which they may be given without names."""

UNSEEN = 1.25
"""So much noise is taken for the estimated one where the borders are not seen: what the blur brought in from beyond
them explains errors as well, and an estimate that is 5 % low puts a weave over dark fur (6 photographs, 4 kernels)."""
QUIET = 2.0
"""Noise, in 0..255, through which borders tell whether a program blurred; with more, mirrored ones do no harm."""
CAMERA, MIRRORED = 2.0, 2.0
"""What a camera's exposure time in a file adds to the logarithm of the odds that light was blurred, and what mirrored
borders, which no scene has, take from it. Without either, both are as likely: most photographs that someone gives a
kernel for were blurred by a camera, most files made for trials by a program."""
TOLD = 1.0  # in 0..255: errors of other kinds than noise that the user is told of
UNEXPLAINED = (
    "neither the scene nor white noise explains all that this kernel would not have left (the file may have been "
    "compressed or resized, its noise smoothed, or the kernel be too wide): it counts as noise of sigma {:.1f}"
)


@dataclass(frozen=True, eq=False)
class Deblur(PhotoTask):
    """Make a blurred photograph sharp: the clean image that, blurred, is the photograph.

    `--kernel` says how it was blurred: `gaussian:9,2` (size and sigma in pixels; also `gaussian:size=9,sigma=2` or
    `gaussian:sigma=2`), `box:9`, `motion:15,30` (length in pixels, angle in degrees counter-clockwise from the
    right), `disk:4` (radius, a lens out of focus), or a file: a picture of the kernel, or a .npy array. With `--blind`
    the kernel is found while sampling, within a square of `--size` pixels, and saved beside the result. The noise is
    estimated where `--noise` does not give it.
    """

    name = "deblur"
    undoes_jpeg: ClassVar[bool] = True
    smallest: ClassVar[int] = 32
    presets: ClassVar[Mapping[str, Mapping[str, str]]] = {"paper": {"sampler": "gdp:scale=6000"}}
    examples: ClassVar[tuple[str, ...]] = (
        "gdpkit run deblur soft.jpg --kernel gaussian:9,2 -o sharp.png",
        "gdpkit run deblur shaken.jpg --blind --size 31 --compare both.png -o sharp.png",
    )
    example_params: ClassVar[Mapping[str, Any]] = {"kernel": "gaussian:9,2"}

    kernel: str | None = param(None, help="gaussian:SIZE,SIGMA, box:SIZE, motion:LENGTH,ANGLE, disk:RADIUS or a file.")
    blind: bool = param(False, help="Find the kernel as well.")
    size: int = param(25, help="With --blind, the side of the square that holds the kernel; odd.", min=3, max=75,
                      unit="pixels")  # fmt: skip
    noise: float | None = param(None, help="Deviation of the photograph's noise; estimated by default.", min=0, max=255,
                                unit="0..255")  # fmt: skip
    boundary: str = param("auto", help="What lies beyond the border: the scene, unknown (valid), or, where a program "
                          "blurred, the image mirrored (reflect), its edge pixel (replicate) or its other side "
                          "(circular); auto tells valid from reflect.", choices=("auto", *BOUNDARIES))  # fmt: skip
    light: str = param("auto", help="What was blurred: light (linear), by a lens or a hand, or the values of the file "
                       "(encoded), by a program; auto tells them apart where it can.",
                       choices=("auto", *LIGHTS))  # fmt: skip

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.blind and self.light == "linear":
            raise GdpkitError("deblur: --light linear needs a known --kernel; --blind takes the values of the file")
        if self.blind == (self.kernel is not None):
            given = "both were given" if self.blind else "none was given"
            raise GdpkitError(f"deblur needs either --kernel, e.g. gaussian:9,2, or --blind: {given}")
        if not self.blind and self.size != Deblur.size:
            raise GdpkitError("deblur: --size is about --blind; a kernel that is given has its own size")
        try:
            self.degradation()
        except GdpkitError as error:
            raise GdpkitError(f"{f'--kernel {self.kernel}' if self.kernel else 'deblur'}: {error}") from error

    def degradation(self) -> Degradation:
        """The blur."""
        if self.blind:
            return BlindBlur(size=self.size, boundary=self._border)
        return self._blur()

    @property
    def _border(self) -> str:
        return "valid" if self.boundary == "auto" else self.boundary

    def problem(self) -> Problem:
        """One observation: the photograph, with its noise and its border."""
        problem = super().problem()
        (observation,) = problem.observations
        rounding, pixels = observation.sigma, observation.image
        kernel = self._kernel(pixels)
        if self.noise is not None:
            noise = math.hypot(self.noise, rounding)
        else:
            white, other = self._estimated(pixels, kernel)
            noise = max(rounding, math.hypot(white, other))
            if other > TOLD and noise > rounding and problem.source is not None:
                problem = replace(problem, source=problem.source.noted(UNEXPLAINED.format(noise)))
        observation = replace(observation, sigma=noise)
        boundary = self._border
        if self.boundary == "auto":
            from gdpkit_deblur import border

            boundary = "reflect" if border.is_mirrored(pixels, kernel, noise / 255) else boundary
        if not self.blind:
            program = self.light == "auto" and boundary != "valid" and (self.boundary != "auto" or noise < QUIET)
            light = not program and self._of_light(problem.source, pixels, kernel, noise / 255, boundary)
            boundary = "valid" if light and self.boundary == "auto" else boundary
            blur = replace(self._blur(), boundary=boundary, light="linear" if light else "encoded")
            observation = replace(observation, degradation=blur)
        elif boundary != self._border:
            observation = replace(observation, degradation=BlindBlur(size=self.size, boundary=boundary))
        if self.noise is None and boundary == "valid":
            observation = replace(observation, sigma=UNSEEN * noise)
        return replace(problem, observations=(observation,))

    def notes(self, problem: Problem, prior: Prior) -> Sequence[str]:
        """Where the border was told from the picture, and where the blur was hardly told."""
        (observation,) = problem.observations
        notes = []
        mirrored = observation.degradation.boundary != "valid"  # type: ignore[attr-defined]
        if self.boundary == "auto" and mirrored and observation.sigma < QUIET:
            notes.append("it was blurred with mirrored borders, as programs do (--boundary valid: it was not)")
        if self.light == "auto" and getattr(observation.degradation, "light", "") == "linear":
            notes.append(
                "its light was blurred, as by a lens or a hand (--light encoded: a program blurred its values)"
            )
        if self.blind:
            from gdpkit import blind

            if blind.is_doubtful(observation.image[0].mean(0), self._kernel(observation.image)):
                notes.append(
                    "the blur that --blind found explains it hardly better than no blur does: it may be sharp, or "
                    "blurred in a way that is not found"
                )
        return notes

    def finish(self, result: Result) -> Tensor:
        """The part that the photograph shows; what the blur brought in from beyond its border is cut off."""
        image = super().finish(result)
        height, width = result.problem.observations[0].image.shape[-2:]
        top, left = (image.shape[-2] - height) // 2, (image.shape[-1] - width) // 2
        return image[..., top : top + height, left : left + width]

    def _kernel(self, pixels: Tensor) -> Tensor:
        """The kernel, (h, w); an unknown one is guessed."""
        if not self.blind:
            return self._blur().weights()
        channels, height, width = pixels.shape[1:]
        guessed: Tensor = BlindBlur(size=self.size).unknowns(pixels, (channels, height, width))["kernel"]
        return guessed[0]

    def _of_light(self, source: Picture | None, pixels: Tensor, kernel: Tensor, sigma: float, boundary: str) -> bool:
        """Whether light was blurred."""
        if self.light != "auto":
            return self.light == "linear"
        from gdpkit.images.exposure import of_exif
        from gdpkit_deblur import light

        camera = source is not None and of_exif(source.exif).time is not None
        against = (0.0 if boundary == "valid" else MIRRORED) - (CAMERA if camera else 0.0)
        return light.odds(pixels, kernel, sigma) > against

    def _estimated(self, pixels: Tensor, kernel: Tensor) -> tuple[float, float]:
        """White noise and other errors, in 0..255, with the rounding of the file.

        With an unknown kernel, what passes for noise of a photograph may be texture, of which a motion leaves much
        along one direction: the guessed kernel tells.
        """
        from gdpkit import estimate
        from gdpkit_deblur.noise import noise_behind

        white, other = (255 * deviation for deviation in noise_behind(pixels, kernel))
        return min(white, estimate.noise_sigma(pixels)) if self.blind else white, other

    def _blur(self) -> Blur:
        assert self.kernel is not None
        name, colon, rest = self.kernel.partition(":")
        if name not in ORDER:
            return _from_file(self.kernel, self._border)
        values = _named(name, rest.split(",")) if colon else []
        spec = ",".join([f"blur:kernel={name}", f"boundary={self._border}", *values])
        return params.build(Blur, params.parse(spec)[1])


def _named(name: str, items: Sequence[str]) -> list[str]:
    """Give values without names theirs, by the order of the kernel's parameters."""
    order = ORDER[name]
    if len(items) > len(order):
        right = f"{name}:{','.join(key.upper() for key in order)}"
        raise GdpkitError(f"{len(items)} values were given, but it is {right}")
    return [item if "=" in item else f"{key}={item}" for key, item in zip(order, items, strict=False)]


def _from_file(file: str, boundary: str) -> Blur:
    if not Path(file).is_file():
        known = ", ".join(f"{name}:{','.join(key.upper() for key in order)}" for name, order in ORDER.items())
        raise GdpkitError(f"there is no such file, and the kernels by name are {known}")
    blur = Blur(kernel="file", file=Path(file), boundary=boundary)
    blur.weights()
    return blur


@hookimpl
def gdpkit_tasks() -> Sequence[type[Task]]:
    """The one task."""
    return [Deblur]
