"""What `deblur` tells from a photograph: whether light or values were blurred, and whether a number was mistaken."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from gdpkit_deblur import Deblur
from PIL import Image
from skimage import data

from gdpkit import Degradation, chain, convolution, functional, images, kernels, restore

STAGES = {
    "disk:3": "kernel=disk,radius=3",
    "motion:11,30": "kernel=motion,length=11,angle=30",
    "gaussian:sigma=2": "kernel=gaussian,sigma=2",
}


def photograph(times: float = 1.0) -> torch.Tensor:
    """(1, 3, 256, 256), of so many times the light."""
    cut = torch.from_numpy(data.astronaut()[:256, 100:356] / 255).permute(2, 0, 1)[None].float()
    return functional.srgb_encoded(times * functional.srgb_decoded(cut))


def seen(kernel: str, image: torch.Tensor, light: str) -> torch.Tensor:
    blurred = chain([f"blur:{STAGES[kernel]},boundary=valid,light={light}"])(image)
    return (255 * blurred.clamp(0, 1)).round() / 255


def told(image: torch.Tensor, kernel: str, boundary: str = "auto") -> tuple[Degradation, tuple[str, ...]]:
    problem = Deblur(image=images.to_array(image), kernel=kernel, boundary=boundary).problem()
    assert problem.source is not None
    return problem.observations[0].degradation, problem.source.notes


@pytest.mark.parametrize("kernel", ["disk:3", "motion:11,30"])
@pytest.mark.parametrize("light", ["linear", "encoded"])
def test_light_is_told_from_values(kernel: str, light: str) -> None:
    model, _ = told(seen(kernel, photograph(), light), kernel)
    assert model.light == light  # type: ignore[attr-defined]


@pytest.mark.parametrize("kernel", list(STAGES))
def test_what_a_sensor_clipped_after_the_blur_is_light(kernel: str) -> None:
    model, _ = told(seen(kernel, photograph(3.0), "linear"), kernel, "valid")
    assert model.light == "linear"  # type: ignore[attr-defined]


@pytest.mark.parametrize("kernel", ["disk:3", "motion:11,30"])
def test_what_a_program_blurred_after_clipping_is_values(kernel: str) -> None:
    model, _ = told(seen(kernel, photograph(3.0).clamp(0, 1), "encoded"), kernel)
    assert model.light == "encoded"  # type: ignore[attr-defined]


@pytest.mark.parametrize("right, wrong", [("disk:3", "disk:3.6"), ("motion:11,30", "motion:9,30")])
def test_a_mistaken_number_is_noticed(right: str, wrong: str) -> None:
    image = seen(right, photograph(), "linear")
    _, notes = told(image, wrong)
    (note,) = (n for n in notes if "clearly better" in n)
    assert f"--kernel {right.split(':')[0]}:{float(right.split(':')[1].split(',')[0]):.1f}" in note
    assert not any("clearly better" in n for n in told(image, right)[1])


@pytest.mark.parametrize("deviation", [0.0, 12.0])
def test_noise_that_a_camera_smoothed_is_found_in_its_jpeg(deviation: float, tmp_path: Path) -> None:
    blurred = seen("motion:11,30", photograph(), "linear")
    drawn = torch.randn(blurred.shape, generator=torch.Generator().manual_seed(0))
    noisy = blurred + deviation / 255 * convolution.convolve(drawn, kernels.gaussian(0.8), "reflect")
    Image.fromarray((255 * images.to_array(noisy.clamp(0, 1))).round().astype("uint8")).save(
        tmp_path / "a.jpg", quality=95
    )
    problem = Deblur(image=tmp_path / "a.jpg", kernel="motion:11,30").problem()
    assert problem.source is not None
    assert any("not white" in note for note in problem.source.notes) is (deviation > 0)


def test_grey_noise_is_not_taken_for_the_picture() -> None:
    cut = torch.from_numpy(data.camera()[100:228, 100:228] / 255).float()[None, None]
    soft = chain(["blur:kernel=disk,radius=3,boundary=valid"])(cut)
    drawn = torch.randn(soft.shape, generator=torch.Generator().manual_seed(0))
    noisy = (255 * (soft + 3 / 255 * drawn).clamp(0, 1)).round() / 255
    found = restore("deblur", image=noisy, kernel="disk:3", light="encoded", device="cpu").tensor
    wanted = cut[..., 3:-3, 3:-3]
    assert (found - wanted).square().mean() < (noisy - wanted).square().mean() / 2


@pytest.mark.parametrize(
    "name, rows, columns", [("astronaut", (0, 96), (170, 266)), ("chelsea", (50, 178), (200, 328))]
)
def test_sharp_pictures_are_left_alone(name: str, rows: tuple[int, int], columns: tuple[int, int]) -> None:
    sharp = torch.from_numpy(getattr(data, name)()[slice(*rows), slice(*columns)] / 255).permute(2, 0, 1)[None].float()
    model = Deblur(image=images.to_array(sharp), blind=True, size=9).problem().observations[0].degradation
    assert not model.search  # type: ignore[attr-defined]
