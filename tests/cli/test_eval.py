"""`gdpkit eval`: tables, CSV and JSON, pairs by name, and errors."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import pytest
import torch
from PIL import Image

from gdpkit import hookimpl, images, param, registry
from gdpkit.components import Metric, SetMetric
from gdpkit.errors import GdpkitError
from gdpkit.metrics.consistency import Consistency
from gdpkit.metrics.loe import LightnessOrderError
from gdpkit.metrics.mef_ssim import MefSSIM
from gdpkit.metrics.psnr import PSNR
from gdpkit.metrics.psnr_mu import PsnrMu
from gdpkit.metrics.ssim import SSIM

Cli = Callable[..., Any]


@dataclass(frozen=True)
class Level(Metric):
    """The mean level."""

    name = "level"
    reference: ClassVar[Literal["truth", "input", "exposures", "none"]] = "none"

    def __call__(self, image: torch.Tensor, reference: torch.Tensor | None) -> torch.Tensor:
        return image.mean(dim=(1, 2, 3))


@dataclass(frozen=True)
class Weighed(Metric):
    """Needs a file that nobody ships."""

    name = "weighed"
    network: Path = param(help="The weights of its network, net.pth.")


@dataclass(frozen=True)
class Spread(SetMetric):
    """The distance of the mean levels of two sets, of at least three pictures."""

    name = "spread"
    higher_is_better = False

    def features(self, image: torch.Tensor) -> torch.Tensor:
        return image.mean(dim=(2, 3))

    def distance(self, found: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
        if len(found) < 3:
            raise GdpkitError("spread compares sets of at least three pictures")
        return (found.mean() - wanted.mean()).abs()


class Metrics:
    """A plugin with metrics."""

    @hookimpl
    def gdpkit_metrics(self) -> Sequence[type[Metric]]:
        return [PSNR, SSIM, Consistency, LightnessOrderError, MefSSIM, PsnrMu, Level, Weighed, Spread]


@pytest.fixture
def evaluate(cli: Cli, table: registry.Registry) -> Cli:
    """`gdpkit eval ARGS` beside truths/, with a.png, b.png and c.png, and outputs/, the same 1, 2 and 3 levels off."""
    table.add(registry.Plugin("metrics"), Metrics())
    rng = np.random.default_rng(0)
    for folder in ("truths", "outputs"):
        Path(folder).mkdir()
    for off, name in enumerate("abc", 1):
        pixels = rng.integers(10, 200, (24, 32, 3), np.uint8)
        Image.fromarray(pixels).save(f"truths/{name}.png")
        Image.fromarray(pixels + np.uint8(off)).save(f"outputs/{name}_brighten.png")
    return lambda *args: cli("eval", *args)


def psnr(off: float) -> float:
    return float(20 * np.log10(255 / off))


def test_the_table_has_every_picture_and_the_mean(evaluate: Cli) -> None:
    result = evaluate("outputs", "--reference", "truths", "--metric", "psnr", "--metric", "level")
    assert result.status == 0
    head, *rows, mean = [line.split() for line in result.out.splitlines()]
    assert head == ["picture", "psnr", "level"]
    assert [row[0] for row in rows] == [f"outputs/{name}_brighten.png" for name in "abc"]
    assert [row[1] for row in rows] == [f"{psnr(off):.2f}" for off in (1, 2, 3)]
    assert mean[:4] == ["mean", "of", "3", f"{sum(map(psnr, (1, 2, 3))) / 3:.2f}"]


def test_a_long_name_is_never_cut_in_a_pipe(evaluate: Cli) -> None:
    name = "x" * 200
    Path("outputs/a_brighten.png").rename(f"outputs/{name}.png")
    Path("truths/a.png").rename(f"truths/{name}.png")
    assert f"outputs/{name}.png" in evaluate("outputs", "--reference", "truths").out


def test_psnr_and_ssim_are_measured_where_nothing_is_named(evaluate: Cli) -> None:
    assert evaluate("outputs", "--reference", "truths").out.split()[:3] == ["picture", "psnr", "ssim"]
    assert evaluate("outputs").error == "nothing to measure: give --reference TRUTHS, or --metric, e.g. --metric niqe"


def test_json_is_alone_on_standard_output(evaluate: Cli) -> None:
    result = evaluate("outputs", "--reference", "truths", "--metric", "psnr:border=4", "--json")
    record = json.loads(result.out)
    assert list(record["metrics"]) == ["psnr:border=4"]
    assert record["metrics"]["psnr:border=4"]["count"] == 3
    assert record["metrics"]["psnr:border=4"]["higher_is_better"] is True
    first = record["pictures"][0]
    assert (first["picture"], first["reference"]) == ("outputs/a_brighten.png", "truths/a.png")
    assert first["values"]["psnr:border=4"] == pytest.approx(psnr(1), abs=1e-3)


def test_equal_pictures_give_json_that_any_program_reads(evaluate: Cli) -> None:
    def refuse(word: str) -> None:
        raise AssertionError(f"{word} is not JSON")

    result = evaluate("truths", "--reference", "truths", "--metric", "psnr", "--json")
    assert json.loads(result.out, parse_constant=refuse)["metrics"]["psnr"]["mean"] == "inf"


def test_csv_has_all_digits(evaluate: Cli) -> None:
    rows = list(csv.reader(io.StringIO(evaluate("outputs", "--reference", "truths", "--metric", "psnr", "--csv").out)))
    assert [row[0] for row in rows] == ["picture", *(f"outputs/{name}_brighten.png" for name in "abc"), "mean"]
    assert float(rows[2][1]) == pytest.approx(psnr(2), abs=1e-5)


@pytest.mark.parametrize("name", ["results.csv", "results.json"])
def test_results_are_written_and_replaced_only_when_told(evaluate: Cli, name: str) -> None:
    args = ("outputs", "--reference", "truths", "--metric", "psnr", "-o", name)
    shown = evaluate(*args).out
    assert shown.startswith("picture ")
    content = Path(name).read_text()
    assert content == evaluate(*args[:-2], f"--{name.partition('.')[2]}").out
    assert "exists already; --overwrite replaces it" in evaluate(*args).error
    assert evaluate(*args, "--overwrite").status == 0


def test_the_folder_and_the_suffix_of_results_are_checked_first(evaluate: Cli) -> None:
    assert "written as .csv or .json" in evaluate("outputs", "--reference", "truths", "-o", "results.txt").error
    assert "does not exist; make it first" in evaluate("outputs", "--reference", "truths", "-o", "no/r.csv").error


def test_one_file_is_the_truth_of_all(evaluate: Cli) -> None:
    result = evaluate("outputs/a_brighten.png", "truths/b.png", "--reference", "truths/a.png", "-m", "psnr")
    assert [line.split()[-1] for line in result.out.splitlines()[1:2]] == [f"{psnr(1):.2f}"]
    assert len(result.out.splitlines()) == 4


def test_outputs_without_a_truth_are_named(evaluate: Cli) -> None:
    Path("truths/b.png").rename("truths/bee.png")
    error = evaluate("outputs", "--reference", "truths", "-m", "psnr").error
    assert error.startswith("--reference truths: there is no picture for b_brighten.png; ")
    assert "paired with one named 'b_brighten' or 'b'" in error


@pytest.mark.parametrize("option", ["--reference", "--input", "--exposures"])
def test_a_partner_that_is_not_there_is_one_error_before_anything_is_measured(evaluate: Cli, option: str) -> None:
    metric = {"--reference": "psnr", "--input": "loe", "--exposures": "mef-ssim"}[option]
    result = evaluate("outputs", option, "truth", "-m", metric)
    assert result.status == 2
    assert result.out == ""
    assert result.err == f"Error: {option} truth: there is no such file or folder. Did you mean 'truths'?\n"


def test_an_ending_that_is_no_task_is_part_of_the_name(evaluate: Cli) -> None:
    Path("outputs/a_brighten.png").rename("outputs/a_2.png")
    assert "no picture for a_2.png" in evaluate("outputs", "--reference", "truths").error


def test_two_truths_of_one_name_are_an_error(evaluate: Cli) -> None:
    Image.open("truths/a.png").save("truths/a.jpg")
    assert "both truths/a.jpg and truths/a.png have the name" in evaluate("outputs", "--reference", "truths").error


def test_a_picture_of_another_size_does_not_stop_the_others(evaluate: Cli) -> None:
    Image.new("RGB", (30, 24)).save("truths/b.png")
    result = evaluate("outputs", "--reference", "truths", "-m", "psnr", "-m", "ssim")
    assert result.status == 1
    complaint = "outputs/b_brighten.png is 32x24 pixels and truths/b.png 30x24; only pictures of one size are compared"
    assert result.err.count("Error: ") == 1 and f"Error: {complaint}" in result.err
    assert "mean of 2 of 3" in result.out
    record = json.loads(evaluate("outputs", "--reference", "truths", "-m", "psnr", "--json").out)
    assert record["pictures"][1]["error"] == complaint
    assert record["metrics"]["psnr"]["mean"] == pytest.approx((psnr(1) + psnr(3)) / 2, abs=1e-3)


def test_one_picture_that_cannot_be_measured_is_one_error(evaluate: Cli) -> None:
    name = "outputs/a_brighten.png"
    assert evaluate(name, "--reference", "photo.png").error.startswith(f"{name} is 32x24 pixels and photo.png ")
    small = evaluate(name, "--reference", "truths/a.png", "-m", "psnr:border=40").error
    assert small.startswith(f"{name}: psnr: 32x24 pixels of 3 channels without its border of 40 is too small")
    again = evaluate(name, "--input", "photo.png", "-m", "consistency", "-d", "dim").error
    assert again.startswith(f"{name}, degraded again, is 32x24 pixels and photo.png ")
    assert "there is no such file" in evaluate("outputs/a_brighten.png", "--reference", "truths/none.png").error


def test_what_no_metric_looks_at_is_noted(evaluate: Cli) -> None:
    both = ("outputs", "--reference", "truths", "--input", "truths")
    result = evaluate(*both, "-d", "dim")
    assert result.status == 0 and "Note: no metric here is about --input or -d; " in result.err
    assert "Note" not in evaluate(*both, "-d", "dim", "-m", "psnr", "-m", "consistency").err


@pytest.mark.parametrize(
    ("metric", "complaint"),
    [
        ("pnsr", "unknown metric 'pnsr'. Did you mean 'psnr'?"),
        ("psnr:boarder=4", "no parameter 'boarder'. Did you mean 'border'?"),
        ("loe", "loe compares a picture with the input: give --input"),
        ("mef-ssim", "mef-ssim compares a picture with the exposures: give --exposures"),
        ("weighed", "network=FILE: The weights of its network, net.pth."),
        ("truths", "--metric truths: this is a file; name a metric"),
    ],
)
def test_a_metric_that_cannot_be_measured_says_what_it_needs(evaluate: Cli, metric: str, complaint: str) -> None:
    result = evaluate("outputs", "--reference", "truths", "--metric", metric)
    assert (result.status, complaint in result.error) == (2, True), result.err


def test_the_truth_is_asked_for(evaluate: Cli) -> None:
    assert "psnr compares a picture with the truth: give --reference" in evaluate("outputs", "-m", "psnr").error


def test_metrics_of_the_input(evaluate: Cli) -> None:
    result = evaluate("outputs", "--input", "truths", "-m", "loe", "--json")
    assert json.loads(result.out)["pictures"][0]["input"] == "truths/a.png"


def test_consistency_degrades_the_output_again(evaluate: Cli) -> None:
    for name in "abc":
        pixels = np.asarray(Image.open(f"outputs/{name}_brighten.png")) // 2
        Image.fromarray(pixels).save(f"truths/{name}.png")
    args = ("outputs", "--input", "truths", "-m", "consistency")
    assert "give the chain with -d" in evaluate(*args).error
    record = json.loads(evaluate(*args, "-d", "dim:factor=0.5", "--json").out)
    assert record["metrics"]["consistency"]["mean"] == pytest.approx(0.125, abs=0.01)  # half the levels were cut by 1/2


def test_brackets_as_files_and_as_folders(evaluate: Cli) -> None:
    for scene in "ab":
        Path(f"brackets/{scene}").mkdir(parents=True)
        pixels = np.random.default_rng(1).integers(0, 200, (48, 48, 3), np.uint8)
        for k, gain in enumerate((0.5, 1.0)):
            Image.fromarray((pixels * gain).astype(np.uint8)).save(f"brackets/{scene}/{scene}{k}.png")
        Image.fromarray(pixels).save(f"{scene}.png")
    exposures = ("brackets/a/a0.png", "brackets/a/a1.png")
    one = evaluate("a.png", "-m", "mef-ssim", "--exposures", *exposures, "--json")
    value = json.loads(one.out)["metrics"]["mef-ssim"]["mean"]
    assert value > 0.9
    both = json.loads(evaluate("a.png", "b.png", "-m", "mef-ssim", "--exposures", "brackets", "--json").out)
    assert both["pictures"][0]["values"]["mef-ssim"] == pytest.approx(value)
    assert (
        "no folder of exposures for photo.png"
        in evaluate("photo.png", "-m", "mef-ssim", "--exposures", "brackets").error
    )
    Image.new("RGB", (40, 48)).save("brackets/a/a1.png")
    assert "the exposures differ in size" in evaluate("a.png", "-m", "mef-ssim", "--exposures", *exposures).error


def test_radiance_is_measured_beyond_white(evaluate: Cli) -> None:
    truth = torch.linspace(0.01, 20, 16 * 24 * 3).reshape(1, 3, 16, 24)
    images.save_linear("scene.exr", truth)
    images.save_linear("found.exr", 3 * truth.clamp_max(10))
    record = json.loads(evaluate("found.exr", "--reference", "scene.exr", "-m", "psnr-mu", "--json").out)
    wanted = float(PsnrMu()(3 * truth.clamp_max(10), truth))
    assert record["metrics"]["psnr-mu"]["mean"] == pytest.approx(wanted, abs=1e-2)
    assert wanted < 40


def test_a_metric_of_sets_is_one_number(evaluate: Cli) -> None:
    result = evaluate("outputs", "--reference", "truths", "-m", "spread", "-m", "psnr")
    assert result.out.splitlines()[-1].split()[3] == f"{2 / 255:.4f}"
    record = json.loads(evaluate("outputs", "--reference", "truths", "-m", "spread", "--json").out)
    assert record["metrics"]["spread"]["mean"] == pytest.approx(2 / 255, abs=1e-6)


def test_a_set_that_is_too_small_leaves_the_other_metrics_measured(evaluate: Cli) -> None:
    Path("outputs/c_brighten.png").unlink()
    result = evaluate("outputs", "--reference", "truths", "-m", "spread", "-m", "psnr", "--json")
    record = json.loads(result.out)
    assert result.status == 1
    assert record["metrics"]["psnr"]["mean"] == pytest.approx((psnr(1) + psnr(2)) / 2, abs=1e-3)
    assert record["metrics"]["spread"]["mean"] is None
    assert record["pictures"][1]["error"] == "spread compares sets of at least three pictures"


def test_a_grey_output_is_compared_with_a_coloured_truth(evaluate: Cli) -> None:
    Image.open("truths/a.png").convert("L").save("grey.png")
    assert evaluate("grey.png", "--reference", "truths/a.png", "-m", "psnr").status == 0


def test_a_file_that_a_metric_lacks_is_named_before_any_work(evaluate: Cli) -> None:
    error = evaluate("outputs", "--reference", "truths", "-m", "weighed:network=net.pth").error
    assert error == "weighed: network=net.pth: there is no such file"


def test_a_name_that_is_no_text_can_be_measured(evaluate: Cli) -> None:
    name = os.fsdecode(b"outputs/\xff_brighten.png")
    Path("outputs/a_brighten.png").rename(name)
    Path("truths/a.png").rename(os.fsdecode(b"truths/\xff.png"))
    result = evaluate("outputs", "--reference", "truths", "-m", "psnr")
    assert (result.status, result.out.count("_brighten.png")) == (0, 3)
    assert evaluate("outputs", "--reference", "truths", "-m", "psnr", "-o", "r.csv").status == 0
    assert b"outputs/\xff_brighten.png," in Path("r.csv").read_bytes()


def test_options_that_contradict_each_other(evaluate: Cli) -> None:
    assert "--csv and --json both" in evaluate("outputs", "--reference", "truths", "--csv", "--json").error
    assert "--steps is about restoring" in evaluate("outputs", "--reference", "truths", "--steps", "3").error
    assert "unknown protocol 'gdp'. " in evaluate("outputs", "--protocol", "gdp").error
    both = evaluate("outputs", "--reference", "truths", "--protocol", "gdp-imagenet")
    assert "--reference and --protocol exclude each other" in both.error
