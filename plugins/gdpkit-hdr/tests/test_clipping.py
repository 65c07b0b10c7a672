"""`hdr`: clipped channels accuse nothing of having moved, and cast no colour where one exposure alone is left."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from gdpkit_hdr import merging, motion, response, surmise
from gdpkit_hdr.response import Fit, Response
from numpy.typing import NDArray

Array = NDArray[Any]
HEIGHT, WIDTH = 96, 128
STOPS = (-2.0, 0.0, 2.0)
SKY = np.array([0.6, 0.9, 1.6], np.float32)  # the middle exposure clips its blue
HOLE = (slice(24, 40), slice(76, 92))


def scene() -> Array:
    """A dark half of every level that the middle exposure shows, and a blue sky that falls off downwards."""
    rng = np.random.default_rng(0)
    light = 0.18 * 2.0 ** rng.uniform(-3, 2.35, (HEIGHT // 4, WIDTH // 4, 3))
    light = light.repeat(4, axis=0).repeat(4, axis=1).astype(np.float32)
    light[:, WIDTH // 2 :] = SKY * np.linspace(1.1, 0.9, HEIGHT, dtype=np.float32)[:, None, None]
    return light


def exposures(light: Array) -> list[Array]:
    return [(np.round(255 * response.encoded(light * 2.0**s)) / 255).astype(np.float32) for s in STOPS]


def alike(images: list[Array]) -> list[Array]:
    return [response.encoded(response.decoded(i) / 2.0**s) for i, s in zip(images, STOPS, strict=True)]


def whole() -> list[NDArray[np.bool_]]:
    return [np.ones((HEIGHT, WIDTH), bool) for _ in STOPS]


def exact() -> Fit:
    stops = np.array(STOPS)
    return Fit(Response(np.zeros((3, response.BENDS))), stops, stops, np.zeros((3, 3)), (True, True), 0.0)


def told(seen: list[merging.Seen]) -> Array:
    """The light by weight of all exposures, as far as they are no bounds."""
    total, mean = np.full_like(seen[0].image, 1e-9), np.zeros_like(seen[0].image)
    for one in seen:
        weight = np.where(one.image < 1, one.weight, 0) / one.sigma**2
        total += weight
        mean += weight * response.decoded(one.image) / one.gain
    found: Array = mean / total
    return found


def test_a_partly_clipped_reference_accuses_nothing_of_having_moved() -> None:
    """Where its blue is clipped a camera's red and green are wrong too, as it mixes channels."""
    light = scene()
    light[:, WIDTH // 2 :] *= 0.4
    light[HOLE] *= 1.8
    images = exposures(light)
    assert images[1][HOLE][..., 2].min() == 1
    images[1][HOLE][..., :2] *= np.array([0.8, 1.15], np.float32)
    found = motion.moved(images, alike(images), whole(), 1)
    assert not found[0].any()


def test_a_white_thing_that_only_the_longest_exposure_shows_has_moved() -> None:
    light = scene()
    light[:, : WIDTH // 2] = 0.02
    images = exposures(light)
    images[2][30:60, 10:40] = 1
    found = motion.moved(images, alike(images), whole(), 1)
    assert found[2][33:57, 13:37].all()


def test_a_sky_goes_on_where_the_short_exposure_moved() -> None:
    light = scene()
    images = exposures(light)
    images[0][HOLE] = 0.02
    seen = merging.seen(images, whole(), [(0.0, 0.5)] * 3, exact(), 1)
    assert seen[0].moved[HOLE].all()
    ratio = told(seen)[HOLE] / light[HOLE]
    assert np.abs(np.log(ratio)).max() < 0.1


def test_a_sky_goes_on_without_a_seam_where_the_short_exposure_ends() -> None:
    """Though the response says a tenth more light of it than is true."""
    light = scene()[:, ::-1].copy()
    images, valid = exposures(light), whole()
    images[0][:, :9] = images[0][:, 9:10]
    images[0] = response.encoded(1.1 * response.decoded(images[0]))
    valid[0][:, :9] = False
    merged = told(merging.seen(images, valid, [(0.0, 0.5)] * 3, exact(), 1))
    across = np.abs(np.diff(np.log(merged[:, :40]), axis=1))
    assert across.max() < 0.03
    assert np.abs(np.log(merged[:, :9] / light[:, :9])).max() < 0.15


def test_a_window_is_not_yellow_where_the_middle_exposure_rolls_its_blue_off() -> None:
    """A camera's 0.90 is far more light than sRGB's curve says; red and green are clipped there, and blue is not."""
    light = scene()
    light[HOLE] = np.array([3.0, 2.9, 2.8], np.float32)
    images = exposures(light)
    images[1][HOLE] = np.array([1.0, 0.94, 0.90], np.float32)
    found = told(merging.seen(images, whole(), [(0.0, 3.0), (0.0, 1.0), (0.0, 1.0)], exact(), 1))[HOLE]
    assert np.abs(np.log(found / light[HOLE])).max() < 0.1


def test_values_are_continued_smoothly_and_known_ones_stay() -> None:
    ramp = np.linspace(0, 1, WIDTH, dtype=np.float32)[None, :, None].repeat(HEIGHT, axis=0)
    known = np.ones((HEIGHT, WIDTH), bool)
    known[:, 40:60] = False
    filled = surmise.filled(np.where(known[..., None], ramp, 7), known)
    np.testing.assert_allclose(filled[known], ramp[known], atol=1e-6)
    assert np.abs(filled - ramp).max() < 0.1


def test_what_every_exposure_clips_rises_from_its_rim() -> None:
    """Though noise hides that half of its values are clipped, and nothing else is touched."""
    light = np.kron(scene(), np.ones((4, 4, 1), np.float32))
    rows, columns = slice(96, 160), slice(304, 368)
    light[rows, columns] = 5
    noise = np.random.default_rng(1).normal(0, 5 / 255, light.shape).astype(np.float32)
    images = [np.clip(response.encoded(light * 2.0**s) + noise, 0, 1).astype(np.float32) for s in STOPS]
    valid = [np.ones(light.shape[:2], bool)] * 3
    seen = merging.seen(images, valid, [(0.0, 5.0)] * 3, exact(), 1)
    least, likely = merging.bound(seen), merging.risen(seen)
    assert np.median(likely[120:136, 328:344]) == pytest.approx(16)
    assert np.median(likely[128, 304, :]) < 8
    np.testing.assert_allclose(likely[:80], least[:80])
