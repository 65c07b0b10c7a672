"""`denoise`: nearer to the truth than what was given, and what is clean stays."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from gdpkit_denoise import Denoise, functional
from gdpkit_denoise.averaged import Mean
from numpy.typing import NDArray
from PIL import Image

from gdpkit import (
    GdpkitError,
    ImageError,
    Observation,
    Problem,
    Restoration,
    UnknownNameError,
    degrade,
    images,
    restore,
)
from gdpkit.degradations.jpeg import Jpeg
from gdpkit.images.metadata import upright as set_upright
from gdpkit.objective import EnergyObjective
from gdpkit.testing import check_degradation, check_sampler, check_task, example, picture

EXIF_ORIENTATION = 0x0112


def clean(height: int = 48, width: int = 56, channels: int = 3) -> NDArray[np.float32]:
    """A dark disc on a smooth ground, with the values of an 8-bit file."""
    pixels = picture(1, channels, height, width)
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    pixels[..., (rows - 20) ** 2 + (columns - 30) ** 2 < 150] *= 0.4
    return images.to_array((255 * pixels).round() / 255)


def noisy(sigma: float, **size: int) -> NDArray[np.float32]:
    return images.to_array(degrade(clean(**size), [f"noise:sigma={sigma}"]).pixels)


def denoise(image: Any, **parameters: Any) -> Restoration:
    return restore("denoise", image=image, **{"steps": 4, "device": "cpu", **parameters})


def error(found: NDArray[np.float32], wanted: NDArray[np.float32]) -> float:
    return float(np.square(found - wanted).mean())


def blocky(file: Path, pixels: NDArray[np.float32], quality: int = 10, **options: Any) -> Path:
    Image.fromarray((255 * pixels).round().astype(np.uint8)).save(file, quality=quality, **options)
    return file


def decoded(file: Path) -> NDArray[np.float32]:
    return images.to_array(images.read_image(file))


@pytest.mark.parametrize("parameters", [{}, {"poisson": True, "gain": 1.0, "read": 3.0}, {"jpeg": "30"}])
def test_the_task_keeps_the_contract(parameters: dict[str, Any], tmp_path: Path) -> None:
    check_task(example(Denoise, tmp_path, **({"sigma": None, **parameters} if parameters else {})))


@pytest.mark.parametrize("channels", [1, 3])
def test_white_noise_goes_and_grey_stays_grey(channels: int) -> None:
    seen = noisy(25, channels=channels)
    result = denoise(seen, sigma=25)
    assert result.image.shape == seen.shape
    assert error(result.image, clean(channels=channels)) < 0.15 * error(seen, clean(channels=channels))
    assert result.notes == ()


def test_without_a_sigma_it_is_found_and_told() -> None:
    size = {"height": 112, "width": 96}
    result = denoise(noisy(25, **size))
    (note,) = result.notes
    assert "was found; --sigma sets another" in note
    assert float(note.split()[3]) == pytest.approx(25, rel=0.1)
    assert error(result.image, clean(**size)) < 0.15 * error(noisy(25, **size), clean(**size))


def test_noise_that_is_not_white_is_found_and_removed_without_darkening() -> None:
    """Smoothed over 3x3 pixels, on a dark picture."""
    truth = 0.5 * clean(128, 128)
    white = np.random.default_rng(0).normal(size=(130, 130, 3))
    noise = sum(white[i : i + 128, j : j + 128] for i in range(3) for j in range(3))
    seen = ((255 * truth + 3 * noise).round().clip(0, 255) / 255).astype(np.float32)
    result = denoise(seen)
    (note,) = result.notes
    assert "noise that is not white was found; it counts as sigma" in note
    assert "--sigma sets another" in note
    assert error(result.image, truth) < 0.35 * error(seen, truth)
    assert result.image.mean() == pytest.approx(truth.mean(), abs=0.004)


def test_a_picture_of_two_levels_comes_back_and_is_told() -> None:
    dots = (np.random.default_rng(0).random((64, 64)) < 0.5).astype(np.float32)
    result = denoise(dots)
    assert np.abs(result.image.squeeze() - dots).max() < 0.02
    assert any("two levels" in note for note in result.notes)


def test_a_clean_photograph_comes_back() -> None:
    assert 255 * np.abs(denoise(clean()).image - clean()).mean() < 0.3


def test_black_and_white_are_not_lifted_by_what_was_clipped() -> None:
    truth = np.zeros((48, 48, 3), np.float32)
    truth[:, 24:] = 1
    found = denoise(images.to_array(degrade(truth, ["noise:sigma=40"]).pixels), sigma=40).image
    assert 255 * np.abs(found - truth)[:, np.r_[:20, 28:48]].mean() < 3


@pytest.mark.parametrize("given", [True, False])
def test_photon_noise_goes_and_brightness_stays(given: bool) -> None:
    truth = clean(96, 96)
    seen = images.to_array(degrade(truth, ["poisson-gaussian:gain=3,read=2"]).pixels)
    result = denoise(seen, poisson=True, **({"gain": 3.0, "read": 2.0} if given else {}))
    assert error(result.image, truth) < 0.15 * error(seen, truth)
    assert result.image.mean() == pytest.approx(truth.mean(), abs=0.004)
    assert len(result.notes) == (0 if given else 1)


@pytest.mark.parametrize(("gain", "read"), [(0.0, 5.0), (0.5, 0.0), (3.0, 2.0), (20.0, 10.0)])
def test_stabilised_noise_is_white_and_its_mean_is_brought_back(gain: float, read: float) -> None:
    levels = torch.linspace(20, 235, 8).view(8, 1, 1, 1) / 255
    generator = torch.Generator().manual_seed(0)
    rates = (255 * levels).expand(8, 1, 300, 300)
    counts = gain * torch.poisson(rates / gain, generator=generator) if gain else rates
    seen = (counts + read * torch.randn(rates.shape, generator=generator)) / 255
    stable = functional.stabilised(seen, gain, read)
    deviations = 255 * stable.std(dim=(1, 2, 3))
    assert torch.allclose(deviations, torch.full((8,), functional.stabilised_sigma(gain, read)), rtol=0.06)
    back = functional.unstabilised(stable.mean(dim=(1, 2, 3)), gain, read)
    assert 255 * (back - levels.flatten()).abs().max() < 0.3 + 0.1 * gain


def test_blocks_that_reach_over_the_edge(tmp_path: Path) -> None:
    truth = clean(69, 91)
    file = blocky(tmp_path / "blocky.jpg", truth)
    assert error(denoise(file, jpeg="auto", steps=8).image, truth) < 0.85 * error(decoded(file), truth)


@pytest.mark.parametrize("quality", ["auto", "10"])
@pytest.mark.parametrize("channels", [1, 3])
def test_blocks_go_whether_the_file_or_the_user_tells_the_quality(channels: int, quality: str, tmp_path: Path) -> None:
    truth = clean(48, 64, channels)
    file = blocky(tmp_path / "blocky.jpg", truth)
    result = denoise(file, jpeg=quality, steps=8)
    assert error(result.image, truth) < 0.8 * error(decoded(file), truth)
    assert result.record["consistency"] < 1
    assert result.notes[-1].startswith("JPEG of quality 10 and")


def test_blocks_of_a_picture_without_its_file(tmp_path: Path) -> None:
    file = blocky(tmp_path / "blocky.jpg", clean(), subsampling="4:4:4")
    result = denoise(decoded(file), jpeg="10", prior="tv")
    assert result.notes == ("JPEG of quality 10 and 4:4:4 chroma",)
    fine = blocky(tmp_path / "fine.jpg", clean(), quality=95)
    (note,) = denoise(decoded(fine), jpeg="5", prior="tv").notes
    assert "which it does not look like" in note


@pytest.mark.parametrize("orientation", [3, 5, 6, 8])
def test_blocks_of_a_photograph_that_is_stored_turned(orientation: int, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[EXIF_ORIENTATION] = orientation
    pixels = clean(48, 64)
    upright = denoise(blocky(tmp_path / "a.jpg", pixels), jpeg="auto", prior="tv")
    turned = denoise(blocky(tmp_path / "b.jpg", pixels, exif=exif), jpeg="auto", prior="tv")
    assert turned.record["consistency"] < 1
    truth = set_upright(torch.from_numpy(pixels).permute(2, 0, 1), orientation).permute(1, 2, 0).numpy()
    assert error(turned.image, truth) == pytest.approx(error(upright.image, pixels), rel=0.15)


def test_a_stored_jpeg_keeps_the_contract_of_degradations() -> None:
    from gdpkit.degradations.stored_jpeg import StoredJpeg

    check_degradation(StoredJpeg(quality=20, orientation=6), shape=(3, 24, 40))


def test_the_sampler_keeps_the_contract_where_hqs_does_not_serve() -> None:
    """With a JPEG of a Gaussian field; for linear degradations the conformance tests run it."""
    from gdpkit.priors.gaussian import GaussianPrior

    prior, model = GaussianPrior(deviation=0.12), Jpeg(quality=20)
    truth = prior.draw(torch.randn(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))).clamp(0, 1)
    problem = Problem((Observation((255 * model(truth)).round() / 255, model, 0.76),))
    check_sampler(Mean(steps=5), prior, EnergyObjective(problem))
    assert Mean(steps=5).evaluations == 5


def test_below_fidelity_1_hqs_serves() -> None:
    samplers = [f"{name}:steps=4,fidelity=0.5" for name in ("mean", "hqs")]
    mean, hqs = (denoise(noisy(20), sigma=20, sampler=s, prior="gaussian", steps=4).image for s in samplers)
    assert np.array_equal(mean, hqs)


def test_sixteen_bits_in_sixteen_bits_out(tmp_path: Path) -> None:
    deep = (65535 * noisy(10)).round().astype(np.uint16)
    deep[0, 0, 0] ^= 1  # no 8-bit picture in disguise
    denoise(deep, sigma=10, prior="tv").save(tmp_path / "out.png")
    assert images.load(tmp_path / "out.png").bits == 16


@pytest.mark.parametrize(
    ("parameters", "kind", "reason"),
    [
        ({"sigma": -1}, GdpkitError, "denoise: sigma must be at least 0, not -1"),
        ({"sigma": 300}, GdpkitError, "denoise: sigma must be at most 255, not 300"),
        ({"sigma": "some"}, GdpkitError, "denoise: sigma must be a number, not 'some'"),
        ({"strength": 3}, UnknownNameError, "denoise has no parameter 'strength'."),
        ({"gain": 1.0}, GdpkitError, "--gain and --read belong to --poisson"),
        ({"poisson": True, "gain": 1.0}, GdpkitError, "give both --gain and --read, or neither"),
        ({"poisson": True, "gain": 0.0, "read": 0.0}, GdpkitError, "are both 0, which is no noise"),
        ({"poisson": True, "sigma": 5}, GdpkitError, "--sigma and --poisson are different noise; give one of them"),
        ({"poisson": True, "jpeg": "auto"}, GdpkitError, "--poisson and --jpeg are different noise; give one of them"),
        ({"jpeg": "low"}, GdpkitError, "--jpeg is auto or a quality from 1 to 100, not 'low'"),
        ({"jpeg": "0"}, GdpkitError, "--jpeg is auto or a quality from 1 to 100, not '0'"),
        ({"jpeg": "auto"}, GdpkitError, "say its quality, as in --jpeg 30"),
        ({"image": clean()[:9]}, ImageError, "is 56x9 pixels; denoise needs at least 16x16"),
    ],
)
def test_what_the_user_can_mend_is_told(parameters: dict[str, Any], kind: type[GdpkitError], reason: str) -> None:
    with pytest.raises(kind) as caught:
        denoise(**{"image": clean(), "prior": "tv", **parameters})
    assert reason in str(caught.value)


def test_a_png_has_no_tables(tmp_path: Path) -> None:
    Image.fromarray((255 * clean()).round().astype(np.uint8)).save(tmp_path / "photo.png")
    with pytest.raises(GdpkitError, match=r"photo\.png is no JPEG file, or none that .*: say its quality"):
        denoise(tmp_path / "photo.png", jpeg="auto")


def test_a_jpeg_of_four_inks_is_told(tmp_path: Path) -> None:
    Image.new("CMYK", (32, 32)).save(tmp_path / "print.jpg")
    with pytest.raises(GdpkitError, match=r"print\.jpg is no JPEG file, or none that is grey, or YCbCr"):
        denoise(tmp_path / "print.jpg", jpeg="auto")
