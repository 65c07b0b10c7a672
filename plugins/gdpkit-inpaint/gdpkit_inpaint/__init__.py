"""Inpainting: repair scratches, holes and marked parts of a photograph."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from operator import or_
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from gdpkit import Degradation, GdpkitError, PhotoTask, Prior, Problem, Result, Task, hookimpl, param

if TYPE_CHECKING:
    from torch import Tensor

    from gdpkit.images import Picture


@dataclass(frozen=True, eq=False)
class Inpaint(PhotoTask):
    """Repair what a mask marks: scratches, dust, holes, or what should not be there.

    `--mask` is a picture of the photograph's size, in which white (any value but black) marks what is lost. `--color
    ff00ff` takes what was painted over with that colour instead; with both, either marks. All other pixels are in the
    output bit for bit, in their own depth, where the format can hold them: JPEG cannot. `--grow` takes in the pixels
    around, for the soft edges of a scratch. `--grain` puts noise on the repair, like that of the photograph. A grey
    photograph stays grey.
    """

    name = "inpaint"
    presets: ClassVar[Mapping[str, Mapping[str, str]]] = {"paper": {"sampler": "gdp:scale=4000"}}
    examples: ClassVar[tuple[str, ...]] = (
        "gdpkit run inpaint photo.png --mask mask.png -o clean.png",
        "gdpkit run inpaint marked.png --color ff00ff --grow 1 -o clean.png",
        "gdpkit run inpaint film.tif --mask dust.png --grain -o clean.tif",
    )
    example_params: ClassVar[Mapping[str, Any]] = {"color": "808080", "tolerance": 64}

    mask: Path | None = param(None, help="White marks what is lost: a picture of the photograph's size.")
    color: str | None = param(None, help="The colour that marks what is lost, RRGGBB in hexadecimal.")
    tolerance: float = param(
        0.0, help="How far a marked pixel may be from that colour, in each channel.", min=0, max=255, unit="0..255"
    )
    grow: int = param(0, help="How far around the marked pixels repair reaches.", min=0, max=64, unit="pixels")
    invert: bool = param(False, help="Black, not white, marks what is lost in the mask.")
    grain: bool = param(False, help="Put noise on the repair, like that of the photograph.")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.mask is None and self.color is None:
            raise GdpkitError("inpaint needs --mask FILE, where white marks what is lost, or --color RRGGBB")
        if self.invert and self.mask is None:
            raise GdpkitError("--invert is about --mask, which is not given")
        if self.tolerance and self.color is None:
            raise GdpkitError("--tolerance is about --color, which is not given")
        if self.color is not None:
            rgb(self.color)

    def degradation(self) -> Degradation:
        """The loss of the marked pixels."""
        from gdpkit import images, masks
        from gdpkit.degradations.mask import Mask
        from gdpkit_inpaint import functional

        photo = images.open_picture(self.image)
        marked = []
        if self.mask is not None:
            marked.append(functional.of_mask(photo, self.mask, self.invert))
        if self.color is not None:
            marked.append(functional.of_colour(photo, rgb(self.color), self.tolerance))
        lost = functional.repairable(photo, masks.grown(reduce(or_, marked), self.grow))
        return Mask(file=images.Picture(lost.float()))  # type: ignore[arg-type]

    def problem(self) -> Problem:
        """One observation, of the kept pixels, which the output repeats bit for bit."""
        return replace(super().problem(), exact=True)

    def notes(self, problem: Problem, prior: Prior) -> Sequence[str]:
        """What a prior that sees only the neighbourhood of a pixel cannot know about the middle of a large hole."""
        from gdpkit_inpaint import functional

        source, weight = problem.source, problem.observations[0].weight
        told = (*functional.warnings(problem, prior), *self._of_grain(source, weight))
        if self.color is None or self.tolerance or source is None or source.coding is None or weight is None:
            return told
        count = int((weight[:, :1] == 0).sum())
        return (f"{count} pixels have that colour; compression changes colours, so --tolerance 60 may take more", *told)

    def finish(self, result: Result) -> Tensor:
        """The photograph itself where it is kept, the repair where it was lost."""
        import torch

        image, source = super().finish(result), result.problem.source
        kept = result.problem.observations[0].weight
        if source is None or kept is None:
            return image
        if self.grain:
            from gdpkit_inpaint import grain

            image = (image + grain.like(source.pixels, self._kept(source, kept), image)).clamp(0, 1)
        return torch.where(kept > 0, source.pixels, image)

    def _of_grain(self, source: Picture | None, weight: Tensor | None) -> Sequence[str]:
        """That a repair without noise will be seen among noise."""
        from gdpkit_inpaint import grain

        if self.grain or source is None or weight is None:
            return ()
        if not grain.is_missed(source.pixels, self._kept(source, weight)):
            return ()
        return ("the photograph is noisy and the repair is not; --grain puts noise like it on the repair",)

    @staticmethod
    def _kept(source: Picture, weight: Tensor) -> Tensor:
        return (weight > 0).expand(len(source.pixels), -1, *source.pixels.shape[-2:]).all(dim=1, keepdim=True)


def rgb(color: str) -> tuple[int, int, int]:
    """The channels, 0..255, of "RRGGBB" in hexadecimal, a "#" before it allowed. `GdpkitError` on anything else."""
    digits = color.removeprefix("#")
    if re.fullmatch("[0-9a-fA-F]{6}", digits) is None:
        raise GdpkitError(f"--color must be six hexadecimal digits, such as ff00ff, not {color!r}")
    red, green, blue = bytes.fromhex(digits)
    return red, green, blue


@hookimpl
def gdpkit_tasks() -> Sequence[type[Task]]:
    """The one task."""
    return [Inpaint]
