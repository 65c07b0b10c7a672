"""Networks of the embedded prior's kind: any size, and how far a pixel sees. Their files: test_checkpoint.py."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import gdpkit
from gdpkit import functional
from gdpkit.images import read_image
from gdpkit.priors import checkpoint, tiles
from gdpkit.priors.embedded import EMBEDDED, EmbeddedPrior
from gdpkit.priors.tiled import TiledPrior
from gdpkit.priors.unet import SIGMA_RANGE, UNet
from gdpkit.testing import picture


def network(widths: tuple[int, ...] = (8, 12), depths: tuple[int, ...] = (1, 1)) -> UNet:
    """A small one with random weights everywhere: a new one's last layer and noise level are zero."""
    made = UNet(widths, depths)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in made.parameters():
            fan = max(1, parameter[0].numel()) if parameter.ndim > 1 else 4
            parameter.copy_(torch.randn(parameter.shape, generator=generator) / fan**0.5)
    return made.eval().requires_grad_(False)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The checkpoint of a small network."""
    path = tmp_path_factory.mktemp("prior") / "small.safetensors"
    checkpoint.save_unet(path, network(), {"licence": "MIT", "trained_on": "nothing"})
    return path


@pytest.fixture
def prior(file: Path) -> EmbeddedPrior:
    return EmbeddedPrior(file=file)


# -- what it computes -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(16, 16), (1, 1), (3, 5), (17, 30), (18, 19)])
@pytest.mark.parametrize("sigma", [0.0, 0.2, 78.0, 1e4])
def test_any_size(prior: EmbeddedPrior, size: tuple[int, int], sigma: float) -> None:
    noisy = picture(2, 3, *size)
    clean = prior.denoise(noisy, sigma).clean
    assert clean.shape == noisy.shape
    assert bool(torch.isfinite(clean).all())


def test_a_side_that_does_not_fit_is_extended_by_reflection(prior: EmbeddedPrior) -> None:
    whole = picture(1, 3, 20, 16)
    whole[..., 18:, :] = whole[..., 16:18, :].flip(-2)
    assert torch.allclose(prior.denoise(whole[..., :18, :], 0.1).clean, prior.denoise(whole, 0.1).clean[..., :18, :])


def test_below_the_trained_levels_the_least_of_them_serves(prior: EmbeddedPrior) -> None:
    image = picture(1, 3, 16, 16)
    least = prior.denoise(image, SIGMA_RANGE[0] / 2).clean
    for sigma in (0.0, SIGMA_RANGE[0] / 20):
        assert torch.allclose(prior.denoise(image, sigma).clean, least, atol=1e-5)


def test_a_level_for_each_image(prior: EmbeddedPrior) -> None:
    noisy, levels = picture(2, 3, 16, 16), torch.tensor([0.05, 0.5])
    together = prior.denoise(noisy, levels).clean
    for i, level in enumerate(levels.tolist()):
        assert torch.allclose(prior.denoise(noisy[i : i + 1], level).clean[0], together[i], atol=1e-6)


# -- how far it sees --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("widths", "depths"), [((8, 12), (1, 1)), ((4,), (2,)), ((4, 4, 4), (1, 2, 1))])
def test_a_pixel_depends_on_its_receptive_field_alone(widths: tuple[int, ...], depths: tuple[int, ...]) -> None:
    net = network(widths, depths)
    radius = net.receptive_field // 2
    side = (2 * radius // net.multiple + 3) * net.multiple
    for middle in (side // 2, side // 2 + net.multiple - 1):  # at any place of the grid of the coarsest level
        x = picture(1, 3, side, side).requires_grad_()
        (gradient,) = torch.autograd.grad(net(x, torch.tensor([0.5]))[0, :, middle, middle].sum(), x)
        reached = gradient.abs().sum(dim=(0, 1)).nonzero() - middle
        assert int(reached.abs().max()) <= radius
        assert int(reached.abs().max()) > radius / 2  # the bound is not an empty one


def test_a_crop_is_the_frame_within_its_margin(prior: EmbeddedPrior) -> None:
    """What lets a large picture be computed in tiles: beyond the receptive field nothing matters."""
    radius, multiple = prior.receptive_field // 2, 4
    margin = -(-radius // multiple) * multiple
    frame = picture(1, 3, 2 * margin + 48, 2 * margin + 32)
    frame = frame + 0.2 * torch.randn(frame.shape, generator=torch.Generator().manual_seed(1))
    top, left = 8, 4
    crop = frame[..., top : top + 2 * margin + 16, left : left + 2 * margin + 20]
    whole, part = prior.denoise(frame, 0.2).clean, prior.denoise(crop, 0.2).clean
    inner = part[..., margin:-margin, margin:-margin]
    wanted = whole[..., top + margin : top + margin + 16, left + margin : left + margin + 20]
    assert inner.shape == wanted.shape
    assert float((inner - wanted).abs().max()) < 1e-4
    assert float((part - whole[..., top : top + part.shape[-2], left : left + part.shape[-1]]).abs().max()) > 1e-3


@pytest.mark.parametrize("size", [(203, 217), (256, 199)])
def test_on_tiles_the_answer_is_that_of_the_whole_image(
    prior: EmbeddedPrior, monkeypatch: pytest.MonkeyPatch, size: tuple[int, int]
) -> None:
    monkeypatch.setattr(tiles, "CORE", 64)
    tiled = TiledPrior(prior=prior)
    assert len(tiled.tiles(*size)) == 16
    noisy = picture(1, 3, *size)
    assert float((tiled.denoise(noisy, 0.2).clean - prior.denoise(noisy, 0.2).clean).abs().max()) < 1e-5


def test_the_embedded_prior_denoises() -> None:
    """The one inside the package: a noisy picture comes much nearer to the clean one, at any level."""
    prior, clean = EmbeddedPrior(file=EMBEDDED), picture(1, 3, 48, 48)
    noise = torch.randn(clean.shape, generator=torch.Generator().manual_seed(2))
    for sigma in (0.05, 0.2, 0.8):
        found = prior.denoise(clean + sigma * noise, sigma).clean
        assert float((found - clean).square().mean()) < 0.25 * sigma**2


PHOTOS = sorted((Path(__file__).parents[1] / "examples" / "photos").glob("*.png"))


@pytest.mark.parametrize("photo", PHOTOS, ids=lambda p: p.stem)
@pytest.mark.parametrize("share", [0.0, 0.5], ids=["clean", "half"])
def test_the_embedded_prior_bears_less_noise_than_it_is_told(photo: Path, share: float) -> None:
    """Between the steps of a sampler an image carries less than sigma; a network that never saw that can explode."""
    prior, clean = EmbeddedPrior(file=EMBEDDED), read_image(photo)
    noise = torch.randn(clean.shape, generator=torch.Generator().manual_seed(3))
    for sigma in (0.005, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 1.0):
        found = prior.denoise(clean + share * sigma * noise, sigma).clean
        assert float(found.min()) > -0.3, sigma
        assert float(found.max()) < 1.3, sigma


@pytest.mark.parametrize("photo", PHOTOS, ids=lambda p: p.stem)
def test_enlarging_a_photograph_contradicts_nothing_observed(photo: Path) -> None:
    small = read_image(photo)[..., 16:56, 16:56]
    result = gdpkit.restore("sr", image=small, scale=4)
    assert result.record["consistency"] < 1
    plain = functional.resize(small, (160, 160)).clamp(0, 1)
    assert float((result.tensor - plain).square().mean()) < 0.004  # sharper than interpolation, but the same picture
