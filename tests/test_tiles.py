"""Large images in tiles: the division, the answer put together, and what happens when memory runs out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import ClassVar

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from gdpkit import Denoised, Prior, functional
from gdpkit.priors import tiles
from gdpkit.priors.embedded import EmbeddedPrior
from gdpkit.priors.tiled import TiledPrior


@pytest.fixture
def small_tiles(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Cores of 64 pixels, so that small images are divided."""
    monkeypatch.setattr(tiles, "CORE", 64)
    monkeypatch.setattr(tiles, "LARGEST", 96)
    yield


@dataclass(frozen=True, eq=False)
class Convolutional(Prior):
    """Strides, as those of a U-Net, and zeros at the border, as most have."""

    name = "convolutional"
    receptive_field: ClassVar[int] = 2 * (4 + 7) + 1
    seen: list[tuple[int, ...]] = field(default_factory=list)

    def denoise(self, noisy: Tensor, sigma: float | Tensor) -> Denoised:
        self.seen.append(tuple(noisy.shape))
        height, width = noisy.shape[-2:]
        x = functional.pad_reflect(noisy, 0, -width % 8, 0, -height % 8)
        weight = torch.randn(3, 3, 3, 3, generator=torch.Generator().manual_seed(0)) / 5
        coarse = F.conv2d(F.avg_pool2d(x, 4), weight, padding=1)
        level = torch.as_tensor(sigma).reshape(-1, 1, 1, 1)
        clean = x + level * F.interpolate(coarse, scale_factor=4)
        return Denoised(clean[..., :height, :width], clean[..., :height, :width] / 2)


@dataclass(frozen=True, eq=False)
class Windowed(Prior):
    """As attention, each answer depends on all of the window: here its brightness does."""

    name = "windowed"
    training_size: ClassVar[int] = 64
    seen: list[tuple[int, ...]] = field(default_factory=list)

    def denoise(self, noisy: Tensor, sigma: float | Tensor) -> Denoised:
        self.seen.append(tuple(noisy.shape))
        return Denoised(noisy + noisy.mean(dim=(1, 2, 3), keepdim=True))


@dataclass(frozen=True, eq=False)
class Greedy(Convolutional):
    """Has memory for two images at once."""

    def denoise(self, noisy: Tensor, sigma: float | Tensor) -> Denoised:
        if len(noisy) > 2:
            raise RuntimeError(
                "[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 1 bytes"
            )
        return super().denoise(noisy, sigma)


def image(*shape: int) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(1))


