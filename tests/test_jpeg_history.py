"""That a picture was a JPEG before is told from its pixels, and nothing is told of one that was none."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

import gdpkit
from gdpkit import images, jpeg, jpeg_history
from gdpkit.metrics.psnr import PSNR

PHOTOS = sorted((Path(__file__).parent.parent / "examples" / "photos").glob("*.png"))


def compressed(image: Tensor, quality: int, chroma: str) -> Tensor:
    """By Pillow, and decoded."""
    file = BytesIO()
    array = (255 * images.to_array(image)).round().astype("uint8")
    Image.fromarray(array).save(file, "JPEG", quality=quality, subsampling=chroma)
    decoded = torch.from_numpy(np.array(Image.open(file))).float() / 255
    return (decoded.movedim(-1, 0) if decoded.ndim == 3 else decoded[None])[None]


@pytest.mark.parametrize("file", PHOTOS, ids=lambda f: f.stem)
@pytest.mark.parametrize("quality", [40, 75, 90])
@pytest.mark.parametrize("chroma", ["4:4:4", "4:2:0"])
def test_the_tables_and_the_chroma_are_told(file: Path, quality: int, chroma: str) -> None:
    seen = compressed(gdpkit.read_image(file), quality, chroma)
    found = jpeg_history.quality(seen)
    assert found is not None
    assert torch.equal(jpeg.tables(found)[0], jpeg.tables(quality)[0])
    if quality < 90:  # of finer ones either explains the pixels
        assert jpeg_history.chroma(seen, found) == chroma


def test_of_grey_pictures_too() -> None:
    grey = gdpkit.read_image(PHOTOS[0]).mean(1, keepdim=True)
    assert jpeg_history.quality(compressed(grey, 60, "4:4:4")) == 60


@pytest.mark.parametrize("file", PHOTOS, ids=lambda f: f.stem)
def test_nothing_is_told_of_other_pictures(file: Path) -> None:
    photo = gdpkit.read_image(file)
    seen = compressed(photo, 50, "4:2:0")
    noisy = seen + 3 / 255 * torch.randn(seen.shape, generator=torch.Generator().manual_seed(0))
    others = (photo, seen[..., 3:, 5:], (255 * noisy).round() / 255, torch.nn.functional.avg_pool2d(seen, 2))
    assert [jpeg_history.quality(other) for other in others] == [None] * len(others)
    assert jpeg_history.quality(torch.full((1, 3, 40, 40), 0.5)) is None


def test_a_blurred_picture_that_was_a_jpeg_is_made_sharp() -> None:
    truth = gdpkit.read_image(PHOTOS[0])
    seen = compressed(gdpkit.chain(["blur:kernel=gaussian,size=9,sigma=1.5"])(truth), 75, "4:2:0")
    result = gdpkit.restore("deblur", image=seen, kernel="gaussian:9,1.5", boundary="reflect", device="cpu")
    assert PSNR()(result.tensor, truth) > PSNR()(seen, truth) + 1
    assert any("it was a JPEG of quality 75 before, say its pixels" in note for note in result.notes)
