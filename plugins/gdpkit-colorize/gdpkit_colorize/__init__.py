"""Colourisation: give a grey photograph colours, steered by strokes or by another photograph."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from gdpkit import Degradation, Observation, PhotoTask, Problem, Result, Task, chain, hookimpl, param

if TYPE_CHECKING:
    from torch import Tensor

HINTS_SIGMA = 20.0
PALETTE_SIGMA = 40.0
"""Deviations, in 0..255, of colours that strokes and palettes suggest and that are trusted wholly."""


@dataclass(frozen=True, eq=False)
class Colorize(PhotoTask):
    """Give a grey photograph colours: the clean image whose grey is the photograph.

    The grey is kept: that of the output, by the same `--weights`, is the input to within its rounding. Which colours
    things had is not in a grey photograph, and the prior alone stays near to grey where it cannot tell. `--hints` is a
    picture of the same size, transparent but for strokes in the colours wanted; each fills the region that it is in, up
    to the edges of the luminance. `--palette` is another photograph, whose colours go to what looks alike. With both,
    strokes count for more.
    """

    name = "colorize"
    presets: ClassVar[Mapping[str, Mapping[str, str]]] = {
        # 500 L_col on [-1, 1] beside 6000 times the mean squared error: 500 * 4 / 6000 of the loss on [0, 1].
        "paper": {"sampler": "gdp:scale=6000", "loss": "color-constancy:weight=0.3333333"}
    }
    examples: ClassVar[tuple[str, ...]] = (
        "gdpkit run colorize gray.png --hints strokes.png -o color.png",
        "gdpkit run colorize gray.png --palette other.jpg --weights bt601 --compare both.png",
    )

    weights: str = param("mean", help="How the channels were weighed.", choices=("mean", "bt601"))
    hints: Path | None = param(None, help="Strokes of colour on transparency, of the photograph's size.")
    palette: Path | None = param(None, help="Another photograph, whose colours to take.")

    def degradation(self) -> Degradation:
        """The loss of colour."""
        return chain([f"gray:weights={self.weights}"])

    def problem(self) -> Problem:
        """The grey, and what strokes and palette say of the colours: pictures, trusted here more and there less."""
        from gdpkit_colorize import functional

        problem = super().problem()
        seen = problem.observations[0]
        added = []
        identity = chain(["noise:sigma=0"])
        if self.hints is not None:
            image, trust = functional.from_hints(seen.image, self.hints, seen.degradation)
            added.append(Observation(image, identity, HINTS_SIGMA, trust))
        if self.palette is not None:
            image, trust = functional.from_palette(seen.image, self.palette, seen.degradation)
            added.append(Observation(image, identity, PALETTE_SIGMA, trust))
        return replace(problem, observations=(seen, *added))

    def finish(self, result: Result) -> Tensor:
        """The grey exactly; a colour that does not exist at that brightness becomes paler."""
        from gdpkit_colorize import functional

        seen = result.problem.observations[0]
        return functional.coloured(seen.image, result.image - seen.degradation(result.image))


@hookimpl
def gdpkit_tasks() -> Sequence[type[Task]]:
    """The one task."""
    return [Colorize]
