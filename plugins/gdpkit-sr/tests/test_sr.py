"""`sr`: the output is exactly `scale` times the input, and the input again when it is reduced."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from gdpkit_sr import SuperResolution
from numpy.typing import NDArray
from PIL import Image

from gdpkit import GdpkitError, ImageError, Restoration, UnknownNameError, chain, images, restore
from gdpkit.testing import check_task, example, picture

KERNELS = ("average", "bicubic", "lanczos", "gaussian:sigma=1.6", "gaussian")


def small(height: int = 18, width: int = 22, channels: int = 3) -> NDArray[np.float32]:
    """A picture whose values are those of an 8-bit file."""
    return images.to_array((255 * picture(1, channels, height, width)).round() / 255)


def enlarge(image: Any, **parameters: Any) -> Restoration:
    return restore("sr", image=image, **{"prior": "tv", "steps": 3, "device": "cpu", **parameters})


def reduced(result: Restoration, scale: int, kernel: str) -> NDArray[np.float32]:
    name, _, rest = kernel.partition(":")
    stage = f"downsample:scale={scale},kernel={name}" + (f",{rest}" if rest else "")
    return images.to_array(chain([stage])(result.tensor))


def test_the_task_keeps_the_contract(tmp_path: Path) -> None:
    check_task(example(SuperResolution, tmp_path))


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("scale", [2, 3, 4])
def test_every_scale_and_kernel(scale: int, kernel: str) -> None:
    result = enlarge(small(), scale=scale, kernel=kernel)
    assert result.image.shape == (18 * scale, 22 * scale, 3)
    assert 255 * np.abs(reduced(result, scale, kernel) - small()).max() < 2
    assert result.record["consistency"] < 0.5


@pytest.mark.parametrize("scale", [5, 6, 7, 8])
def test_the_larger_scales(scale: int) -> None:
    result = enlarge(small(), scale=scale)
    assert result.image.shape == (18 * scale, 22 * scale, 3)
    assert result.record["consistency"] < 0.5


@pytest.mark.parametrize("size", [(16, 16), (17, 31), (16, 40)])
@pytest.mark.parametrize("channels", [1, 3])
def test_any_size_and_grey_stays_grey(size: tuple[int, int], channels: int) -> None:
    image = small(*size, channels)
    result = enlarge(image, scale=3)
    assert result.image.shape == (3 * size[0], 3 * size[1], *image.shape[2:])
    assert np.abs(reduced(result, 3, "average") - image).max() < 2 / 255


def test_with_the_embedded_prior_it_is_nearer_to_the_truth_than_bicubic_interpolation() -> None:
    """A dark disc on a smooth ground: interpolation blurs its edge."""
    truth = images.to_array(picture(1, 3, 64, 80))
    rows, columns = np.mgrid[:64, :80]
    truth[(rows - 30) ** 2 + (columns - 42) ** 2 < 400] *= 0.3
    blocks = truth.reshape(16, 4, 20, 4, 3).mean(axis=(1, 3))
    found = enlarge(blocks, scale=4, prior=None, steps=8).image
    bicubic = cv2.resize(blocks, (80, 64), interpolation=cv2.INTER_CUBIC)
    assert np.square(found - truth).mean() < 0.8 * np.square(bicubic - truth).mean()


def test_sixteen_bits_in_sixteen_bits_out(tmp_path: Path) -> None:
    deep = (65535 * small()).round().astype(np.uint16)
    deep[0, 0, 0] += 1  # no 8-bit picture in disguise
    result = enlarge(deep, scale=2)
    result.save(tmp_path / "large.png")
    written = images.load(tmp_path / "large.png")
    assert written.bits == 16
    assert np.abs(images.to_array(written.pixels) - result.image).max() < 1e-5
    assert 65535 * np.abs(reduced(result, 2, "average") - deep / 65535).max() < 30


def test_the_files_size_depth_and_colour_are_kept(tmp_path: Path) -> None:
    Image.fromarray((255 * small(20, 16, 1)).round().astype(np.uint8)).save(tmp_path / "small.png")
    enlarge(tmp_path / "small.png", scale=4).save(tmp_path / "large.png")
    with Image.open(tmp_path / "large.png") as written:
        assert (written.size, written.mode) == ((64, 80), "L")


def scene(height: int = 192, width: int = 192) -> NDArray[np.float32]:
    """Plain areas of many brightnesses and colours, with edges between them."""
    rows, columns = np.mgrid[:height, :width]
    ground = 0.15 + 0.7 * columns / width
    disc = (rows - height / 2) ** 2 + (columns - width / 2) ** 2 < (height / 4) ** 2
    colours = np.where(disc[..., None], (0.7, 0.4, 0.2), ground[..., None] * (1.0, 0.9, 0.8))
    return colours.astype(np.float32)


def halved(image: NDArray[np.float32]) -> NDArray[np.float32]:
    height, width, channels = image.shape
    return image.reshape(height // 2, 2, width // 2, 2, channels).mean(axis=(1, 3))


def noisy(image: NDArray[np.float32], width: float, deviation: float = 12.0) -> NDArray[np.float32]:
    """With noise that a Gaussian of this width smoothed, as of a camera; white for 0; of 8 bits."""
    noise = np.random.default_rng(7).standard_normal(image.shape).astype(np.float32)
    if width:
        noise = cv2.GaussianBlur(noise, (0, 0), width)
    seen = image + deviation / 255 * noise / noise.std()
    return ((255 * seen.clip(0, 1)).round() / 255).astype(np.float32)


@pytest.mark.parametrize(("width", "said"), [(0.8, "noise that is not white was found"), (0.0, "noise of sigma 1")])
def test_noise_is_not_taken_for_detail(width: float, said: str) -> None:
    truth = scene()
    seen = noisy(halved(truth), width)
    found, kept = (enlarge(seen, scale=2, prior=None, steps=4, **given) for given in ({}, {"noise": 0}))
    errors = [float(np.square(result.image - truth).mean()) for result in (found, kept)]
    assert errors[0] < 0.4 * errors[1]
    assert any(said in note and "--noise sets another" in note for note in found.notes)
    assert not any("noise" in note for note in kept.notes)


def test_of_a_clean_photograph_no_noise_is_found() -> None:
    seen = (255 * halved(scene())).round() / 255
    (found,), (told,) = (
        SuperResolution(image=seen, scale=2, **given).problem().observations  # type: ignore[arg-type]
        for given in ({}, {"noise": 0.0})
    )
    assert found.sigma == told.sigma < 0.5


@pytest.mark.parametrize(
    ("parameters", "error", "reason"),
    [
        ({"scale": 0}, GdpkitError, "sr: scale must be at least 2, not 0"),
        ({"scale": 1}, GdpkitError, "sr: scale must be at least 2, not 1"),
        ({"scale": 9}, GdpkitError, "sr: scale must be at most 8, not 9"),
        ({"scale": "two"}, GdpkitError, "sr: scale must be a whole number, not 'two'"),
        ({"scale": 2.5}, GdpkitError, "scale must be a whole number, not"),
        ({"kernel": "bicubik"}, GdpkitError, "--kernel bicubik: downsample: kernel must be one of average, bicubic"),
        (
            {"kernel": "gaussian:sigma=0"},
            GdpkitError,
            "--kernel gaussian:sigma=0: downsample: sigma must be at least 0.1",
        ),
        ({"kernel": "gaussian:width=2"}, GdpkitError, "--kernel gaussian:width=2: downsample has no parameter 'width'"),
        ({"kernel": "gaussian:2"}, GdpkitError, "--kernel gaussian:2: "),
        ({"kernel": ""}, GdpkitError, "--kernel"),
        ({"noise": -1}, GdpkitError, "sr: noise must be at least 0"),
        ({"scales": 2}, UnknownNameError, "sr has no parameter 'scales'. Did you mean 'scale'?"),
        ({"image": small(3, 3)}, ImageError, "the array is 3x3 pixels; sr needs at least 16x16"),
    ],
)
def test_what_the_user_can_mend_is_told(parameters: dict[str, Any], error: type[GdpkitError], reason: str) -> None:
    with pytest.raises(error) as caught:
        enlarge(**{"image": small(), **parameters})
    assert reason in str(caught.value)


def test_the_papers_preset_is_the_papers_sampler() -> None:
    assert SuperResolution.presets["paper"]["sampler"].startswith("gdp:")
    result = restore("sr", image=small(), scale=2, preset="paper", prior="tv", steps=3, device="cpu")
    assert (result.record["sampler"], result.record["network_evaluations"]) == ("gdp", 3)
