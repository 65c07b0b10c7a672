"""Blur: kernels, borders, exact transposes, singular systems, kernels that vary, and kernels that are found."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from gdpkit import blind, convolution, estimate, kernels, registry
from gdpkit.blind_spectrum import correlation
from gdpkit.components import Observation, Problem
from gdpkit.degradations.blind_blur import BlindBlur
from gdpkit.degradations.blur import BOUNDARIES, Blur
from gdpkit.degradations.blur_grid import BlurGrid
from gdpkit.degradations.gray import Gray
from gdpkit.degradations.noise import GaussianNoise
from gdpkit.errors import GdpkitError
from gdpkit.objective import EnergyObjective
from gdpkit.samplers import guidance
from gdpkit.testing import check_degradation, matrix, picture

MADE = (
    Blur(kernel="gaussian", size=9, sigma=2.0),
    Blur(kernel="box", size=5),
    Blur(kernel="motion", length=7.5, angle=30),
    Blur(kernel="disk", radius=2.4),
)


def scene(side: int = 128, seed: int = 0) -> Tensor:
    """Overlapping discs and boxes of many sizes, (1, 3, side, side): edges like those of a photograph."""
    generator = torch.Generator().manual_seed(seed)
    at = torch.arange(side, dtype=torch.float32)
    image = torch.full((3, side, side), 0.5)
    for k in range(200):
        row, column, shade = torch.rand(3, generator=generator) * torch.tensor([side, side, 1.0])
        radius = 0.4 * side / (1 + 0.15 * k)
        down, across = (at[:, None] - row).abs(), (at - column).abs()
        inside = (
            down**2 + across**2 < radius**2 if k % 2 else torch.maximum(down + 0 * across, across + 0 * down) < radius
        )
        colour = shade + 0.2 * (torch.rand(3, generator=generator) - 0.5)
        image = torch.where(inside, colour[:, None, None], image)
    return image[None].clamp(0, 1)


@pytest.mark.parametrize("boundary", BOUNDARIES)
@pytest.mark.parametrize("blur", MADE, ids=lambda b: b.kernel)
def test_every_kernel_and_border_keeps_the_contract(blur: Blur, boundary: str) -> None:
    check_degradation(Blur(**{**vars(blur), "boundary": boundary}))


@pytest.mark.parametrize("blur", MADE, ids=lambda b: b.kernel)
def test_kernels_sum_to_one_about_their_middle(blur: Blur) -> None:
    kernel = blur.weights()
    assert all(side % 2 == 1 for side in kernel.shape)
    assert float(kernel.sum()) == pytest.approx(1)
    assert torch.allclose(kernel, kernel.flip(0, 1))
    assert torch.allclose(blur(torch.full((1, 3, 16, 16), 0.6)), torch.full((1, 3, 16, 16), 0.6))


@pytest.mark.parametrize(("length", "angle"), [(9, 0), (9, 90), (9, 30), (5.5, -45)])
def test_a_motion_has_its_length_and_its_direction(length: float, angle: float) -> None:
    kernel = kernels.motion(length, angle)
    rows, columns = (torch.arange(n, dtype=torch.float64) - n // 2 for n in kernel.shape)
    down, across = (kernel.sum(1) * rows**2).sum(), (kernel.sum(0) * columns**2).sum()
    both = (kernel * rows[:, None] * columns).sum()
    assert float((down + across).sqrt()) == pytest.approx((length - 1) / 12**0.5, rel=0.15)
    found = 0.5 * float(torch.atan2(-2 * both, across - down))
    assert np.sin(found - np.radians(angle)) == pytest.approx(0, abs=0.05)  # a way back is the same way


def test_the_blur_is_a_convolution() -> None:
    """A bright point becomes the kernel, not its mirror image."""
    kernel = torch.tensor([[0.0, 0.1, 0.0], [0.0, 0.3, 0.5], [0.0, 0.0, 0.1]])
    point = torch.zeros(1, 1, 9, 9)
    point[..., 4, 4] = 1
    assert torch.allclose(convolution.convolve(point, kernel, "reflect")[0, 0, 3:6, 3:6], kernel, atol=1e-6)


@pytest.mark.parametrize("boundary", BOUNDARIES)
def test_large_kernels_agree_with_small_ones_term_by_term(boundary: str) -> None:
    kernel = torch.rand(5, 7, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    image = picture(2, 3, 12, 11).double()
    padded = convolution.extended(image, 2, 3, boundary)
    rows, columns = padded.shape[-2] - 4, padded.shape[-1] - 6
    wanted = sum(
        kernel[i, j] * padded[..., 4 - i : 4 - i + rows, 6 - j : 6 - j + columns] for i in range(5) for j in range(7)
    )
    assert torch.allclose(convolution.convolve(image, kernel, boundary), wanted)


def test_borders() -> None:
    row = torch.tensor([[[[1.0, 2.0, 3.0]]]])
    for boundary, wanted in (
        ("reflect", [2.0, 1, 1, 2, 3, 3, 2]),
        ("replicate", [1.0, 1, 1, 2, 3, 3, 3]),
        ("circular", [2.0, 3, 1, 2, 3, 1, 2]),
        ("valid", [1.0, 2, 3]),
    ):
        assert convolution.extended(row, 0, 2, boundary).flatten().tolist() == wanted


@pytest.mark.parametrize("boundary", BOUNDARIES)
def test_the_adjoint_is_the_transposed_matrix(boundary: str) -> None:
    blur = Blur(kernel="motion", length=5, angle=30, boundary=boundary)
    rows, columns = blur.weights().shape
    forward = matrix(blur, (1, 9, 8))
    shape = (1, 9 - rows + 1, 8 - columns + 1) if boundary == "valid" else (1, 9, 8)
    back = torch.stack([blur.adjoint(e.reshape(1, *shape)).flatten() for e in torch.eye(len(forward)).double()])
    assert torch.allclose(back, forward, atol=1e-12)


def test_which_blurs_have_a_singular_system() -> None:
    shape = (3, 20, 24)
    assert Blur(kernel="gaussian", sigma=1.5).spectral(shape) is not None
    assert Blur(kernel="motion", length=9, angle=90).spectral(shape) is not None
    assert Blur(kernel="motion", length=9, angle=30).spectral(shape) is None
    assert Blur(kernel="motion", length=9, angle=30, boundary="circular").spectral(shape) is not None
    assert Blur(kernel="gaussian", boundary="replicate").spectral(shape) is None


def test_a_kernel_from_a_file_is_normalised_and_made_odd(tmp_path: Path) -> None:
    pixels = np.zeros((4, 5), np.uint8)
    pixels[1, 2], pixels[2, 3] = 100, 200
    Image.fromarray(pixels).save(tmp_path / "k.png")
    np.save(tmp_path / "k.npy", pixels)
    for name in ("k.png", "k.npy"):
        kernel = Blur(kernel="file", file=tmp_path / name).weights()
        assert kernel.shape == (5, 5)
        assert float(kernel[2, 3]) == pytest.approx(2 / 3)
        assert float(kernel.sum()) == pytest.approx(1)


def test_a_grid_is_each_kernel_in_its_corner_and_between_them_in_between(tmp_path: Path) -> None:
    point, wide = torch.zeros(7, 7), torch.full((7, 7), 1 / 49)
    point[3, 3] = 1
    np.save(tmp_path / "grid.npy", torch.stack([torch.stack([point, wide])] * 2).numpy())
    blur = BlurGrid(file=tmp_path / "grid.npy", rows=2, columns=2)
    check_degradation(blur)
    image = picture(1, 3, 40, 40)
    found, blurred = blur(image), Blur(kernel="box", size=7)(image)
    assert torch.allclose(found[..., :10], image[..., :10], atol=1e-5)
    assert torch.allclose(found[..., 30:], blurred[..., 30:], atol=1e-5)
    share = (19.5 - 9.5) / 20
    assert torch.allclose(
        found[..., 19], (1 - share + 0.025) * image[..., 19] + (share - 0.025) * blurred[..., 19], atol=1e-5
    )


def test_a_grid_of_equal_kernels_from_a_picture_is_one_blur(tmp_path: Path) -> None:
    Image.fromarray(np.tile(np.full((5, 5), 90, np.uint8), (2, 3))).save(tmp_path / "grid.png")
    grid = BlurGrid(file=tmp_path / "grid.png", rows=2, columns=3)
    image = picture(1, 3, 31, 26)
    assert torch.allclose(grid(image), Blur(kernel="box", size=5)(image), atol=1e-6)


@pytest.mark.parametrize("kernel", [kernels.gaussian(1.6, 9), kernels.motion(9, 30)], ids=["gaussian", "motion"])
def test_an_unknown_kernel_is_found(kernel: Tensor) -> None:
    blurred = convolution.convolve(scene(), kernel, "reflect")
    observed = (255 * blurred).round() / 255
    found = BlindBlur(size=13).unknowns(observed, (3, 128, 128))["kernel"][0]
    assert correlation(found, kernel) > 0.85
    assert float(found.sum()) == pytest.approx(1, abs=1e-5)
    assert float(found.min()) >= 0


def test_what_jpeg_took_hides_no_blur_where_it_is_known(tmp_path: Path) -> None:
    """The frequencies that it empties would speak for no blur."""
    kernel = kernels.gaussian(2.0, 13).float()
    blurred = convolution.convolve(scene(), kernel, "reflect")[0].permute(1, 2, 0)
    Image.fromarray((255 * blurred).round().byte().numpy()).save(tmp_path / "soft.jpg", quality=80)
    grey = torch.from_numpy(np.asarray(Image.open(tmp_path / "soft.jpg")) / 255).float().mean(2)
    assert blind.gained(grey, kernel) < 0
    assert blind.gained(grey, kernel, 3 / 255) > blind.DOUBT
    assert blind.gained(scene().mean((0, 1)), kernel, 3 / 255) < 0


def test_fitting_brings_a_wrong_kernel_nearer_to_the_true_one() -> None:
    kernel, sharp = kernels.motion(9, 30), scene()
    observed = convolution.convolve(sharp, kernel, "reflect")
    wrong = kernels.gaussian(2.0, 13).float()[None]
    blur = BlindBlur(size=13)
    fitted = blur.constrain(**blur.fit(sharp, observed, {"kernel": wrong}))["kernel"]
    assert correlation(fitted[0], kernel) > correlation(wrong[0], kernel) + 0.1


def test_the_nearest_point_of_the_simplex() -> None:
    assert torch.allclose(blind.on_simplex(torch.tensor([[0.2, 0.3, 0.5]])), torch.tensor([[0.2, 0.3, 0.5]]))
    assert torch.allclose(blind.on_simplex(torch.tensor([[2.0, -1.0, 0.0]])), torch.tensor([[1.0, 0.0, 0.0]]))


@pytest.mark.parametrize("sigma", [2.0, 10.0, 40.0])
def test_the_noise_of_a_picture_is_estimated(sigma: float) -> None:
    noise = torch.randn(1, 3, 128, 128, generator=torch.Generator().manual_seed(0))
    noisy = (picture(1, 3, 128, 128) + sigma / 255 * noise).clamp(0, 1)
    assert estimate.noise_sigma(noisy) == pytest.approx(sigma, rel=0.1)


@pytest.mark.parametrize(
    ("spec", "reason"),
    [
        ("blur:size=8", "blur: size must be odd, so that the kernel has a middle: 7 or 9, not 8"),
        ("blur:kernel=box,sigma=2", "blur: sigma is no parameter of the box kernel, which has size"),
        ("blur:kernel=file", "blur: kernel=file needs the kernel's file"),
        ("blur:kernel=gauss", "blur: kernel must be one of gaussian, box, motion, disk, file"),
        ("blur:kernel=disk,radius=0", "blur: radius must be at least 0.5, not 0"),
        ("blind-blur:size=10", "blind-blur: size must be odd, so that the kernel has a middle: 9 or 11, not 10"),
    ],
)
def test_what_makes_no_kernel_is_told(spec: str, reason: str) -> None:
    with pytest.raises(GdpkitError) as caught:
        registry.load().build("degradations", spec)
    assert reason in str(caught.value)


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        (np.zeros((3, 3)), "a kernel is black"),
        (np.array([[1.0, -1.0, 3.0]]), "a kernel holds finite numbers from 0"),
        (np.ones((3, 3, 3)), "an array of (3, 3, 3) is no kernel; it has 2 axes"),
    ],
)
def test_a_file_that_holds_no_kernel_is_told(tmp_path: Path, values: np.ndarray, reason: str) -> None:
    np.save(tmp_path / "k.npy", values)
    with pytest.raises(GdpkitError) as caught:
        Blur(kernel="file", file=tmp_path / "k.npy").weights()
    assert reason in str(caught.value)


def test_a_grid_that_does_not_divide_its_picture_is_told(tmp_path: Path) -> None:
    Image.fromarray(np.full((10, 10), 9, np.uint8)).save(tmp_path / "grid.png")
    with pytest.raises(GdpkitError, match="10x10 pixels cannot be cut into 3x2 kernels"):
        BlurGrid(file=tmp_path / "grid.png", rows=2, columns=3).weights()


def test_a_picture_smaller_than_the_kernel_leaves_nothing() -> None:
    with pytest.raises(GdpkitError, match="nothing is left of 8x8 pixels by a kernel of 9x9 with boundary=valid"):
        Blur(kernel="box", size=9, boundary="valid")(picture(1, 3, 8, 8))


@pytest.mark.parametrize("sigma", [0.3, 0.05, 0.005])
@pytest.mark.parametrize("kernel", ["gaussian", "motion"])
def test_the_data_step_of_a_blur_without_border_is_the_minimum_to_within_its_noise(
    excess: Callable[..., Tensor], kernel: str, sigma: float
) -> None:
    """Of E(z) + |z - x|^2 / sigma^2, which grows by 1 for each value that is off by its noise; alone as in a batch."""
    blur = Blur(kernel=kernel, boundary="valid", **({"length": 7.0, "angle": 30.0} if kernel == "motion" else {}))
    x = picture(2, 3, 37, 41)
    y = blur(scene(64)[..., :37, :41].expand(2, -1, -1, -1))
    y = y + 0.01 * torch.randn(y.shape, generator=torch.Generator().manual_seed(0))
    found = blur.prox(x, y, torch.full((2, 1, 1, 1), sigma), 0.01)
    assert found is not None
    assert float(excess(blur, found, x, y, sigma, 0.01).abs().max()) < 0.02 * (x[0].numel() - y[0].numel())
    alone = blur.prox(x[1:], y[1:], torch.full((1, 1, 1, 1), sigma), 0.01)
    assert alone is not None
    assert torch.equal(alone[0], found[1])


def test_an_unseen_border_that_would_not_settle_is_left_to_general_iterations() -> None:
    blur, x, noise = Blur(boundary="valid"), picture(1, 3, 37, 41), 1 / 65535 / 12**0.5
    assert blur.prox(x, blur(x), torch.full((1, 1, 1, 1), 0.1), noise) is None
    near = x + 0.1 * torch.randn(x.shape, generator=torch.Generator().manual_seed(0))
    found = EnergyObjective(Problem((Observation(blur(x), blur, 255 * noise),))).prox(near, 0.1)
    assert (found - x).square().mean() < (near - x).square().mean()


def test_an_unseen_border_is_solved_for_in_chains_and_with_kernels_that_were_found() -> None:
    blur, x = Blur(sigma=1.0, boundary="valid"), picture(2, 3, 30, 34)
    y, sigma = blur(x.flip(3)), torch.full((2, 1, 1, 1), 0.1)
    wanted = blur.prox(x, y, sigma, 0.02)
    assert wanted is not None
    in_chain = (blur >> GaussianNoise(sigma=3)).prox(x, y, sigma, 0.02)
    assert in_chain is not None
    assert torch.equal(in_chain, wanted)
    assert (blur >> Gray()).prox(x, y.mean(1, keepdim=True), sigma, 0.02) is None
    assert Blur(sigma=1.0).prox(x, x, sigma, 0.02) is None
    weights = blur.weights().float()
    kernels_of = torch.stack([weights, weights])
    fitted = BlindBlur(size=len(weights), boundary="valid").prox(x, y, sigma, 0.02, kernel=kernels_of)
    assert fitted is not None
    assert torch.allclose(fitted, wanted, atol=1e-5)


def test_the_sharpness_of_a_blur_without_border_is_told_without_a_search() -> None:
    """No less than the search finds, which comes from below, and as of D exactly where it keeps the mean."""
    blur = Blur(sigma=1.0, boundary="valid")
    objective = EnergyObjective(Problem((Observation(blur(scene(64)), blur, 2.55),)))
    told = objective.sharpness()
    assert told == pytest.approx(1e4, rel=1e-4)
    assert guidance.sharpest(objective) == pytest.approx(told, rel=0.1)
    assert EnergyObjective(Problem((Observation(picture(1, 3, 8, 8), blur, 2.0, torch.ones(1)),))).sharpness() is None
