"""Metrics of brackets and of radiance: the formulas worked out window by window, and known values."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from gdpkit.errors import GdpkitError
from gdpkit.metrics import fusion
from gdpkit.metrics.mef_ssim import MefSSIM
from gdpkit.metrics.psnr import PSNR
from gdpkit.metrics.psnr_mu import PsnrMu


def scene(height: int, width: int) -> Tensor:
    """A grey picture with waves and grain, (1, 1, H, W) in [0, 1], the same on every machine."""
    rows, columns = torch.meshgrid(torch.arange(height).double(), torch.arange(width).double(), indexing="ij")
    grain = (12.9898 * rows + 78.233 * columns).sin() * 43758.5453
    values = 0.4 + 0.25 * (rows / 5).sin() * (columns / 7).cos() + 0.2 * (grain - grain.floor())
    return values[None, None]


def bracket(height: int, width: int) -> Tensor:
    """Three exposures of it in whole levels, clipped, (1, 3, 1, H, W)."""
    seen = [(scene(height, width) * gain).clamp(0, 1) for gain in (0.3, 1.0, 2.5)]
    return (255 * torch.stack(seen, dim=1)).round() / 255


def fused(height: int, width: int) -> Tensor:
    return (255 * (0.8 * scene(height, width) + 0.1)).round() / 255


def window_by_window(exposures: Any, picture: Any) -> float:
    """One scale of MEF-SSIM by its definition: (K, H, W) and (H, W) in 0..255."""
    side = 11
    bell = np.exp(-((np.arange(side) - 5) ** 2) / (2 * 1.5**2))
    window = np.outer(bell, bell).ravel() / bell.sum() ** 2
    values = []
    for top in range(picture.shape[0] - side + 1):
        for left in range(picture.shape[1] - side + 1):
            place = (slice(top, top + side), slice(left, left + side))
            x = np.stack([one[place].ravel() - one[place].mean() for one in exposures])
            strength = np.linalg.norm(x, axis=1)
            agreement = np.linalg.norm(x.sum(axis=0)) / strength.sum()
            strength = strength + 1e-3  # as the authors' program does, for windows that are all white
            weight = (strength / side) ** min(math.tan(math.pi / 2 * agreement), 10.0)
            desired = (weight[:, None] / weight.sum() * x / strength[:, None]).sum(axis=0)
            desired *= strength.max() / np.linalg.norm(desired)
            found = picture[place].ravel()
            found, desired = found - window @ found, desired - window @ desired
            c = (0.03 * 255) ** 2
            values.append((2 * window @ (found * desired) + c) / (window @ (found**2) + window @ (desired**2) + c))
    return float(np.mean(values))


def test_mef_ssim_is_its_definition_window_by_window() -> None:
    wanted = window_by_window(255 * bracket(24, 28)[0, :, 0].numpy(), 255 * fused(24, 28)[0, 0].numpy())
    assert float(MefSSIM(scales=1)(fused(24, 28), bracket(24, 28))) == pytest.approx(wanted, abs=1e-4)


def test_mef_ssim_of_large_pictures_is_the_same_in_strips(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = MefSSIM()(fused(60, 50), bracket(60, 50))
    monkeypatch.setattr(fusion, "AT_ONCE", 9 * 50 * 3)
    assert torch.allclose(MefSSIM()(fused(60, 50), bracket(60, 50)), whole, atol=1e-9)


def test_mef_ssim_of_one_exposure_and_itself_is_one_and_brightness_does_not_count() -> None:
    one = bracket(48, 48)[:, :1]
    assert float(MefSSIM()(one[:, 0], one)) == pytest.approx(1, abs=1e-4)
    assert float(MefSSIM()(one[:, 0] + 0.3, one)) == pytest.approx(1, abs=1e-4)


def test_mef_ssim_does_not_mind_the_order_and_falls_with_what_is_lost() -> None:
    exposures = bracket(48, 48)
    good = MefSSIM()(fused(48, 48), exposures)
    assert torch.allclose(MefSSIM()(fused(48, 48), exposures.flip(1)), good, atol=1e-9)
    flat = fused(48, 48)
    flat[..., :24, :] = flat[..., :24, :].mean()
    assert float(MefSSIM()(flat, exposures)) < float(good) - 0.1


def test_mef_ssim_takes_colour_and_says_what_is_wrong() -> None:
    colour = bracket(48, 48).expand(-1, -1, 3, -1, -1)
    assert torch.allclose(MefSSIM()(fused(48, 48).expand(-1, 3, -1, -1), colour), MefSSIM()(fused(48, 48), colour))
    with pytest.raises(GdpkitError, match=r"mef-ssim: .* 48x47 and 48x48"):
        MefSSIM()(fused(47, 48), colour)
    with pytest.raises(GdpkitError, match="43x48 is too small; 44x44"):
        MefSSIM()(fused(48, 43), bracket(48, 43))
    with pytest.raises(GdpkitError, match="exposures it was made from"):
        MefSSIM()(fused(48, 48), None)


def test_psnr_mu_of_a_known_error() -> None:
    truth = torch.ones(1, 3, 8, 8)
    found = truth.clone()
    found[..., ::2] = 0.5
    error = 1 - math.log1p(2500) / math.log1p(5000)
    wanted = -10 * math.log10(error**2 / 2)
    assert float(PsnrMu(scale="none")(found, truth)) == pytest.approx(wanted, abs=1e-4)


def test_psnr_mu_is_the_psnr_of_what_the_mu_law_gives() -> None:
    truth = 40 * scene(16, 20).float() ** 4
    found = truth * (1 + 0.1 * torch.randn(truth.shape, generator=torch.Generator().manual_seed(0)))

    def law(radiance: Tensor) -> Tensor:
        return (1 + 5000 * radiance / truth.max()).log() / math.log(5001)

    assert torch.allclose(PsnrMu(scale="none")(found, truth), PSNR()(law(found), law(truth)), atol=1e-3)


def test_psnr_mu_does_not_mind_the_scale_of_a_merge() -> None:
    truth = 40 * scene(16, 20) ** 4
    found = truth * (1 + 0.1 * torch.randn(truth.shape, generator=torch.Generator().manual_seed(0)))
    fit, none = PsnrMu(), PsnrMu(scale="none")
    assert torch.allclose(fit(7 * found, 3 * truth), fit(found, truth), atol=1e-6)
    assert float(none(7 * found, truth)) < float(none(found, truth)) - 10
    assert float(fit(7 * truth, truth)) > 200


def test_psnr_mu_says_that_a_black_truth_measures_nothing() -> None:
    with pytest.raises(GdpkitError, match="psnr-mu: the truth is black"):
        PsnrMu()(torch.ones(1, 1, 4, 4), torch.zeros(1, 1, 4, 4))
