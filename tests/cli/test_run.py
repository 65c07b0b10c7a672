"""`gdpkit run`: one photograph, several, a folder, and what it would take."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from gdpkit import registry

# torch's own forward-mode differentiation compiles its rules in a way that it deprecates.
pytestmark = pytest.mark.filterwarnings("ignore:.*torch.jit.script:DeprecationWarning")

Cli = Callable[..., Any]


def test_a_photograph_is_restored_and_its_path_printed(cli: Cli, fast: tuple[str, ...]) -> None:
    result = cli("run", "brighten", "photo.png", "--factor", "0.5", *fast)
    assert (result.status, result.out) == (0, "photo_brighten.png\n")
    before, after = (np.asarray(Image.open(name), float) for name in ("photo.png", "photo_brighten.png"))
    assert np.abs(after - 2 * before).max() <= 2
    assert result.err.splitlines()[0] == "photo.png: step 1 of 2"
    assert result.err.splitlines()[1].startswith("photo.png: done in ")


def test_json_alone_is_on_standard_output(cli: Cli, fast: tuple[str, ...]) -> None:
    record = json.loads(cli("run", "brighten", "photo.png", "--seed", "3", "--steps", "4", "--json", *fast).out)
    assert record["outputs"] == ["photo_brighten.png"]
    assert record["size"] == [24, 16]
    assert record["task"] == "brighten"
    assert record["seed"] == 3
    assert record["network_evaluations"] == 4
    assert {"prior", "prior_sha256", "sampler", "seconds", "peak_memory_mib", "device", "unknowns", "consistency"} <= {
        *record
    }


def test_a_folder_gives_one_result_a_picture(cli: Cli, fast: tuple[str, ...]) -> None:
    Path("folder/notes.txt").write_text("no picture", encoding="utf-8")
    Path("new").mkdir()
    result = cli("run", "brighten", "folder", "-o", "new", "--json", *fast)
    assert result.status == 0
    results = json.loads(result.out)["results"]
    assert [r["input"] for r in results] == ["folder/a.png", "folder/b.jpg"]
    assert [r["outputs"] for r in results] == [["new/a_brighten.png"], ["new/b_brighten.jpg"]]


def test_one_bad_input_of_several_stops_no_other(cli: Cli, fast: tuple[str, ...]) -> None:
    Path("folder/aa.png").write_text("no picture", encoding="utf-8")
    result = cli("run", "brighten", "folder", *fast)
    assert result.status == 1
    assert result.out == "a_brighten.png\nb_brighten.jpg\n"
    assert "Error: folder/aa.png: " in result.err
    assert result.err.splitlines()[-1] == "1 of 3 failed."

    result = cli("run", "brighten", "folder", "--overwrite", "--json", *fast)
    assert result.status == 1
    assert ["error" in r for r in json.loads(result.out)["results"]] == [False, True, False]


def test_alike_photographs_restored_at_once_are_what_they_are_alone(
    cli: Cli, fast: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a GPU: groups of one size, with one of another size and one that fails between them."""
    from gdpkit import engine, together

    Path("many").mkdir()
    for k in range(6):
        size = (20, 20) if k == 3 else (24, 16)
        Image.new("RGB", size, (20 * k, 40, 60)).save(f"many/{k}.png")
    Path("many/2.png").write_text("no picture", encoding="utf-8")
    assert cli("run", "brighten", "many", *fast).status == 1
    names = [f"{k}_brighten.png" for k in (0, 1, 3, 4, 5)]
    alone = [Path(name).read_bytes() for name in names]

    groups: list[int] = []
    solve = engine.solve

    def counted(stated: Any, on_step: Any = None) -> Any:
        groups.append(len(stated))
        return solve(stated, on_step)

    monkeypatch.setattr(engine, "solve", counted)
    monkeypatch.setattr(together, "most", lambda stated: 4)
    result = cli("run", "brighten", "many", "--overwrite", "--json", *fast)
    assert result.status == 1
    assert groups == [2, 1, 2]
    results = json.loads(result.out)["results"]
    assert ["error" in r for r in results] == [k == 2 for k in range(6)]
    assert [r.get("outputs") for r in results if "outputs" in r] == [[name] for name in names]
    assert [Path(name).read_bytes() for name in names] == alone
    assert "(1-2/6) 0.png, 1.png: step 1 of 2" in result.err


def test_the_status_tells_part_from_all_and_ours_from_theirs(cli: Cli, fast: tuple[str, ...]) -> None:
    for name in ("folder/a.png", "folder/b.jpg"):
        Path(name).write_text("no picture", encoding="utf-8")
    result = cli("run", "brighten", "folder", *fast)
    assert (result.status, result.err.splitlines()[-1]) == (2, "2 of 2 failed.")
    assert cli("run", "brighten", "folder/a.png", "photo.png", *fast).status == 1
    assert cli("run", "crash", "folder", "photo.png", *fast).status == 1, "one of the failures is ours"
    assert cli("run", "crash", "photo.png", *fast).status == 1


def test_a_single_failure_has_its_record(cli: Cli, fast: tuple[str, ...]) -> None:
    Path("text.png").write_text("no picture", encoding="utf-8")
    for args in (("run", "brighten", "text.png", *fast), ("degrade", "text.png", "-d", "dim")):
        result = cli(*args, "--json")
        record = json.loads(result.out)
        assert result.status == 2
        assert record["input"] == "text.png" and "it is no picture" in record["error"]
        assert result.err == f"Error: {record['error']}\n"


def test_what_departs_from_a_preset_is_a_note(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, table: registry.Registry
) -> None:
    monkeypatch.setattr(table.get("tasks", "brighten"), "presets", {"paper": {"sampler": "direct:steps=3"}})
    args = ("run", "brighten", "photo.png", "--preset", "paper", "--prior", "flat", "--device", "cpu", "--overwrite")
    assert "preset" not in cli(*args).err
    assert "Note: photo.png: with --steps this is no longer the preset paper" in cli(*args, "--steps", "4").err


def test_dry_run_says_what_it_takes_and_writes_nothing(
    cli: Cli, fast: tuple[str, ...], here: Callable[[], set[str]]
) -> None:
    before = here()
    result = cli("run", "brighten", "photo.png", "--steps", "7", "--dry-run", *fast)
    assert result.status == 0
    assert "photo_brighten.png: 24x16, 7 evaluations" in result.out
    record = json.loads(cli("run", "brighten", "photo.png", "--dry-run", "--json", *fast).out)
    assert record["outputs"] == ["photo_brighten.png"]
    assert here() == before
