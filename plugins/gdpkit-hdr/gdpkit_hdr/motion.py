"""What moved between the exposures: where one contradicts the reference, the reference alone is believed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from gdpkit_hdr import channels

Array = NDArray[Any]
Mask = NDArray[np.bool_]

SURE, LIKELY = 2.0, 1.0
"""How often what is usual two exposures differ where one moved, and how often beside such a place."""
LEAST_USUAL = 0.03  # of the encoded range: smaller differences are not seen as ghosts
USUAL = 4.0  # robust deviations
LEVELS = 12
DARK, WHITE = 0.02, 0.97
BLUR = 1.5  # pixels; what moves is larger than a pixel, noise is not
SAMPLES = 6000
LEAST_SAMPLES = 400
ROUNDS = 5
STRIP = 2**14  # pixels
SPECK = 3e-5  # of the picture; a smaller place is no thing that moved
GROWN = 1 / 200  # of the longer side, by which a place grows: the edge of a thing is part of it
BEYOND, FAR_BEYOND = 0.1, 0.25  # of the encoded range, by which a bound must be broken; of some channels alone


def moved(images: Sequence[Array], alike: Sequence[Array], valid: Sequence[Mask], reference: int) -> list[Mask]:
    """Where each exposure shows something else than the reference, (H, W); nowhere for the reference itself.

    One exposure tells what the other should be: by a polynomial of its three channels, fitted to the picture so that
    most of it agrees. So cameras may mix their colours as they like, and only what breaks the rule of all other pixels
    is taken to have moved. How far pixels usually are from the rule is read off the picture too, for each brightness.

    Args:
        images: encoded (H, W, 3), aligned, as they were recorded.
        alike: the same at the brightness of the reference by the response, clipped at 0 and 1.
        valid: where each reaches, (H, W).
        reference: which one is believed.
    """
    still = np.zeros(images[0].shape[:2], bool)
    found = []
    for k, image in enumerate(images):
        if k == reference:
            found.append(still)
            continue
        a, b, both = images[reference], image, valid[k] & valid[reference]
        score = np.maximum(_surprise(a, b, both), _surprise(b, a, both))
        score = np.maximum(score, _broken(a, b, alike[k]))
        found.append(_grown(np.where(both, score, 0).astype(np.float32)))
    return found


def _surprise(source: Array, target: Array, valid: Mask) -> Array:
    """How much more than usual the target differs from what the source tells, (H, W); 0 where it tells nothing.

    A pixel of which any channel is clipped, in either, tells nothing: cameras mix channels after they are clipped, so
    that the others are wrong beside it.
    """
    kernel = np.ones((3, 3), np.uint8)
    known = valid & (channels.darkest(source) > DARK / 4) & (channels.brightest(source) > DARK)
    known &= cv2.dilate(channels.brightest(np.maximum(source, target)), kernel) < WHITE
    score = np.zeros(known.shape, np.float32)
    wholes, places, rules = [], [], []
    for wanted in cv2.split(target):
        at = np.flatnonzero(known & (wanted > DARK))
        if len(at) >= LEAST_SAMPLES:
            few = at if len(at) <= SAMPLES else at[np.random.default_rng(0).integers(len(at), size=SAMPLES)]
            wholes.append(wanted)
            places.append(few)
            rules.append(_rule(_powers(source.reshape(-1, 3)[few]), wanted.ravel()[few]))
    for wanted, at, told in zip(wholes, places, _told(source, rules), strict=True):
        # Edges may lie a pixel apart after the best of alignments: what is among the neighbours is no contradiction.
        off = cv2.min(cv2.max(told, cv2.erode(wanted, kernel)), cv2.dilate(wanted, kernel))
        off = cv2.GaussianBlur(cv2.subtract(off, told, dst=off), (0, 0), BLUR)
        np.abs(off, out=off)
        there = told.ravel()[at]
        usual = _usual(np.abs(wanted.ravel()[at] - there), there)
        often = 1 / np.interp(np.linspace(0, 1, 256), np.linspace(0, 1, LEVELS), usual).astype(np.float32)
        off = cv2.multiply(off, cv2.LUT(cv2.convertScaleAbs(told, alpha=255), often))
        np.maximum(score, off * (known & (wanted > DARK)), out=score)
    return score


def _told(image: Array, rules: Sequence[Array]) -> Array:
    """What each rule makes of an image (H, W, 3), (N, H, W), in strips that a processor's cache holds."""
    pixels = image.reshape(-1, 3)
    told = np.empty((len(rules), len(pixels)), np.float32)
    every = np.array(rules, np.float32).reshape(-1, 20)
    for start in range(0, len(pixels), STRIP):
        part = slice(start, start + STRIP)
        told[:, part] = every @ _powers(pixels[part])
    return told.clip(0, 1, out=told).reshape(len(rules), *image.shape[:2])


