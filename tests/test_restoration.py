"""What `restore` gives back: the picture, its record, the fitted unknowns, and the file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from gdpkit import Restoration, images, param, restore
from gdpkit.choices import DEFAULT_SAMPLER
from gdpkit.components import Degradation, PhotoTask, Shape, Unknowns
from gdpkit.degradations.downsample import Downsample
from gdpkit.errors import ImageError
from gdpkit.testing import picture

FIELDS = {
    "outputs", "size", "task", "prior", "prior_sha256", "sampler", "network_evaluations", "seconds", "peak_memory_mib",
    "device", "seed", "consistency", "unknowns",
}  # fmt: skip
QUICK: Mapping[str, Any] = {"prior": "tv", "sampler": "gdp", "steps": 8, "device": "cpu"}


@dataclass(frozen=True)
class Dim(Degradation):
    """Darken by an unknown factor, and by a map of one."""

    name = "dim"

    def __call__(self, image: torch.Tensor, **unknowns: torch.Tensor) -> torch.Tensor:
        return image * unknowns["light"] * unknowns["map"]

    def unknowns(self, observed: torch.Tensor, shape: Shape) -> Unknowns:
        light = observed.mean(dim=(1, 2, 3)).view(-1, 1, 1, 1) / 0.5
        return {"light": light, "map": torch.ones(len(observed), 1, *shape[1:])}

    def constrain(self, **unknowns: torch.Tensor) -> Unknowns:
        return {"light": unknowns["light"].clamp(0.1, 1), "map": torch.ones_like(unknowns["map"])}


@dataclass(frozen=True, eq=False)
class Undo(PhotoTask):
    """Undo a degradation."""

    name = "undo"
    what: Degradation = param(Downsample(scale=2), help="What is undone.")

    def degradation(self) -> Degradation:
        return self.what


def colour(height: int = 16, width: int = 20) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    return (255 * picture(1, 3, height, width)[0]).round().byte().permute(1, 2, 0).numpy()


def undo(image: Any = None, what: Degradation = Downsample(scale=2), **settings: Any) -> Restoration:  # noqa: B008
    return restore(Undo(image=colour() if image is None else image, what=what), **{**QUICK, **settings})


def test_the_record_says_what_was_done() -> None:
    record = undo(seed=5).record
    assert set(record) == FIELDS
    assert json.loads(json.dumps(record)) == record
    expected = {"task": "undo", "prior": "tv", "prior_sha256": None, "sampler": "gdp", "device": "cpu", "seed": 5}
    assert {key: record[key] for key in expected} == expected
    assert (record["size"], record["network_evaluations"], record["outputs"]) == ([40, 32], 8, [])
    assert record["seconds"] > 0 and record["peak_memory_mib"] > 0


def test_consistency_is_that_of_the_result() -> None:
    result = undo()
    again = Downsample(scale=2)(torch.from_numpy(result.image).permute(2, 0, 1)[None])
    error = 255 * (again[0].permute(1, 2, 0).numpy() - colour() / 255)
    assert result.record["consistency"] == pytest.approx(np.square(error).mean(), abs=1e-3)


def test_a_grey_picture_comes_back_grey(tmp_path: Path) -> None:
    result = undo(colour()[..., 0])
    assert (result.image.shape, result.input_image.shape) == ((32, 40), (16, 20))
    result.save(tmp_path / "grey.png")
    with Image.open(tmp_path / "grey.png") as written:
        assert (written.mode, written.size) == ("L", (40, 32))


@pytest.mark.parametrize("channels", [3, 4])
def test_of_a_batch_the_first_is_shown_and_saved_and_that_is_said(tmp_path: Path, channels: int) -> None:
    batch = picture(2, channels, 16, 20)
    result = undo(batch)
    assert result.tensor.shape == (2, 3, 32, 40)
    assert np.array_equal(result.input_image, images.to_array(batch[:1, :3]))
    assert result.image.shape == (32, 40, 3)
    (note,) = (note for note in result.notes if "batch of 2" in note)
    assert "the first" in note and "`tensor`" in note
    assert any("batch of 2" in note for note in result.save(tmp_path / "first.png"))
    assert np.abs(images.to_array(images.read_image(tmp_path / "first.png")) - result.image).max() <= 0.51 / 255


def test_it_shows_itself_in_a_notebook() -> None:
    result = undo()
    shown = images.from_array(np.asarray(Image.open(BytesIO(result._repr_png_()))))
    assert np.abs(images.to_array(shown.pixels) - result.image).max() <= 0.51 / 255
    assert repr(result).startswith("<Restoration by undo: 40x32, 8 evaluations of tv in ")


def test_saving_is_recorded_and_replaces_nothing_unasked(tmp_path: Path) -> None:
    result, path = undo(), tmp_path / "out.png"
    assert result.save(path) == ()
    assert result.record["outputs"] == [str(path)]
    assert np.abs(images.to_array(images.read_image(path)) - result.image).max() <= 0.51 / 255
    before = path.read_bytes()
    with pytest.raises(ImageError, match=r"out\.png: it exists already; overwrite=True replaces it"):
        undo(seed=1).save(path)
    assert path.read_bytes() == before
    undo(seed=1).save(path, overwrite=True)
    assert path.read_bytes() != before
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("sampler", ["gdp", "gdp-xt", DEFAULT_SAMPLER])
def test_sixteen_bits_stay_sixteen(sampler: str, tmp_path: Path) -> None:
    """Their noise is a thousandth of a level, and its inverse square a number of fourteen digits."""
    deep = (65535 * picture(1, 3, 16, 16)[0]).numpy().astype(np.uint16).transpose(1, 2, 0)
    result = undo(deep, sampler=sampler, prior="gaussian", steps=20)
    result.save(tmp_path / "out.png")
    assert images.load(tmp_path / "out.png").bits == 16
    assert result.record["consistency"] < 0.5


def test_fitted_unknowns_are_told_and_large_ones_saved_beside_the_picture(tmp_path: Path) -> None:
    result = undo(what=Dim())
    assert result.unknowns["light"].shape == (1, 1, 1, 1)
    assert result.unknowns["map"].shape == (1, 1, 16, 20)
    assert result.record["unknowns"] == {"light": result.unknowns["light"].tolist()}
    result.save(tmp_path / "out.png")
    assert result.record["unknowns"]["map"] == str(tmp_path / "out.map.npy")
    assert np.array_equal(np.load(tmp_path / "out.map.npy"), result.unknowns["map"])
    json.dumps(result.record)


def test_a_problem_can_keep_its_unknowns_out_of_the_folder(tmp_path: Path) -> None:
    result = undo(what=Dim())
    result.problem = replace(result.problem, unknowns_beside=False)
    result.save(tmp_path / "out.png")
    assert [file.name for file in tmp_path.iterdir()] == ["out.png"]
    assert "map" in result.unknowns and "map" not in result.record["unknowns"]


def test_one_result_is_saved_in_two_formats_and_another_keeps_its_unknowns_apart(tmp_path: Path) -> None:
    result = undo(what=Dim())
    result.save(tmp_path / "out.png")
    result.save(tmp_path / "out.tif")
    np.save(tmp_path / "out.map.npy", result.unknowns["map"] + 1)
    with pytest.raises(ImageError, match=r"out\.map\.npy: it exists already"):
        result.save(tmp_path / "out.webp")
    assert not (tmp_path / "out.webp").exists()
    result.save(tmp_path / "out.webp", overwrite=True)
    assert np.array_equal(np.load(tmp_path / "out.map.npy"), result.unknowns["map"])
