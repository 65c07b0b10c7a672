"""Progress of long work: quiet lines in a pipe, a bar on a terminal."""

from __future__ import annotations

import sys

import pytest

from gdpkit.meter import meter


def test_lines_say_where_it_is_and_how_long_it_takes(capsys: pytest.CaptureFixture[str]) -> None:
    with meter("fetching", every=0.0) as shown:
        assert shown.left() == ""
        for share in (0.0, 0.5, 1.0):
            shown.update(share, f"{share * 10:.0f} MB")
    first, middle, last = capsys.readouterr().err.splitlines()
    assert first == "fetching: 0%, 0 MB" and last == "fetching: 100%, 10 MB"
    assert middle.startswith("fetching: 50%, 5 MB, about ") and middle.endswith(" left")


def test_only_what_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    with meter("training", every=None) as shown:
        shown.update(0.25, "step 1")
        shown.say("step 1: [fine]")
    out, err = capsys.readouterr()
    assert (out, err) == ("", "step 1: [fine]\n")


def test_a_bar_on_a_terminal(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")
    with meter("[odd] name") as shown:
        shown.update(0.0)
        shown.update(0.5, "step [1]")
        shown.say("a line [to keep]")
    out, err = capsys.readouterr()
    assert out == "" and "[odd] name" in err and "a line [to keep]" in err and "50%" in err and "step [1]" in err
