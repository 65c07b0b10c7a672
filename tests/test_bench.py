"""`gdpkit bench`."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from unittest.mock import Mock

import pytest
import torch

from gdpkit import Denoised, memory, speed
from gdpkit.cli import bench, main
from gdpkit.priors.embedded import EmbeddedPrior

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
    for what in (
        "CUDA: there is no CUDA device here",
        "bfloat16 and float16: measured on CUDA only",
        "--full measures them",
    ):
        assert any(line.startswith("Skipped: ") and what in line for line in err.splitlines())


def test_more_images_than_memory_holds_name_the_option(run: Run) -> None:
    status, _, err = run("--batch", "100000000", "--size", "32", "--device", "cpu")
    assert status == 2
    assert "--batch 100000000 of --size 32 takes about" in err
    assert re.search(r"; --batch \d+ would do", err)


def test_a_slow_batch_is_told_before_and_evaluated_less_often(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[int] = []
    answer = EmbeddedPrior.denoise

    def counting(self: EmbeddedPrior, noisy: torch.Tensor, sigma: float | torch.Tensor) -> Denoised:
        shown.append(len(noisy))
        return answer(self, noisy, sigma)

    monkeypatch.setattr(EmbeddedPrior, "denoise", counting)
    monkeypatch.setattr(bench, "TASKS", ())
    monkeypatch.setattr(speed, "PATIENCE", 0.0)
    status, out, err = run("--batch", "3", "--size", "32", "--device", "cpu", "--json")
    assert status == 0
    assert shown == [1, 3]
    assert json.loads(out)["network_calls"] == 1
    assert re.search(r"takes about .* and is evaluated once, not 7 times; a smaller --batch", err)
    monkeypatch.setattr(speed, "PATIENCE", 1e9)
    shown.clear()
    status, out, err = run("--batch", "3", "--size", "32", "--device", "cpu", "--json")
    assert len(shown) >= speed.CALLS
    assert "evaluated" not in err


def test_memory_that_runs_out_names_the_option(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "free", lambda device: None)
    monkeypatch.setattr(EmbeddedPrior, "denoise", Mock(side_effect=MemoryError))
    status, _, err = run("--batch", "2", "--size", "32", "--device", "cpu")
    assert status == 2
    assert "memory ran out at --batch 2 of --size 32" in err


def test_half_precisions_have_rows_on_cuda_and_one_sentence_elsewhere(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    status, out, err = run("--size", "32", "--device", "cpu")
    assert status == 0
    assert "bfloat16" not in out
    assert [line for line in err.splitlines() if "float16" in line] == [
        "Skipped: bfloat16 and float16: measured on CUDA only, as the CPU computes in float32 to give the same bytes "
        "everywhere"
    ]
    cpu = speed.evaluation(EmbeddedPrior(), torch.device("cpu"), 32, 1)
    # There is no GPU where tests run: what it would be asked is asked of a substitute, and its answers are shown.
    asked = Mock(
        side_effect=lambda *given, slow: {
            **cpu,
            "evaluations_per_second": {torch.bfloat16: 7, torch.float16: 8}[given[-1]],
        }
    )
    monkeypatch.setattr(speed, "evaluation", asked)
    rows = bench._half_precisions(EmbeddedPrior(), torch.device("cuda"), 32, 1, [])
    assert [row["precision"] for row in rows] == ["bfloat16", "float16"]
    monkeypatch.setattr(bench, "_half_precisions", lambda *_: rows)
    monkeypatch.setattr(speed, "evaluation", lambda *_, slow: cpu)
    _, out, _ = run("--size", "32", "--device", "cpu")
    for line in ("network, 32x32, bfloat16 +7.00 evaluations/s", "network, 32x32, float16 +8.00 evaluations/s"):
        assert re.search(line, out)
    assert "3x3 convolution, bfloat16" in out and "matrix product, float16" in out


def test_a_prior_that_does_not_compute_in_half_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    skipped: list[str] = []
    monkeypatch.setattr(speed, "evaluation", Mock(side_effect=RuntimeError("expected Half but found Float")))
    assert bench._half_precisions(EmbeddedPrior(), torch.device("cuda"), 32, 1, skipped) == []
    assert skipped[0].startswith("bfloat16: the prior embedded does not compute in it: expected Half")


@pytest.mark.parametrize("wrong", [("--size", "4"), ("--prior", "embeded"), ("--device", "gpu")])
def test_a_wrong_option_is_the_users(run: Run, wrong: tuple[str, str]) -> None:
    status, _, err = run(*wrong)
    assert status == 2
    assert wrong[1] in err
