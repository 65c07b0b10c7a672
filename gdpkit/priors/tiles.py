"""How a large image is divided into tiles: which pixels a prior is shown, and which of its answer are kept.

Networks that see no further than their receptive field are given that much beyond the part that is kept, so the answer
is that of the whole image. Others, such as those with attention, get windows of the size they were trained at, which
overlap and fade into one another. The division follows from the image's size alone, never from the memory: on the CPU
convolutions round differently in tiles of other sizes.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

CORE = 1536
"""Side of the part that is kept of a tile. With the embedded prior, 6000x4000 pixels are 27 % more work than without
tiles, and a tile takes 0.9 GB; with a side of 1024 they would be 45 % more, and 0.5 GB."""

STRIDE = 64
"""Tiles begin and end at multiples of it: networks that reduce the image by 2, 4, ... 64 see it in the same phase."""

LARGEST = CORE + 4 * STRIDE
"""Side of the windows of priors that declare neither a receptive field nor a size that they were trained at."""

FADE = 0.25
"""Share of a window's side over which it fades into its neighbour."""


@dataclass(frozen=True)
class Span:
    """One axis of a tile: the pixels from `start` to `stop` are shown to the prior, those from `first` to `last` kept.

    Weights rise over the first `rise` kept pixels and fall over the last `fall`; those of neighbours sum to 1.
    """

    start: int
    stop: int
    first: int
    last: int
    rise: int = 0
    fall: int = 0

    @property
    def seen(self) -> slice:
        """In the image."""
        return slice(self.start, self.stop)

    @property
    def kept(self) -> slice:
        """In the image."""
        return slice(self.first, self.last)

    @property
    def inside(self) -> slice:
        """What is kept, in the tile."""
        return slice(self.first - self.start, self.last - self.start)

    def weights(self) -> list[float]:
        """Of the kept pixels: cos^2 ramps at the faded ends, else 1."""
        rise, fall = _ramp(self.rise), _ramp(self.fall)
        plain = self.last - self.first - len(rise) - len(fall)
        return [*rise, *([1.0] * plain), *(1 - w for w in fall)]


@dataclass(frozen=True)
class Tile:
    """A rectangle of an image."""

    rows: Span
    columns: Span

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of what the prior is shown."""
        return self.rows.stop - self.rows.start, self.columns.stop - self.columns.start

    @property
    def blends(self) -> bool:
        """Whether it fades into a neighbour."""
        return any((self.rows.rise, self.rows.fall, self.columns.rise, self.columns.fall))


def divide(height: int, width: int, receptive_field: int | None, training_size: int | None) -> list[Tile]:
    """The tiles of an image, each once, row by row; a single one where the image is small enough."""
    if receptive_field is not None:
        halo = max(1, math.ceil((receptive_field // 2) / STRIDE)) * STRIDE
        axes = [_exact(length, halo) for length in (height, width)]
    else:
        axes = [_windows(length, training_size or LARGEST) for length in (height, width)]
    return [Tile(rows, columns) for rows, columns in itertools.product(*axes)]


def _exact(length: int, halo: int) -> list[Span]:
    """Parts of CORE pixels, each shown with `halo` more on both sides, where the image has them."""
    if length <= CORE + 2 * halo:
        return [Span(0, length, 0, length)]
    ends = [(first, min(first + CORE, length)) for first in range(0, length, CORE)]
    return [Span(max(0, first - halo), min(length, last + halo), first, last) for first, last in ends]


def _windows(length: int, side: int) -> list[Span]:
    """Windows spread evenly, as few as overlap by FADE of their side; they fade in the middle of the overlap."""
    if length <= side:
        return [Span(0, length, 0, length)]
    fade = max(1, int(FADE * side))
    count = math.ceil((length - fade) / (side - fade))
    starts = [round(k * (length - side) / (count - 1)) for k in range(count)]
    # Where the k-th fades into the next: never wider than FADE, so that no third window has a part in it.
    seams = [(here + side + after - fade) // 2 for here, after in itertools.pairwise(starts)]
    begins, ends = [0, *seams], [*(seam + fade for seam in seams), length]
    return [
        Span(start, start + side, first, last, rise=fade if k else 0, fall=fade if k < count - 1 else 0)
        for k, (start, first, last) in enumerate(zip(starts, begins, ends, strict=True))
    ]


def _ramp(length: int) -> list[float]:
    return [math.sin(math.pi / 2 * (k + 0.5) / length) ** 2 for k in range(length)]
