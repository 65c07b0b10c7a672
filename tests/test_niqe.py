"""NIQE: another library's value, its model, and what is wrong with pictures and files.

With the authors' model, which is not ours to give away, the luma of BasicSR's `baboon.png` scores 5.7296, as MATLAB
R2021a does (BasicSR, basicsr/metrics/niqe.py).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from gdpkit.errors import GdpkitError
from gdpkit.metrics import naturalness
from gdpkit.metrics.niqe import Niqe


def scene(grain: float) -> Tensor:
    """A grey picture in whole levels, (1, 1, 200, 300), the same on every machine."""
    rows, columns = torch.meshgrid(torch.arange(200).double(), torch.arange(300).double(), indexing="ij")
    waves = 0.5 + 0.2 * (rows / 9).sin() * (columns / 13).cos() + 0.2 * (rows * columns / 999).sin()
    noise = (12.9898 * rows + 78.233 * columns).sin() * 43758.5453
    return (255 * (waves + grain * (noise - noise.floor() - 0.5))).round()[None, None] / 255


def test_features_and_distance_are_those_of_basicsr() -> None:
    """`basicsr.metrics.niqe.niqe` of BasicSR 1.4.2, given gdpkit's model and a Gaussian of 7 taps, gives these."""
    assert float(Niqe()(scene(0.3), None)) == pytest.approx(48.7793, rel=1e-4)
    assert float(Niqe()(scene(0.02), None)) == pytest.approx(13.3180, rel=1e-4)


def test_colour_is_measured_by_its_luma() -> None:
    grey = scene(0.1)
    assert torch.allclose(Niqe()(grey.expand(-1, 3, -1, -1), None), Niqe()(grey, None))


def test_a_photograph_scores_better_than_the_same_blurred_or_noisy(request: pytest.FixtureRequest) -> None:
    from gdpkit import read_image
    from gdpkit.functional import resize

    photo = read_image(request.config.rootpath / "examples" / "photos" / "otter.png").double()
    photo = resize(photo, (192, 256)).clamp(0, 1)
    soft = resize(resize(photo, (64, 85)), (192, 256)).clamp(0, 1)
    noisy = (photo + 0.1 * torch.randn(photo.shape, generator=torch.Generator().manual_seed(0))).clamp(0, 1)
    good = float(Niqe()(photo, None))
    assert good < float(Niqe()(soft, None)) - 1
    assert good < float(Niqe()(noisy, None)) - 1


def test_a_model_may_be_given_in_either_form(tmp_path: Path) -> None:
    mean, covariance = (x.numpy() for x in naturalness.model(naturalness.OWN_MODEL))
    file = tmp_path / "pristine.npz"
    np.savez(file, mu_pris_param=mean[None], cov_pris_param=covariance)
    assert torch.equal(Niqe(model=file)(scene(0.1), None), Niqe()(scene(0.1), None))


def test_a_file_that_is_no_model_is_an_error(tmp_path: Path) -> None:
    other = tmp_path / "other.npz"
    np.savez(other, mean=np.zeros(3))
    text = tmp_path / "text.npz"
    text.write_text("hello")
    with pytest.raises(GdpkitError, match=r"other\.npz holds no model"):
        Niqe(model=other)(scene(0.1), None)
    with pytest.raises(GdpkitError, match=r"text\.npz cannot be read"):
        Niqe(model=text)(scene(0.1), None)
    with pytest.raises(GdpkitError, match=r"none\.npz cannot be read"):
        Niqe(model=tmp_path / "none.npz")(scene(0.1), None)


def test_pictures_that_say_nothing_are_an_error() -> None:
    with pytest.raises(GdpkitError, match="niqe: 300x95 is too small; 192x96"):
        Niqe()(scene(0.1)[..., :95, :], None)
    with pytest.raises(GdpkitError, match="niqe: fewer than two blocks have texture"):
        Niqe()(torch.full((1, 1, 200, 300), 0.5), None)
    with pytest.raises(GdpkitError, match="block must be even"):
        Niqe(block=33)
