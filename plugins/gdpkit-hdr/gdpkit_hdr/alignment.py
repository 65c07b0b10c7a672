"""Handheld brackets: how each exposure lies on the reference."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

COARSE = 96  # least side in pixels of the coarsest level
FINEST = 1600  # longer side of the finest: larger ones add nothing that ECC has not found
FARTHEST, MOST_TURNED = 0.2, 10.0  # of the longer side, and degrees: more is no handheld bracket
DARK, WHITE = 4 / 255, 250 / 255
LEAST_SHARED = 0.02  # of the pixels must be seen by both exposures, inside the range
BETTER = 0.01  # in correlation: less is no reason to move anything
LEAST_ALIKE = 0.3
EDGE = 1e-3
NOISY = 2.0  # times its median, local contrast is more than noise
JUDGED = 640  # longer side, at most, of what is compared at the end: in larger ones noise and fine blur would decide
SMALL, LEAST_TOLD, SAME = 24, 0.1, 0.6  # longer side, share of the pixels and correlation by which scenes are told


@dataclass(frozen=True, eq=False)
class Placed:
    """One exposure in the frame of the reference.

    image: (H, W, 3). valid: (H, W), where the exposure reaches.
    shift: in pixels, and turn: in degrees, of the exposure against the reference; 0 where it was not moved.
    trusted: whether what the two share sufficed to tell.
    """

    image: Array
    valid: NDArray[np.bool_]
    shift: tuple[float, float] = (0.0, 0.0)
    turn: float = 0.0
    trusted: bool = True


def align(images: Sequence[Array], reference: int) -> list[Placed]:
    """Place exposures, in order of brightness, encoded (H, W, 3), on images[reference]: shift and small rotation.

    Each is compared with the nearest one in brightness that lies already, both brought to the same brightness by their
    histograms, over the pixels that both see (ECC: Evangelidis and Psarakis, "Parametric image alignment using
    enhanced correlation coefficient maximization", TPAMI 2008), from coarse to fine. A movement counts only if the
    pixels shared then agree better: frames with nothing in common, such as black ones, stay where they are.
    """
    greys = [cv2.cvtColor(np.ascontiguousarray(i), cv2.COLOR_RGB2GRAY) for i in images]
    warps: dict[int, NDArray[np.float32] | None] = {reference: np.eye(2, 3, dtype=np.float32)}
    order = [*range(reference - 1, -1, -1), *range(reference + 1, len(images))]
    for k in order:
        step = 1 if k < reference else -1
        chain = [reference] if abs(k - reference) == 1 else [k + step, reference]
        warps[k] = None
        for other in chain:
            known = warps[other]
            if known is None:
                continue
            found = _between(greys[other], greys[k])
            if found is not None:
                warps[k] = _refined(greys[reference], greys[k], _then(known, found)) if other != reference else found
                break
    return [_placed(image, warps[k], k == reference) for k, image in enumerate(images)]


def unrelated(one: Array, other: Array) -> bool:
    """Whether two exposures, encoded (H, W, 3), show different scenes, for all that they share.

    Seen small, where neither noise nor a movement of the camera counts for much, exposures of one scene have their
    bright and dark places in common. Too few pixels inside the range tell nothing.
    """
    greys = [cv2.cvtColor(np.ascontiguousarray(i), cv2.COLOR_RGB2GRAY) for i in (one, other)]
    scale = SMALL / max(greys[0].shape)
    width, height = (max(4, round(side * scale)) for side in greys[0].shape[1::-1])
    still, moving = (cv2.resize(g, (width, height), interpolation=cv2.INTER_AREA) for g in greys)
    matched, inside = _matched(moving, still)
    if inside.mean() < LEAST_TOLD:
        return False
    reach = max(1, int(FARTHEST * SMALL / 2))
    best = -1.0
    for dy in range(-reach, reach + 1):
        for dx in range(-reach, reach + 1):
            here = (slice(max(0, dy), height + min(0, dy)), slice(max(0, dx), width + min(0, dx)))
            there = (slice(max(0, -dy), height + min(0, -dy)), slice(max(0, -dx), width + min(0, -dx)))
            both = inside[there]
            a, b = still[here][both], matched[there][both]
            if len(a) >= LEAST_TOLD * width * height and min(a.std(), b.std()) > 1 / 255:
                best = max(best, float(np.corrcoef(a, b)[0, 1]))
    return best < SAME


def _placed(image: Array, warp: NDArray[np.float32] | None, is_reference: bool) -> Placed:
    height, width = image.shape[:2]
    whole = np.ones((height, width), bool)
    if warp is None or is_reference:
        return Placed(image, whole, trusted=warp is not None)
    turn = math.degrees(math.atan2(warp[1, 0], warp[0, 0]))
    middle = np.array([width / 2, height / 2])
    shift = warp[:, :2] @ middle + warp[:, 2] - middle
    # Below a twentieth of a pixel at the corners interpolation would cost more than it mends.
    if np.abs(shift).max() < 0.05 and abs(math.radians(turn)) * max(height, width) / 2 < 0.05:
        return Placed(image, whole)
    flags = cv2.WARP_INVERSE_MAP
    # Cubic interpolation overshoots at edges; a value outside the range could not have been recorded.
    moved = cv2.warpAffine(image, warp, (width, height), flags=cv2.INTER_CUBIC | flags, borderMode=cv2.BORDER_REPLICATE)
    # Beyond its end by less than a pixel a frame tells more than a dark one, whose noise would be a line of colours.
    more, around = warp + np.array([[0, 0, 1], [0, 0, 1]], np.float32), np.ones((height + 2, width + 2), np.float32)
    reach = cv2.warpAffine(around, more, (width, height), flags=cv2.INTER_LINEAR | flags)
    return Placed(moved.clip(0, 1), reach > 1 - EDGE, (float(shift[0]), float(shift[1])), turn)


def _then(first: NDArray[np.float32], second: NDArray[np.float32]) -> NDArray[np.float32]:
    """Reference -> other -> exposure."""
    a, b = (np.vstack([w, [0, 0, 1]]) for w in (first, second))
    joined: NDArray[np.float32] = (b @ a)[:2].astype(np.float32)
    return joined


def _between(reference: Array, moving: Array) -> NDArray[np.float32] | None:
    """The warp from pixels of the reference to those of the moving frame; None where they share too little."""
    return _refined(reference, moving, None)


def _refined(reference: Array, moving: Array, start: NDArray[np.float32] | None) -> NDArray[np.float32] | None:
    height, width = reference.shape
    levels = max(0, int(math.log2(max(1, min(height, width) / COARSE))))
    warp = np.eye(2, 3, dtype=np.float32) if start is None else start.copy()
    matched, inside = _matched(moving, reference)
    if inside.mean() < LEAST_SHARED:
        return None if start is None else start
    warp[:, 2] /= 2**levels
    for level in range(levels, -1, -1):
        if level == levels or max(height, width) / 2**level <= FINEST:
            size = (max(8, width >> level), max(8, height >> level))
            still, moved = (cv2.resize(i, size, interpolation=cv2.INTER_AREA) for i in (reference, matched))
            known = cv2.resize(inside.astype(np.float32), size, interpolation=cv2.INTER_AREA)
            if level == levels and start is None:
                warp = _searched(still, moved, known)
            warp = _climbed(still, moved, known, warp)
        if level:
            warp[:, 2] *= 2
    shift = np.abs(warp[:, :2] @ [width / 2, height / 2] + warp[:, 2] - [width / 2, height / 2]).max()
    turn = abs(math.degrees(math.atan2(warp[1, 0], warp[0, 0])))
    unmoved = np.eye(2, 3, dtype=np.float32)
    before, after = (_judged(reference, matched, inside, w) for w in (unmoved, warp))
    believable = shift <= FARTHEST * max(height, width) and turn <= MOST_TURNED
    if believable and after >= max(before + BETTER * (1 - before), LEAST_ALIKE):
        return warp
    return unmoved if before >= LEAST_ALIKE else (None if start is None else start)


def _matched(moving: Array, reference: Array) -> tuple[Array, NDArray[np.bool_]]:
    """The moving frame at the brightness of the reference, by histograms, and where both scales are inside the range.

    Movement hardly changes a histogram, and no response or shutter time need be known.
    """
    ranks = np.linspace(0, 1, 1025)
    a, b = np.quantile(moving, ranks), np.quantile(reference, ranks)
    distinct = np.concatenate([[True], np.diff(a) > 1e-6])
    matched = np.interp(moving, a[distinct], b[distinct]).astype(np.float32)
    inside = (moving > DARK) & (moving < WHITE) & (matched > DARK) & (matched < WHITE)
    return matched, inside


def _contrast(image: Array) -> Array:
    """Local contrast: what is left without the brightness around, in units of its own spread.

    What is less than usual stays less: in the dark it is noise, of which there may be more than of anything else.
    """
    sigma = 4.0
    base = cv2.GaussianBlur(image, (0, 0), sigma)
    detail = image - base
    spread = cv2.GaussianBlur(detail * detail, (0, 0), 2 * sigma)
    floor = max(2 / 255, NOISY * math.sqrt(float(np.median(spread))))
    contrast: Array = detail / np.sqrt(spread + floor**2)
    return contrast


def _searched(still: Array, moved: Array, known: Array) -> NDArray[np.float32]:
    """The shift of the highest phase correlation of what both see; none where that does not agree better."""
    warp = np.eye(2, 3, dtype=np.float32)
    window = cv2.createHanningWindow(still.shape[::-1], cv2.CV_32F)
    a, b = (_contrast(i) * (known > 0.5) * window for i in (still, moved))
    if not (a.any() and b.any()):
        return warp
    # cv2.phaseCorrelate takes the peak of whitened spectra; damping keeps frequencies of noise from deciding.
    cross = np.fft.rfft2(a) * np.conj(np.fft.rfft2(b))
    peak = np.fft.irfft2(cross / (np.abs(cross) + 0.1 * np.abs(cross).mean()), s=a.shape)
    height, width = a.shape
    reach = int(FARTHEST * max(height, width))
    rows, columns = np.arange(height), np.arange(width)
    near = (np.minimum(rows, height - rows) <= reach)[:, None] & (np.minimum(columns, width - columns) <= reach)
    y, x = np.unravel_index(int(np.where(near, peak, -np.inf).argmax()), peak.shape)
    dy, dx = (-(int(v) - n if v > n // 2 else int(v)) for v, n in ((y, height), (x, width)))
    candidate = warp.copy()
    candidate[:, 2] = dx, dy
    inside = known > 0.5
    better = _agreement(still, moved, inside, candidate) > _agreement(still, moved, inside, warp)
    return candidate if better else warp


def _climbed(still: Array, moved: Array, known: Array, warp: NDArray[np.float32]) -> NDArray[np.float32]:
    """ECC from a start; the start where it does not converge."""
    mask = (known > 0.9).astype(np.uint8)
    # The mask is that of the frame at rest; that of the moving one is warped along with it, roughly.
    shape = still.shape[::-1]
    reach = cv2.warpAffine(mask, warp, shape, flags=cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP)
    if int(reach.sum()) < 100:
        return warp
    try:
        criteria = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 60, 1e-5)
        _, found = cv2.findTransformECC(
            _contrast(still), _contrast(moved), warp.copy(), cv2.MOTION_EUCLIDEAN, criteria, reach, 5
        )
    except cv2.error:
        return warp
    return np.asarray(found, np.float32) if np.isfinite(found).all() else warp


def _judged(still: Array, moved: Array, inside: NDArray[np.bool_], warp: NDArray[np.float32]) -> float:
    """The agreement of two frames, made smaller where they are large."""
    level = max(0, math.ceil(math.log2(max(still.shape) / JUDGED)))
    size = (still.shape[1] >> level, still.shape[0] >> level)
    small = [cv2.resize(i, size, interpolation=cv2.INTER_AREA) for i in (still, moved, inside.astype(np.float32))]
    scaled = warp.copy()
    scaled[:, 2] /= 2**level
    return _agreement(small[0], small[1], small[2] > 0.5, scaled)


def _agreement(still: Array, moved: Array, inside: NDArray[np.bool_], warp: NDArray[np.float32]) -> float:
    """Correlation of local contrasts where both frames see, -1 to 1; 0 where they share nothing."""
    shape = still.shape[::-1]
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    known = cv2.warpAffine(inside.astype(np.float32), warp, shape, flags=flags) > 0.99
    if known.sum() < 100:
        return 0.0
    a, b = _contrast(still)[known], cv2.warpAffine(_contrast(moved), warp, shape, flags=flags)[known]
    a, b = a - a.mean(), b - b.mean()
    return float((a * b).mean() / max(1e-9, float(np.sqrt((a * a).mean() * (b * b).mean()))))
