"""Pipes, bars, durations and names that are not text."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from gdpkit import report
from gdpkit.cli import main
from gdpkit.components import Step

# torch's own forward-mode differentiation compiles its rules in a way that it deprecates.
pytestmark = pytest.mark.filterwarnings("ignore:.*torch.jit.script:DeprecationWarning")


def test_a_pipe_that_closes_is_quiet() -> None:
    code = "import sys; from gdpkit.cli import main; sys.exit(main(['run', '--help']))"
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run([sys.executable, "-c", code], stdout=write, stderr=subprocess.PIPE, timeout=60)
    os.close(write)
    assert done.stderr == b""


def test_a_bar_on_a_terminal_leaves_standard_output_alone(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    with report.progress("[a] photo.png") as on_step:
        on_step(Step(1, 2, torch.zeros(1)))
        print("photo_sr.png")
    captured = capsys.readouterr()
    assert captured.out == "photo_sr.png\n"
    assert "[a] photo.png" in captured.err


def test_durations() -> None:
    assert [report.duration(s) for s in (0, 9.94, 59.6, 61, 7300)] == [
        "0.0 s",
        "9.9 s",
        "1 min 0 s",
        "1 min 1 s",
        "2 h 1 min",
    ]


@pytest.mark.skipif(sys.platform != "linux", reason="file names are bytes on Linux")
def test_a_name_that_is_not_text(
    photos: None, capfdbinary: pytest.CaptureFixture[bytes], fast: tuple[str, ...]
) -> None:
    name = os.fsdecode(b"\xff.png")
    Path("photo.png").rename(name)
    assert main(["run", "brighten", name, *fast]) == 0
    assert capfdbinary.readouterr().out == b"\xff_brighten.png\n"
