"""`deblur`: a sharp picture that, blurred again, is the photograph; kernels by name, by file, and found."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from gdpkit_deblur import Deblur, border
from gdpkit_deblur.noise import noise_behind
from numpy.typing import NDArray
from PIL import Image
from skimage import data

from gdpkit import GdpkitError, ImageError, Restoration, chain, convolution, images, kernels, restore, weighed_blur
from gdpkit.testing import check_task, example, picture


def scene(height: int = 64, width: int = 72) -> torch.Tensor:
    """Discs on a smooth ground, (1, 3, H, W)."""
    image = picture(1, 3, height, width)
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    for row, column, radius, factor in ((30, 42, 18, 0.3), (12, 14, 9, 1.4), (50, 60, 7, 0.5), (48, 12, 5, 1.6)):
        image = torch.where((rows - row) ** 2 + (columns - column) ** 2 < radius**2, image * factor, image)
    return image.clamp(0, 1)


def blurred(stage: str, image: torch.Tensor | None = None) -> NDArray[np.float32]:
    seen = chain([stage])(scene() if image is None else image)
    return images.to_array((255 * seen).round() / 255)


def sharpen(image: Any, **parameters: Any) -> Restoration:
    return restore("deblur", image=image, **{"prior": "tv", "steps": 4, "device": "cpu", **parameters})


def error(found: NDArray[np.float32], wanted: NDArray[np.float32]) -> float:
    return float(np.square(found - wanted).mean())


def test_the_task_keeps_the_contract(tmp_path: Path) -> None:
    check_task(example(Deblur, tmp_path))


@pytest.mark.parametrize(
    "kernel", [kernels.gaussian(2.0, 9), kernels.box(9), kernels.disk(4.0)], ids=["gaussian", "box", "disk"]
)
def test_mirrored_borders_are_told_from_unknown_ones(kernel: torch.Tensor) -> None:
    photograph = torch.from_numpy(data.astronaut()[:128, 150:270]).permute(2, 0, 1)[None] / 255
    mirrored, unknown = (convolution.convolve(photograph, kernel, boundary) for boundary in ("reflect", "valid"))
    for seen, expected in ((mirrored, True), (unknown, False)):
        rounded = (255 * seen).round() / 255
        assert border.is_mirrored(rounded, kernel, 0.3 / 255) is expected


def test_whoever_asked_is_told_about_a_mirrored_border() -> None:
    seen = blurred("blur:kernel=gaussian,size=9,sigma=2,boundary=reflect")
    for boundary, told in (("auto", True), ("valid", False)):
        notes = sharpen(seen, kernel="gaussian:9,2", boundary=boundary, steps=1).notes
        assert any("mirrored" in note for note in notes) is told


@pytest.mark.parametrize(
    ("kernel", "stage"),
    [
        ("gaussian:9,2", "blur:kernel=gaussian,size=9,sigma=2"),
        ("gaussian:size=9,sigma=2", "blur:kernel=gaussian,size=9,sigma=2"),
        ("gaussian:sigma=1.5", "blur:kernel=gaussian,sigma=1.5"),
        ("box:5", "blur:kernel=box,size=5"),
        ("motion:9,30", "blur:kernel=motion,length=9,angle=30"),
        ("disk:2.5", "blur:kernel=disk,radius=2.5"),
    ],
)
@pytest.mark.parametrize("boundary", ["valid", "reflect"])
def test_each_kernel_is_undone(kernel: str, stage: str, boundary: str) -> None:
    seen = blurred(f"{stage},boundary=reflect")
    result = sharpen(seen, kernel=kernel, boundary=boundary, steps=10)
    truth = images.to_array(scene())
    assert result.image.shape == seen.shape
    assert error(result.image, truth) < 0.7 * error(seen, truth)
    assert result.record["consistency"] < 1


def test_a_part_of_a_larger_scene_has_no_frame() -> None:
    """What lies beyond the border is unknown: the frame is no worse than half as good as the rest."""
    truth = scene(96, 104)
    part = blurred("blur:kernel=gaussian,size=9,sigma=2", truth)[16:-16, 16:-16]
    wrong = np.square(sharpen(part, kernel="gaussian:9,2").image - images.to_array(truth)[16:-16, 16:-16])
    frame = np.ones(wrong.shape, bool)
    frame[6:-6, 6:-6] = False
    assert wrong[frame].mean() < 2 * wrong[~frame].mean()


def test_a_kernel_from_a_file(tmp_path: Path) -> None:
    bright = (255 * kernels.disk(2.5) / kernels.disk(2.5).max()).round().byte().numpy()
    Image.fromarray(bright).save(tmp_path / "kernel.png")
    seen = blurred("blur:kernel=disk,radius=2.5")
    by_file, by_name = sharpen(seen, kernel=str(tmp_path / "kernel.png")), sharpen(seen, kernel="disk:2.5")
    assert np.abs(by_file.image - by_name.image).mean() < 3 / 255


@pytest.mark.parametrize("kernel", [kernels.gaussian(2.0, 9), kernels.disk(3.0), kernels.motion(11, 20)])
@pytest.mark.parametrize("sigma", [1.0, 5.0])
def test_the_noise_is_found_below_the_blur(kernel: torch.Tensor, sigma: float) -> None:
    from gdpkit import convolution

    noise = torch.randn(1, 3, 128, 136, generator=torch.Generator().manual_seed(0))
    seen = convolution.convolve(scene(128, 136), kernel, "reflect") + sigma / 255 * noise
    assert 255 * noise_behind(seen, kernel)[0] == pytest.approx(sigma, rel=0.2)


def photograph(height: int = 160, width: int = 160) -> torch.Tensor:
    return torch.from_numpy(data.astronaut()[:height, 150 : 150 + width]).permute(2, 0, 1)[None] / 255


def psnr(found: torch.Tensor, wanted: torch.Tensor) -> float:
    inner = (..., slice(6, -6), slice(6, -6))
    return float(-10 * (found[inner] - wanted[inner]).square().mean().log10())


GAUSSIAN = "blur:kernel=gaussian,size=9,sigma=1.5,boundary=valid"


def as_jpeg(image: torch.Tensor, quality: int, path: Path) -> torch.Tensor:
    Image.fromarray((255 * images.to_array(image)).round().astype("uint8")).save(path, quality=quality)
    return images.read_image(path)


@pytest.mark.parametrize("change", ["cut out", "saved again", "reduced"])
def test_a_jpeg_that_was_changed_since_is_not_made_worse(change: str, tmp_path: Path) -> None:
    sharp = photograph()
    seen = chain([GAUSSIAN])(sharp)
    if change == "cut out":
        stored = as_jpeg(seen, 75, tmp_path / "a.jpg")[..., 3:-3, 5:-5]
        wanted = sharp[..., 7:-7, 9:-9]
    elif change == "saved again":
        stored = as_jpeg(as_jpeg(seen, 75, tmp_path / "a.jpg"), 95, tmp_path / "b.jpg")
        wanted = sharp[..., 4:-4, 4:-4]
    else:
        large = torch.nn.functional.interpolate(seen, scale_factor=2, mode="bicubic").clamp(0, 1)
        stored = torch.nn.functional.avg_pool2d(as_jpeg(large, 75, tmp_path / "a.jpg"), 2)
        wanted = sharp[..., 4:-4, 4:-4]
    stored = (255 * stored).round() / 255
    found = sharpen(stored, prior="embedded", steps=6, kernel="gaussian:9,1.5")
    assert psnr(found.tensor, wanted) > psnr(stored, wanted) + 0.5
    assert any("counts as noise" in note for note in found.notes)


def test_a_photograph_without_errors_has_none() -> None:
    for kernel in (kernels.gaussian(1.5, 9), kernels.disk(3.0), kernels.motion(15, 30)):
        seen = (255 * convolution.convolve(photograph(256, 256), kernel, "valid")).round() / 255
        white, other = noise_behind(seen, kernel)
        assert 255 * white == pytest.approx(0.29, rel=0.35)
        assert other == 0


@pytest.mark.parametrize("kernel", ["disk:3", "motion:11,30"])
def test_light_that_was_blurred_is_told_and_undone(kernel: str) -> None:
    stage = {"disk:3": "kernel=disk,radius=3", "motion:11,30": "kernel=motion,length=11,angle=30"}[kernel]
    sharp = photograph(256, 256)
    seen = chain([f"blur:{stage},boundary=valid,light=linear"])(sharp)
    seen = (255 * seen).round() / 255
    rows, columns = ((a - b) // 2 for a, b in zip(sharp.shape[-2:], seen.shape[-2:], strict=True))
    wanted = sharp[..., rows : rows + seen.shape[-2], columns : columns + seen.shape[-1]]
    told = sharpen(seen, prior="embedded", steps=6, kernel=kernel)
    assert told.problem.observations[0].degradation.light == "linear"  # type: ignore[attr-defined]
    assert any("light was blurred" in note for note in told.notes)
    values = sharpen(seen, prior="embedded", steps=6, kernel=kernel, light="encoded")
    assert psnr(told.tensor, wanted) > psnr(seen, wanted) + 3
    assert psnr(told.tensor, wanted) > psnr(values.tensor, wanted) + 3


def test_light_is_undone_from_sixteen_bits() -> None:
    sharp = 0.9 * photograph(128, 128)
    seen = chain(["blur:kernel=disk,radius=3,boundary=valid,light=linear"])(sharp)
    seen = (65535 * seen.double()).round() / 65535
    found = sharpen(seen, prior="embedded", steps=6, kernel="disk:3", boundary="valid", light="linear")
    assert psnr(found.tensor, sharp[..., 3:-3, 3:-3]) > psnr(seen.float(), sharp[..., 3:-3, 3:-3]) + 6


@pytest.mark.parametrize("light", ["encoded", "linear"])
def test_lamps_brighter_than_white_do_not_ring(light: str) -> None:
    scene = 0.5 * photograph(128, 128)
    scene[..., 30:40, 40:50] = 2.0
    scene[..., 80:84, 70:74] = 2.5
    seen = chain([f"blur:kernel=motion,length=11,angle=30,boundary=valid,light={light}"])(scene).clamp(0, 1)
    seen = (255 * seen).round() / 255
    wanted = scene.clamp(0, 1)[..., 3:-3, 5:-5]
    found = sharpen(seen, prior="embedded", steps=8, kernel="motion:11,30", boundary="valid", light=light)
    assert psnr(found.tensor, wanted) > psnr(seen, wanted) + 4
    assert found.record["consistency"] < 3  # of what can be told, in squared levels


def test_an_unknown_kernel_is_found_and_saved(tmp_path: Path) -> None:
    seen = blurred("blur:kernel=gaussian,size=9,sigma=1.6", scene(96, 96))
    result = sharpen(seen, blind=True, size=11)
    result.save(tmp_path / "sharp.png")
    kernel = np.load(tmp_path / "sharp.kernel.npy")
    assert kernel.shape == (1, 11, 11)
    assert kernel.sum() == pytest.approx(1, abs=1e-4)
    assert kernel.min() >= 0
    assert sharpen(seen, kernel=str(tmp_path / "sharp.kernel.npy")).image.shape == result.image.shape
    with Image.open(tmp_path / "sharp.kernel.png") as seen_kernel:
        assert (seen_kernel.size, seen_kernel.getextrema()[1]) == ((11, 11), 255)
    result.save(tmp_path / "sharp.tif")  # the kernel is the same: nothing would be lost
    np.save(tmp_path / "sharp.kernel.npy", kernel[:, 1:-1, 1:-1])
    with pytest.raises(ImageError, match=r"sharp\.kernel\.npy: it exists already"):
        result.save(tmp_path / "sharp.webp")


@pytest.mark.parametrize("channels", [1, 3])
def test_grey_stays_grey(channels: int) -> None:
    result = sharpen(blurred("blur:kernel=box,size=3")[..., :channels].squeeze(), kernel="box:3", steps=2)
    assert (result.image.ndim == 2) == (channels == 1)


@pytest.mark.parametrize(
    ("parameters", "reason"),
    [
        ({}, "deblur needs either --kernel, e.g. gaussian:9,2, or --blind: none was given"),
        ({"kernel": "box:3", "blind": True}, "deblur needs either --kernel, e.g. gaussian:9,2, or --blind: both"),
        ({"kernel": "gaussian:8,2"}, "--kernel gaussian:8,2: blur: size must be odd"),
        ({"kernel": "gaussian:9,2,3"}, "--kernel gaussian:9,2,3: 3 values were given, but it is gaussian:SIZE,SIGMA"),
        ({"kernel": "box:wide"}, "--kernel box:wide: blur: size must be a whole number, not 'wide'"),
        ({"kernel": "motion:angel=3"}, "blur has no parameter 'angel'. Did you mean 'angle'?"),
        ({"kernel": "gaussain:9,2"}, "--kernel gaussain:9,2: there is no such file, and the kernels by name are gaus"),
        ({"kernel": "box:3", "noise": -1.0}, "deblur: noise must be at least 0, not -1"),
        ({"kernel": "box:3", "size": 9}, "deblur: --size is about --blind; a kernel that is given has its own size"),
        ({"blind": True, "size": 12}, "size must be odd, so that the kernel has a middle: 11 or 13, not 12"),
        ({"blind": True, "boundary": "circular"}, "blind-blur: boundary must be one of reflect, valid, not 'circular'"),
    ],
)
def test_what_the_user_can_mend_is_told(parameters: dict[str, Any], reason: str) -> None:
    with pytest.raises(GdpkitError) as caught:
        sharpen(images.to_array(picture(1, 3, 40, 40)), **parameters)
    assert reason in str(caught.value)


def test_a_sharp_photograph_is_left_as_it_is() -> None:
    sharp = (255 * photograph(128, 128)).round() / 255
    found = sharpen(sharp, blind=True, size=9, steps=2)
    assert any("left as it is" in note for note in found.notes)
    assert float((found.tensor - sharp).abs().max()) < 2 / 255
    assert found.unknowns["kernel"][0, 4, 4] == 1
    soft = (255 * convolution.convolve(sharp, kernels.gaussian(1.5, 9), "reflect")).round() / 255
    assert not any("left as it is" in note for note in sharpen(soft, blind=True, size=9, steps=1).notes)


def shaken(size: int, seed: int) -> torch.Tensor:
    """A crooked way, as of a hand."""
    way = torch.randn(300, 2, generator=torch.Generator().manual_seed(seed)).cumsum(0).cumsum(0)
    way = way - way.mean(0)
    spots = (way * 0.4 * size / way.abs().max() + size // 2).round().long()
    kernel = torch.zeros(size, size)
    kernel.index_put_((spots[:, 0], spots[:, 1]), torch.ones(300), accumulate=True)
    return kernel / kernel.sum()


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_blur_that_is_hardly_found_does_no_harm(seed: int, tmp_path: Path) -> None:
    sharp, kernel = photograph(192, 192), shaken(13, seed)
    light = weighed_blur.encoded(convolution.convolve(weighed_blur.decoded(sharp), kernel, "valid"))
    noise = torch.randn(light.shape, generator=torch.Generator().manual_seed(seed))
    seen = as_jpeg((light + 2 / 255 * noise).clamp(0, 1), 80, tmp_path / "shaken.jpg")
    found = sharpen(tmp_path / "shaken.jpg", prior="embedded", blind=True, steps=5)
    assert psnr(found.tensor, sharp[..., 6:-6, 6:-6]) > psnr(seen, sharp[..., 6:-6, 6:-6]) - 0.3


def test_light_that_an_unknown_kernel_blurred_is_told_and_undone() -> None:
    sharp = photograph(256, 256)
    seen = chain(["blur:kernel=disk,radius=3,boundary=valid,light=linear"])(sharp)
    seen = (255 * seen).round() / 255
    found = sharpen(seen, prior="embedded", steps=6, blind=True, size=11)
    assert found.problem.observations[0].degradation.light == "linear"  # type: ignore[attr-defined]
    assert psnr(found.tensor, sharp[..., 3:-3, 3:-3]) > psnr(seen, sharp[..., 3:-3, 3:-3]) + 3


def test_a_flat_picture_tells_of_no_blur() -> None:
    with pytest.raises(ImageError, match="it has no edge that tells how it was blurred"):
        sharpen(np.ones((40, 40, 3), np.float32), blind=True, size=5)


def test_the_papers_preset_is_the_papers_sampler() -> None:
    assert Deblur.presets["paper"]["sampler"].startswith("gdp:")
