"""MS-SSIM and LOE: against another library's value and against the definition, place by place."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from gdpkit.errors import GdpkitError
from gdpkit.metrics.loe import LightnessOrderError
from gdpkit.metrics.ms_ssim import WEIGHTS, MultiScaleSSIM
from gdpkit.metrics.ssim import SSIM


def pair(height: int, width: int) -> tuple[Tensor, Tensor]:
    """A picture with noise and what it shows, (1, 3, H, W), the same numbers on every machine."""
    channels, rows, columns = torch.meshgrid(
        torch.arange(3).double(), torch.arange(height).double(), torch.arange(width).double(), indexing="ij"
    )
    truth = 0.5 + 0.2 * (rows / 9 + channels).sin() * (columns / 13).cos() + 0.2 * (rows * columns / 999).sin()
    grain = (12.9898 * rows + 78.233 * columns + 37.719 * channels).sin() * 43758.5453
    return (truth + 0.3 * (grain - grain.floor() - 0.5))[None], truth[None]


def test_ms_ssim_agrees_with_pytorch_msssim() -> None:
    """`pytorch_msssim.ms_ssim(image, truth, data_range=1)` of pytorch-msssim 1.0.0 gives these, in float64."""
    assert float(MultiScaleSSIM()(*pair(176, 192))) == pytest.approx(0.8703211, abs=3e-6)
    assert float(MultiScaleSSIM()(*pair(256, 208))) == pytest.approx(0.8937003, abs=3e-6)


def test_ms_ssim_of_equal_pictures_is_one_and_of_a_negative_is_nothing() -> None:
    _, truth = pair(161, 170)
    assert float(MultiScaleSSIM()(truth, truth)) == pytest.approx(1, abs=1e-12)
    assert float(MultiScaleSSIM()(1 - truth, truth)) == 0


def test_ms_ssim_at_one_scale_is_ssim() -> None:
    found, wanted = (metric(*pair(40, 50)) for metric in (MultiScaleSSIM(scales=1), SSIM()))
    # The mean over channels is of the powers; with one channel there is nothing else but the sum of the exponents.
    image, truth = (x[:, :1] for x in pair(40, 50))
    assert float(MultiScaleSSIM(scales=1)(image, truth)) == pytest.approx(float(SSIM()(image, truth)) ** sum(WEIGHTS))
    assert torch.allclose(found, wanted, atol=1e-3)


def test_ms_ssim_says_what_size_its_scales_need() -> None:
    with pytest.raises(GdpkitError, match=r"ms-ssim: 170x160 .* too small; 161x161 .* scales: ms-ssim:scales=4$"):
        MultiScaleSSIM()(*pair(160, 170))
    with pytest.raises(GdpkitError, match=r"21x21 pixels are needed, or fewer scales: ms-ssim:scales=1$"):
        MultiScaleSSIM(scales=2)(*pair(20, 20))
    with pytest.raises(GdpkitError, match=r"161x161 pixels are needed$"):
        MultiScaleSSIM()(*pair(10, 20))
    assert MultiScaleSSIM(scales=4)(*pair(160, 170)).shape == (1,)


def place_by_place(found: Tensor, given: Tensor) -> float:
    """LOE as the authors' LOE.m computes it, in loops: (1, C, H, W) in [0, 1]."""

    def sampled(image: Tensor) -> list[float]:
        light = np.rint(255 * image[0].numpy()).max(axis=0)
        height, width = light.shape
        step = min(height, width) // 50
        grown = np.pad(light, 7, mode="reflect")
        rows, columns = range(step - 1, height // step * step, step), range(step - 1, width // step * step, step)
        return [float(grown[i : i + 15, j : j + 15].max()) for i in rows for j in columns]

    x, y = sampled(found), sampled(given)
    changed = sum((a >= b) != (c >= d) for a, c in zip(x, y, strict=True) for b, d in zip(x, y, strict=True))
    return changed / len(x)


def test_loe_of_maxima_is_its_definition_place_by_place() -> None:
    found, given = pair(104, 121)
    metric = LightnessOrderError(places="maximum")
    assert float(metric(found, given)) == pytest.approx(place_by_place(found, given), abs=1e-6)


def test_loe_is_that_of_pictures_reduced_with_antialiasing() -> None:
    """By Pillow's bicubic reduction, whose kernel is that of MATLAB's imresize, but for roundings to a level."""
    from PIL import Image

    found, given = pair(120, 150)
    few = []
    for picture in (found, given):
        light = np.rint(255 * picture[0].numpy()).max(axis=0).clip(0, 255).astype(np.uint8)
        few.append(np.asarray(Image.fromarray(light).resize((62, 50), Image.Resampling.BICUBIC)).ravel())
    x, y = few
    changed = ((x[:, None] >= x) != (y[:, None] >= y)).sum() / len(x)
    assert float(LightnessOrderError()(found.clamp(0, 1), given.clamp(0, 1))) == pytest.approx(changed, rel=0.02)


def test_loe_minds_denoising_less_than_that_of_maxima() -> None:
    noisy, clean = pair(200, 240)
    ours, theirs = (float(LightnessOrderError(places=p)(clean, noisy)) for p in ("resized", "maximum"))
    assert ours < 0.8 * theirs


def test_loe_does_not_mind_what_keeps_the_order() -> None:
    _, given = pair(100, 120)
    assert float(LightnessOrderError()(given, given)) == 0
    dark = given * 0.2
    # In 8 bits a gain of 2 joins no levels and parts none.
    dark = (255 * dark).round() / 255
    assert float(LightnessOrderError(places="maximum")(2 * dark, dark)) == 0
    assert float(LightnessOrderError()(2 * dark, dark)) < 100  # roundings after the reduction
    assert float(LightnessOrderError()(1 - given, given)) > 1000


def test_loe_takes_pictures_smaller_than_its_samples() -> None:
    found, given = pair(20, 30)
    assert 0 < float(LightnessOrderError()(found, given)) < 600
