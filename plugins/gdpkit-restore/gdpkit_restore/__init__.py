"""Undo any chain of degradations in one pass."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from gdpkit import Degradation, PhotoTask, Task, chain, hookimpl, param


@dataclass(frozen=True, eq=False)
class Restore(PhotoTask):
    """Undo a chain of degradations, given in the order light met them.

    Stages are written `name:key=value,key=value`; `gdpkit list degradations` names them and `gdpkit describe NAME`
    tells their parameters. A stage with unknown parameters is fitted while sampling.
    """

    name = "restore"
    undoes_jpeg: ClassVar[bool] = True
    examples: ClassVar[tuple[str, ...]] = (
        "gdpkit run restore old.png -d gray -d downsample:scale=2 -o new.png",
        "gdpkit run restore grainy.jpg -d downsample:scale=2,kernel=bicubic -d noise:sigma=8 --compare both.png",
    )

    example_params: ClassVar[Mapping[str, Any]] = {"stages": ("gray", "downsample:scale=2")}

    stages: tuple[str, ...] = param(
        help="A degradation, first stage first; give it once a stage.", short="d", metavar="STAGE"
    )

    def degradation(self) -> Degradation:
        """The chain."""
        return chain(self.stages)


@hookimpl
def gdpkit_tasks() -> Sequence[type[Task]]:
    """The one task."""
    return [Restore]
