"""`gdpkit bench`."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
import torch

from gdpkit.cli import bench, main

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """The command with all that is installed, on small pictures: its status, output and errors."""
    monkeypatch.setattr(bench, "SIDE", 64)

    def bench_of(*options: str) -> tuple[int, str, str]:
        status = main(["bench", *options])
        return status, *capsys.readouterr()

    return bench_of


def test_the_record_holds_every_figure(run: Run) -> None:
    status, out, _ = run("--size", "32", "--device", "cpu", "--json")
    assert status == 0
    record = json.loads(out)
    for key in ("evaluations_per_second", "share_of_convolution_peak", "share_of_matmul_peak", "peak_memory_mib"):
        assert record[key] > 0
    assert (record["size"], record["batch"], record["device"]) == (32, 1, "cpu")
    assert [row["task"] for row in record["restorations"]] == ["sr", "inpaint"]
    assert all(0 < row["engine_share"] < 1 for row in record["restorations"])


def test_what_was_skipped_is_told_and_is_no_error(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(bench, "PATIENCE", 0.0)
    status, out, err = run("--size", "32", "--prior", "tv")
    assert status == 0
    assert "evaluations/s" in out
    for what in ("CUDA: there is no CUDA device here", "bfloat16: not used on the CPU", "--full measures them"):
        assert any(line.startswith("Skipped: ") and what in line for line in err.splitlines())


@pytest.mark.parametrize("wrong", [("--size", "4"), ("--prior", "embeded"), ("--device", "gpu")])
def test_a_wrong_option_is_the_users(run: Run, wrong: tuple[str, str]) -> None:
    status, _, err = run(*wrong)
    assert status == 2
    assert wrong[1] in err
