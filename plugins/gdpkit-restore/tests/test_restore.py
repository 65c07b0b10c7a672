"""`restore`: any chain undone in one pass, in the order light met it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gdpkit_restore import Restore
from numpy.typing import NDArray

from gdpkit import GdpkitError, ImageError, Restoration, UnknownNameError, chain, degrade, images, restore
from gdpkit.testing import check_task, example, picture


def truth(height: int = 32, width: int = 40) -> NDArray[np.float32]:
    return images.to_array(picture(1, 3, height, width))


def undo(image: Any, *stages: str, **parameters: Any) -> Restoration:
    settings = {"prior": "gaussian:length=20", "sampler": "hqs", "steps": 10, "device": "cpu", **parameters}
    return restore("restore", image=image, stages=stages, **settings)


def error(found: NDArray[np.float32], wanted: NDArray[np.float32]) -> float:
    return float(np.square(found - wanted).mean())


def test_the_task_keeps_the_contract(tmp_path: Path) -> None:
    check_task(example(Restore, tmp_path))


@pytest.mark.parametrize(
    ("stages", "size"),
    [
        (("downsample:scale=2",), (64, 80)),
        (("downsample:scale=3,kernel=bicubic",), (96, 120)),
        (("noise:sigma=20",), (32, 40)),
        (("downsample:scale=2", "noise:sigma=5"), (64, 80)),
        (("noise:sigma=5", "downsample:scale=2,kernel=gaussian"), (64, 80)),
        (("downsample:scale=2", "downsample:scale=2"), (128, 160)),
    ],
)
def test_a_chain_is_undone_to_the_size_before_it(stages: tuple[str, ...], size: tuple[int, int]) -> None:
    image = truth()
    result = undo(image, *stages)
    assert result.image.shape == (*size, 3)
    assert result.record["consistency"] < max(1.0, 2 * chain(stages).noise_sigma ** 2)


def test_the_result_is_nearer_to_the_truth_than_what_was_seen() -> None:
    """With the embedded prior: noise is removed, and what was reduced is nearer than its pixels repeated."""
    noisy = images.to_array(degrade(truth(), ["noise:sigma=20"]).pixels)
    assert error(undo(noisy, "noise:sigma=20", prior=None).image, truth()) < 0.25 * error(noisy, truth())
    seen = images.to_array(degrade(truth(), ["downsample:scale=2", "noise:sigma=5"]).pixels)
    found = undo(seen, "downsample:scale=2", "noise:sigma=5", prior=None).image
    assert error(found, truth()) < 0.5 * error(seen.repeat(2, 0).repeat(2, 1), truth())


@pytest.mark.parametrize(
    "stages", [("noise:sigma=20",), ("mask:missing=0.1", "noise:sigma=20"), ("gray", "noise:sigma=20")]
)
def test_the_noise_of_a_grey_picture_is_removed(stages: tuple[str, ...]) -> None:
    """It is alike in the three channels, which a prior of colour photographs takes for the picture."""
    grey = truth().mean(axis=2, keepdims=True)
    seen = images.to_array(degrade(grey, ["noise:sigma=20"]).pixels)
    found = undo(seen, *stages, prior=None, steps=20).image
    assert (found.ndim == 3) == ("gray" in stages)
    found = found.mean(axis=2) if found.ndim == 3 else found
    assert error(found, grey[..., 0]) < 0.3 * error(np.squeeze(seen), grey[..., 0])


def test_a_single_stage_from_python_may_be_a_text() -> None:
    assert np.array_equal(
        restore("restore", image=truth(), stages="downsample:scale=2", prior="tv", steps=3, device="cpu").image,
        undo(truth(), "downsample:scale=2", prior="tv", sampler=None, steps=3).image,
    )


@pytest.mark.parametrize(
    ("grey", "stages", "colour"),
    [
        (True, ("downsample:scale=2",), False),
        (True, ("gray", "noise:sigma=3"), True),
        (False, ("gray:weights=bt601",), True),
        (False, ("noise:sigma=3",), True),
    ],
)
def test_colour_is_added_only_where_the_chain_took_it(grey: bool, stages: tuple[str, ...], colour: bool) -> None:
    image = truth()[..., 1] if grey else truth()
    assert (undo(image, *stages).image.ndim == 3) == colour


def test_a_colour_file_of_a_gray_chain_is_seen_by_the_chains_weights() -> None:
    """A grey photograph is often saved as RGB; what is kept is its luma."""
    luma = truth() @ np.array([0.299, 0.587, 0.114], np.float32)
    found = undo(truth(), "gray:weights=bt601").image @ np.array([0.299, 0.587, 0.114], np.float32)
    assert np.abs(found - luma).max() < 1 / 255


def test_colours_that_the_chain_denies_are_said_to_be_lost() -> None:
    coloured, grey = truth(), np.repeat(truth()[..., 1:2], 3, 2)
    lost = "its colours are not used: the degradation says that the photograph has none"
    assert lost in undo(coloured, "gray").notes
    assert lost in undo(coloured, "gray", "downsample:scale=2").notes
    assert not undo(grey, "gray").notes
    assert not undo(coloured, "downsample:scale=2").notes


def test_sixteen_bits_in_sixteen_bits_out(tmp_path: Path) -> None:
    deep = (65535 * truth()).round().astype(np.uint16)
    undo(deep, "downsample:scale=2").save(tmp_path / "out.png")
    assert images.load(tmp_path / "out.png").bits == 16


@pytest.mark.parametrize(
    ("stages", "kind", "reason"),
    [
        ((), GdpkitError, "a chain needs at least one stage, e.g. downsample:scale=4"),
        (("downsampel:scale=2",), UnknownNameError, "unknown degradation 'downsampel'. Did you mean 'downsample'?"),
        (("downsample:scale=0",), GdpkitError, "downsample: scale must be at least 1, not 0"),
        (("downsample:size=2",), UnknownNameError, "downsample has no parameter 'size'."),
        (("downsample:scale",), GdpkitError, "'scale' is not of the form key=value"),
    ],
)
def test_a_chain_that_cannot_be_is_told(stages: tuple[str, ...], kind: type[GdpkitError], reason: str) -> None:
    with pytest.raises(kind) as caught:
        undo(truth(), *stages)
    assert reason in str(caught.value)


def test_a_photograph_that_is_too_small_is_told() -> None:
    with pytest.raises(ImageError, match="the array is 3x3 pixels; restore needs at least 16x16"):
        undo(truth(3, 3), "downsample:scale=2")
