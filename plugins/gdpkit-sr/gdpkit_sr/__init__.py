"""Super-resolution: make a small photograph 2 to 8 times larger."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from gdpkit import Degradation, GdpkitError, PhotoTask, Task, chain, hookimpl, param


@dataclass(frozen=True, eq=False)
class SuperResolution(PhotoTask):
    """Make a small photograph larger: the clean image whose reduction by `scale` is the photograph.

    The output is exactly `scale` times the input. `--kernel` says what made the photograph small: `average` (the
    mean of each block, as area resizing does, and as in the paper), `bicubic` (as most programs resize), `lanczos`, or
    `gaussian:sigma=1.6` (a blur of that many output pixels, as a lens or a sensor causes). A grey photograph stays
    grey.
    """

    name = "sr"
    undoes_jpeg: ClassVar[bool] = True
    presets: ClassVar[Mapping[str, Mapping[str, str]]] = {"paper": {"sampler": "gdp:scale=2000"}}
    examples: ClassVar[tuple[str, ...]] = (
        "gdpkit run sr small.jpg --scale 4 -o large.png",
        "gdpkit run sr scan.tif --scale 2 --kernel gaussian:sigma=1.2 --compare scan_compare.png",
    )

    scale: int = param(4, help="How many times larger.", min=2, max=8)
    kernel: str = param("average", help="What made it small: average, bicubic, lanczos or gaussian:sigma=S.")

    def degradation(self) -> Degradation:
        """The reduction by `scale`."""
        name, _, rest = self.kernel.partition(":")
        try:
            return chain([f"downsample:scale={self.scale},kernel={name}" + (f",{rest}" if rest else "")])
        except GdpkitError as error:
            raise GdpkitError(f"--kernel {self.kernel}: {error}") from error


@hookimpl
def gdpkit_tasks() -> Sequence[type[Task]]:
    """The one task."""
    return [SuperResolution]
