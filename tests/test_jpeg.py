"""The JPEG stage: what Pillow's codec gives, and the data step that knows the cells."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from gdpkit import functional, jpeg
from gdpkit.components import Observation, Problem
from gdpkit.degradations.downsample import Downsample
from gdpkit.degradations.jpeg import Jpeg
from gdpkit.degradations.noise import GaussianNoise
from gdpkit.degradations.poisson import PoissonGaussian
from gdpkit.errors import GdpkitError
from gdpkit.noise import SeededNoise
from gdpkit.objective import EnergyObjective
from gdpkit.testing import picture


def textured(height: int, width: int, channels: int = 3) -> Tensor:
    grain = torch.randn(1, channels, height, width, generator=torch.Generator().manual_seed(1))
    return (255 * (picture(1, channels, height, width) + 0.05 * grain)).round().clamp(0, 255) / 255


def by_pillow(image: Tensor, quality: int, chroma: str) -> Tensor:
    pixels = (255 * image[0]).round().byte().permute(1, 2, 0).squeeze(-1).numpy()
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=quality, subsampling=chroma)
    decoded = torch.from_numpy(np.array(Image.open(file))).float() / 255
    return decoded[None, None] if decoded.ndim == 2 else decoded.permute(2, 0, 1)[None]


@pytest.mark.parametrize("quality", [5, 30, 50, 75, 95])
def test_the_tables_are_those_of_pillow(quality: int) -> None:
    file = io.BytesIO()
    Image.new("RGB", (16, 16)).save(file, "JPEG", quality=quality)
    tables = Image.open(file).quantization  # type: ignore[attr-defined]
    assert jpeg.tables(quality).flatten(1).tolist() == [tables[0], tables[1]]
    assert jpeg.quality_of(jpeg.tables(quality)[0]) == quality


@pytest.mark.parametrize("size", [(48, 64), (45, 51)])
@pytest.mark.parametrize("chroma", list(jpeg.CHROMA))
def test_it_decodes_to_what_pillow_decodes_to(chroma: str, size: tuple[int, int]) -> None:
    """But for rounding: a coefficient between two cells may fall into either."""
    image = textured(*size)
    seen = by_pillow(image, 20, chroma)
    difference = 255 * (Jpeg(quality=20, chroma=chroma)(image) - seen)
    assert difference.square().mean().sqrt() < 0.2 * 255 * (image - seen).square().mean().sqrt()


def test_grey_has_luma_alone() -> None:
    image = textured(40, 48, 1)
    assert 255 * (Jpeg(quality=20)(image) - by_pillow(image, 20, "4:2:0")).abs().mean() < 0.5


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("chroma", list(jpeg.CHROMA))
@pytest.mark.parametrize("sigma", [0.01, 0.3])
def test_the_data_step_leads_into_the_cells(chroma: str, channels: int, sigma: float) -> None:
    """Compressed again, its result is the file, from wherever it starts."""
    d = Jpeg(quality=20, chroma=chroma)
    seen = (255 * d(textured(48, 64, channels))).round() / 255
    objective = EnergyObjective(Problem((Observation(functional.with_channels(seen, 3), d, 0.76),)))
    start = functional.with_channels(picture(1, channels, 48, 64).flip(3), 3)
    assert objective.discrepancy(start) > 5
    assert objective.discrepancy(objective.prox(start, sigma)) < 1


def test_what_is_within_the_cells_is_left_where_it_is_trusted() -> None:
    image = textured(48, 64)
    d = Jpeg(quality=10, chroma="4:4:4")
    moved = d.prox(image, d(image), torch.full((1, 1, 1, 1), 1e-4), 0.003)
    assert moved is not None
    assert d.prox(image, d(image), torch.full((1, 1, 1, 1), 1e-4), 0.02) is None
    assert 255 * (moved - image).abs().max() < 0.1


def test_the_mean_within_a_cell() -> None:
    """Near a wide belief it is the middle, near a narrow one the belief, and beyond the cell its end."""
    belief = torch.tensor([0.3, 0.3, 40.0, -40.0, 1e6], dtype=torch.float64)
    deviation = torch.tensor([1e4, 1e-3, 0.1, 0.1, 0.1], dtype=torch.float64)
    low, high = torch.full_like(belief, -1.0), torch.full_like(belief, 1.0)
    found = jpeg.mean_within(belief, deviation, low, high)
    assert found.tolist() == pytest.approx([0.0, 0.3, 1.0, -1.0, 1.0], abs=0.02)


def test_steps_of_a_file() -> None:
    image = textured(32, 32)
    steps = tuple(int(s) for s in jpeg.tables(40).flatten())
    assert torch.equal(Jpeg(steps=steps)(image), Jpeg(quality=40)(image))
    with pytest.raises(GdpkitError, match="jpeg: steps are 128 numbers from 1, 64 of luma and 64 of chroma, not 64"):
        Jpeg(steps=steps[:64])


def test_photons_are_counted() -> None:
    """Mean, variance and skewness of Poisson numbers, below and above where quantiles are exact."""
    normal = torch.randn(400_000, generator=torch.Generator().manual_seed(0))
    for rate in (0.0, 0.5, 8.0, 29.0, 31.0, 200.0):
        counts = functional.poisson(torch.full_like(normal, rate), normal).double()
        assert torch.equal(counts, counts.round())
        assert counts.mean() == pytest.approx(rate, abs=0.05)
        assert counts.var() == pytest.approx(rate, rel=0.02, abs=1e-9)
        if rate:
            skewness = ((counts - counts.mean()) ** 3).mean() / counts.var() ** 1.5
            assert skewness == pytest.approx(rate**-0.5, abs=0.03)


def test_photon_noise_grows_with_the_level_and_weighs_dark_pixels_more() -> None:
    d = PoissonGaussian(gain=2.0, read=3.0)
    clean = torch.cat([torch.full((1, 1, 200, 100), v) for v in (0.1, 0.8)], dim=3)
    seen = d.simulate(clean, SeededNoise(0, [b"flat"]))
    for part, level in ((seen[..., :100], 25.5), (seen[..., 100:], 204.0)):
        assert 255 * part.mean() == pytest.approx(level, abs=0.6)
        assert (255 * part).var() == pytest.approx(2 * level + 9, rel=0.05)
    weight = d.measured(seen)
    assert weight is not None
    assert (weight[..., :90].mean() / weight[..., 110:].mean()) == pytest.approx((408 + 9) / (51 + 9), rel=0.1)
    assert PoissonGaussian(gain=0.0).measured(seen) is None


def test_the_data_step_behind_noise_explains_what_was_seen_each_image_by_itself() -> None:
    """In one preconditioned step."""
    d = Downsample(scale=2) >> GaussianNoise(sigma=5) >> Jpeg(quality=30)
    clean = picture(2, 3, 64, 64)
    y, x = d(clean), (clean + clean.flip(3)) / 2
    objective = EnergyObjective(Problem((Observation(y, d, 5.0),)))
    found = objective.prox(x, 0.1)
    assert bool((objective.energy(found) < objective.energy(x) / 4).all())
    alone = EnergyObjective(Problem((Observation(y[1:], d, 5.0),))).prox(x[1:], 0.1)
    assert torch.equal(alone[0], found[1])
