"""`gdpkit eval --protocol gdp-imagenet`: what it makes, and how it goes on."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from gdpkit import chain, engine, images
from gdpkit.cli import main, protocols
from gdpkit.evaluation import published
from gdpkit.evaluation.protocol import STAGES, square
from gdpkit.evaluation.tables import Results, Row
from gdpkit.metrics.consistency import Consistency
from gdpkit.metrics.psnr import PSNR

FAST = ("--prior", "tv", "--steps", "2", "--device", "cpu")


def photo(name: str, width: int, height: int) -> None:
    rows, columns = np.mgrid[:height, :width]
    channels = [128 + 80 * np.sin(rows / (9 + k)) * np.cos(columns / (15 - k)) for k in range(3)]
    Image.fromarray(np.stack(channels, axis=-1).astype(np.uint8)).save(name)


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Any]:
    """`gdpkit eval photos ARGS` in a folder with photos/a.png and photos/b.png; gives status, output and errors."""
    monkeypatch.chdir(tmp_path)
    Path("photos").mkdir()
    photo("photos/a.png", 256, 256)
    photo("photos/b.png", 300, 272)

    def run(*args: str) -> tuple[int, str, str]:
        status = main(["eval", "photos", "--protocol", "gdp-imagenet", *FAST, *args])
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return run


@pytest.fixture
def restored(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The inputs that were restored; restoring a third ends the program, as Ctrl-C does."""
    done: list[str] = []
    true = engine.restore

    def restore(task: Any, **more: Any) -> Any:
        if len(done) == 3:
            raise KeyboardInterrupt
        done.append(f"{task.image.parent.name}/{task.image.name}")
        return true(task, **more)

    monkeypatch.setattr(engine, "restore", restore)
    return done


def test_all_tasks_stand_beside_the_published_rows(run: Callable[..., Any]) -> None:
    status, out, _ = run("-o", "trial")
    assert status == 0
    lines = out.splitlines()
    assert lines[0].split() == ["task", "method", "psnr", "ssim", "consistency", "fid"]
    assert len(lines) == 1 + 4 + sum(map(len, published.GDP_IMAGENET.values()))
    assert sum("gdpkit, 2 pictures" in line for line in lines) == 4
    assert any(line.split() == ["sr", "GDP-x_0,", "published", "24.42", "0.68", "6.49", "38.24"] for line in lines)


def test_a_photograph_that_is_not_there_is_told_before_anything_is_made(run: Callable[..., Any]) -> None:
    status, _, err = run("photos/c.png", "-o", "trial")
    assert (status, err) == (2, "Error: photos/c.png: there is no such file\n")
    assert not Path("trial").exists()


def test_published_numbers_do_not_stand_below_another_definition() -> None:
    specs = ("psnr", "psnr:border=4", "fid:network=net.pth")
    row = Row("a.png", dict.fromkeys(specs[:2], 20.0))
    head, rows = protocols._table({"sr": Results([row], dict.fromkeys(specs, True), {specs[2]: 50.0})}, specs)
    assert head == ["task", "method", *specs]
    assert ["sr", "gdpkit, 1 picture", "20.00", "20.00", "50.00"] in rows
    assert ["sr", "GDP-x_0, published", "24.42", "", "38.24"] in rows


def test_its_numbers_are_those_of_its_files(run: Callable[..., Any]) -> None:
    _, out, _ = run("-o", "trial", "--task", "deblur", "--json")
    record = json.loads(out)
    assert json.loads(Path("trial/results.json").read_text()) == record
    found = record["tasks"]["deblur"]["pictures"][1]["values"]
    truth, given, restored = (
        images.read_image(f"trial/{name}.png") for name in ("truth/b", "deblur/b_input", "deblur/b")
    )
    assert torch.equal(truth, square(Path("photos/b.png")))
    assert (given.shape[-2:], restored.shape[-2:]) == ((248, 248), (256, 256))
    assert found["psnr"] == pytest.approx(float(PSNR()(restored, truth)), abs=1e-4)
    again = chain(STAGES["deblur"])(restored)
    assert found["consistency"] == pytest.approx(float(Consistency()(again, given)), abs=1e-4)
    assert found["consistency"] < 20
    assert record["tasks"]["deblur"]["published"]["GDP-x_0"]["psnr"] == 25.98


