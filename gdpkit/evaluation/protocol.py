"""The protocol of the GDP paper's tables over photographs of one's own, in a folder that a killed run goes on from.

FOLDER/settings.json         what the pictures were made with
FOLDER/truth/NAME.png        the photograph, 256x256
FOLDER/TASK/NAME_input.png   degraded, rounded to 8 bits
FOLDER/TASK/NAME.png         restored: it appears whole, and when it is there the work is done
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gdpkit import choices, engine, functional, images, params, registry, simulate
from gdpkit.atomic import remove_leftovers, whole_file
from gdpkit.choices import Settings
from gdpkit.components import Degradation, Metric, PhotoTask, Step
from gdpkit.errors import GdpkitError, ImageError
from gdpkit.evaluation import measuring
from gdpkit.evaluation.measuring import Comparison
from gdpkit.evaluation.tables import Results

SIDE = 256

STAGES: Mapping[str, tuple[str, ...]] = {
    "sr": ("downsample:scale=4,kernel=average",),
    "deblur": ("blur:kernel=gaussian,size=9,sigma=2,boundary=valid",),
    "inpaint": ("mask:missing=0.25,seed=0",),
    "colorize": ("gray:weights=mean",),
}
"""The degradations of the paper: 256 -> 64, 256 -> 248, a quarter of the pixels lost, and the mean of the channels."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Restore(PhotoTask):
    """Undo the stages of one task of the protocol."""

    name = "gdp-imagenet"
    stages: tuple[str, ...] = params.param(help="The stages, first first.")

    def degradation(self) -> Degradation:
        """The chain."""
        return registry.chain(self.stages)


@dataclass(frozen=True)
class Job:
    """One photograph and one task."""

    task: str
    photo: Path


class Trial:
    """A folder of such pictures."""

    def __init__(self, folder: Path, settings: Settings, side: int = SIDE) -> None:
        """`side` of the photographs; the paper's is 256."""
        self.folder, self.settings, self.side = folder, settings, side
        self.chosen = choices.choose(Restore(image=folder, stages=()), settings)
        self.chosen.prior.load(self.chosen.device)

    def begin(self, photos: Sequence[Path], tasks: Sequence[str], overwrite: bool) -> list[Job]:
        """Make the folder ready and return what is to be restored. Pictures of other settings are never mixed in.

        With `overwrite` what is there is restored anew. Raises `GdpkitError` where two photographs have one name, or
        the folder belongs to other settings.
        """
        first: dict[str, Path] = {}
        for photo in photos:
            if first.setdefault(photo.stem, photo) is not photo:
                raise GdpkitError(f"{first[photo.stem]} and {photo} have one name; rename one of them")
        own = self.record()
        file = self.folder / "settings.json"
        remove_leftovers(self.folder)
        if file.exists() and not overwrite:
            self._compare(file, own)
        jobs = [Job(task, photo) for photo in photos for task in tasks]
        for name in ("truth", *tasks):
            (self.folder / name).mkdir(exist_ok=True)
            remove_leftovers(self.folder / name)
        if overwrite:
            for old in [*self.folder.glob("truth/*.png"), *(p for t in STAGES for p in self.folder.glob(f"{t}/*.png"))]:
                old.unlink()
        with whole_file(file) as temporary:
            temporary.write_text(json.dumps(own, indent=2) + "\n", encoding="utf-8")
        return [job for job in jobs if not self.output(job).exists()]

    def record(self) -> dict[str, Any]:
        """What the pictures are made with."""
        prior = self.chosen.prior
        return {
            "protocol": Restore.name,
            "side": self.side,
            "stages": {task: list(stages) for task, stages in STAGES.items()},
            "prior": prior.name if prior.sha256 else repr(prior),
            "prior_sha256": prior.sha256,
            "sampler": repr(self.chosen.sampler),
            "seed": self.settings.seed,
        }

    def output(self, job: Job) -> Path:
        """Where the restored picture is."""
        return self.folder / job.task / f"{job.photo.stem}.png"

    def restore(self, job: Job, on_step: Callable[[Step], None] | None = None) -> None:
        """Degrade and restore one photograph."""
        truth = self._truth(job.photo)
        stages = STAGES[job.task]
        degraded = simulate.degrade(truth, stages, seed=self.settings.seed)
        images.save(self._input(job), degraded.pixels, overwrite=True)
        task = Restore(image=self._input(job), stages=stages)
        result = engine.restore(
            task,
            prior=self.chosen.prior,
            sampler=self.chosen.sampler,
            seed=self.settings.seed,
            device=self.settings.device,
            on_step=on_step,
        )
        images.save(self.output(job), result.tensor, overwrite=True)

    def measure(
        self,
        task: str,
        photos: Sequence[Path],
        metrics: Mapping[str, Metric],
        on_picture: Callable[[int, int], None],
        on_error: Callable[[Comparison, Exception], str],
    ) -> Results:
        """The metrics of what is restored of these photographs; `on_error` as in `measuring.evaluate`."""
        degradation = registry.chain(STAGES[task])
        return measuring.evaluate(metrics, list(self._comparisons(task, photos)), degradation, on_picture, on_error)

    def _comparisons(self, task: str, photos: Sequence[Path]) -> Iterator[Comparison]:
        for photo in photos:
            job = Job(task, photo)
            if self.output(job).exists():
                yield Comparison(self.output(job), self.folder / "truth" / f"{photo.stem}.png", self._input(job))

    def _input(self, job: Job) -> Path:
        return self.folder / job.task / f"{job.photo.stem}_input.png"

    def _truth(self, photo: Path) -> Tensor:
        """The photograph as the protocol sees it, which is kept; another one of its name is an error."""
        pixels = square(photo, self.side)
        file = self.folder / "truth" / f"{photo.stem}.png"
        if not file.exists():
            images.save(file, pixels)
        elif not torch.equal(functional.with_channels(images.read_image(file), 3), pixels):
            raise GdpkitError(
                f"{file} is of another photograph than {photo}; give another folder with -o, or --overwrite"
            )
        return pixels

    def _compare(self, file: Path, own: Mapping[str, Any]) -> None:
        try:
            before = json.loads(file.read_text(encoding="utf-8"))
        except ValueError as error:
            raise GdpkitError(f"{file} cannot be read; give another folder with -o, or --overwrite") from error
        for key, value in own.items():
            found = before.get(key) if isinstance(before, dict) else None
            if found != value:
                what = f"its pictures were made with {key} {found}, not {value}"
                raise GdpkitError(f"{self.folder}: {what}; give another folder with -o, or --overwrite")


def square(photo: Path, side: int = SIDE) -> Tensor:
    """The middle of a photograph, reduced to `side` pixels a side, in 8 bits and three channels: (1, 3, side, side)."""
    pixels = functional.with_channels(images.read_image(photo), 3)
    height, width = pixels.shape[-2:]
    least = min(height, width)
    if least < side:
        raise ImageError(f"{photo} is {width}x{height} pixels; the protocol needs at least {side}x{side}")
    top, left = (height - least) // 2, (width - least) // 2
    pixels = pixels[..., top : top + least, left : left + least]
    return (255 * functional.resize(pixels, (side, side)).clamp(0, 1)).round() / 255
