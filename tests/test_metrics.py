"""Metrics: known values, and agreement with scikit-image."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from gdpkit.components import Metric
from gdpkit.errors import GdpkitError
from gdpkit.metrics.consistency import Consistency
from gdpkit.metrics.psnr import PSNR
from gdpkit.metrics.ssim import SSIM
from gdpkit.testing import picture


def pair(channels: int = 3) -> tuple[Tensor, Tensor]:
    truth = picture(2, channels, 33, 47)
    noise = torch.randn(truth.shape, generator=torch.Generator().manual_seed(0))
    return (truth + 0.08 * noise).clamp(0, 1), truth


def test_psnr_of_a_known_error() -> None:
    truth = torch.full((2, 3, 8, 8), 0.5)
    off = truth + torch.tensor([0.1, 0.01]).view(2, 1, 1, 1)
    assert torch.allclose(PSNR()(off, truth), torch.tensor([20.0, 40.0]), atol=1e-3)


def test_psnr_takes_all_channels_together() -> None:
    truth = torch.zeros(1, 3, 4, 4)
    red = truth.clone()
    red[:, 0] = 0.3
    assert float(PSNR()(red, truth)) == pytest.approx(-10 * math.log10(0.09 / 3), abs=1e-4)


def test_psnr_of_equal_pictures_is_infinite() -> None:
    assert math.isinf(float(PSNR()(picture(1, 3, 8, 8), picture(1, 3, 8, 8))))


@pytest.mark.parametrize("metric", [PSNR(border=4), SSIM(border=4)], ids=["psnr", "ssim"])
def test_what_lies_in_the_border_does_not_count(metric: Metric) -> None:
    image, truth = pair()
    spoilt = torch.zeros_like(image)
    spoilt[..., 4:-4, 4:-4] = image[..., 4:-4, 4:-4]
    assert torch.equal(metric(spoilt, truth), metric(image, truth))


@pytest.mark.parametrize("channels", [1, 3])
def test_psnr_agrees_with_scikit_image(channels: int) -> None:
    from skimage.metrics import peak_signal_noise_ratio

    peak: Any = peak_signal_noise_ratio  # untyped
    image, truth = pair(channels)
    for found, x, y in zip(PSNR()(image, truth), image.numpy(), truth.numpy(), strict=True):
        assert float(found) == pytest.approx(peak(y, x, data_range=1.0), abs=1e-4)


@pytest.mark.parametrize("channels", [1, 3])
def test_ssim_agrees_with_scikit_image(channels: int) -> None:
    from skimage.metrics import structural_similarity

    similarity: Any = structural_similarity  # untyped
    image, truth = pair(channels)
    for found, x, y in zip(SSIM()(image, truth), image.numpy(), truth.numpy(), strict=True):
        wanted = similarity(
            y.astype(np.float64),
            x.astype(np.float64),
            channel_axis=0,
            data_range=1.0,
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
        )
        assert float(found) == pytest.approx(wanted, abs=1e-6)


def test_ssim_of_equal_pictures_is_one_and_of_a_negative_is_low() -> None:
    _, truth = pair()
    assert torch.allclose(SSIM()(truth, truth), torch.ones(2))
    noisy = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    assert float(SSIM()(1 - noisy, noisy)) < 0


def test_consistency_is_in_levels() -> None:
    seen = torch.full((2, 1, 5, 7), 0.25)
    again = seen + torch.tensor([1.0, 3.0]).view(2, 1, 1, 1) / 255
    assert torch.allclose(Consistency()(again, seen), torch.tensor([1.0, 9.0]), rtol=1e-4)
    assert (Consistency.reference, Consistency.higher_is_better) == ("input", False)


@pytest.mark.parametrize("metric", [PSNR(), SSIM(), Consistency()], ids=["psnr", "ssim", "consistency"])
def test_pictures_that_cannot_be_compared_are_an_error(metric: Metric) -> None:
    image, truth = pair()
    with pytest.raises(GdpkitError, match=f"{metric.name}.*47x33.*47x32"):
        metric(image, truth[..., :-1, :])
    with pytest.raises(GdpkitError, match=r"1 channel$"):
        metric(image, truth[:, :1])
    with pytest.raises(GdpkitError, match="was given one"):
        metric(image, None)


def test_pictures_that_are_too_small_are_an_error() -> None:
    image, truth = pair()
    with pytest.raises(GdpkitError, match=r"ssim: 47x10 .* too small; 11x11"):
        SSIM()(image[..., :10, :], truth[..., :10, :])
    with pytest.raises(GdpkitError, match="border of 17"):
        PSNR(border=17)(image, truth)
