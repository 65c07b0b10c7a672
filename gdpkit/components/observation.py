"""What was observed, and the problem that it poses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from gdpkit.components.degradation import Degradation
from gdpkit.components.quality import QualityLoss
from gdpkit.errors import GdpkitError

if TYPE_CHECKING:
    from torch import Tensor

    from gdpkit.images import Picture


@dataclass(frozen=True, eq=False)
class Observation:
    """One picture of the scene: image = D(clean) + noise.

    image: (B, C, h, w) in [0, 1]; beyond where it is `coloured`.
    degradation: D.
    sigma: deviation of the noise, in 0..255; never below the rounding of the file.
    weight: broadcastable to `image`; clipped, moving and lost pixels weigh 0. None: all weigh 1.
    coloured: whether noise was added to the colours (`gdpkit.grey`), so that only the channels' mean is as observed.
    recorder: what recorded the image behind D and rounded it (`gdpkit.recording`); its error is part of `sigma`. The
        objective moves the image within what was recorded.
    """

    image: Tensor
    degradation: Degradation
    sigma: float
    weight: Tensor | None = None
    coloured: bool = False
    recorder: Degradation | None = None

    def __post_init__(self) -> None:
        if not self.sigma > 0:
            raise GdpkitError(f"the noise of an observation must be above 0, not {self.sigma}: rounding is noise too")

    @property
    def clean_shape(self) -> tuple[int, int, int]:
        """(C, H, W) of the clean image behind it."""
        channels, height, width = self.image.shape[1:]
        return self.degradation.clean_shape((channels, height, width))


@dataclass(frozen=True, eq=False)
class Problem:
    """Everything a sampler's objective is made of.

    source: the picture whose size, depth and metadata the output follows, where it came from one.
    exact: whether the output promises some of its pixels bit for bit: a file that cannot keep them says so.
    unknowns_beside: whether large fitted unknowns are files of their own beside a saved output. False where they only
        served to make it; they stay in `Restoration.unknowns`.
    guide: what a restoration of the same at a smaller size says (`gdpkit.hierarchy`); it guides as one more
        observation, but nothing is reported of it.
    """

    observations: tuple[Observation, ...]
    losses: tuple[QualityLoss, ...] = ()
    source: Picture | None = None
    exact: bool = False
    unknowns_beside: bool = True
    guide: Observation | None = None

    def __post_init__(self) -> None:
        if len({len(o.image) for o in self.observations}) > 1:
            raise GdpkitError("the observations of one problem must be batches of one size")
        shapes = {o.clean_shape for o in self.observations}
        if len(shapes) > 1:
            sizes = " and ".join(sorted(f"{w}x{h}" for _, h, w in shapes))
            raise GdpkitError(f"the observations of one problem must show one image, but these show {sizes}")

    @property
    def shape(self) -> tuple[int, int, int]:
        """(B, H, W) of the clean images."""
        first = self.observations[0]
        _, height, width = first.clean_shape
        return len(first.image), height, width

    @staticmethod
    def stack(problems: Sequence[Problem]) -> Problem:
        """Put problems of equal shapes, degradations and losses into one batch.

        Raises `GdpkitError` where they differ. `source` is not kept: each image of the batch has its own.
        """
        import torch

        first = problems[0]
        for other in problems[1:]:
            if [_kind(o) for o in other.observations] != [_kind(o) for o in first.observations]:
                raise GdpkitError("only problems with equal shapes, degradations and noise can be stacked")
            if other.losses != first.losses:
                raise GdpkitError("only problems with equal losses can be stacked")
        stacked = []
        for views in zip(*(p.observations for p in problems), strict=True):
            weight = None
            if views[0].weight is not None:
                weight = torch.cat([v.weight.expand_as(v.image) for v in views])
            stacked.append(replace(views[0], image=torch.cat([v.image for v in views]), weight=weight))
        return Problem(tuple(stacked), first.losses)


def _kind(o: Observation) -> tuple[Any, ...]:
    return (tuple(o.image.shape[1:]), o.degradation, o.sigma, o.weight is None, o.coloured, o.recorder)


@dataclass(frozen=True, eq=False)
class Result:
    """What the engine hands to `Task.finish`.

    image: the clean image, (B, 3, H, W) in [0, 1].
    unknowns: the fitted unknowns; those of the k-th of several observations are called "k.name".
    scene_linear: whether the output file holds linear radiance (OpenEXR, Radiance HDR).
    """

    image: Tensor
    unknowns: Mapping[str, Tensor]
    problem: Problem
    scene_linear: bool = False
