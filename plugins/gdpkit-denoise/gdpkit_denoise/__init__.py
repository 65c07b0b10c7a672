"""Denoising: sensor noise, white or of photons, and JPEG artefacts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

from gdpkit import Degradation, GdpkitError, PhotoTask, Problem, Result, Sampler, Task, chain, hookimpl, param
from gdpkit.degradations.jpeg import Jpeg
from gdpkit.degradations.noise import GaussianNoise
from gdpkit.degradations.stored_jpeg import StoredJpeg
from gdpkit_denoise.averaged import Mean

if TYPE_CHECKING:
    from torch import Tensor

    from gdpkit.images import Picture

QUALITIES = range(1, 101)
ALIKE = 4.0  # of 0..255: a picture that compressing again changes more was not compressed like that


@dataclass(frozen=True)
class Stabilised(GaussianNoise):
    """White noise of levels whose photon noise was stabilised."""

    name = "stabilised"
    gain: float = param(1.0, help="As of poisson-gaussian.", min=0)
    read: float = param(0.0, help="As of poisson-gaussian.", min=0)


@dataclass(frozen=True)
class Coloured(GaussianNoise):
    """Noise that is stronger in low frequencies, for which a prior is told as much white noise as would be there."""

    name = "coloured"
    pixels: float = param(0.0, help="Deviation of single pixels.", min=0, max=255, unit="0..255")


@dataclass(frozen=True, eq=False)
class Denoise(PhotoTask):
    """Remove noise, or what JPEG compression left.

    White noise is the default; how strong it is is estimated from the photograph unless `--sigma` says so, and a line
    tells the estimate. `--poisson` is for photographs whose bright parts are noisier than the dark ones: the
    variance is `--gain` times the level plus the square of `--read`, estimated unless given. `--jpeg` is for files that
    were compressed too much: `auto` takes the quantisation tables from the file itself, or tells them from the
    pixels; a number is the quality.
    A grey photograph stays grey.
    """

    name = "denoise"
    examples: ClassVar[tuple[str, ...]] = (
        "gdpkit run denoise noisy.png -o clean.png",
        "gdpkit run denoise noisy.png --sigma 25 --compare both.png -o clean.png",
        "gdpkit run denoise night.tif --poisson -o clean.tif",
        "gdpkit run denoise blocky.jpg --jpeg auto -o clean.png",
    )
    presets: ClassVar[Mapping[str, Mapping[str, str]]] = {"default": {"sampler": "mean"}}
    example_params: ClassVar[Mapping[str, Any]] = {"sigma": 10.0}

    sigma: float | None = param(None, help="Deviation of the noise; estimated by default.", min=0, max=255,
                                unit="0..255")  # fmt: skip
    poisson: bool = param(False, help="The noise grows with the brightness, as that of photons.")
    gain: float | None = param(None, help="With --poisson: variance for each level.", min=0, max=255)
    read: float | None = param(None, help="With --poisson: deviation in the dark.", min=0, max=255, unit="0..255")
    jpeg: str | None = param(None, help="Remove JPEG artefacts: auto, or the quality, 1 to 100.")

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.poisson and (self.gain is not None or self.read is not None):
            raise GdpkitError("denoise: --gain and --read belong to --poisson")
        if self.poisson and (self.gain is None) != (self.read is None):
            raise GdpkitError("denoise: give both --gain and --read, or neither to have them estimated")
        if self.poisson and self.gain == 0 and self.read == 0:
            raise GdpkitError("denoise: --gain and --read are both 0, which is no noise")
        kinds = {"--sigma": self.sigma is not None, "--poisson": self.poisson, "--jpeg": self.jpeg is not None}
        if sum(kinds.values()) > 1:
            several = " and ".join(kind for kind, wanted in kinds.items() if wanted)
            raise GdpkitError(f"denoise: {several} are different noise; give one of them")
        if self.jpeg not in (None, "auto", *map(str, QUALITIES)):
            raise GdpkitError(f"denoise: --jpeg is auto or a quality from 1 to 100, not {self.jpeg!r}")

    def degradation(self) -> Degradation:
        """The noise, as far as the parameters tell it; `problem` estimates the rest."""
        if self.poisson:
            return chain([f"poisson-gaussian:gain={self.gain or 0},read={self.read or 0}"])
        if self.jpeg is None:
            return GaussianNoise(sigma=self.sigma or 0.0)
        return Jpeg() if self.jpeg == "auto" else Jpeg(quality=int(self.jpeg))

    def problem(self) -> Problem:
        """One observation: the photograph with the noise given or found in it."""
        from gdpkit import images

        picture = images.open_picture(self.image)
        if min(picture.pixels.shape[-2:]) < self.smallest:
            return super().problem()  # which tells the size
        if self.poisson:
            return self._of_photons(picture)
        if self.jpeg is not None:
            return self._of_jpeg(picture)
        if self.sigma is not None:
            return self.problem_of(picture, GaussianNoise(sigma=self.sigma))
        model, note = self._found(picture.pixels)
        if picture.coding is not None and picture.coding.chroma:
            note += ", and --jpeg auto removes what JPEG left"
        return self.problem_of(_noted(picture, note), model)

    @staticmethod
    def _found(pixels: Tensor) -> tuple[GaussianNoise, str]:
        """The noise of the photograph, and what to say of it."""
        from gdpkit import coloured_noise

        if bool(((pixels == pixels.amin()) | (pixels == pixels.amax())).all()):
            note = "in a picture of two levels, dots cannot be told from noise, and none is removed; --sigma sets it"
            return GaussianNoise(sigma=0.0), note
        found = coloured_noise.found(pixels)
        if found.coloured:
            return Coloured(sigma=found.sigma, pixels=found.pixels), found.said("--sigma")
        return GaussianNoise(sigma=found.sigma), found.said("--sigma")

    def _of_photons(self, picture: Picture) -> Problem:
        from gdpkit import estimate
        from gdpkit_denoise import functional

        gain, read = self.gain, self.read
        if gain is None or read is None:
            gain, read = estimate.noise_line(picture.pixels)
            read = min(255.0, max(read, 0.0 if gain else picture.rounding_sigma or 0.01))
            picture = _noted(
                picture, f"noise of gain {gain:.2f} and read {read:.1f} was found; --gain and --read set it"
            )
        stabilised = functional.stabilised(picture.pixels, gain, read)
        model = Stabilised(sigma=min(255.0, functional.stabilised_sigma(gain, read)), gain=gain, read=read)
        return replace(self.problem_of(replace(picture, pixels=stabilised), model), source=picture)

    def _of_jpeg(self, picture: Picture) -> Problem:
        model, note = self._told(picture) if self.jpeg == "auto" else self._given(picture, int(self.jpeg or 0))
        return self.problem_of(_noted(picture, note), model)

    @staticmethod
    def _told(picture: Picture) -> tuple[Jpeg, str]:
        """By the tables of the file, or as the pixels say of a picture that is stored as something else now."""
        import torch

        from gdpkit import jpeg, jpeg_history

        file = picture.coding
        if file is not None and file.chroma:
            quality = jpeg.quality_of(torch.tensor(file.steps[:64]).reshape(8, 8))
            stored = StoredJpeg(steps=file.steps, chroma=file.chroma, orientation=file.orientation)
            return stored, f"JPEG of quality {quality} and {file.chroma} chroma, says the file"
        found = None if file is not None else jpeg_history.quality(picture.pixels)
        if found is None:
            unless = "or none that is grey, or YCbCr of 4:4:4, 4:2:2 or 4:2:0"
            raise GdpkitError(f"{picture.source} is no JPEG file, {unless}: say its quality, as in --jpeg 30")
        model = Jpeg(quality=found, chroma=jpeg_history.chroma(picture.pixels, found))
        return model, f"it was a JPEG of quality {found} and {model.chroma} chroma before, say its pixels"

    @staticmethod
    def _given(picture: Picture, quality: int) -> tuple[Jpeg, str]:
        """Of this quality, with the chroma that explains the pixels best."""
        from gdpkit import jpeg
        from gdpkit_denoise import functional

        orientation = 1 if picture.coding is None else picture.coding.orientation
        models = [StoredJpeg(quality=quality, chroma=c, orientation=orientation) for c in jpeg.CHROMA]
        misfits = [functional.misfit(picture.pixels, m(picture.pixels)) for m in models]
        model, least = min(zip(models, misfits, strict=True), key=lambda pair: pair[1])
        note = f"JPEG of quality {quality} and {model.chroma} chroma"
        if least > ALIKE:
            note += f", which it does not look like (compressing it again changes it by {least:.1f} levels)"
        return model, note

    def finish(self, result: Result) -> Tensor:
        """Back from stabilised levels; else without what clipping the noise did to the darkest and brightest."""
        model = result.problem.observations[0].degradation
        source = result.problem.source
        grey = source is not None and source.grey
        if grey:
            result = replace(result, image=result.image.mean(dim=1, keepdim=True))
        if isinstance(model, Stabilised):
            from gdpkit_denoise import functional

            image = functional.unstabilised(result.image, model.gain, model.read).clamp(0, 1)
            result = replace(result, image=image)
        elif isinstance(model, GaussianNoise):
            from gdpkit import estimate

            clipped = model.pixels if isinstance(model, Coloured) else model.sigma
            result = replace(result, image=estimate.unclipped(result.image, clipped))
        return super().finish(result)


def _noted(picture: Picture, note: str) -> Picture:
    return replace(picture, notes=(*picture.notes, note))


@hookimpl
def gdpkit_samplers() -> Sequence[type[Sampler]]:
    """The one that removes JPEG artefacts best."""
    return [Mean]


@hookimpl
def gdpkit_tasks() -> Sequence[type[Task]]:
    """The one task."""
    return [Denoise]
