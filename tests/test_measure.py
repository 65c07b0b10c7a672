"""`gdpkit.measure`: files, arrays and tensors, and what pairing by name means."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import gdpkit
from gdpkit.errors import GdpkitError
from gdpkit.evaluation.pairing import brackets, paired
from gdpkit.evaluation.tables import Results, Row
from gdpkit.metrics.psnr import PSNR


def test_files_arrays_and_tensors_are_the_same(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 200, (20, 30, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "truth.png")
    found = pixels + np.uint8(4)
    tensor = torch.from_numpy(found).permute(2, 0, 1) / 255
    wanted = 20 * math.log10(255 / 4)
    for image in (found, found / 255, tensor, tensor[None]):
        assert gdpkit.measure("psnr", image, tmp_path / "truth.png") == pytest.approx(wanted, abs=1e-3)
    assert gdpkit.measure(PSNR(border=2), found, pixels) == pytest.approx(wanted, abs=1e-3)


def test_a_list_is_a_bracket() -> None:
    exposures = [np.random.default_rng(k).random((48, 48, 3)) for k in (0, 1)]
    assert gdpkit.measure("mef-ssim", exposures[0], exposures) < 1
    assert gdpkit.measure("mef-ssim", exposures[0], exposures[:1]) == pytest.approx(1, abs=1e-4)


def test_exposures_that_are_no_bracket_are_an_error_and_a_grey_one_is_not() -> None:
    one, other = (np.random.default_rng(k).random((48, 48 + k, 3)) for k in (0, 1))
    with pytest.raises(GdpkitError, match="the exposures differ in size, 48x48 and 49x48 pixels"):
        gdpkit.measure("mef-ssim", one, [one, other])
    assert 0 < gdpkit.measure("mef-ssim", one, [one, one[..., 0]]) < 1


def test_radiance_of_an_array_is_taken_as_it_is() -> None:
    truth = np.random.default_rng(0).random((16, 16, 3)) * 50
    assert gdpkit.measure("psnr-mu", truth, truth) == math.inf
    assert gdpkit.measure("psnr-mu:scale=none", truth * 2, truth) < 30


def test_an_unknown_metric_is_an_error_with_a_suggestion() -> None:
    with pytest.raises(GdpkitError, match=r"unknown metric 'ms-sim'. Did you mean 'ms-ssim'\?"):
        gdpkit.measure("ms-sim", np.zeros((20, 20)))


def paths(*names: str) -> list[Path]:
    return [Path(name) for name in names]


def test_the_whole_name_wins_over_the_name_without_its_ending() -> None:
    others = paths("t/a_sr.png", "t/a.png", "t/b.jpg")
    assert paired(paths("o/a_sr.png", "o/b_sr.tif"), others, {"sr"}, "--reference") == paths("t/a_sr.png", "t/b.jpg")


def test_many_missing_ones_are_counted() -> None:
    with pytest.raises(GdpkitError, match=r"no picture for p0\.png, p1\.png, p2\.png and 4 more; p0\.png would"):
        paired(paths(*(f"p{k}.png" for k in range(7))), paths("x.png"), {"sr"}, "--reference t")
    with pytest.raises(GdpkitError, match=r"no picture for pp\.png and qq\.png; .* named 'pp'\. Did you mean 'ppp'\?"):
        paired(paths("pp.png", "qq.png"), paths("ppp.png"), {"sr"}, "--reference t")


def test_a_bracket_is_found_by_its_folder_or_by_one_of_its_exposures() -> None:
    folders = {"lake": paths("lake/1.jpg", "lake/2.jpg"), "IMG": paths("IMG/7.jpg", "IMG/8.jpg")}
    assert brackets(paths("lake.png", "7_hdr.png"), [], folders, {"hdr"}) == [folders["lake"], folders["IMG"]]
    assert brackets(paths("x.png", "y.png"), paths("1.jpg"), {}, {"hdr"}) == [paths("1.jpg")] * 2


def test_the_mean_is_over_what_was_measured() -> None:
    rows = [Row("a", {"psnr": 20.0}), Row("b", error="broken"), Row("c", {"psnr": 30.0})]
    results = Results(rows, {"psnr": True, "fid": False}, {"fid": 7.0})
    assert (results.mean("psnr"), results.mean("fid"), Results([], {"psnr": True}).mean("psnr")) == (25.0, 7.0, None)
    assert results.table()[1][-1] == ["mean of 2 of 3", "25.00", "7.0000"]
    assert results.csv().splitlines() == ["picture,psnr,fid,error", "a,20,,", "b,,,broken", "c,30,,", "mean,25,7,"]
