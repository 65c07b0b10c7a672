"""`colorize`: the grey is kept, strokes fill their regions and stop at edges, a palette lends its colours."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from gdpkit_colorize import Colorize
from gdpkit_colorize.functional import coloured
from gdpkit_colorize.matching import matched
from gdpkit_colorize.spreading import guided, spread
from numpy.typing import NDArray
from PIL import Image

import gdpkit
from gdpkit import GdpkitError, ImageError, Restoration, UnknownNameError, chain, images, restore
from gdpkit.testing import check_task, example, picture

WEIGHTS = {"mean": np.full(3, 1 / 3), "bt601": np.array([0.299, 0.587, 0.114])}


def halves(height: int = 24, width: int = 32) -> NDArray[np.uint8]:
    """A dark and a bright half, each a little uneven."""
    rows, columns = np.mgrid[:height, :width]
    return (np.where(columns < width // 2, 80, 160) + (rows + columns) % 3).astype(np.uint8)


def strokes(height: int = 24, width: int = 32, **colours: tuple[int, int, int]) -> NDArray[np.uint8]:
    """A dot on the left, on the right, or on both."""
    drawn = np.zeros((height, width, 4), np.uint8)
    for side, colour in colours.items():
        column = width // 4 if side == "left" else 3 * width // 4
        drawn[height // 2 - 1 : height // 2 + 1, column - 1 : column + 1] = (*colour, 255)
    return drawn


def colour(image: Any, **parameters: Any) -> Restoration:
    return restore("colorize", image=image, **{"prior": "tv", "steps": 3, "device": "cpu", **parameters})


def grey_of(result: Restoration, weights: str) -> NDArray[np.float64]:
    """The grey of what an 8-bit file of the result holds, in levels."""
    found: NDArray[np.float64] = np.round(255 * result.image) @ WEIGHTS[weights]
    return found


def test_the_task_keeps_the_contract(tmp_path: Path) -> None:
    check_task(example(Colorize, tmp_path))
    Image.fromarray(strokes(32, 32, left=(200, 40, 40))).save(tmp_path / "strokes.png")
    other = (255 * images.to_array(picture(1, 3, 40, 50, seed=4))).astype(np.uint8)
    Image.fromarray(other).save(tmp_path / "other.png")
    check_task(example(Colorize, tmp_path, hints=tmp_path / "strokes.png", palette=tmp_path / "other.png"))


@pytest.mark.parametrize("prior", ["tv", None])
@pytest.mark.parametrize("weights", WEIGHTS)
def test_the_grey_is_kept_to_a_level_even_where_strokes_ask_for_colours_that_do_not_fit(
    weights: str, prior: str | None
) -> None:
    """Black, white, and all between, under strokes of pure blue and yellow."""
    ramp = np.tile(np.linspace(0, 255, 32).round().astype(np.uint8), (24, 1))
    hints = strokes(left=(0, 0, 255), right=(255, 255, 0))
    result = colour(ramp, weights=weights, hints=hints, prior=prior)
    assert result.image.shape == (24, 32, 3)
    assert np.abs(grey_of(result, weights) - ramp).max() <= 1
    assert np.ptp(result.image, axis=2).max() > 0.2


def test_a_colour_picture_is_reduced_first_and_a_note_says_so() -> None:
    truth = np.round(255 * images.to_array(picture(1, 3, 24, 24))) / 255
    result = colour(truth, weights="bt601")
    assert np.abs(grey_of(result, "bt601") - 255 * truth @ WEIGHTS["bt601"]).max() <= 1
    assert ["its colours are not used" in note for note in result.notes] == [True]
    assert colour(halves()).notes == ()


def test_a_stroke_fills_its_region_and_stops_at_the_edge() -> None:
    red, blue = (140, 60, 40), (130, 150, 200)
    result = 255 * colour(halves(), hints=strokes(left=red, right=blue)).image
    chroma = result - result.mean(axis=2, keepdims=True)
    for columns, wanted in ((slice(0, 14), red), (slice(18, 32), blue)):
        asked = np.array(wanted) - np.mean(wanted)
        assert np.abs(chroma[:, columns] - asked).max() < 0.25 * np.abs(asked).max()


def test_a_stroke_leaves_what_lies_behind_an_edge_paler_than_its_own_region() -> None:
    result = colour(halves(), hints=strokes(left=(140, 60, 40))).image
    colourfulness = np.ptp(result, axis=2)
    assert colourfulness[:, 18:].max() < 0.5 * colourfulness[:, :14].min()


def test_grey_strokes_keep_a_region_grey() -> None:
    result = colour(halves(), hints=strokes(left=(140, 60, 40), right=(160, 160, 160))).image
    assert np.ptp(result[:, 18:], axis=2).max() < 0.03


def test_half_transparent_strokes_count_for_less() -> None:
    """Two strokes in one region: the mixture is nearer to the opaque one's colour."""
    flat, hints = np.full((24, 32), 120, np.uint8), strokes(left=(200, 100, 60), right=(40, 120, 200))
    hints[:, 16:, 3] = hints[:, 16:, 3] // 100
    middle = colour(flat, hints=hints).image[12, 16]
    assert middle[0] > middle[2]


