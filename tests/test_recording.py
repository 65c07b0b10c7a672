"""Chains that end in a file that rounds: what it took is noise, and what was seen lies within its cells."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from torch import Tensor

import gdpkit
from gdpkit import functional, images, recording, registry
from gdpkit.components import Observation, Problem
from gdpkit.degradations.jpeg import Jpeg
from gdpkit.degradations.stored_jpeg import StoredJpeg
from gdpkit.images.metadata import ORIENTATION, upright
from gdpkit.metrics.psnr import PSNR
from gdpkit.noise import SeededNoise
from gdpkit.objective import EnergyObjective
from gdpkit.testing.common import picture
from gdpkit.views import View

PHOTO = Path(__file__).parent.parent / "examples" / "photos" / "cat.png"
BLURRED = ("blur:kernel=gaussian,size=9,sigma=1.5", "jpeg:quality=60")


def photo() -> Tensor:
    return gdpkit.read_image(PHOTO)[..., :96, :96]


def seen(stages: tuple[str, ...], truth: Tensor) -> Tensor:
    return (255 * gdpkit.chain(stages).simulate(truth, SeededNoise(0, [b"seen"])).clamp(0, 1)).round() / 255


def problem(stages: tuple[str, ...], image: Tensor) -> Problem:
    task = registry.load().get("tasks", "restore")(image=image, stages=stages)
    stated: Problem = task.problem()
    return stated


@pytest.mark.parametrize(
    "stages",
    [
        BLURRED,
        ("noise:sigma=10", "jpeg:quality=50,chroma=4:4:4"),
        ("jpeg:quality=30", "noise:sigma=5"),
    ],
)
def test_what_is_restored_is_nearer_to_the_truth_than_the_file(stages: tuple[str, ...]) -> None:
    truth = photo()
    image = seen(stages, truth)
    result = gdpkit.restore("restore", image=image, stages=stages, device="cpu")
    assert PSNR()(result.tensor, truth) > PSNR()(image, truth) + 0.8


@pytest.mark.parametrize("chroma", ["4:4:4", "4:2:0"])
@pytest.mark.parametrize("quality", [10, 30, 60, 90])
def test_the_error_is_told_from_the_file(quality: int, chroma: str) -> None:
    """Of a picture whose colours are as coarse as chroma is stored, which is no rounding."""
    truth = photo()
    jpeg = Jpeg(quality=quality, chroma=chroma)
    truth = Jpeg(steps=(1,) * 128, chroma=chroma)(truth)
    image = (255 * jpeg(truth)).round() / 255
    error = 255 * float((image - truth).square().mean().sqrt())
    assert error / 1.5 < jpeg.error(image) < 1.5 * error
    grey = truth.mean(1, keepdim=True)
    image = (255 * jpeg(grey)).round() / 255
    assert jpeg.error(image) == pytest.approx(255 * float((image - grey).square().mean().sqrt()), rel=0.4)


def test_what_was_seen_moves_towards_the_estimate_within_the_cells() -> None:
    truth = photo()
    image = seen(BLURRED, truth)
    stated = problem(BLURRED, image)
    objective = EnergyObjective(stated)
    blurred = gdpkit.chain(BLURRED[:1])(truth)
    objective.fit(truth)
    moved = objective.spectral().system.render(objective.spectral().observed)
    assert (moved - blurred).square().mean() < 0.3 * (image - blurred).square().mean()
    again = (255 * Jpeg(quality=60)(moved)).round() / 255
    assert 255 * (again - image).abs().mean() < 0.3 * 255 * (Jpeg(quality=60)(truth) - image).abs().mean()


def test_consistency_is_that_of_the_file() -> None:
    truth = photo()
    image = seen(BLURRED, truth)
    result = gdpkit.restore("restore", image=image, stages=BLURRED, steps=4, device="cpu")
    again = gdpkit.chain(BLURRED)(result.tensor)
    assert result.record["consistency"] == pytest.approx(float((255 * (again - image)).square().mean()), rel=0.02)


def test_samplers_of_the_singular_basis_take_such_a_chain() -> None:
    image = seen(BLURRED, photo())
    assert (
        gdpkit.restore("restore", image=image, stages=BLURRED, sampler="ddnm:steps=2", device="cpu")
        .tensor.isfinite()
        .all()
    )


def stored(image: Tensor, file: Path, quality: int, orientation: int = 1) -> Path:
    """A JPEG whose pixels, turned upright, are about the image."""
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    turned = upright(image, {6: 8, 8: 6}.get(orientation, orientation))
    Image.fromarray((255 * images.to_array(turned)).round().astype("uint8")).save(file, quality=quality, exif=exif)
    return file


@pytest.mark.parametrize("orientation", [1, 6])
def test_a_jpeg_file_tells_its_error_itself(tmp_path: Path, orientation: int) -> None:
    truth = photo()
    file = stored(gdpkit.chain(BLURRED[:1])(truth), tmp_path / "soft.jpg", 75, orientation)
    seen = gdpkit.read_image(file)
    result = gdpkit.restore("deblur", image=file, kernel="gaussian:9,1.5", boundary="reflect", device="cpu")
    assert PSNR()(result.tensor, truth) > PSNR()(seen, truth) + 1
    assert any("what JPEG took from it counts as noise of sigma" in note for note in result.notes)
    (observation,) = result.problem.observations
    assert observation.recorder is not None
    again = (255 * observation.recorder(seen)).round() / 255
    assert 255 * (again - seen).abs().mean() < 0.5


@pytest.mark.parametrize(
    ("mode", "options"),
    [
        ("CMYK", {"format": "JPEG", "quality": 75}),
        ("RGB", {"format": "WEBP", "quality": 75}),
    ],
)
def test_of_files_whose_cells_are_not_known_the_error_counts(
    tmp_path: Path, mode: str, options: dict[str, Any]
) -> None:
    soft = gdpkit.chain(BLURRED[:1])(photo())
    array = (255 * images.to_array(soft)).round().astype("uint8")
    Image.fromarray(array).convert(mode).save(tmp_path / "soft.bin", **options)
    (observation,) = (
        registry.load()
        .get("tasks", "deblur")(image=tmp_path / "soft.bin", kernel="gaussian:9,1.5")
        .problem()
        .observations
    )
    assert observation.recorder is None
    assert observation.sigma > 2


def test_a_lossless_webp_has_no_error(tmp_path: Path) -> None:
    array = (255 * images.to_array(photo())).round().astype("uint8")
    Image.fromarray(array).save(tmp_path / "photo.webp", lossless=True)
    assert images.load(tmp_path / "photo.webp").coding is None


def test_a_stage_that_says_so_is_not_counted_twice(tmp_path: Path) -> None:
    file = stored(photo(), tmp_path / "coarse.jpg", 30)
    stage = ("jpeg:quality=30",)
    (told,) = problem(stage, gdpkit.read_image(file)).observations
    (of_file,) = registry.load().get("tasks", "restore")(image=file, stages=stage).problem().observations
    assert told.sigma == of_file.sigma < 1
    assert told.recorder is of_file.recorder is None


def test_of_a_colour_file_of_a_grey_scene_the_error_counts(tmp_path: Path) -> None:
    stages = ("gray", *BLURRED[:1])
    truth = photo().mean(1, keepdim=True)
    soft = gdpkit.chain(BLURRED[:1])(truth).expand(-1, 3, -1, -1)
    file = stored(soft, tmp_path / "scan.jpg", 60)
    seen = gdpkit.read_image(file)
    result = gdpkit.restore("restore", image=file, stages=stages, steps=8, device="cpu")
    grey = gdpkit.chain(["gray"])
    assert PSNR()(grey(result.tensor), truth) > PSNR()(grey(seen), truth)
    assert any("what JPEG took" in note for note in result.notes)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_what_is_known_of_a_turned_file_is_turned(orientation: int) -> None:
    lying = picture(1, 3, 52, 70)
    lying[..., :20, 30:] = 1  # clipped, as decoded pixels are that cannot be told
    seen = (255 * Jpeg(quality=10, chroma="4:2:2")(lying)).round() / 255
    turned = StoredJpeg(quality=10, chroma="4:2:2", orientation=orientation)
    known = Jpeg(quality=10, chroma="4:2:2").known(seen)
    assert 0 < known.mean() < 1
    assert torch.equal(turned.known(upright(seen, orientation)), upright(known, orientation))


def test_where_no_cell_can_be_told_nothing_moves() -> None:
    image = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    assert recording.known(Jpeg(quality=20), image) is None
    view = View(Observation(image, gdpkit.chain(BLURRED[:1]), 5.0, recorder=Jpeg(quality=20)), "cpu")
    view.recall(torch.rand(1, 3, 32, 32))
    assert torch.equal(view.image, image)


def test_a_file_of_little_error_and_a_task_that_keeps_pixels_count_none(tmp_path: Path) -> None:
    fine = stored(photo(), tmp_path / "fine.jpg", 100)
    coarse = stored(photo(), tmp_path / "coarse.jpg", 50)
    lost = torch.zeros(1, 75, 96)
    lost[:, 40:50, 40:50] = 1
    tasks = registry.load()
    for task, options in (("sr", {"image": fine}), ("inpaint", {"image": coarse, "mask": lost})):
        stated = tasks.get("tasks", task)(**options).problem()
        assert stated.observations[0].recorder is None
        assert stated.observations[0].sigma < 0.5


def test_other_degradations_are_left_as_they_are() -> None:
    image = torch.rand(1, 3, 32, 32)
    for degradation in (gdpkit.chain(["gray", "noise:sigma=5"]), Jpeg()):
        assert recording.apart(degradation, image) == (degradation, None)
    apart, recorder = recording.apart(gdpkit.chain(BLURRED), image)
    assert apart.linear
    assert recorder == Jpeg(quality=60)
    assert recording.apart(gdpkit.chain(["jpeg", "noise:sigma=5"]), image)[1] is None


def test_large_files_in_strips_give_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    jpeg = Jpeg(quality=30)
    truth = picture(1, 3, 210, 90)
    image = (255 * jpeg(truth)).round() / 255
    sigma = torch.full((1, 1, 1, 1), 0.05)

    def told() -> list[Tensor | None]:
        return [jpeg.measured(image), jpeg.prox(truth, image, sigma, 0.0)]

    at_once, error = told(), jpeg.error(image)
    monkeypatch.setattr(functional, "STRIP", 90 * 64)
    for whole, strips in zip(at_once, told(), strict=True):
        assert whole is not None and strips is not None
        assert torch.equal(whole, strips)
    assert jpeg.error(image) == pytest.approx(error, rel=0.15)
