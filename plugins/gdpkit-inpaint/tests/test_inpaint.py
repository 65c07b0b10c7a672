"""`inpaint`: what is marked is repaired, and every other pixel comes back bit for bit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from gdpkit_inpaint import Inpaint
from numpy.typing import NDArray
from PIL import Image

from gdpkit import GdpkitError, Restoration, images, restore
from gdpkit.testing import check_task, example, picture

HEIGHT, WIDTH = 32, 40
MAGENTA = (255, 0, 255)


def photo(channels: int = 3, bits: int = 8) -> NDArray[Any]:
    """A smooth picture with noise in it, so that a pixel is like no other."""
    levels = 2**bits - 1
    smooth = images.to_array(picture(1, channels, HEIGHT, WIDTH)) * levels
    noisy = smooth + np.random.default_rng(0).normal(0, 0.01 * levels, smooth.shape)
    return noisy.round().astype(np.uint8 if bits == 8 else np.uint16)


def scratch() -> NDArray[np.bool_]:
    lost = np.zeros((HEIGHT, WIDTH), np.uint8)
    cv2.line(lost, (3, 5), (35, 26), 1, 2)
    return lost > 0


def repair(image: Any, **parameters: Any) -> Restoration:
    return restore("inpaint", image=image, **{"prior": "tv", "steps": 3, "device": "cpu", **parameters})


def written(path: Path) -> NDArray[Any]:
    """As OpenCV orders channels; OpenCV itself multiplies the colours of an 8-bit TIFF by its alpha."""
    pixels = np.asarray(cv2.imread(str(path), cv2.IMREAD_UNCHANGED))
    if pixels.dtype == np.uint8 and pixels.ndim == 3:
        with Image.open(path) as image:
            pixels = np.asarray(image)[..., [2, 1, 0, 3][: pixels.shape[2]]]
    return pixels


def save_photo(path: Path, pixels: NDArray[Any]) -> Path:
    cv2.imwrite(str(path), pixels)
    return path


@pytest.fixture
def mask(tmp_path: Path) -> Path:
    Image.fromarray(np.where(scratch(), 255, 0).astype(np.uint8)).save(tmp_path / "mask.png")
    return tmp_path / "mask.png"


def test_the_task_keeps_the_contract(tmp_path: Path, mask: Path) -> None:
    check_task(example(Inpaint, tmp_path))
    Image.fromarray(photo()).save(tmp_path / "photo.png")
    check_task(Inpaint(image=tmp_path / "photo.png", mask=mask))


@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("bits", [8, 16])
def test_what_is_not_marked_comes_back_bit_for_bit(
    bits: int, channels: int, suffix: str, tmp_path: Path, mask: Path
) -> None:
    before = photo(min(channels, 3), bits)
    if channels == 4:
        before = np.dstack([before, photo(1, bits)])
    source = save_photo(tmp_path / f"photo{suffix}", before)
    result = repair(source, mask=mask)
    notes = result.save(tmp_path / f"clean{suffix}")
    after = written(tmp_path / f"clean{suffix}")
    assert (after.dtype, after.shape, notes) == (before.dtype, before.shape, ())
    assert np.array_equal(after[~scratch()], before[~scratch()])
    assert (after[scratch()][:, :3] != before[scratch()][:, :3]).mean() > 0.5 if channels > 1 else True
    if channels == 4:
        assert np.array_equal(after[..., 3], before[..., 3])


def test_metadata_are_kept_and_a_mask_fits_the_picture_as_it_is_seen(tmp_path: Path, mask: Path) -> None:
    """A camera held upright stores the picture on its side: the mask is drawn on what a viewer shows."""
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "Maker"
    stored = np.ascontiguousarray(np.rot90(photo()))
    Image.fromarray(stored).save(tmp_path / "photo.png", exif=exif)
    repair(tmp_path / "photo.png", mask=mask).save(tmp_path / "clean.png")
    with Image.open(tmp_path / "clean.png") as clean:
        assert (clean.size, clean.getexif()[0x010F], clean.getexif()[0x0112]) == ((WIDTH, HEIGHT), "Maker", 1)
        assert np.array_equal(np.asarray(clean)[~scratch()], photo()[~scratch()])


def test_a_format_that_changes_every_pixel_says_so(tmp_path: Path, mask: Path) -> None:
    result = repair(photo(), mask=mask)
    assert any("changes every pixel a little" in note for note in result.save(tmp_path / "clean.jpg"))
    assert not any("changes every pixel" in note for note in result.save(tmp_path / "clean.webp"))


def test_what_was_lost_is_nearer_to_the_truth_and_has_no_seam() -> None:
    truth = images.to_array(picture(1, 3, HEIGHT, WIDTH))
    seen = np.where(scratch()[..., None], 1.0, truth)
    found = repair(seen, mask=scratch(), prior="embedded", steps=10).image
    assert np.abs(found - truth).max() < 0.1 * np.abs(seen - truth).max()


def test_a_marked_colour_is_the_mask() -> None:
    marked = np.where(scratch()[..., None], np.uint8(MAGENTA), photo())
    by_mask = repair(marked, mask=scratch()).image
    for color in ("ff00ff", "#FF00FF"):
        assert np.array_equal(repair(marked, color=color).image, by_mask)


def test_tolerance_takes_in_what_a_codec_made_of_the_colour() -> None:
    marked = np.where(scratch()[..., None], np.uint8([250, 6, 251]), photo())
    assert np.array_equal(repair(marked, color="ff00ff", tolerance=6).image, repair(marked, mask=scratch()).image)


def test_mask_and_colour_together_mark_more() -> None:
    spots = np.zeros((HEIGHT, WIDTH), bool)
    spots[28:31, 2:6] = True
    marked = np.where(scratch()[..., None], np.uint8(MAGENTA), photo())
    both = repair(marked, mask=spots, color="ff00ff")
    assert np.array_equal(both.image, repair(marked, mask=spots | scratch()).image)


def test_grow_reaches_around_the_marked_pixels_and_no_further() -> None:
    dot = np.zeros((HEIGHT, WIDTH), bool)
    dot[10, 10] = True
    found = repair(photo(), mask=dot, grow=1)
    changed = ((255 * found.image).round().astype(np.uint8) != photo()).any(axis=2)
    assert changed[9:12, 9:12].sum() > 4
    changed[9:12, 9:12] = False
    assert not changed.any()


def test_inverted_all_that_is_not_white_is_repaired() -> None:
    rim = np.where(scratch(), 0, 255).astype(np.uint8)
    rim[0, 0] = 200
    wanted = scratch()
    wanted[0, 0] = True
    assert np.array_equal(repair(photo(), mask=rim, invert=True).image, repair(photo(), mask=wanted).image)


def test_the_paper_preset_keeps_the_other_pixels_too() -> None:
    result = repair(photo(), mask=scratch(), preset="paper")
    assert result.record["sampler"] == "gdp"
    assert np.array_equal((255 * result.image).round().astype(np.uint8)[~scratch()], photo()[~scratch()])


def test_a_large_hole_is_told_where_the_prior_sees_only_what_is_near() -> None:
    hole = np.zeros((HEIGHT, WIDTH), bool)
    hole[3:29, 6:32] = True
    notes = repair(photo(), mask=hole, steps=1, prior="embedded").notes
    assert len(notes) == 1 and "a hole is 26 pixels wide" in notes[0] and "says nothing of what was there" in notes[0]
    assert repair(photo(), mask=scratch(), steps=1, prior="embedded").notes == ()
    assert repair(photo(), mask=hole, steps=1, prior="gaussian:length=20").notes == ()


def test_a_mask_that_marks_nearly_everything_may_be_the_wrong_way_round() -> None:
    (note,) = repair(photo(), mask=~scratch(), steps=1).notes
    assert "--invert" in note


@pytest.mark.parametrize(
    ("parameters", "reason"),
    [
        ({}, "inpaint needs --mask FILE, where white marks what is lost, or --color RRGGBB"),
        ({"mask": np.ones((40, 32), bool)}, "is 32x40 pixels, but the array is 40x32, after it was turned upright"),
        ({"mask": np.ones((30, 32), bool)}, "is 32x30 pixels, but the array is 40x32; draw the mask on the photograph"),
        ({"mask": np.zeros((HEIGHT, WIDTH), bool)}, "black all over, so nothing is marked to be repaired"),
        ({"mask": np.ones((HEIGHT, WIDTH), bool)}, "marks all of the photograph"),
        ({"mask": scratch(), "grow": 64}, "is marked: nothing is left to repair it from; less --grow"),
        ({"mask": Path("nowhere.png")}, "nowhere.png: there is no such file"),
        ({"color": "ff00f"}, "--color must be six hexadecimal digits, such as ff00ff, not 'ff00f'"),
        ({"color": "magenta"}, "--color must be six hexadecimal digits"),
        (
            {"color": "ff00ff", "tolerance": 3},
            "no pixel of the array has this colour within --tolerance 3",
        ),
        ({"color": "ff00ff", "tolerance": -1}, "inpaint: tolerance must be at least 0"),
        ({"mask": scratch(), "tolerance": 3}, "--tolerance is about --color, which is not given"),
        ({"color": "ff00ff", "invert": True}, "--invert is about --mask, which is not given"),
        ({"mask": scratch(), "grow": 65}, "inpaint: grow must be at most 64"),
    ],
)
def test_what_the_user_can_mend_is_told(parameters: dict[str, Any], reason: str) -> None:
    with pytest.raises(GdpkitError) as caught:
        repair(photo(), **parameters)
    assert reason in str(caught.value)


def test_the_nearest_colour_that_is_told_is_enough() -> None:
    with pytest.raises(GdpkitError, match=r"the nearest differs by (\d+)") as caught:
        repair(photo(), color="ff00ff")
    nearest = int(str(caught.value).rsplit(" ", 1)[1])
    assert repair(photo(), color="ff00ff", tolerance=nearest).record["size"] == [WIDTH, HEIGHT]


def grainy(channels: int = 3, deviation: float = 10.0) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """A ramp with noise of neighbours that are alike, stronger where it is bright, and a hole in the middle."""
    ramp = np.broadcast_to(np.linspace(60, 180, 160)[None, :, None], (128, 160, channels))
    noise = cv2.GaussianBlur(np.random.default_rng(3).standard_normal(ramp.shape), (0, 0), 0.8).reshape(ramp.shape)
    seen = ramp + deviation * (ramp / 120) * noise / noise.std()
    lost = np.zeros((128, 160), np.bool_)
    lost[40:88, 40:120] = True
    return seen.round().clip(0, 255).astype(np.uint8), lost


def rough(pixels: NDArray[Any]) -> float:
    """Deviation of the second differences along the rows, by which a ramp does not count."""
    return float(np.diff(255 * pixels.astype(np.float64), 2, axis=1).std())


@pytest.mark.parametrize("channels", [1, 3])
def test_grain_is_that_of_the_photograph_and_only_on_the_repair(tmp_path: Path, channels: int) -> None:
    seen, lost = grainy(channels)
    Image.fromarray(np.where(lost, 255, 0).astype(np.uint8)).save(tmp_path / "mask.png")
    plain, found, again = (
        repair(seen.squeeze(), mask=tmp_path / "mask.png", grain=grain).image for grain in (False, True, True)
    )
    kept, hole = np.s_[92:124, 40:120], np.s_[44:84, 44:116]
    assert rough(plain[hole]) < 0.2 * rough(plain[kept])
    assert 0.7 * rough(plain[kept]) < rough(found[hole]) < 1.3 * rough(plain[kept])
    dark, bright = (rough(found[44:84, part]) for part in (np.s_[42:62], np.s_[98:118]))
    assert bright > 1.3 * dark
    assert np.array_equal(found[~lost], plain[~lost])
    assert np.array_equal(found, again)


def test_a_note_tells_of_grain_where_the_photograph_is_noisy(tmp_path: Path) -> None:
    noted = []
    for deviation in (0.0, 10.0):
        seen, lost = grainy(deviation=deviation)
        Image.fromarray(np.where(lost, 255, 0).astype(np.uint8)).save(tmp_path / "mask.png")
        notes = repair(seen, mask=tmp_path / "mask.png", steps=1).notes
        noted.append(any("--grain" in note for note in notes))
    assert noted == [False, True]


def test_a_clean_photograph_gets_no_grain_and_pixels_lost_everywhere_leave_it_unknown(tmp_path: Path) -> None:
    seen, lost = grainy(deviation=0.0)
    Image.fromarray(np.where(lost, 255, 0).astype(np.uint8)).save(tmp_path / "mask.png")
    plain, found = (repair(seen, mask=tmp_path / "mask.png", grain=grain).image for grain in (False, True))
    assert 255 * np.abs(found - plain).max() < 3
    noisy, _ = grainy()
    everywhere = np.random.default_rng(1).random(noisy.shape[:2]) < 0.5
    Image.fromarray(np.where(everywhere, 255, 0).astype(np.uint8)).save(tmp_path / "mask.png")
    plain, found = (repair(noisy, mask=tmp_path / "mask.png", grain=grain).image for grain in (False, True))
    assert np.array_equal(found, plain)