def test_a_run_that_was_stopped_goes_on(run: Callable[..., Any], restored: list[str]) -> None:
    status, _, _ = run("-o", "trial", "-t", "sr", "-t", "colorize")
    assert status == 130
    assert len(restored) == 3
    assert not Path("trial/results.json").exists()
    left = {str(path) for path in Path("trial").rglob("*.png")}
    first = {path: Path(path).read_bytes() for path in left}
    restored.clear()
    status, out, err = run("-o", "trial", "-t", "sr", "-t", "colorize", "--json")
    assert status == 0
    assert restored == ["colorize/b_input.png"]
    assert "3 restorations are there already, 1 are to be done" in err
    assert all(Path(path).read_bytes() == content for path, content in first.items())
    restored.clear()
    shutil.rmtree("trial")
    assert run("-o", "trial", "-t", "sr")[0] == 0
    whole = json.loads(Path("trial/results.json").read_text())["tasks"]["sr"]
    assert json.loads(out)["tasks"]["sr"] == whole


def test_pictures_of_other_settings_are_never_mixed_in(run: Callable[..., Any], restored: list[str]) -> None:
    assert run("-o", "trial", "-t", "sr")[0] == 0
    restored.clear()
    status, out, err = run("-o", "trial", "-t", "sr", "--seed", "1")
    assert (status, out, restored) == (2, "", [])
    assert "its pictures were made with seed 0, not 1; give another folder with -o, or --overwrite" in err
    assert run("-o", "trial", "-t", "sr", "--seed", "1", "--overwrite")[0] == 0
    assert len(restored) == 2


def test_another_photograph_of_the_same_name_is_not_taken_for_it(run: Callable[..., Any]) -> None:
    assert run("-o", "trial", "-t", "sr")[0] == 0
    photo("photos/a.png", 280, 256)
    status, _, err = run("-o", "trial", "-t", "colorize")
    assert status == 1
    assert "Error: colorize a.png: trial/truth/a.png is of another photograph" in err


def test_a_photograph_that_is_too_small_does_not_stop_the_others(run: Callable[..., Any]) -> None:
    photo("photos/a.png", 200, 300)
    status, out, err = run("-o", "trial", "-t", "sr")
    assert status == 1
    assert "a.png is 200x300 pixels; the protocol needs at least 256x256" in err
    assert "gdpkit, 1 picture " in out


def test_a_metric_that_fails_leaves_the_other_pictures_measured(run: Callable[..., Any]) -> None:
    Path("ma.csv").write_text("a.png,8\n")
    status, out, err = run("-o", "trial", "-t", "sr", "--metric", "pi:ma=ma.csv", "--json")
    assert status == 1, err
    assert "Error: trial/sr/b.png: pi: ma.csv has no score of b.png" in err
    record = json.loads(out)["tasks"]["sr"]
    assert record["metrics"]["pi:ma=ma.csv"]["count"] == 1
    assert "has no score" in record["pictures"][1]["error"]


def test_what_cannot_work_is_said_before_any_work(run: Callable[..., Any], restored: list[str]) -> None:
    Path("other").mkdir()
    Path("other/notes.txt").write_text("mine")
    for args, complaint in (
        (("-o", "other"), "the folder holds other files"),
        (("-o", "photos/a.png"), "this is the folder of the pictures, and it is a file"),
        (("-o", "no/trial"), "the folder no does not exist"),
        (("--task", "deblurr"), "Did you mean 'deblur'?"),
        (("--metric", "mef-ssim"), "give --exposures"),
        (("--sampler", "hsq"), "Did you mean"),
    ):
        status, out, err = run(*args)
        assert (status, out, complaint in err) == (2, "", True), err
    assert restored == []
    Image.open("photos/a.png").save("photos/b.jpg")
    assert "have one name" in run("-o", "trial")[2]
