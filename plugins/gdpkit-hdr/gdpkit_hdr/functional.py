"""The problem that a bracket poses, and the picture made of its solution."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gdpkit import GdpkitError, Observation, Result, exposure
from gdpkit.degradations.expose import Expose
from gdpkit_hdr import bracket, merging, rendering, tone
from gdpkit_hdr.bracket import Bracket, BracketProblem

Array = NDArray[Any]

STRAY = 2e-5
"""How much M may differ from cell to cell, in the light of white: exposures of one scene have like stray light."""


def problem(sources: Sequence[Any], times: Sequence[float], align: bool, half: bool) -> BracketProblem:
    """One observation for each exposure; f of the reference is 1, and the others' are fitted from the guess on."""
    made, frame, notes = bracket.prepare(sources, times, align, half)
    observations = []
    for k, one in enumerate(made.seen):
        curve: dict[str, Any] = {"tone": "log", "stops": made.curve.stops}
        if k == made.reference:  # its f is the unit of the others
            model = Expose(gain=made.curve.white, map="none", **curve)
        else:
            model = Expose(start=made.curve.white * one.gain, map="smooth", smoothness=STRAY, **curve)
        observations.append(Observation(_tensor(one.image), model, max(one.sigma, 1e-3), _tensor(one.weight)))
    picture = replace(frame.picture, notes=(*frame.picture.notes, *notes))
    return BracketProblem(tuple(observations), source=picture, unknowns_beside=False, bracket=made)


def radiance(result: Result, burnt: bool) -> Tensor:
    """(B, 3, H, W) linear light in units of the reference's white, no less than clipped values say.

    With `burnt`, what every exposure clips is as bright as is likely; a picture shows it white in any case.
    """
    made = _bracket(result)
    light = made.curve.white * exposure.to_radiance(result.image, "log", made.curve.stops).clamp_min(0)
    least = merging.risen(made.seen) if burnt else merging.bound(made.seen)
    return torch.maximum(light, _tensor(least).to(light))


def toned(light: Tensor, result: Result, how: str, target: float | None) -> Tensor:
    """A picture of the radiance, (B, 3, H, W) in [0, 1]."""
    made = _bracket(result)
    array = np.ascontiguousarray(light[0].permute(1, 2, 0).cpu().numpy(), dtype=np.float32)
    if how == "fusion":
        picture = tone.fused(rendering.exposures(array, made))
    elif how == "reference":
        picture = rendering.developed(array, made, made.reference)
    else:
        gains = [one.gain for one in made.seen]
        picture = tone.photographic(array) if how == "photographic" else tone.logarithmic(array, max(gains))
    if target is not None:
        picture = tone.at_mean(picture, target)
    return _tensor(picture)


def _bracket(result: Result) -> Bracket:
    made = getattr(result.problem, "bracket", None)
    if not isinstance(made, Bracket):
        raise GdpkitError("hdr finishes the problems that it stated itself")
    return made


def _tensor(array: Array) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(array.transpose(2, 0, 1), dtype=np.float32))[None]
