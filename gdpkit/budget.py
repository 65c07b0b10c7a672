"""How much memory a run takes, how much it may take, and how much is therefore done at once."""

from __future__ import annotations

import math

import torch

from gdpkit import memory, overexposure
from gdpkit.components import Observation, Prior, Problem
from gdpkit.errors import GdpkitError
from gdpkit.pointwise import STRIP
from gdpkit.priors.tiled import TiledPrior

GB = 2**30
IMAGES = {"noise": 7, "system": 13, "parts": 13, "pixels": 12, "recorded": 14, "weighed": 24, "derivative": 46}
"""Images in float32, of the size of the clean one, that reading, the default sampler and writing hold at once.

Of noise alone; with a singular system; where only parts are seen; where a degradation that is not linear changes every
value by itself, in strips; where what a file rounded moves within it; where a blur is of light, or of what may be
brighter than white; and where derivatives of all of the image are
held. Counted in tests/test_memory.py.
"""

SEVERAL = (10.0, 14.0)
"""Such images for several observations that are combined value by value: for all of them, and for each."""

HEAP = 32 * 2**20
"""Bytes of an image below which glibc takes it from its heap (mallopt(3)). Where derivatives of all of such an image
are held, as much again was measured to stay there unused."""

EVALUATING = 6  # such images, while the network evaluates a tile

LIBRARIES = 400 * 2**20
"""What the process holds before the work."""

MOST = 16
"""Problems at once: more would be read before the first is written, and make a GPU no quicker."""

SMALL = 256 * 256
"""Pixels of a run on the CPU whose memory is not asked for unless `--memory` is given: to count it may take a
second, for which torch imports its compiler, most of such a run. Large networks are checked when they load."""

UNTOLD = 8  # tiles at once on CUDA, of priors that do not say what they need


def images(problem: Problem, distance: str, guided: bool = False) -> float:
    """How many images, of the size of the clean one, a run on this problem holds at once, about: `IMAGES`.

    `guided`: whether a smaller restoration guides it (`gdpkit.hierarchy`). Where values are then not independent any
    more, derivatives are held of all of the image.
    """
    several = len(problem.observations)
    kinds = {"derivative"} if problem.losses or distance == "ssim" else {_kind(o) for o in problem.observations}
    kinds |= {"recorded"} if any(o.recorder is not None for o in problem.observations) else set()
    kinds |= {"derivative"} if "weighed" in kinds and distance != "mse" else set()
    held = float(max(IMAGES[kind] for kind in kinds))
    if kinds != {"pixels"}:
        return held + 2 * (several - 1)
    pixels = math.prod(problem.shape[1:])
    if guided or (several == 1 and not _in_strips(problem.observations[0])):
        return (2 if 12 * pixels < HEAP else 1) * IMAGES["derivative"] + 2.0 * (several - 1)
    if several > 1:
        return SEVERAL[0] + SEVERAL[1] * several
    return held + (IMAGES["derivative"] - held) * min(1.0, STRIP / pixels)


def _kind(o: Observation) -> str:
    if hasattr(o.degradation, "prox_where") and (not o.degradation.linear or overexposure.seen_in(o)):
        return "weighed"
    if not o.degradation.linear:
        return "pixels" if o.degradation.pixelwise else "derivative"
    if o.weight is not None:
        return "parts"
    return "noise" if o.degradation.pixelwise else "system"


def _in_strips(o: Observation) -> bool:
    """Whether a pixelwise degradation is worked on in strips: none of its unknowns is a map (`View.divisible`)."""
    return all(u.shape[-2:].numel() == 1 for u in o.degradation.unknowns(o.image, o.clean_shape).values())


def tiled(
    prior: Prior,
    shape: tuple[int, int, int],
    device: torch.device,
    limit: float | None,
    held: float = IMAGES["noise"],
) -> TiledPrior:
    """The prior for a run on (images, height, width), told how many tiles to do at once.

    `held`: how many images such a run holds at once (`images`).

    `limit` is in GB; None: all that is free. On the CPU it changes nothing but whether the run is begun, and small
    images are begun in any case.

    Raises `GdpkitError` where it is too little even for one tile at a time, with what would do.
    """
    one = TiledPrior(prior=prior)
    if device.type == "cpu" and limit is None and math.prod(shape) <= SMALL:
        return one
    allowed = memory.available(device) if limit is None else limit * GB
    least = needed(one, shape, device, held)
    if allowed is None:
        return one
    if least > allowed:
        _, height, width = shape
        need = math.ceil(10 * least / GB) / 10
        takes = f"{width}x{height} pixels with the prior {prior.name} take about {need:g} GB"
        if limit is None:
            free = f"of memory {allowed / GB:.1f} GB are free, and {takes}"
            raise GdpkitError(f"{free}; use a smaller image, or try it with --memory {need:g}")
        raise GdpkitError(f"--memory {limit:g} is too little: {takes}; --memory {need:g} would do, or a smaller image")
    if device.type == "cpu":
        return one
    work = one.work(*shape[1:])
    room = UNTOLD if work is None else 1 + int((allowed - least) / max(1, work[1] - one.weight_bytes))
    return TiledPrior(prior=prior, batch=min(room, shape[0] * len(one.tiles(*shape[1:]))))


def at_once(
    prior: Prior,
    shape: tuple[int, int, int],
    device: torch.device,
    limit: float | None,
    held: float = IMAGES["noise"],
) -> int:
    """How many problems of (images, height, width) fit into the memory, each with a tile in work: 1 to MOST."""
    allowed = memory.available(device) if limit is None else limit * GB
    if allowed is None:
        return 1
    one = TiledPrior(prior=prior)
    fits = (n for n in range(MOST, 1, -1) if needed(one, (n * shape[0], *shape[1:]), device, held) <= allowed)
    return next(fits, 1)


def needed(prior: TiledPrior, shape: tuple[int, int, int], device: torch.device, held: float = IMAGES["noise"]) -> int:
    """Bytes that a run with the default sampler holds at its peak, about; without the network where it does not say."""
    work = prior.work(*shape[1:])
    weights = 0 if work is None else prior.weight_bytes  # which stay where they are between the evaluations
    image = 4 * 3 * math.prod(shape)
    most = max(held * image, EVALUATING * image + (0 if work is None else work[1] - weights))
    return int(most) + weights + (LIBRARIES if device.type == "cpu" else 0)
