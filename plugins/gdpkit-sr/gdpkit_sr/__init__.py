"""Super-resolution: make a small photograph 2 to 8 times larger."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

from gdpkit import Degradation, GdpkitError, PhotoTask, Problem, Result, Task, chain, hookimpl, param

if TYPE_CHECKING:
    from torch import Tensor

    from gdpkit.coloured_noise import Found


@dataclass(frozen=True, eq=False)
class SuperResolution(PhotoTask):
    """Make a small photograph larger: the clean image whose reduction by `scale` is the photograph.

    The output is exactly `scale` times the input. `--kernel` says what made the photograph small: `average` (the
    mean of each block, as area resizing does, and as in the paper), `bicubic` (as most programs resize), `lanczos`, or
    `gaussian:sigma=1.6` (a blur of that many output pixels, as a lens or a sensor causes). A grey photograph stays
    grey.

    Noise that is sure to be noise is removed: that of a camera or of film, and strong white noise in colour. A line
    tells how much was found; `--noise` gives it instead, and `--noise 0` takes all that is there for the picture.
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
    noise: float | None = param(None, help="Deviation of the photograph's noise; estimated by default.", min=0, max=255,
                                unit="0..255")  # fmt: skip

    def degradation(self) -> Degradation:
        """The reduction by `scale`."""
        name, _, rest = self.kernel.partition(":")
        try:
            return chain([f"downsample:scale={self.scale},kernel={name}" + (f",{rest}" if rest else "")])
        except GdpkitError as error:
            raise GdpkitError(f"--kernel {self.kernel}: {error}") from error

    def problem(self) -> Problem:
        """One observation: the photograph, with its noise."""
        from gdpkit import grey

        problem = super().problem()
        (seen,), source = problem.observations, problem.source
        assert source is not None
        noise = self._noise(source.pixels)
        if not noise.sigma:
            return problem
        if self.noise is None:
            source = source.noted(noise.said("--noise"))
        seen = replace(seen, sigma=math.hypot(seen.sigma, grey.told(noise.sigma, source.grey)))
        return replace(problem, observations=(seen,), source=source)

    def finish(self, result: Result) -> Tensor:
        """Without what clipping the noise did to the darkest and brightest."""
        from gdpkit import estimate

        source = result.problem.source
        noise = 0.0 if source is None else self._noise(source.pixels).pixels
        return super().finish(replace(result, image=estimate.unclipped(result.image, noise)))

    def _noise(self, pixels: Tensor) -> Found:
        from gdpkit import coloured_noise

        if self.noise is not None:
            return coloured_noise.Found(self.noise, self.noise, False)
        return coloured_noise.surely_found(pixels)


@hookimpl
def gdpkit_tasks() -> Sequence[type[Task]]:
    """The one task."""
    return [SuperResolution]