def _powers(pixels: Array) -> Array:
    """Products of the channels up to the third degree, (N, 3) -> (20, N)."""
    r, g, b = np.ascontiguousarray(pixels.T)
    found = np.empty((20, len(r)), np.float32)
    squares = [(r, r), (g, g), (b, b), (r, g), (r, b), (g, b)]
    found[0], found[1], found[2], found[3] = 1, r, g, b
    for k, (one, other) in enumerate(squares, 4):
        np.multiply(one, other, out=found[k])
    rr, gg, bb, rg = found[4:8]
    cubes = [(rr, r), (gg, g), (bb, b), (rr, g), (rr, b), (gg, r), (gg, b), (bb, r), (bb, g), (rg, b)]
    for k, (one, other) in enumerate(cubes, 10):
        np.multiply(one, other, out=found[k])
    return found


def _rule(features: Array, wanted: Array) -> Array:
    """Coefficients by least squares, (20, N) and (N,), reweighted so that what breaks the rule does not bend it."""
    x, y = features.astype(np.float64), wanted.astype(np.float64)
    root = np.ones(len(y))  # of the weights: a product with its own transpose is the quicker one
    solution: Array = np.zeros(len(x))
    for _ in range(ROUNDS):
        w = root * x
        solution = np.linalg.solve(w @ w.T + 1e-7 * len(y) * np.eye(len(x)), w @ (root * y))
        residual = np.abs(solution @ x - y)
        root = 1 / (1 + (residual / (2 * np.median(residual) + 1e-3)) ** 2)
    return solution.astype(np.float32)


def _usual(residual: Array, level: Array) -> Array:
    """How far most pixels are from the rule, for each of LEVELS brightnesses."""
    place = (level * (LEVELS - 1)).round().astype(int)
    everywhere = float(np.median(residual))
    found = [float(np.median(residual[place == n])) if (place == n).sum() > 50 else everywhere for n in range(LEVELS)]
    return np.maximum(LEAST_USUAL, USUAL * 1.48 * np.array(found)).astype(np.float32)


def _broken(reference: Array, image: Array, alike: Array) -> Array:
    """Bounds that are broken: one is darker than the other, clipped, allows, or brighter than a black one does."""
    low, high = channels.darkest(reference), channels.brightest(reference)
    least, most = channels.darkest(alike), channels.brightest(alike)
    white, black = high >= WHITE, high <= DARK / 2
    margin = np.where(low >= WHITE, BEYOND, FAR_BEYOND)
    burnt = channels.darkest(image) >= WHITE
    darker = np.where(white & (channels.brightest(image) < WHITE), WHITE - margin - most, 0)
    darker = np.where(burnt & ~white, least - BEYOND - high, darker)
    brighter = np.where(black, least - BEYOND, 0)
    broken = np.maximum(darker, brighter).clip(0)
    score: Array = (cv2.GaussianBlur(broken, (0, 0), BLUR) / LEAST_USUAL).astype(np.float32)
    return score


def _grown(score: Array) -> Mask:
    """Likely places that hold a sure one, without specks, a little larger, and without holes."""
    likely = (score > LIKELY).astype(np.uint8)
    count, labels, stats, _ = cv2.connectedComponentsWithStats(likely, connectivity=8)
    sure = np.bincount(labels[score > SURE], minlength=count) if count > 1 else np.zeros(1)
    least = max(6.0, SPECK * score.size)
    kept = (sure >= least) & (stats[:, cv2.CC_STAT_AREA] >= 2 * least)
    kept[0] = False
    radius = max(2, round(GROWN * max(score.shape)))
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
    found = cv2.morphologyEx(kept[labels].astype(np.uint8), cv2.MORPH_CLOSE, disc, iterations=2)
    grown: Mask = cv2.dilate(found, disc) > 0
    return grown
