"""Deblurring: undo a known blur, or find out which one it was."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from gdpkit import Degradation, GdpkitError, Observation, PhotoTask, Problem, Result, Task, hookimpl, param, params
from gdpkit.degradations.blind_blur import BlindBlur
from gdpkit.degradations.blur import BOUNDARIES, PARAMETERS, Blur
from gdpkit.degradations.optics import LIGHTS

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
CAMERA, MIRRORED = 2.0, 4.0
"""What a camera's exposure time in a file adds to the logarithm of the odds that light was blurred, and what mirrored
borders, which no scene has, take from it. Without either, both are as likely: most photographs that someone gives a
kernel for were blurred by a camera, most files made for trials by a program."""
FOUND = 1.6
"""So many times the noise is taken, from QUIET on, where the kernel was found: it is never quite the right one."""
UNLIKE, COLOURED = 1.5, 1.5
"""Noise in quiet places of a JPEG is a camera's where it is so many times the white noise, and counts so many times. Of
two photographs that moved by 15 pixels 1 gave 26.2 and 25.0 dB, 1.5 27.4 and 25.8, 3 26.7 and 25.2, the white noise
alone 23.1 and 22.3."""
TOLD = 1.0  # in 0..255: errors of other kinds than noise that the user is told of
UNEXPLAINED = (
    "neither the scene nor white noise explains all that this kernel would not have left (the file may have been "
    "compressed or resized, its noise smoothed, or the kernel be too wide): it counts as noise of sigma {:.1f}"
)
BETTER = (
    "{kernel} explains the photograph clearly better than the kernel that was given: --kernel {kernel} may be right"
)
LEFT = (
    "no blur was found that could be undone without doing harm, so the picture is left as it is: it may be sharp, or "
    "its blur one that is not found here; where it is known, --kernel says it (disk:3, motion:15,30), and another "
    "--size, --light linear or the part of the picture with the clearest edges may help to find it"
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
            light = "encoded" if self.light == "auto" else self.light
            return BlindBlur(size=self.size, boundary=self._border, light=light)
        return self._blur()

    @property
    def _border(self) -> str:
        return "valid" if self.boundary == "auto" else self.boundary

    def problem(self) -> Problem:
        """One observation: the photograph, with its noise and its border."""
        problem = super().problem()
        return self._of_unknown(problem) if self.blind else self._of_known(problem)

    def _of_known(self, problem: Problem) -> Problem:
        (observation,) = problem.observations
        pixels, kernel = observation.image, self._blur().weights()
        white, other = self._estimated(pixels, kernel)
        noise = self._noise(observation, white, other)
        boundary = self._border if self.light == "linear" else self._told_border(pixels, kernel, noise)
        program = self.light == "auto" and boundary != "valid" and (self.boundary != "auto" or noise < QUIET)
        light = not program and self._of_light(problem.source, pixels, kernel, noise / 255, boundary)
        boundary = "valid" if light and self.boundary == "auto" else boundary
        blur = replace(self._blur(), boundary=boundary, light="linear" if light else "encoded")
        told = self._of_camera(problem, noise, white) or (noise, self._noted(problem, noise, other))
        return self._blurred(self._with_better(told[1], blur), blur, told[0])

    def _of_camera(self, problem: Problem, noise: float, white: float) -> tuple[float, Problem] | None:
        """The noise of a camera's JPEG, most of which is not white, and the problem, noted; None of other pictures."""
        from gdpkit import coloured_noise

        (observation,), source = problem.observations, problem.source
        if self.noise is not None or source is None or source.coding is None:
            return None
        quiet = coloured_noise.in_quiet_places(observation.image)
        if quiet < QUIET or quiet < UNLIKE * white or COLOURED * quiet <= noise:
            return None
        found = coloured_noise.Found(COLOURED * quiet, quiet, True)
        return found.sigma, replace(problem, source=source.noted(found.said("--noise")))

    def _with_better(self, problem: Problem, blur: Blur) -> Problem:
        """Noted where a kernel near to the given one explains the photograph better."""
        from gdpkit_deblur import nearby

        (observation,), source = problem.observations, problem.source
        given = {
            name: value if (value := getattr(blur, name)) is not None else default
            for name, default in PARAMETERS[blur.kernel].items()
        }
        lossy = observation.sigma if observation.sigma >= QUIET else 0.0
        found = nearby.better(observation.image, blur.kernel, given, lossy / 255, light=blur.light == "linear")
        if not found or source is None:
            return problem
        spec = ",".join(f"{value:.1f}" for value in found.values())
        return replace(problem, source=source.noted(BETTER.format(kernel=f"{blur.kernel}:{spec}")))

    def _of_unknown(self, problem: Problem) -> Problem:
        from gdpkit import estimate
        from gdpkit_deblur import finding

        (observation,), source = problem.observations, problem.source
        pixels, camera = observation.image, _of_camera(source)
        start = BlindBlur(size=self.size, boundary=self._border)
        blur, simple = finding.found(observation, start, noise=self.noise, light=self.light, camera=camera)
        kernel = blur.guess(pixels)[0]
        white, other = self._estimated(pixels, kernel)
        if self.noise is None:
            # What passes for noise of a photograph may be texture, of which a motion leaves much along one direction.
            white = min(white, estimate.noise_sigma(pixels))
        noise, estimated = self._noise(observation, white, other), self.noise is None
        if not finding.is_trusted(pixels, kernel, blur, noise, estimated=estimated, simple=simple):
            return replace(problem, observations=(finding.left(observation, self.size, source),))
        plain = blur.linear and noise < QUIET
        boundary = self._told_border(pixels, kernel, noise) if plain else self._border
        loud = estimated and noise >= QUIET
        told = self._noted(problem, noise, other)
        return self._blurred(told, replace(blur, boundary=boundary), FOUND * noise if loud else noise)

    def _blurred(self, problem: Problem, blur: Blur | BlindBlur, noise: float) -> Problem:
        """The problem of this blur and its noise, in 0..255."""
        from gdpkit import grey

        (observation,), source = problem.observations, problem.source
        sigma = UNSEEN * noise if self.noise is None and blur.boundary == "valid" else noise
        sigma = grey.told(sigma, source is not None and source.grey)
        return replace(problem, observations=(replace(observation, sigma=sigma, degradation=blur),))

    def _noise(self, observation: Observation, white: float, other: float) -> float:
        """All of it, in 0..255: given or estimated, and never less than the rounding of the file."""
        rounding = observation.sigma
        return max(rounding, math.hypot(white, other)) if self.noise is None else math.hypot(self.noise, rounding)

    def _noted(self, problem: Problem, noise: float, other: float) -> Problem:
        (observation,), source = problem.observations, problem.source
        if other <= TOLD or noise <= observation.sigma or source is None:
            return problem
        return replace(problem, source=source.noted(UNEXPLAINED.format(noise)))

    def _told_border(self, pixels: Tensor, kernel: Tensor, noise: float) -> str:
        """As given, or `reflect` where the picture shows that."""
        if self.boundary != "auto":
            return self._border
        from gdpkit_deblur import border

        return "reflect" if border.is_mirrored(pixels, kernel, noise / 255) else self._border

    def notes(self, problem: Problem, prior: Prior) -> Sequence[str]:
        """Where the border or the light was told from the picture, and where no blur was found."""
        (observation,) = problem.observations
        if self.blind and not observation.degradation.search:  # type: ignore[attr-defined]
            return [LEFT]
        notes = []
        mirrored = observation.degradation.boundary != "valid"  # type: ignore[attr-defined]
        if self.boundary == "auto" and mirrored and observation.sigma < QUIET:
            notes.append("it was blurred with mirrored borders, as programs do (--boundary valid: it was not)")
        if self.light == "auto" and getattr(observation.degradation, "light", "") == "linear":
            notes.append(
                "its light was blurred, as by a lens or a hand (--light encoded: a program blurred its values)"
            )
        return notes

    def finish(self, result: Result) -> Tensor:
        """The part that the photograph shows; what the blur brought in from beyond its border is cut off."""
        source = result.problem.source
        if self.blind and source is not None and not result.problem.observations[0].degradation.search:  # type: ignore[attr-defined]
            return source.pixels
        image = super().finish(result)
        height, width = result.problem.observations[0].image.shape[-2:]
        top, left = (image.shape[-2] - height) // 2, (image.shape[-1] - width) // 2
        return image[..., top : top + height, left : left + width]

    def _of_light(self, source: Picture | None, pixels: Tensor, kernel: Tensor, sigma: float, boundary: str) -> bool:
        """Whether light was blurred."""
        if self.light != "auto":
            return self.light == "linear"
        from gdpkit_deblur import light

        # In a JPEG noise hides the border, and a program's trial is rarely one.
        plain = source is None or source.coding is None
        against = MIRRORED if boundary != "valid" and plain else 0.0
        return light.odds(pixels, kernel, sigma) > against - (CAMERA if _of_camera(source) else 0.0)

    def _estimated(self, pixels: Tensor, kernel: Tensor) -> tuple[float, float]:
        """White noise and other errors, in 0..255, with the rounding of the file; 0 where the noise is given."""
        if self.noise is not None:
            return 0.0, 0.0
        from gdpkit_deblur.noise import noise_behind

        white, other = noise_behind(pixels, kernel)
        return 255 * white, 255 * other

    def _blur(self) -> Blur:
        assert self.kernel is not None
        name, colon, rest = self.kernel.partition(":")
        if name not in ORDER:
            return _from_file(self.kernel, self._border)
        values = _named(name, rest.split(",")) if colon else []
        spec = ",".join([f"blur:kernel={name}", f"boundary={self._border}", *values])
        return params.build(Blur, params.parse(spec)[1])


def _of_camera(source: Picture | None) -> bool:
    """Whether the file tells a camera's settings."""
    from gdpkit.images.exposure import of_exif

    return source is not None and of_exif(source.exif).time is not None


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
