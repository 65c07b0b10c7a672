"""SSIM as a distance: calibrated to the noise, blind to lost pixels, and minimised by prox."""

from __future__ import annotations

import pytest
import torch
from skimage.metrics import structural_similarity
from torch import Tensor

import gdpkit
from gdpkit import similarity, testing
from gdpkit.components import Degradation, Observation, Problem
from gdpkit.degradations.downsample import Downsample
from gdpkit.degradations.gray import Gray
from gdpkit.degradations.noise import GaussianNoise
from gdpkit.objective import EnergyObjective


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def seen(d: Degradation, clean: Tensor, sigma: float, weight: Tensor | None = None) -> EnergyObjective:
    mean = d(clean)
    return EnergyObjective(Problem((Observation(mean + sigma / 255 * noise(*mean.shape), d, sigma, weight),)), "ssim")


def textured(*shape: int) -> Tensor:
    """Flat, smooth and grainy parts, dark and bright, (B, C, H, W)."""
    image = testing.picture(*shape)
    image[..., shape[-1] // 3 :] += 0.08 * noise(*shape[:-1], shape[-1] - shape[-1] // 3, seed=3)
    image[..., : shape[-2] // 3, :] *= 0.1
    return image.clamp(0, 1)


def test_one_less_the_parts_is_the_similarity_of_skimage() -> None:
    x, y = textured(1, 1, 40, 50).double(), testing.picture(1, 1, 40, 50, seed=1).double()
    a, b, _, _ = similarity.dissimilarity(x, y, similarity.Windows(torch.ones_like(x)))
    _, wanted = structural_similarity(
        x[0, 0].numpy(), y[0, 0].numpy(), data_range=1, gaussian_weights=True, use_sample_covariance=False, full=True
    )
    found = ((1 - a) * (1 - b))[0, 0, 5:-5, 5:-5]
    assert torch.allclose(found, torch.from_numpy(wanted)[5:-5, 5:-5], atol=1e-9)


def test_windows_have_the_transpose_of_their_mean() -> None:
    weight = (torch.rand(1, 1, 18, 23, generator=torch.Generator().manual_seed(1)) < 0.3).double()
    windows = similarity.Windows(weight)
    u, v = noise(1, 2, 18, 23).double(), noise(1, 2, 18, 23, seed=1).double()
    assert float((windows.mean(u) * v).sum()) == pytest.approx(float((u * windows.transpose(v)).sum()))


@pytest.mark.parametrize("sigma", [0.0011, 0.29, 5.0, 25.0, 60.0])
def test_the_truth_has_a_discrepancy_of_one_at_any_noise(sigma: float) -> None:
    """To a tenth: noise in the observation blurs what its contrast was before."""
    clean = textured(1, 3, 128, 128)
    assert float(seen(GaussianNoise(), clean, sigma).discrepancy(clean)) == pytest.approx(1, abs=0.1)


def test_the_mean_gradient_is_in_units_of_squared_error() -> None:
    """The published guidance scales hold for it: its mean loss at the truth is the variance of the noise."""
    clean, sigma = textured(1, 3, 64, 64), 5.0
    objective = seen(GaussianNoise(), clean, sigma)
    found = objective.gradient(clean, reduction="mean")
    assert torch.allclose(found, objective.gradient(clean) * (sigma / 255) ** 2 / clean.numel(), rtol=1e-4, atol=1e-9)


def test_lost_pixels_change_nothing() -> None:
    weight = torch.ones(1, 1, 32, 32)
    weight[..., 10:20, 5:25] = 0
    clean = textured(1, 3, 32, 32)
    other = clean + (1 - weight) * noise(1, 3, 32, 32, seed=2)
    objective = seen(GaussianNoise(), clean, 5.0, weight)
    assert torch.allclose(objective.energy(clean), objective.energy(other), rtol=1e-4)
    pulled = objective.gradient(other) * (1 - weight)
    assert float(pulled.abs().max()) == 0


@pytest.mark.parametrize("sigma", [0.3, 0.03])
@pytest.mark.parametrize("d", [GaussianNoise(), Downsample(scale=2), Gray()], ids=lambda d: d.name)
def test_prox_is_a_minimum(d: Degradation, sigma: float) -> None:
    """It lowers the sum, no direction lowers it noticeably further, and squared error's point is worse."""
    clean = textured(1, 3, 32, 32)
    objective = seen(d, clean, 5.0)
    x = (clean + sigma * noise(1, 3, 32, 32, seed=5)).double()

    def total(z: Tensor) -> float:
        return float(objective.energy(z) + (z - x).square().sum() / sigma**2)

    found = objective.prox(x, sigma)
    least = total(found)
    plain = EnergyObjective(Problem((Observation(objective._views[0].image, d, 5.0),))).prox(x, sigma)
    assert least < total(plain) < total(x)
    leaf = found.clone().requires_grad_()
    (slope,) = torch.autograd.grad(objective.energy(leaf).sum() + (leaf - x).square().sum() / sigma**2, leaf)
    steps = [total(found - t * sigma**2 * slope) for t in (0.5, 0.1, 0.02, 0.004, 0.0008)]
    assert min(steps) > 0.99 * least


def test_prox_never_raises_the_sum_even_from_where_nothing_is_alike() -> None:
    clean = textured(2, 3, 24, 24)
    objective = seen(GaussianNoise(), clean, 0.29)
    for x in (1 - clean, torch.full_like(clean, 0.5), clean.flip(3)):
        z = objective.prox(x, 0.05)
        after = objective.energy(z) + ((z - x) / 0.05).square().flatten(1).sum(1)
        assert bool((after <= objective.energy(x)).all())


@pytest.mark.parametrize("sampler", ["hqs", "gdp", "gdp-xt"])
@pytest.mark.parametrize("stages", [("downsample:scale=2",), ("gray", "noise:sigma=4")], ids=["sr", "grey and noisy"])
def test_it_guides_the_samplers(sampler: str, stages: tuple[str, ...]) -> None:
    """To an image that, degraded, is what was observed, to within the noise or a level."""
    clean = testing.picture(1, 3, 32, 32)
    observed = gdpkit.degrade(clean, stages, seed=1).pixels.clamp(0, 1)
    result = gdpkit.restore(
        "restore", image=observed, stages=stages, sampler=sampler, steps=4 if sampler == "hqs" else 20,
        distance="ssim", prior="tv", device="cpu",
    )  # fmt: skip
    error = (gdpkit.chain(stages)(result.tensor) - observed).square().mean().sqrt()
    assert 255 * float(error) < (8 if len(stages) == 2 else 1)
