"""Masks as people draw them, and the degradation that loses what they mark."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from gdpkit import GdpkitError, ImageError, chain, degrade, images, masks, restore
from gdpkit.components import Problem
from gdpkit.degradations.mask import Mask
from gdpkit.objective import EnergyObjective
from gdpkit.testing import check_degradation, picture

SIDE = 16
MARKED = np.zeros((SIDE, SIDE), bool)
MARKED[3:7, 5:12] = True


def as_file(path: Path, pixels: NDArray[np.generic], mode: str) -> Path:
    Image.fromarray(pixels).convert(mode).save(path) if mode else Image.fromarray(pixels).save(path)
    return path


@pytest.mark.parametrize("mode", ["1", "L", "RGB", "P", "RGBA"])
def test_white_is_lost_in_every_kind_of_file(mode: str, tmp_path: Path) -> None:
    file = as_file(tmp_path / "m.png", np.where(MARKED, 255, 0).astype(np.uint8), mode)
    assert np.array_equal(masks.lost(file)[0, 0].numpy(), MARKED)


def test_sixteen_bits_any_value_but_black_and_one_channel_are_enough(tmp_path: Path) -> None:
    faint = as_file(tmp_path / "faint.png", MARKED.astype(np.uint16), "")
    blue = as_file(tmp_path / "blue.png", np.stack([0 * MARKED, 0 * MARKED, 9 * MARKED], 2).astype(np.uint8), "")
    for file in (faint, blue):
        assert np.array_equal(masks.lost(file)[0, 0].numpy(), MARKED)


def test_ripples_of_a_jpeg_are_not_lost(tmp_path: Path) -> None:
    drawn = np.zeros((48, 48), np.uint8)
    drawn[10:20, 8:40] = 255
    Image.fromarray(drawn).save(tmp_path / "mask.jpg", quality=60)
    assert torch.equal(masks.lost(tmp_path / "mask.jpg")[0, 0], torch.from_numpy(drawn > 0))
    assert torch.equal(masks.lost(tmp_path / "mask.jpg", inverted=True)[0, 0], torch.from_numpy(drawn == 0))


def test_a_palette_counts_by_its_colours(tmp_path: Path) -> None:
    image = Image.fromarray(np.where(MARKED, 0, 1).astype(np.uint8), "P")
    image.putpalette([255, 255, 255, 0, 0, 0])
    image.save(tmp_path / "p.png")
    assert np.array_equal(masks.lost(tmp_path / "p.png")[0, 0].numpy(), MARKED)


def test_what_is_transparent_is_kept_whatever_colour_it_hides(tmp_path: Path) -> None:
    pixels = np.full((SIDE, SIDE, 4), 255, np.uint8)
    pixels[..., 3] = 255 * MARKED
    file = as_file(tmp_path / "m.png", pixels, "")
    assert np.array_equal(masks.lost(file)[0, 0].numpy(), MARKED)


def test_the_grey_rim_of_a_smooth_line_is_lost_with_it() -> None:
    smooth = np.zeros((SIDE, SIDE), np.uint8)
    smooth[4:8, 4:8], smooth[5:7, 5:7] = 30, 255
    assert int(masks.lost(smooth).sum()) == 16
    assert int((~masks.lost(255 - smooth, inverted=True)).sum()) == SIDE**2 - 16


def test_a_mask_is_turned_as_its_own_exif_says(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(np.where(MARKED, 255, 0).astype(np.uint8)).save(tmp_path / "m.png", exif=exif)
    assert np.array_equal(masks.lost(tmp_path / "m.png")[0, 0].numpy(), np.rot90(MARKED, -1))


def test_a_file_is_read_again_when_it_changes(tmp_path: Path) -> None:
    file = as_file(tmp_path / "m.png", np.where(MARKED, 255, 0).astype(np.uint8), "L")
    mask = Mask(file=file)
    before = mask(torch.ones(1, 1, SIDE, SIDE))
    as_file(file, np.where(MARKED, 0, 255).astype(np.uint8), "L")
    os.utime(file, ns=(1, 1))
    assert torch.equal(mask(torch.ones(1, 1, SIDE, SIDE)), 1 - before)


def test_a_mask_file_and_an_array_keep_the_contract(tmp_path: Path) -> None:
    file = as_file(tmp_path / "m.png", np.where(MARKED, 255, 0).astype(np.uint8), "L")
    for mask in (Mask(file=file), Mask(file=MARKED)):  # type: ignore[arg-type]
        check_degradation(mask, (3, SIDE, SIDE))
        check_degradation(chain(["gray", "downsample:scale=2"]) >> mask, (3, 2 * SIDE, 2 * SIDE))
    assert Mask(file=file) == Mask(file=file) and hash(Mask(file=file)) == hash(Mask(file=file))


def test_pixels_lost_at_random_are_the_same_each_time_and_as_many_as_asked() -> None:
    one = Mask(missing=0.25, seed=3).kept(200, 300)
    masks.scattered.cache_clear()
    assert torch.equal(one, Mask(missing=0.25, seed=3).kept(200, 300))
    assert not torch.equal(one, Mask(missing=0.25, seed=4).kept(200, 300))
    assert float(one.mean()) == pytest.approx(0.75, abs=0.01)


def test_lost_pixels_change_nothing_and_are_no_misfit() -> None:
    """Whatever stands where the mask says lost, the objective is the same."""
    mask, image = Mask(missing=0.4), picture(1, 3, 24, 24)
    kept = mask.kept(24, 24)

    def objective(fill: float) -> EnergyObjective:
        from gdpkit import Observation

        observed = torch.where(kept > 0, image, fill)
        return EnergyObjective(Problem((Observation(observed, mask, 1.0, mask.measured(observed)),)))

    other = picture(1, 3, 24, 24, seed=1)
    for ask in ("energy", "discrepancy", "consistency"):
        assert torch.allclose(getattr(objective(0.0), ask)(other), getattr(objective(0.9), ask)(other))
    assert torch.allclose(objective(0.0).prox(other, 0.1), objective(0.9).prox(other, 0.1), atol=1e-6)
    assert torch.equal(torch.where(kept > 0, 0, objective(0.9).prox(other, 0.1)), torch.where(kept > 0, 0, other))


def test_a_smaller_mask_has_lost_whatever_a_lost_pixel_reaches() -> None:
    smaller = Mask(file=MARKED).at_scale(4)  # type: ignore[arg-type]
    assert isinstance(smaller, Mask)
    wanted = torch.ones(1, 1, 4, 4)
    wanted[..., 0:2, 1:3] = 0
    assert torch.equal(smaller.kept(4, 4), wanted)
    assert Mask(missing=0.2).at_scale(2) is None


def test_growing_is_round() -> None:
    dot = torch.zeros(1, 1, 9, 9, dtype=torch.bool)
    dot[..., 4, 4] = True
    assert torch.equal(masks.grown(dot, 0), dot)
    assert [int(masks.grown(dot, k).sum()) for k in (1, 2, 3)] == [9, 21, 37]
    assert masks.grown(dot, 3).any(dim=2).sum() == 7


def test_distance_is_to_the_nearest_kept_pixel() -> None:
    hole = torch.zeros(1, 1, 11, 11, dtype=torch.bool)
    hole[..., 2:9, 2:9] = True
    found = masks.distance(hole)
    assert (float(found.max()), float(found[..., 5, 5]), float(found[..., 0, 0])) == (4.0, 4.0, 0.0)
    assert torch.isinf(masks.distance(torch.ones_like(hole))).all()


@pytest.mark.parametrize(
    ("size", "stages", "reason"),
    [
        ((32, 32), ["downsample:scale=2", "mask"], "move the mask before the stages that make the image smaller"),
        ((16, 16), ["mask", "downsample:scale=2"], "move the mask behind the stages that make the image smaller"),
        ((32, 24), ["mask", "downsample:scale=2"], "draw it at 32x32"),
    ],
)
def test_a_wrong_size_says_both_sizes_and_where_the_stage_would_fit(
    size: tuple[int, int], stages: list[str], reason: str, tmp_path: Path
) -> None:
    file = as_file(tmp_path / "m.png", np.full(size, 255, np.uint8), "L")
    written = [f"mask:file={file}" if stage == "mask" else stage for stage in stages]
    with pytest.raises(ImageError) as caught:
        restore("restore", image=picture(1, 3, 16, 16), stages=written, prior="tv", steps=1, device="cpu")
    assert f"m.png is {size[1]}x{size[0]} pixels" in str(caught.value)
    assert reason in str(caught.value)


def test_a_mask_on_its_side_is_told_so() -> None:
    with pytest.raises(ImageError, match="10x20 pixels, but the image at its stage is 20x10: turn the mask by 90"):
        Mask(file=np.ones((20, 10), bool)).kept(10, 20)  # type: ignore[arg-type]


@pytest.mark.parametrize("stage", ["mask", "mask:file=a.png,missing=0.2"])
def test_a_mask_is_a_file_or_at_random(stage: str) -> None:
    with pytest.raises(GdpkitError, match="mask needs either file"):
        chain([stage])


def test_a_file_that_is_not_there_is_named() -> None:
    with pytest.raises(ImageError, match=r"nowhere\.png: there is no such file"):
        degrade(picture(1, 3, 16, 16), ["mask:file=nowhere.png"])


def test_a_chain_with_lost_pixels_is_restored_from_the_others() -> None:
    truth = picture(1, 3, 48, 48)
    stages = ["gray", "downsample:scale=2", "mask:missing=0.25"]
    seen = degrade(truth, stages)
    assert (seen.pixels == 0).float().mean() == pytest.approx(0.25, abs=0.06)
    result = restore("restore", image=seen, stages=stages, prior="gaussian:length=20", steps=10, device="cpu")
    found, wanted = result.tensor.mean(1), truth.mean(1)
    assert images.to_array(result.tensor).shape == (48, 48, 3)
    assert float((found - wanted).square().mean()) < 1e-3
