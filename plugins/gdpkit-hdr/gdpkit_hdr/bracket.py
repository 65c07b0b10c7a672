"""A bracket made ready: read, in order of brightness, aligned, with its response, ratios and noise."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from gdpkit import GdpkitError, Problem, estimate
from gdpkit_hdr import alignment, curves, margins, merging, noise, reading, response
from gdpkit_hdr.merging import Curve, Seen
from gdpkit_hdr.reading import Frame
from gdpkit_hdr.response import Fit, Response

Array = NDArray[Any]

POWER = (0.5, 1.7)  # how much farther apart pixels may be by sRGB's curve than the times say: cameras add contrast
OFF = 0.75  # stops by which a step may differ, or this share of it
OFF_SHARE = 0.35


@dataclass(frozen=True, eq=False)
class Bracket:
    """What tone mapping knows of the exposures, from dark to bright.

    images: (H, W, 3), encoded as recorded, aligned. valid: (H, W). noise: (gain, read) in 0..255.
    """

    images: tuple[Array, ...]
    valid: tuple[NDArray[np.bool_], ...]
    noise: tuple[tuple[float, float], ...]
    fit: Fit
    reference: int
    seen: tuple[Seen, ...]
    curve: Curve


@dataclass(frozen=True, eq=False)
class BracketProblem(Problem):
    """The problem with what it was made of, for `finish`."""

    bracket: Bracket | None = None


def prepare(
    sources: Sequence[Any], times: Sequence[float], align: bool, half: bool
) -> tuple[Bracket, Frame, list[str]]:
    """The bracket, the frame whose size and place the output has, and sentences about what was assumed."""
    frames, notes = reading.read(sources, times, half)
    order = response.order([f.encoded for f in frames])
    frames = [frames[k] for k in order]
    pixels = [f.encoded for f in frames]
    reference = _reference(frames)
    placed = alignment.align(pixels, reference) if align and len(frames) > 1 else None
    if placed is not None:
        _check_scene(frames, placed, reference)
        pixels = [p.image for p in placed]
        notes += _told(frames, placed)
    valid = [p.valid for p in placed] if placed is not None else [np.ones(p.shape[:2], bool) for p in pixels]
    valid = [known & ~margins.filled(image, known) for image, known in zip(pixels, valid, strict=True)]
    own = [_noise(f.encoded, f.picture.rounding_sigma) for f in frames]
    fit = _fit(frames, pixels, valid, own, notes, told=bool(times))
    sigmas = noise.lines(pixels, valid, placed, fit, own)
    seen = merging.seen(pixels, valid, sigmas, fit, reference)
    share = max(float(s.moved.mean()) for s in seen)
    if share > 0.002:
        notes.append(
            f"something moved (up to {share:.1%} of the picture): {frames[reference].name} alone is followed there"
        )
    curve = merging.curve([s.gain for s in seen])
    made = Bracket(tuple(pixels), tuple(valid), tuple(sigmas), fit, reference, tuple(seen), curve)
    return made, frames[reference], notes


def _reference(frames: Sequence[Frame]) -> int:
    """The middle exposure; of two in the middle the one that tells more."""
    count = len(frames)
    if count % 2:
        return count // 2
    return max(count // 2 - 1, count // 2, key=lambda k: frames[k].telling)


def _check_scene(frames: Sequence[Frame], placed: Sequence[alignment.Placed], reference: int) -> None:
    """Raise for a frame that cannot be aligned because it shows something else."""
    for k, place in enumerate(placed):
        near = frames[k + 1 if k < reference else k - 1]
        if not place.trusted and alignment.unrelated(near.encoded, frames[k].encoded):
            raise GdpkitError(
                f"{near.name} and {frames[k].name} do not look like exposures of one scene; give those of one bracket, "
                "or --no-align to merge them as they are"
            )


def _told(frames: Sequence[Frame], placed: Sequence[alignment.Placed]) -> list[str]:
    largest = max(placed, key=lambda p: math.hypot(*p.shift))
    lost = [f.name for f, p in zip(frames, placed, strict=True) if not p.trusted]
    notes = []
    if math.hypot(*largest.shift) >= 1:
        notes.append(
            f"the camera moved by up to {math.hypot(*largest.shift):.0f} pixels and {abs(largest.turn):.1f} degrees "
            "between the exposures, which was undone"
        )
    if lost:
        notes.append(f"{', '.join(lost)} shares too little with the others to tell whether it moved; it stays as it is")
    return notes


def _noise(encoded: Array, rounding: float) -> tuple[float, float]:
    gain, read = estimate.noise_line(torch.from_numpy(encoded).permute(2, 0, 1)[None])
    return gain, max(read, noise.LEAST if rounding > 0.1 else 0.05)


def _fit(
    frames: Sequence[Frame],
    pixels: Sequence[Array],
    valid: Sequence[NDArray[np.bool_]],
    noise: Sequence[tuple[float, float]],
    notes: list[str],
    told: bool,
) -> Fit:
    """Ratios from the times where the pixels agree with them, else from the pixels, as far as these tell any."""
    count = len(frames)
    if count == 1:
        one = np.zeros(1)
        return Fit(Response(np.zeros((3, curves.BENDS))), one, one, np.zeros((1, 3)), (), 0.0)
    sigmas = [math.hypot(read, math.sqrt(128 * gain)) / 255 for gain, read in noise]
    lights = [f.light for f in frames]
    given = None if None in lights else [math.log2(light) for light in lights if light is not None]
    source = "--times" if told else "the files"
    if given is None:
        fit = response.fit(pixels, valid, None, sigmas)
        _check_seen(frames, fit)
        notes.append(
            f"no exposure times are known; the pixels and what cameras' curves are like say {_ratios(fit)}, which is a "
            "guess (--times sets them)"
        )
        return fit
    fit = response.fit(pixels, valid, given, sigmas)
    if not _contradict(given, fit):
        return fit
    steps = np.where(fit.seen, np.diff(fit.plain), np.diff(given))  # pixels tell nothing of pairs that share none
    told_by_pixels = None if all(fit.seen) else [0.0, *np.cumsum(steps).tolist()]
    free = response.fit(pixels, valid, told_by_pixels, sigmas)
    says = " : ".join(f"{2 ** (s - min(given)):.3g}" for s in given)
    notes.append(f"the exposures are {says} by {source}, but the pixels say {_ratios(free)}, and these are followed")
    return free


def _check_seen(frames: Sequence[Frame], fit: Fit) -> None:
    for k, seen in enumerate(fit.seen):
        if not seen:
            pair = f"{frames[k].name} and {frames[k + 1].name}"
            raise GdpkitError(f"{pair} have no pixel that both saw, so their ratio cannot be estimated; give --times")


def _ratios(fit: Fit) -> str:
    return " : ".join(f"{2 ** (s - fit.stops.min()):.3g}" for s in fit.stops)


def _contradict(given: Sequence[float], fit: Fit) -> bool:
    """Whether times and pixels cannot both be right: another order, or steps that no camera's contrast explains."""
    known = [k for k, seen in enumerate(fit.seen) if seen]
    if not known:
        return False
    wanted = np.diff(given)[known]
    found = np.diff(fit.plain)[known]
    if np.abs(wanted).sum() < 0.1:
        return bool(np.abs(found).sum() > OFF)
    power = float(found.sum() / wanted.sum()) if wanted.sum() else math.inf
    if not POWER[0] <= power <= POWER[1]:
        return bool(np.abs(found - wanted).max() > OFF / 2)
    off = np.abs(found / power - wanted)
    return bool((off > np.maximum(OFF, OFF_SHARE * np.abs(wanted))).any())