def test_trust_falls_with_distance_and_behind_edges() -> None:
    grey = images.from_array(halves(40, 80)).pixels
    drawn = images.from_array(strokes(40, 80, left=(200, 100, 60)))
    assert drawn.alpha is not None
    colours, trust = spread(grey, drawn.pixels - drawn.pixels.mean(1, keepdim=True), drawn.alpha, 0.5)
    row = trust[0, 0, 20]
    assert row[20] > 0.99 > row[10] > row[0] > row[45]
    assert torch.allclose(colours[0, :, 20, 0], colours[0, :, 20, 20], atol=0.02)


def test_a_large_picture_is_coloured_up_to_the_edges_that_only_it_has() -> None:
    small = picture(1, 1, 20, 24)
    large = torch.nn.functional.interpolate(small, scale_factor=4.0)
    values = 0.3 * small + 0.1
    assert torch.allclose(guided(small, values, large), 0.3 * large + 0.1, atol=0.02)


def test_a_colour_that_does_not_fit_becomes_paler_with_its_hue_and_its_grey() -> None:
    grey = torch.tensor([0.02, 0.5, 0.98]).view(3, 1, 1, 1)
    chroma = torch.tensor([0.2, -0.1, -0.1]).view(1, 3, 1, 1)
    found = coloured(grey, chroma.expand(3, -1, -1, -1))
    assert torch.allclose(found.mean(1, keepdim=True), grey, atol=1e-6)
    assert torch.allclose(found[1], 0.5 + chroma[0], atol=1e-6)
    assert 0 <= float(found.min()) <= float(found.max()) <= 1
    differences = (found - grey)[:, :, 0, 0]
    assert torch.allclose(differences[:, 0], -2 * differences[:, 1], atol=1e-6)


def test_a_palette_gives_its_colours_to_what_looks_alike() -> None:
    """Dark is red and bright is blue in the palette; and its luminance may be another than the picture's."""
    palette = np.where(halves()[..., None] < 120, (110, 20, 20), (120, 140, 220)).astype(np.uint8)
    result = colour(halves(), palette=palette).image
    assert (result[:, :12, 0] > result[:, :12, 2] + 0.05).all()
    assert (result[:, 20:, 2] > result[:, 20:, 0] + 0.05).all()


def test_a_palette_that_does_not_agree_with_itself_is_trusted_less() -> None:
    grey = images.from_array(halves()).pixels
    chroma = torch.tensor([0.2, -0.1, -0.1]).view(1, 3, 1, 1).expand(1, 3, 24, 32)
    signs = (torch.rand(1, 1, 24, 32, generator=torch.Generator().manual_seed(0)) < 0.5).float() * 2 - 1
    assert float(matched(grey, grey, chroma)[1].min()) > 0.9
    assert float(matched(grey, grey, chroma * signs)[1].max()) < 0.3