SIZES = [(16, 16), (17, 1000), (311, 16), (211, 307), (192, 192), (193, 449), (320, 256)]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(
    ("field", "native"), [(1, None), (247, None), (700, None), (None, 64), (None, 61), (None, None)]
)
@pytest.mark.usefixtures("small_tiles")
def test_every_pixel_is_kept_once_and_no_tile_comes_twice(
    size: tuple[int, int], field: int | None, native: int | None
) -> None:
    division = tiles.divide(*size, field, native)
    total = torch.zeros(size, dtype=torch.float64)
    for tile in division:
        down, across = (torch.tensor(span.weights()).double() for span in (tile.rows, tile.columns))
        total[tile.rows.kept, tile.columns.kept] += down[:, None] * across
    torch.testing.assert_close(total, torch.ones_like(total), rtol=0, atol=1e-6)
    seen = [
        (tile.rows.seen.start, tile.rows.seen.stop, tile.columns.seen.start, tile.columns.seen.stop)
        for tile in division
    ]
    assert len(set(seen)) == len(seen)
    if native is not None:
        assert {tile.size for tile in division} == {(min(size[0], native), min(size[1], native))}
    if field is not None:
        for tile in division:
            for span, length in ((tile.rows, size[0]), (tile.columns, size[1])):
                assert span.start == 0 or (span.start % 64 == 0 and span.first - span.start >= field // 2)
                assert span.stop == length or (span.stop % 64 == 0 and span.stop - span.last >= field // 2)


def test_a_photograph_of_24_megapixels_is_not_much_more_work_than_its_pixels() -> None:
    tiled = TiledPrior(prior=EmbeddedPrior())
    assert tiled.pixels(1792, 1792) == 1792**2
    assert tiled.pixels(4000, 6000) < 1.3 * 4000 * 6000
    assert max(max(tile.size) for tile in tiled.tiles(4000, 6000)) <= 1792


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("batch", [1, 5])
@pytest.mark.usefixtures("small_tiles")
def test_a_convolutional_prior_answers_on_tiles_as_on_the_whole(size: tuple[int, int], batch: int) -> None:
    noisy = image(2, 3, *size)
    sigma = torch.tensor([0.1, 0.4])
    prior = Convolutional()
    whole, parts = prior.denoise(noisy, sigma), TiledPrior(prior=prior, batch=batch).denoise(noisy, sigma)
    torch.testing.assert_close(parts.clean, whole.clean, rtol=0, atol=1e-6)
    assert whole.variance_fraction is not None and parts.variance_fraction is not None
    torch.testing.assert_close(parts.variance_fraction, whole.variance_fraction, rtol=0, atol=1e-6)
    assert all(shape[0] <= batch for shape in prior.seen[1:])


@pytest.mark.usefixtures("small_tiles")
def test_a_prior_is_told_as_many_noise_levels_as_it_is_shown_tiles() -> None:
    told: list[tuple[int, int]] = []

    @dataclass(frozen=True, eq=False)
    class Strict(Convolutional):
        def denoise(self, noisy: Tensor, sigma: float | Tensor) -> Denoised:
            assert isinstance(sigma, Tensor)
            told.append((len(noisy), len(sigma)))
            return super().denoise(noisy, sigma)

    TiledPrior(prior=Strict(), batch=4).denoise(image(1, 3, 320, 320), torch.tensor([0.3]))
    assert max(shown for shown, _ in told) > 1
    assert all(shown == levels for shown, levels in told)


@pytest.mark.usefixtures("small_tiles")
def test_the_embedded_prior_answers_on_tiles_as_on_the_whole() -> None:
    noisy = image(1, 3, 17, 347)
    tiled = TiledPrior(prior=EmbeddedPrior())
    assert len(tiled.tiles(17, 347)) == 6
    with torch.no_grad():
        difference = tiled.denoise(noisy, 0.1).clean - EmbeddedPrior().denoise(noisy, 0.1).clean
    assert difference.abs().max() < 1e-5


def test_small_images_are_given_to_the_prior_as_they_are() -> None:
    prior = Convolutional()
    noisy = image(1, 3, 37, 53)
    assert torch.equal(TiledPrior(prior=prior).denoise(noisy, 0.2).clean, prior.denoise(noisy, 0.2).clean)
    assert prior.seen[0] == (1, 3, 37, 53)


def test_windows_of_the_training_size_have_no_visible_seams() -> None:
    prior = Windowed()
    # Windows see other brightnesses, up to 0.7 apart, and so their answers differ where they overlap.
    noisy = torch.linspace(0, 1, 300).square()[None, None, None].expand(1, 3, 100, 300).contiguous()
    clean = TiledPrior(prior=prior).denoise(noisy, 0.1).clean
    assert {shape[2:] for shape in prior.seen} == {(64, 64)}
    assert TiledPrior(prior=prior).training_size == 64
    added = clean - noisy
    # From one window to the next the answers differ by up to 0.3: at a hard seam that would be one step.
    assert added.amax() - added.amin() > 0.5
    assert max(added.diff(dim=axis).abs().max() for axis in (2, 3)) < 0.04
    flat = TiledPrior(prior=prior).denoise(torch.full((1, 3, 150, 131), 0.25), 0.1).clean
    torch.testing.assert_close(flat, torch.full_like(flat, 0.5), rtol=0, atol=1e-6)


@pytest.mark.usefixtures("small_tiles")
def test_when_memory_runs_out_half_as_many_tiles_are_done_at_once_and_it_is_said() -> None:
    noisy = image(1, 3, 449, 449)
    prior = Greedy()
    tiled = TiledPrior(prior=prior, batch=9)
    whole = Convolutional().denoise(noisy, 0.2).clean
    torch.testing.assert_close(tiled.denoise(noisy, 0.2).clean, whole, rtol=0, atol=1e-6)
    assert tiled.at_once == 2
    assert tiled.notes == ("memory ran out, so 2 tiles were done at once, not 9",)
    evaluated = sum(shape[0] * shape[2] * shape[3] for shape in prior.seen)
    assert evaluated == tiled.pixels(449, 449), "tiles that were done are not done again"


def test_what_does_not_fit_alone_and_other_failures_are_errors() -> None:
    @dataclass(frozen=True, eq=False)
    class Failing(Convolutional):
        message: str = ""

        def denoise(self, noisy: Tensor, sigma: float | Tensor) -> Denoised:
            raise RuntimeError(self.message)

    for message, count in (("DefaultCPUAllocator: can't allocate memory", 1), ("a fault of its own", 4)):
        with pytest.raises(RuntimeError, match=message):
            TiledPrior(prior=Failing(message=message), batch=4).denoise(image(count, 3, 16, 16), 0.1)


@pytest.mark.usefixtures("small_tiles")
def test_gradients_pass_through_tiles() -> None:
    noisy = image(1, 3, 211, 307).requires_grad_()
    along = image(1, 3, 211, 307)
    found = []
    for prior in (Convolutional(), TiledPrior(prior=Convolutional())):
        (gradient,) = torch.autograd.grad((prior.denoise(noisy, 0.3).clean * along).sum(), noisy)
        found.append(gradient)
    torch.testing.assert_close(*found, rtol=0, atol=1e-5)
