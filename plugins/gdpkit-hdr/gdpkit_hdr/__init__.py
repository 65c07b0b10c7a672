"""High dynamic range: one picture from several exposures of a scene."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from gdpkit import GdpkitError, Problem, Result, Task, hookimpl, param

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, eq=False)
class Hdr(Task):
    """Merge several exposures of one scene, in any order, into one picture without burnt or black parts.

    Every exposure is an observation y = clip(crf(f r + M)) of one radiance r, each with a factor f and a smooth map M
    of its own, which are fitted. Exposure times come from EXIF or camera RAW (time x ISO / aperture^2) or `--times`;
    where they are missing, or contradict the pixels, the pixels tell the ratios, and a line says so. Handheld exposures
    are aligned (`--no-align` leaves that out) and what moved is taken from the middle exposure alone, whose framing the
    output has. Where every exposure is clipped, black or noisy, the diffusion prior decides; where one saw well, it
    is followed. One exposure alone is accepted.

    The output is a picture, tone-mapped as `--tone` says, or with a name that ends with .exr or .hdr the radiance
    itself, in units of the white of the middle exposure, to which `--tone` and `--target` do nothing.
    """

    name = "hdr"
    gives_radiance: ClassVar[bool] = True
    toning: ClassVar[tuple[str, ...]] = ("tone", "target")
    examples: ClassVar[tuple[str, ...]] = (
        "gdpkit run hdr --exposures a.jpg b.jpg c.jpg -o scene.png",
        "gdpkit run hdr --exposures a.png b.png c.png --times 1/30 1/8 0.5 -o scene.exr",
        "gdpkit run hdr --exposures a.dng b.dng --half-size --no-align --tone photographic -o scene.tif",
    )
    presets: ClassVar[Mapping[str, Mapping[str, str]]] = {
        "default": {"sampler": "hqs:steps=6"},
        "paper": {"sampler": "gdp:scale=80000"},
    }

    exposures: tuple[Path, ...] = param(help="The exposures, in any order.")
    times: tuple[float, ...] = param((), help="Their times in the same order, e.g. 1/30 0.5; else from the files.",
                                     unit="seconds")  # fmt: skip
    align: bool = param(True, help="Undo the camera's movement between the exposures.")
    half_size: bool = param(False, help="Develop camera RAW at half the size.")
    tone: str = param("fusion", help="How radiance becomes a picture.",
                      choices=("fusion", "photographic", "log", "reference"))  # fmt: skip
    target: float | None = param(None, help="Mean brightness of the picture; as it comes by default.", min=0.05,
                                 max=0.95)  # fmt: skip

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.times and len(self.times) != len(self.exposures):
            count = f"{len(self.times)} values for {len(self.exposures)} exposures"
            raise GdpkitError(f"--times has {count}; give one for each, in the same order")
        for time in self.times:
            if not 0 < time < math.inf:
                raise GdpkitError(f"--times: an exposure time is above 0 seconds, not {time:g}")

    def problem(self) -> Problem:
        """One observation for each exposure, aligned; what is clipped, black or moved weighs nothing."""
        from gdpkit_hdr import functional

        return functional.problem(self.exposures, self.times, self.align, self.half_size)

    def finish(self, result: Result) -> Tensor:
        """Tone mapping, or the radiance itself in units of the middle exposure's white."""
        from gdpkit_hdr import functional

        radiance = functional.radiance(result, burnt=result.scene_linear)
        return radiance if result.scene_linear else functional.toned(radiance, result, self.tone, self.target)


@hookimpl
def gdpkit_tasks() -> Sequence[type[Task]]:
    """The one task."""
    return [Hdr]
