"""How the command line fails: one line, a status, and nothing left behind."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from gdpkit import registry, report

# torch's own forward-mode differentiation compiles its rules in a way that it deprecates.
pytestmark = pytest.mark.filterwarnings("ignore:.*torch.jit.script:DeprecationWarning")

Cli = Callable[..., Any]


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ("rnu", "unknown command 'rnu'. Did you mean 'run'?"),
        ("run brigten photo.png", "unknown task 'brigten'. Did you mean 'brighten'?"),
        ("run photo.png", "unknown task 'photo.png'. Known: "),
        ("run brighten photo.png --facto 1", "there is no option --facto. Did you mean '--factor'?"),
        ("run brighten photo.png --zzz", "there is no option --zzz. See 'gdpkit run brighten --help'."),
        ("run brighten", "Missing argument 'IMAGE...'. See 'gdpkit run brighten --help'."),
        ("run brighten photo.png --compare photo_brighten.png", "photo_brighten.png: the result and --compare need"),
        ("run merge a.png b.png", "Missing option '--exposures'. Write --exposures a.png b.png. See 'gdpkit run merge"),
        ("run merge", "Missing option '--exposures'. See 'gdpkit run merge --help'."),
        ("run brighten photo.png --factor 0", "--factor must be at least 0.1, not 0.0"),
        ("run brighten photo.png --steps -1", "--steps must be at least 1, not -1"),
        ("run brighten photo.png --steps 0", "--steps must be at least 1, not 0"),
        ("run brighten photo.png --sampler dirct", "unknown sampler 'dirct'. Did you mean 'direct'?"),
        ("run brighten photo.png --sampler direct:step=1", "direct has no parameter 'step'. Did you mean 'steps'?"),
        (
            "run brighten photo.png --prior flatt",
            "'flatt' is neither a prior nor a checkpoint's file. Did you mean 'flat'?",
        ),
        ("run brighten photo.png --prior flat.pt", "flat.pt: there is no such file or folder."),
        ("run brighten photo.png --hierarchy of", "--hierarchy must be one of auto, on, off, not 'of'"),
        ("run brighten photo.png --loss dim", "unknown loss 'dim'."),
        ("run brighten missing.png", "missing.png: there is no such file."),
        ("run brighten text.png", "text.png: it is no picture"),
        ("run brighten empty.png", "empty.png: it is empty (0 bytes)"),
        ("run brighten tiny.png", "tiny.png is 3x3 pixels; brighten needs at least 16x16"),
        ("run brighten nothing", "nothing: the folder holds no picture"),
        ("run brighten photo.png -o new/x.png", "new/x.png: the folder new does not exist; make it first"),
        ("run brighten photo.png -o x.xyz", "x.xyz: '.xyz' cannot be written"),
        ("run brighten photo.png -o taken.png", "taken.png: it exists already; --overwrite replaces it"),
        ("run brighten photo.png --compare x.jpg", "--compare x.jpg: it is written as PNG"),
        ("run brighten folder -o new", "-o new: with several inputs -o is a folder, and this one does not exist"),
        ("run brighten folder -o taken.png", "-o taken.png: with several inputs -o is a folder, and this is a file"),
        ("run crash photo.png --how disk", "there.png: No space left on device"),
        ("degrade photo.png", "Missing option '-d STAGE'. See 'gdpkit degrade --help'."),
        ("degrade photo.png -d dimm", "unknown degradation 'dimm'. Did you mean 'dim'?"),
        ("degrade photo.png -d dim:factor=2", "dim: factor must be at most 1, not 2.0"),
        ("list priorities", "unknown kind 'priorities'. Did you mean 'priors'?"),
        ("describe brightn", "nothing is called 'brightn'. Did you mean 'brighten'?"),
    ],
)
def test_what_a_person_can_mend_is_one_line_and_status_2(
    cli: Cli, args: str, message: str, fast: tuple[str, ...], here: Callable[[], set[str]]
) -> None:
    Path("text.png").write_text("no picture", encoding="utf-8")
    Path("empty.png").touch()
    Path("nothing").mkdir()
    Path("taken.png").touch()
    Image.new("RGB", (3, 3)).save("tiny.png")
    before = here()
    common = fast if args.startswith("run") else ()
    # Options of the case come last: of an option given twice, the last counts.
    words = args.split()
    result = cli(*words[:2], *(common if len(words) > 2 else ()), *words[2:])
    assert result.status == 2
    assert result.error.startswith(message)
    assert here() == before


def test_an_empty_name_is_not_the_current_folder(cli: Cli, fast: tuple[str, ...]) -> None:
    assert cli("run", "brighten", "", *fast).error == "'IMAGE...': the name of the file is empty"
    assert cli("degrade", "photo.png", "-d", "dim", "-o", "").status == 2


def test_a_failure_of_ours_is_status_1_and_shows_its_traceback_on_request(cli: Cli, fast: tuple[str, ...]) -> None:
    conftest = str(Path(__file__).with_name("conftest.py"))
    result = cli("run", "crash", "photo.png", *fast)
    assert result.status == 1
    where = rf"\({re.escape(conftest)}, line \d+\)"
    told = rf"the plugin ours failed in crash {where}: ZeroDivisionError: oops; run with --debug for the traceback"
    assert re.fullmatch(told, result.error)
    result = cli("run", "crash", "photo.png", "--debug", *fast)
    assert result.status == 1
    assert "Traceback" in result.err


def test_a_failure_without_a_plugin_is_gdpkits_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "load", registry.Registry)
    try:
        divmod(1, 0)
    except ZeroDivisionError as error:
        message, status = report.explain(error)
    assert status == 1
    assert message.startswith("internal error: ZeroDivisionError")


def test_an_unknown_name_may_be_that_of_a_plugin_that_failed(
    cli: Cli, fast: tuple[str, ...], table: registry.Registry
) -> None:
    table.plugins.append(registry.Plugin("mine", errors=["ImportError: no module named x"]))
    for args in (
        ("run", "haze", "photo.png"),
        ("describe", "haze"),
        ("degrade", "photo.png", "-d", "haze"),
        ("run", "brighten", "photo.png", *fast, "--prior", "haze"),
    ):
        result = cli(*args)
        assert result.status == 2
        assert result.error.endswith(" The plugin 'mine' could not be loaded; see gdpkit plugins."), args


def test_what_a_component_prints_does_not_spoil_the_record(
    cli: Cli, fast: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, table: registry.Registry
) -> None:
    flat = table.get("priors", "flat")
    denoise = flat.denoise
    monkeypatch.setattr(flat, "denoise", lambda *args: print("hello") or denoise(*args))
    result = cli("run", "brighten", "photo.png", *fast, "--json")
    assert json.loads(result.out)["prior"] == "flat"
    assert "hello" in result.err


def test_too_little_memory_is_said(cli: Cli, fast: tuple[str, ...]) -> None:
    result = cli("run", "crash", "photo.png", "--how", "memory", *fast)
    assert result.status == 1
    assert "not enough memory" in result.error


def test_interrupt_is_130(cli: Cli, fast: tuple[str, ...]) -> None:
    result = cli("run", "crash", "photo.png", "--how", "interrupt", *fast)
    assert result.status == 130
    assert "Traceback" not in result.err