def test_strokes_count_for_more_than_a_palette() -> None:
    palette = np.full((24, 32, 3), (60, 120, 60), np.uint8)
    result = colour(halves(), palette=palette, hints=strokes(left=(140, 60, 40))).image
    assert result[12, 8, 0] > result[12, 8, 1] + 0.1


def test_a_batch_is_coloured_image_by_image() -> None:
    grey = torch.cat([images.from_array(halves()).pixels, 1 - images.from_array(halves()).pixels])
    hints = strokes(left=(140, 60, 40))
    result = colour(grey, hints=hints)
    alone = colour(grey[1:], hints=hints)
    assert torch.allclose(result.tensor[1:], alone.tensor, atol=1e-3)


def test_the_files_depth_is_kept_and_colour_added(tmp_path: Path) -> None:
    deep = halves().astype(np.uint16) * 257 + 3
    Image.fromarray(deep).save(tmp_path / "gray.png")
    Image.fromarray(strokes(left=(140, 60, 40))).save(tmp_path / "strokes.png")
    colour(tmp_path / "gray.png", hints=tmp_path / "strokes.png").save(tmp_path / "color.png")
    written = images.load(tmp_path / "color.png")
    assert (written.bits, written.grey) == (16, False)
    assert float((written.pixels.mean(1) - images.load(tmp_path / "gray.png").pixels[:, 0]).abs().max()) < 2 / 65535


def opaque() -> NDArray[np.uint8]:
    return strokes(left=(9, 9, 200))[..., :3]


@pytest.mark.parametrize(
    ("parameters", "error", "reason"),
    [
        ({"weights": "luma"}, GdpkitError, "colorize: weights must be one of mean, bt601, not 'luma'"),
        ({"hints": opaque()}, GdpkitError, "--hints the array: it has no transparency; draw strokes on a transparent"),
        ({"hints": strokes()}, GdpkitError, "--hints the array: it is transparent everywhere"),
        (
            {"hints": strokes(20, 30, left=(1, 2, 3))},
            GdpkitError,
            "--hints the array: it is 30x20 pixels, and the photograph 32x24",
        ),
        ({"hints": "no-such-strokes.png"}, ImageError, "no-such-strokes.png: there is no such file"),
        ({"palette": halves()}, GdpkitError, "--palette the array: it is grey and has no colours to give"),
        ({"palette": "no-such-photo.jpg"}, ImageError, "no-such-photo.jpg: there is no such file"),
        ({"hint": 1}, UnknownNameError, "colorize has no parameter 'hint'. Did you mean 'hints'?"),
        ({"image": halves(3, 3)}, ImageError, "the array is 3x3 pixels; colorize needs at least 16x16"),
    ],
)
def test_what_the_user_can_mend_is_told(parameters: dict[str, Any], error: type[GdpkitError], reason: str) -> None:
    with pytest.raises(error) as caught:
        colour(**{"image": halves(), **parameters})
    assert reason in str(caught.value)


def test_the_papers_preset_is_the_papers_sampler_with_its_loss() -> None:
    """6000 times the mean squared error and 500 times colour constancy on [-1, 1], as one gradient."""
    preset = Colorize.presets["paper"]
    assert preset["sampler"] == "gdp:scale=6000"
    loss = gdpkit.registry.load().build("losses", preset["loss"])
    assert 6000 * loss.weight == pytest.approx(4 * 500, rel=1e-5)
    result = colour(halves(), preset="paper")
    assert (result.record["sampler"], result.record["network_evaluations"]) == ("gdp", 3)
    assert np.abs(grey_of(result, "mean") - halves()).max() <= 1


def test_it_is_the_grey_that_gdpkit_degrade_makes(tmp_path: Path) -> None:
    truth = picture(1, 3, 24, 24)
    grey = chain(["gray:weights=bt601"])(truth)
    assert torch.equal(Colorize(image=images.to_array(truth), weights="bt601").problem().observations[0].image, grey)
