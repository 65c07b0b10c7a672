"""Several photographs of one size in one batch: on a GPU the network is much quicker so.

On the CPU it would be no quicker, and take more memory; there they come one after the other.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Sequence

from gdpkit import budget, engine, memory, overexposure
from gdpkit.components import Problem, Step
from gdpkit.engine import Stated
from gdpkit.errors import GdpkitError
from gdpkit.restoration import Restoration


def most(stated: Stated) -> int:
    """How many like this one may be restored at once, as far as memory goes."""
    chosen = stated.chosen
    if chosen.device.type == "cpu" or not _independent(stated):
        return 1
    held = budget.images(stated.problem, stated.chosen.distance)
    return budget.at_once(chosen.prior, stated.problem.shape, chosen.device, stated.settings.memory, held)


def alike(one: Stated, other: Stated) -> bool:
    """Whether two can be restored at once: one size, one degradation with the same noise, one way of going about it."""
    if (type(one.task), one.settings) != (type(other.task), other.settings) or not _independent(other):
        return False
    try:
        Problem.stack([one.problem, other.problem])
    except GdpkitError:
        return False
    return True


def solve(stated: Sequence[Stated], on_step: Callable[[Step], None] | None = None) -> list[Restoration | Exception]:
    """Restore all at once; in halves where that fails, so that what one of them fails of stops no other."""
    try:
        return [*engine.solve(stated, on_step)]
    except Exception as error:
        traceback.clear_frames(error.__traceback__)  # which hold the tensors of what failed, as long as it is told of
        if len(stated) == 1:
            return [error]
        short = memory.is_shortage(error)
    half = len(stated) // 2
    results = solve(stated[:half], on_step) + solve(stated[half:], on_step)
    if short:
        note = f"memory ran out with {len(stated)} images at once, so fewer were restored together"
        for result in results:
            if isinstance(result, Restoration):
                result.notes = (*result.notes, note)
    return results


def _independent(stated: Stated) -> bool:
    """Whether a sampler treats an image alike in any company: levels that it tells from the curvature are the batch's.

    Of linear degradations without unknowns, where all pixels count, the curvature is the same for all images.
    """
    return not stated.problem.losses and all(
        o.degradation.linear
        and o.weight is None
        and not overexposure.seen_in(o)
        and not o.degradation.unknowns(o.image, o.clean_shape)
        for o in stated.problem.observations
    )
