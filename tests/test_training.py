"""`gdpkit prior train`: goes on after a kill as if there had been none, and leaves no file half-written."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from gdpkit import load_prior
from gdpkit.cli import main
from gdpkit.errors import GdpkitError
from gdpkit.priors import checkpoint, inspection
from gdpkit.testing import picture
from gdpkit.training import history, plot, session
from gdpkit.training.photos import Photos
from gdpkit.training.recipe import Recipe
from gdpkit.training.session import Session
from gdpkit.training.trainer import Progress, Trainer

TINY = "widths = [4]\ndepths = [1]\nbatch = 2\ncrop = 16\nwarmup_steps = 2\naverage = 0.9\n"


def photograph(file: Path, width: int, height: int, seed: int = 0) -> None:
    pixels = np.random.default_rng(seed).integers(0, 255, (4, 4, 3), np.uint8)
    Image.fromarray(pixels).resize((width, height), Image.Resampling.BICUBIC).save(file)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    (folder / "more").mkdir(parents=True)
    for i in range(4):
        photograph(folder / ("more" if i % 2 else "") / f"{i}.png", 40 + i, 30, i)
    return folder


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    file = tmp_path / "tiny.toml"
    file.write_text(TINY)
    return file


def train(photos: Path, recipe: Path, output: Path, *more: str) -> int:
    return main(["prior", "train", str(photos), "-o", str(output), "--recipe", str(recipe), "--device", "cpu", *more])


def trainer(photos: Path, steps: int, **more: object) -> Trainer:
    recipe = Recipe.read(widths=(4,), depths=(1,), batch=2, crop=16, steps=steps, **more)
    return Trainer(recipe, Photos([photos], 16, 768), torch.device("cpu"))


# -- the whole command ------------------------------------------------------------------------------------------------


def test_a_prior_is_trained_and_says_how(
    photos: Path, recipe: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "mine.safetensors"
    assert train(photos, recipe, output, "--steps", "6", "--every", "3", "--licence", "CC0-1.0") == 0
    out, err = capsys.readouterr()
    assert out == f"{output}\n"
    assert "step 3 (50%): loss " in err and " dB" in err and "SHA-256 " + checkpoint.sha256(output) in err
    record = inspection.about(output)
    assert (record["licence"], record["steps"], record["trained_on"]) == ("CC0-1.0", 6, "3 photographs")
    assert record["recipe"]["batch"] == 2 and record["recipe"]["steps"] == 6
    assert inspection.verify(output)
    folder = tmp_path / "mine-training"
    rows = history.read(folder / "history.csv", 6)
    assert [row.step for row in rows] == [3, 6] and rows[-1].psnr_15 > rows[-1].psnr_50
    with Image.open(folder / "history.png") as plotted:
        assert plotted.size == plot.SIZE
    noisy = picture(1, 3, 10, 12)
    assert load_prior(output, device="cpu").denoise(noisy, 0.1).clean.shape == noisy.shape
    assert not [f.name for f in folder.iterdir() if f.name.startswith(".gdpkit-")]


def test_a_training_in_two_parts_is_the_training_in_one(photos: Path, recipe: Path, tmp_path: Path) -> None:
    before = signal.getsignal(signal.SIGINT)  # ignored where the tests run in the background
    whole, parts = tmp_path / "whole.safetensors", tmp_path / "parts.safetensors"
    assert train(photos, recipe, whole, "--steps", "6") == 0
    folder = tmp_path / "checkpoints"
    run = Session(trainer(photos, 6, warmup_steps=2, average=0.9), folder, 2)
    with session.claimed(folder):
        run.begin(True, print)

        def stop(progress: Progress) -> None:
            if progress.step == 3:
                os.kill(os.getpid(), signal.SIGINT)

        with pytest.raises(KeyboardInterrupt):
            run.run(stop, lambda row: None)
    assert signal.getsignal(signal.SIGINT) is before
    assert train(photos, recipe, parts, "--steps", "6", "--checkpoints", str(folder)) == 0
    one, other = load_file(whole), load_file(parts)
    assert all(torch.equal(one[key], other[key]) for key in one)
    assert whole.read_bytes() == parts.read_bytes()
    assert [row.step for row in history.read(folder / "history.csv", 6)] == [2, 6]


def test_a_training_that_is_killed_goes_on_and_every_file_is_whole(photos: Path, recipe: Path, tmp_path: Path) -> None:
    output, folder = tmp_path / "mine.safetensors", tmp_path / "mine-training"
    args = [
        "prior",
        "train",
        str(photos),
        "-o",
        str(output),
        "--recipe",
        str(recipe),
        "--device",
        "cpu",
        "--every",
        "1",
    ]
    command = [sys.executable, "-m", "gdpkit", *args]
    running = subprocess.Popen([*command, "--steps", "1000000"], stderr=subprocess.PIPE, text=True)
    assert running.stderr is not None
    for line in running.stderr:  # it validates, draws and saves at every step: wherever it is, a kill hits a write
        if line.startswith("step 5 "):
            break
    running.send_signal(signal.SIGKILL)
    running.communicate()
    assert running.returncode == -signal.SIGKILL and not output.exists()
    state = torch.load(folder / "last.pt", weights_only=True)
    assert state["step"] >= 4
    assert [row.step for row in history.read(folder / "history.csv", 10**9)][:5] == [1, 2, 3, 4, 5]
    with Image.open(folder / "history.png") as plotted:
        plotted.load()
    (folder / ".gdpkit-0123.pt").write_bytes(b"half")  # as from a kill in the middle of a write
    steps = state["step"] + 2
    assert main([*args, "--steps", str(steps)]) == 0
    assert [row.step for row in history.read(folder / "history.csv", steps)] == list(range(1, steps + 1))
    assert inspection.about(output)["steps"] == steps
    assert not list(folder.glob(".gdpkit-*"))


def test_a_write_that_fails_leaves_the_last_checkpoint(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, file = trainer(photos, 2), tmp_path / "last.pt"
    made.save(file)
    before = file.read_bytes()

    def fail(state: object, path: Path) -> None:
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", fail)
    with pytest.raises(GdpkitError, match="No space left"):
        made.save(file)
    assert file.read_bytes() == before and [f for f in tmp_path.iterdir() if f.is_file()] == [file]


# -- going on, or not -------------------------------------------------------------------------------------------------


def test_a_checkpoint_of_the_first_trainer_is_gone_on_from(photos: Path, tmp_path: Path) -> None:
    """Its keys were model, ema, opt, step and spent."""
    old, file = trainer(photos, 4), tmp_path / "last.pt"
    next(old.run())
    torch.save({key: old.state()[key] for key in ("model", "ema", "optimizers", "step", "spent")}, file)
    new = trainer(photos, 4)
    assert new.resume(file) == []
    assert (new.step, new.seconds) == (1, old.seconds)
    assert [progress.step for progress in new.run()] == [2, 3, 4]
    old.feed.close()
    new.feed.close()


def test_another_recipe_or_a_foreign_file_is_no_checkpoint(photos: Path, tmp_path: Path) -> None:
    file = tmp_path / "last.pt"
    trainer(photos, 4).save(file)
    with pytest.raises(GdpkitError, match=r"made by another recipe: grey is 0\.5, was 0\.05\.\n.*--no-resume"):
        trainer(photos, 4, grey=0.5).resume(file)
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(GdpkitError, match=r"of this training, or is cut short; --no-resume starts anew"):
        trainer(photos, 4).resume(file)


def test_other_photographs_are_noticed(photos: Path, tmp_path: Path) -> None:
    file = tmp_path / "last.pt"
    trainer(photos, 4).save(file)
    photograph(photos / "new.png", 30, 30)
    assert trainer(photos, 4).resume(file) == ["the photographs are not those that this training began with"]


def test_no_resume_starts_anew_and_a_finished_training_is_written_again(
    photos: Path, recipe: Path, tmp_path: Path
) -> None:
    output, folder = tmp_path / "mine.safetensors", tmp_path / "mine-training"
    assert train(photos, recipe, output, "--steps", "3", "--every", "1") == 0
    first = output.read_bytes()
    output.unlink()
    assert train(photos, recipe, output, "--steps", "3") == 0
    assert load_file(output).keys() and len(output.read_bytes()) == len(first)
    assert train(photos, recipe, output, "--steps", "2", "--every", "2", "--no-resume", "--overwrite") == 0
    assert [row.step for row in history.read(folder / "history.csv", 9)] == [2]


def test_the_state_before_the_learning_rate_falls_is_kept(photos: Path, tmp_path: Path) -> None:
    """A longer training goes on from it, and keeps its own."""
    run = Session(trainer(photos, 8, decay=0.5), tmp_path, 100)
    run.run(lambda progress: None, lambda row: None)
    assert torch.load(run.steady, weights_only=True)["step"] == 4
    run.steady.replace(run.last)
    longer = Session(trainer(photos, 12, decay=0.5), tmp_path, 100)
    longer.begin(True, print)
    longer.run(lambda progress: None, lambda row: None)
    assert torch.load(longer.steady, weights_only=True)["step"] == 6
    again = Session(trainer(photos, 13, decay=0.5), tmp_path, 100)
    again.begin(True, print)
    again.run(lambda progress: None, lambda row: None)
    assert torch.load(again.steady, weights_only=True)["step"] == 6, "one that is falling already is not kept"


def test_two_trainings_do_not_share_a_folder(
    photos: Path, recipe: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "checkpoints"
    with session.claimed(folder):
        assert train(photos, recipe, tmp_path / "b.safetensors", "--steps", "1", "--checkpoints", str(folder)) == 2
    assert "another training is at work" in capsys.readouterr().err


def test_training_further_begins_where_the_prior_is(photos: Path, recipe: Path, tmp_path: Path) -> None:
    first, second = tmp_path / "first.safetensors", tmp_path / "second.safetensors"
    assert train(photos, recipe, first, "--steps", "4") == 0
    gentle = tmp_path / "gentle.toml"
    gentle.write_text(TINY + "learning_rate = 1e-9\n")
    gentle.write_text(gentle.read_text().replace("widths = [4]", "widths = [8]"))  # the prior's own width counts
    assert train(photos, gentle, second, "--steps", "1", "--from", str(first)) == 0
    one, other = load_file(first), load_file(second)
    assert all(torch.allclose(one[key], other[key], atol=1e-4) for key in one)
    assert checkpoint.sha256(first) in inspection.about(second)["trained_from"]


# -- what can be wrong ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--minutes", "1", "--steps", "1"], "--minutes and --steps"),
        (["--minutes", "0"], "minutes or steps must be more than 0"),
        (["--from", "embeded"], "Did you mean 'embedded'"),
        (["--from", "tv"], "--from tv: it has no weights of its own; name a prior's file, or embedded"),
        (["--from", str(Path(__file__).parent / "data/conformance/adm_a.safetensors")], "only priors that gdpkit"),
        (["--checkpoints", "FILE"], "tiny.toml: it is a file, not a folder"),
        (["--device", "cup"], "--device must be"),
    ],
)
def test_options_that_cannot_be(
    photos: Path, recipe: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], more: list[str], message: str
) -> None:
    more = [str(recipe) if word == "FILE" else word for word in more]
    assert train(photos, recipe, tmp_path / "mine.safetensors", *more) == 2
    assert message in capsys.readouterr().err


def test_the_output_is_looked_at_before_the_work(
    photos: Path, recipe: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    taken = tmp_path / "taken.safetensors"
    taken.write_bytes(b"precious")
    assert train(photos, recipe, taken, "--steps", "1") == 2
    assert train(photos, recipe, tmp_path / "mine.pt", "--steps", "1") == 2
    assert train(photos, recipe, tmp_path / "none" / "mine.safetensors", "--steps", "1") == 2
    err = capsys.readouterr().err
    assert (
        "--overwrite replaces it" in err
        and "end with .safetensors" in err
        and "none does not exist; make it first" in err
    )
    assert taken.read_bytes() == b"precious"


def test_photographs_that_cannot_be_used_are_left_out_with_a_line_each(photos: Path) -> None:
    (photos / "broken.jpg").write_bytes(b"no picture")
    (photos / "notes.txt").write_text("no picture either")
    photograph(photos / "small.png", 15, 40)
    notes: list[str] = []
    read = Photos([photos, photos / "0.png"], 16, 768, notes.append)
    assert len(read.training) == 3 and len(read.validation) == 1
    assert len(notes) == 2
    assert "broken.jpg cannot be read and is left out" in notes[0] and "1 photographs are smaller" in notes[1]


def test_too_few_photographs(photos: Path, tmp_path: Path) -> None:
    with pytest.raises(GdpkitError, match=r"at least 2 photographs of 200x200 .* 4 were found, 0 .* and 4 too small"):
        Photos([photos], 200, 768)
    with pytest.raises(GdpkitError, match="1 were found"):
        Photos([photos / "0.png"], 16, 768)
    with pytest.raises(GdpkitError, match="there is no such file or folder"):
        Photos([tmp_path / "none"], 16, 768)


def test_large_photographs_are_reduced(tmp_path: Path) -> None:
    for name in ("a.jpg", "b.png"):
        photograph(tmp_path / name, 300, 200)
    read = Photos([tmp_path], 16, 64)
    assert [p.shape for p in read.training] == [(64, 96, 3)]
    assert read.validation[0].shape == (1, 3, 64, 96)


def test_a_training_that_diverges_says_so(photos: Path) -> None:
    made = trainer(photos, 1000)
    with torch.no_grad():
        made.network.first.weight.fill_(torch.nan)
    with pytest.raises(GdpkitError, match=r"diverged.*learning_rate"):
        for progress in made.run():
            assert progress.loss is None
    assert bool(torch.isfinite(made.average.first.weight).all())
    made.feed.close()


def test_crops_that_are_far_wrong_are_learned_from(photos: Path) -> None:
    """As a network is on crops with less noise than their level says: by orders of magnitude."""
    made = trainer(photos, 40)
    with torch.no_grad():
        made.network.last.bias.fill_(100.0)
    losses = [progress.loss for progress in made.run()]
    made.feed.close()
    assert None not in losses
    assert float(made.network.last.bias.detach().mean()) < 100 - 5e-4


def test_a_history_survives_what_is_no_row(tmp_path: Path) -> None:
    rows = [history.Row(step, step / 2, 0.5, 0, 33, 30, 27) for step in (1, 2, 3)]
    file = tmp_path / "history.csv"
    history.write(file, rows)
    file.write_text(file.read_text().replace("2,1.0", "two,1.0"))
    assert history.read(file, 3) == [rows[0], rows[2]] and history.read(file, 1) == rows[:1]
    assert history.read(tmp_path / "none.csv", 3) == []


@pytest.mark.parametrize(("least", "most"), [(0, 1), (27.31, 27.78), (-3, 1e6), (5, 5.001)])
def test_ticks_are_few_round_and_inside(least: float, most: float) -> None:
    found = plot.ticks(least, most)
    assert 3 <= len(found) <= 8 and least <= found[0] < found[-1] <= most


def test_a_single_point_can_be_drawn(tmp_path: Path) -> None:
    plot.draw(tmp_path / "plot.png", "One", "step", [("flat", [1], [30.0])])
    with Image.open(tmp_path / "plot.png") as plotted:
        assert len(set(plotted.convert("RGB").get_flattened_data())) > 10


def test_a_kill_costs_at_most_minutes(photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where validations are rare, checkpoints are written between them."""
    monkeypatch.setattr(session, "LONGEST_UNSAVED", 0.0)
    run = Session(trainer(photos, 3), tmp_path, 1000)
    seen = []

    def look(progress: Progress) -> None:
        time.sleep(0.001)
        seen.append(run.last.exists() and torch.load(run.last, weights_only=True)["step"])

    run.run(look, lambda row: None)
    assert seen == [False, 1, 2]
