"""`lowlight`: as a longer exposure would have been, without the noise; black stays black and lamps keep their shape."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from gdpkit_lowlight import Lowlight, functional
from torch import Tensor

from gdpkit import GdpkitError, ImageError, Restoration, degrade, exposure, images, restore
from gdpkit.cli import main
from gdpkit.testing import check_task, picture


def clean(height: int = 48, width: int = 56) -> Tensor:
    """A dark disc on a smooth ground."""
    pixels = picture(1, 3, height, width)
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    pixels[..., (rows - 18) ** 2 + (columns - 20) ** 2 < 120] *= 0.5
    return pixels


def dark(pixels: Tensor, gain: float = 0.06, sigma: float = 1.5) -> Tensor:
    """A short exposure with noise, of 8 bits."""
    return degrade((255 * pixels).round() / 255, [f"expose:gain={gain}", f"noise:sigma={sigma}"]).pixels


def lowlight(image: Any, **parameters: Any) -> Restoration:
    return restore("lowlight", image=image, **{"steps": 3, "device": "cpu", **parameters})


def matched(found: Tensor, wanted: Tensor) -> float:
    """Root mean square error when the mean of the light is right, in 0..255."""
    gain = exposure.gain_for(exposure.decoded(found), float(wanted.mean()), "srgb", 0.0).exp()
    same = exposure.encoded(exposure.decoded(found) / gain).clamp(0, 1)
    return 255 * float((same - wanted).square().mean().sqrt())


def test_a_dark_photograph_becomes_as_bright_as_the_target_and_less_noisy_than_a_gain_makes_it() -> None:
    truth = clean()
    seen = dark(truth)
    result = lowlight(seen).tensor
    assert float(result.mean()) == pytest.approx(0.4, abs=0.02)
    gain, _ = functional.brightness(seen, 0.4)
    amplified = exposure.encoded(gain * exposure.decoded(seen)).clamp(0, 1)
    assert matched(result, truth) < 0.5 * matched(amplified, truth)


def test_the_target_sets_the_brightness() -> None:
    seen = dark(clean(), sigma=0.5)
    for target in (0.25, 0.55):
        assert float(lowlight(seen, target=target).tensor.mean()) == pytest.approx(target, abs=0.03)


def test_black_borders_neither_brighten_nor_count() -> None:
    truth = clean()
    framed = torch.nn.functional.pad(dark(truth), (20, 20, 20, 20))
    alone, _ = functional.brightness(dark(truth), 0.4)
    assert functional.brightness(framed, 0.4)[0] == pytest.approx(alone, rel=0.1)
    border = lowlight(framed).tensor[..., :14, :]
    assert float(border.max()) < 0.04


def test_a_lamp_is_neither_grey_nor_spread_nor_flat() -> None:
    """A lamp 40 times as bright as the room, its edge half of that: both are seen, and the edge is not white."""
    pixels = dark(clean(), sigma=0.5)
    pixels[..., 32:44, 38:50] = 0.5
    pixels[..., 35:41, 41:47] = 1.0
    result = lowlight(pixels).tensor
    inside, edge = result[..., 35:41, 41:47], result[..., 32:34, 39:49]
    assert float(inside.min()) >= 0.98
    assert 0.8 < float(edge.mean()) < 0.97
    assert float(result[..., 30, 39:49].max()) < 0.75  # two pixels beside it the room is as bright as elsewhere


def test_a_bright_photograph_is_never_darkened_and_a_note_says_so() -> None:
    bright = (255 * (0.4 + 0.5 * clean())).round() / 255
    assert float((lowlight(bright).tensor - bright).abs().mean()) < 0.01
    source = Lowlight(image=bright).problem().source  # type: ignore[arg-type]
    assert source is not None
    assert "as bright as --target 0.4 already" in source.notes[-1]


def test_each_channel_has_noise_of_its_own() -> None:
    generator = torch.Generator().manual_seed(0)
    sigmas = torch.tensor([3.0, 1.0, 2.0]).view(1, 3, 1, 1)
    seen = (0.3 + sigmas / 255 * torch.randn(1, 3, 96, 96, generator=generator)).clamp(0, 1)
    sigma, weight = functional.noise(seen, 0.29)
    assert sigma == pytest.approx((14 / 3) ** 0.5, rel=0.15)
    assert torch.allclose((sigma**2 / weight).mean(dim=(0, 2, 3)).sqrt(), sigmas.flatten(), rtol=0.2)


def test_blotchy_noise_is_found_where_a_fine_estimate_misses_it() -> None:
    generator = torch.Generator().manual_seed(0)
    coarse = torch.randn(1, 3, 48, 48, generator=generator).repeat_interleave(2, 2).repeat_interleave(2, 3)
    blotchy = torch.nn.functional.avg_pool2d(torch.nn.functional.pad(coarse, (2, 2, 2, 2), mode="reflect"), 5, 1)
    seen = 0.3 + 4 / 255 * blotchy
    from gdpkit import estimate

    assert functional.noise(seen, 0.29)[0] > 2 * estimate.noise_sigma(seen[:, :1])


def test_what_is_rolled_off_keeps_half_of_its_hue() -> None:
    """A blue sky is not cyan: its blue is rolled off, and its green with it. Below the knee nothing changes."""
    sky = torch.tensor([0.2, 0.6, 2.0]).view(1, 3, 1, 1)
    alone = exposure.encoded(exposure.rolled_off(sky, 2.0))
    found, before = (exposure.decoded(x).flatten() for x in (functional.with_hues(alone, 2.0), alone))
    assert float(found[2]) == pytest.approx(float(before[2]), abs=1e-4)
    assert float(found[1] / found[2]) == pytest.approx((0.3 + float(before[1] / before[2])) / 2, abs=1e-3)
    dull = picture(1, 3, 8, 8) * 0.75
    torch.testing.assert_close(functional.with_hues(dull, 2.0), dull, atol=1e-5, rtol=0)


def test_a_grey_photograph_stays_grey_and_keeps_16_bits(tmp_path: Path) -> None:
    grey = dark(clean())[:, :1]
    file = tmp_path / "dark.png"
    images.save(file, grey, like=images.Picture(grey, bits=16))
    result = lowlight(file)
    assert result.tensor.shape[1] == 1
    assert float(result.tensor.mean()) == pytest.approx(0.4, abs=0.03)
    result.save(tmp_path / "bright.png")
    assert images.open_picture(tmp_path / "bright.png").bits == 16


def test_the_unknowns_can_be_fitted_and_losses_of_the_paper_join() -> None:
    seen = dark(clean(24, 24), sigma=0.5)
    losses = ["exposure:target=0.4,weight=10", "color-constancy:weight=5", "illumination-smoothness:weight=200"]
    result = lowlight(seen, fit=True, losses=losses, steps=2)
    assert set(result.unknowns) == {"log_gain", "light"}
    assert float(result.tensor.mean()) == pytest.approx(0.4, abs=0.06)


def test_parameters_keep_the_contract() -> None:
    seen = dark(clean(32, 32))
    for values in ({}, {"fit": True}, {"sigma": 3.0}, {"target": 0.7}):
        check_task(Lowlight(image=seen, **values))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("image", "parameters", "reason"),
    [
        (torch.zeros(1, 3, 32, 32), {}, "black all over"),
        (torch.full((1, 3, 8, 40), 0.1), {}, "needs at least 16x16"),
        (torch.full((1, 3, 32, 32), 0.1), {"target": 1.5}, "target must be at most 0.9"),
        (torch.full((1, 3, 32, 32), 0.1), {"sigma": -1.0}, "sigma must be at least"),
    ],
)
def test_what_cannot_be_brightened_is_an_error(image: Tensor, parameters: dict[str, float], reason: str) -> None:
    with pytest.raises(GdpkitError, match=reason):
        lowlight(image, **parameters)


def test_a_photograph_of_one_level_is_brightened_too() -> None:
    result = lowlight(torch.full((1, 3, 32, 32), 10 / 255)).tensor
    assert float(result.mean()) == pytest.approx(0.4, abs=0.02)


def test_a_missing_file_and_a_folder_are_named(tmp_path: Path) -> None:
    for path in (tmp_path / "none.png", tmp_path):
        with pytest.raises(ImageError, match=path.name):
            lowlight(path)


def test_the_command_writes_a_picture_and_says_the_gain(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file, out = tmp_path / "dark.png", tmp_path / "bright.png"
    images.save(file, dark(clean(32, 32)))
    assert main(["run", "lowlight", str(file), "-o", str(out), "--steps", "2", "--device", "cpu"]) == 0
    assert "its light is multiplied by" in capsys.readouterr().err
    assert images.read_image(out).shape == (1, 3, 32, 32)


def test_noise_that_is_alike_in_the_channels_is_removed_like_any_other() -> None:
    """JPEG leaves the noise of luma alone: of a night sky of levels 0 and 1 a gain would make a mottle."""
    sky = (torch.rand(1, 1, 48, 56, generator=torch.Generator().manual_seed(3)) < 0.4).float().expand(-1, 3, -1, -1)
    lamp = torch.zeros_like(sky)
    lamp[..., 10:30, 10:40] = 20.0
    seen = (torch.maximum(sky, lamp + sky)) / 255
    gain, _ = functional.brightness(seen, 0.4)
    result = lowlight(seen).tensor
    dark_part = (..., slice(34, 46), slice(4, 52))
    amplified = exposure.encoded(gain * exposure.decoded(seen)).clamp(0, 1)
    assert float(result[dark_part].std()) < 0.5 * float(amplified[dark_part].std())


def test_noise_is_added_to_colours_only_and_where_they_lack_it() -> None:
    noise = torch.randn(1, 1, 64, 64, generator=torch.Generator().manual_seed(0)).expand(-1, 3, -1, -1)
    seen = (0.2 + 2 / 255 * noise).clone()
    seen[..., :8, :8] = 1
    whitened, sigma = functional.whitened(seen, 2.0, torch.ones_like(seen))
    assert sigma == pytest.approx(2 * 3**0.5, rel=0.05)
    assert torch.allclose(whitened.mean(1), seen.mean(1), atol=1e-5)
    assert torch.equal(whitened[..., :8, :8], seen[..., :8, :8])
    white = 0.2 + 2 / 255 * torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    assert functional.whitened(white, 2.0, torch.ones_like(white))[1] < 2.2


def of_camera(truth: Tensor, gain: float, photons: float = 200.0, smoothed: int = 1) -> Tensor:
    """A short exposure with the noise of photons, smoothed over 3x3 pixels so many times, of 8 bits."""
    light = gain * exposure.decoded(truth)
    generator = torch.Generator().manual_seed(5)
    counts = light + (light / photons).sqrt() * torch.randn(light.shape, generator=generator)
    for _ in range(smoothed):
        padded = torch.nn.functional.pad(counts, (1, 1, 1, 1), mode="reflect")
        counts = torch.nn.functional.avg_pool2d(padded, 3, stride=1)
    return (255 * exposure.encoded(counts.clamp_min(0)).clamp(0, 1)).round() / 255


def test_blotches_of_a_cameras_noise_are_removed() -> None:
    truth = clean(160, 160)
    seen = of_camera(truth, 0.06)
    result = lowlight(seen, steps=6)
    amplified = exposure.encoded(functional.brightness(seen, 0.4)[0] * exposure.decoded(seen)).clamp(0, 1)
    assert matched(result.tensor, truth) < 0.6 * matched(amplified, truth)
    assert matched(result.tensor, truth) < 0.6 * matched(lowlight(seen, sigma=1.0, steps=6).tensor, truth)
    assert any("noise that is not white was found; after the gain it counts as sigma" in n for n in result.notes)


def test_white_noise_that_depends_on_the_level_is_white() -> None:
    seen = of_camera(clean(160, 160), 0.06, photons=2000.0, smoothed=0)
    assert not any("not white" in note for note in lowlight(seen, steps=1).notes)


def test_the_highlights_of_a_noisy_photograph_are_those_of_the_scene() -> None:
    """A peak of the noise in one pixel is no light: a white wall that is rolled off because of it would be grey."""
    seen = torch.full((1, 3, 32, 32), 0.2)
    seen[..., 8, 8] = 0.8
    alone, noisy = (functional.brightness(seen, 0.4, noisy=n) for n in (False, True))
    assert functional.brightest(seen, noisy=True) < 0.5 * functional.brightest(seen)
    assert noisy[1] < alone[1]


def test_a_grey_photograph_with_the_noise_of_a_camera_stays_grey() -> None:
    result = lowlight(of_camera(clean(160, 160), 0.06).mean(1, keepdim=True), steps=2)
    assert result.tensor.shape[1] == 1
    assert float(result.tensor.mean()) == pytest.approx(0.4, abs=0.05)
