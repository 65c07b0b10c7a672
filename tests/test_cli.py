"""The command line as a person meets it: what it prints, what it writes, and how it fails."""

from __future__ import annotations

import importlib.metadata
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import gdpkit
from gdpkit import hookimpl, images, param, registry, report
from gdpkit.cli import files, main
from gdpkit.components import Degradation, Denoised, PhotoTask, Prior, Sampler, Step, Task
from gdpkit.errors import GdpkitError

# torch's own forward-mode differentiation compiles its rules in a way that it deprecates.
pytestmark = pytest.mark.filterwarnings("ignore:.*torch.jit.script:DeprecationWarning")


@dataclass(frozen=True, kw_only=True)
class Dim(Degradation):
    """Darken by a factor."""

    name = "dim"
    linear = True
    factor: float = param(0.5, help="Share of the light.", min=0, max=1)

    def __call__(self, image: torch.Tensor, **unknowns: torch.Tensor) -> torch.Tensor:
        return self.factor * image


@dataclass(frozen=True, kw_only=True)
class Brighten(PhotoTask):
    """Brighten a dark photograph.

    A second paragraph says more.
    """

    name = "brighten"
    factor: float = param(0.5, help="Share of the light that was left.", min=0.1, max=1)

    def degradation(self) -> Degradation:
        return Dim(factor=self.factor)


@dataclass(frozen=True, kw_only=True)
class Crash(PhotoTask):
    """Fail, in the way that is asked for."""

    name = "crash"
    how: str = param("bug", help="What happens.", choices=("bug", "memory", "interrupt", "disk"))

    def degradation(self) -> Degradation:
        if self.how == "interrupt":
            raise KeyboardInterrupt
        raise {
            "bug": ZeroDivisionError("oops"),
            "memory": torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB"),
            "disk": OSError(28, "No space left on device", "there.png"),
        }[self.how]


@dataclass(frozen=True, kw_only=True)
class Merge(Task):
    """A task about several files."""

    name = "merge"
    exposures: tuple[Path, ...] = param(help="The bracket.")


@dataclass(frozen=True, kw_only=True)
class Flat(Prior):
    """Knows nothing."""

    name = "flat"

    def denoise(self, noisy: torch.Tensor, sigma: float | torch.Tensor) -> Denoised:
        return Denoised(noisy)


@dataclass(frozen=True, kw_only=True)
class Direct(Sampler):
    """Asks the objective alone."""

    name = "direct"
    steps: int = param(2, help="Steps.", min=1)

    @property
    def evaluations(self) -> int:
        return self.steps

    def sample(self, prior: Prior, objective: Any, noise: Any) -> Iterator[Step]:
        image = torch.full(objective.shape, 0.5)
        for i in range(self.steps):
            prior.denoise(image, 0.1)
            image = objective.prox(image, 10.0).clamp(0, 1)
            yield Step(i + 1, self.steps, image)


class Ours:
    """A plugin with all of the above."""

    @hookimpl
    def gdpkit_tasks(self) -> list[type[Task]]:
        return [Brighten, Crash, Merge]

    @hookimpl
    def gdpkit_degradations(self) -> list[type[Degradation]]:
        return [Dim]

    @hookimpl
    def gdpkit_priors(self) -> list[type[Prior]]:
        return [Flat]

    @hookimpl
    def gdpkit_samplers(self) -> list[type[Sampler]]:
        return [Direct]


class Greedy:
    """A plugin that takes a name that is taken, and misspells a hook."""

    @hookimpl
    def gdpkit_priors(self) -> list[type[Prior]]:
        return [Flat]

    @hookimpl
    def gdpkit_task(self) -> list[type[Task]]:
        return [Merge]


@dataclass
class Result:
    """What a command left behind."""

    status: int
    out: str
    err: str

    @property
    def error(self) -> str:
        """The error: one line, nothing else, and no results."""
        assert self.out == ""
        assert self.err.startswith("Error: ")
        assert self.err.count("\n") == 1, self.err
        return self.err.removeprefix("Error: ").rstrip()


Cli = Callable[..., Result]
FAST = ("--prior", "flat", "--sampler", "direct", "--device", "cpu")


@pytest.fixture
def table(monkeypatch: pytest.MonkeyPatch) -> registry.Registry:
    """A registry of the components above alone."""
    table = registry.Registry()
    table.add(registry.Plugin("ours", "gdpkit-ours", "1.2"), Ours())
    monkeypatch.setattr(registry, "load", lambda: table)
    return table


@pytest.fixture
def photos(table: registry.Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder of its own that holds photo.png (24 x 16) and folder/ with a.png and b.jpg."""
    monkeypatch.chdir(tmp_path)
    pixels = np.random.default_rng(0).integers(0, 120, (16, 24, 3), np.uint8)
    Path("folder").mkdir()
    for name in ("photo.png", "folder/a.png", "folder/b.jpg"):
        Image.fromarray(pixels).save(name)


@pytest.fixture
def cli(photos: None, capsys: pytest.CaptureFixture[str]) -> Cli:
    """`gdpkit ARGS` beside those photographs."""

    def run(*args: str) -> Result:
        status = main(args)
        captured = capsys.readouterr()
        return Result(status, captured.out, captured.err)

    return run


def here() -> set[str]:
    return {path.as_posix() for path in Path().rglob("*") if path.is_file()}


def test_a_photograph_is_restored_and_its_path_printed(cli: Cli) -> None:
    result = cli("run", "brighten", "photo.png", "--factor", "0.5", *FAST)
    assert (result.status, result.out) == (0, "photo_brighten.png\n")
    before, after = (np.asarray(Image.open(name), float) for name in ("photo.png", "photo_brighten.png"))
    assert np.abs(after - 2 * before).max() <= 2
    assert result.err.splitlines()[0] == "photo.png: step 1 of 2"
    assert result.err.splitlines()[1].startswith("photo.png: done in ")


def test_output_goes_where_it_is_asked_to(cli: Cli) -> None:
    assert cli("run", "brighten", "photo.png", "-o", "out.jpg", *FAST).out == "out.jpg\n"
    assert cli("run", "brighten", "photo.png", "-o", "folder", *FAST).out == "folder/photo_brighten.png\n"


def test_a_suffix_that_cannot_be_written_becomes_png(cli: Cli) -> None:
    Image.open("photo.png").save("old.gif")
    result = cli("run", "brighten", "old.gif", *FAST)
    assert result.out == "old_brighten.png\n"
    assert "Note: old.gif: the result is old_brighten.png, as .gif cannot be written" in result.err


def test_json_alone_is_on_standard_output(cli: Cli) -> None:
    record = json.loads(cli("run", "brighten", "photo.png", "--seed", "3", "--steps", "4", "--json", *FAST).out)
    assert record["outputs"] == ["photo_brighten.png"]
    assert record["size"] == [24, 16]
    assert record["task"] == "brighten"
    assert record["seed"] == 3
    assert record["network_evaluations"] == 4
    assert {"prior", "prior_sha256", "sampler", "seconds", "peak_memory_mib", "device", "unknowns", "consistency"} <= {
        *record
    }


def test_a_folder_gives_one_result_a_picture(cli: Cli) -> None:
    Path("folder/notes.txt").write_text("no picture", encoding="utf-8")
    Path("new").mkdir()
    result = cli("run", "brighten", "folder", "-o", "new", "--json", *FAST)
    assert result.status == 0
    results = json.loads(result.out)["results"]
    assert [r["input"] for r in results] == ["folder/a.png", "folder/b.jpg"]
    assert [r["outputs"] for r in results] == [["new/a_brighten.png"], ["new/b_brighten.jpg"]]


def test_one_bad_input_of_several_stops_no_other(cli: Cli) -> None:
    Path("folder/aa.png").write_text("no picture", encoding="utf-8")
    result = cli("run", "brighten", "folder", *FAST)
    assert result.status == 1
    assert result.out == "a_brighten.png\nb_brighten.jpg\n"
    assert "Error: folder/aa.png: " in result.err
    assert result.err.splitlines()[-1] == "1 of 3 failed."

    result = cli("run", "brighten", "folder", "--overwrite", "--json", *FAST)
    assert result.status == 1
    assert ["error" in r for r in json.loads(result.out)["results"]] == [False, True, False]


def test_two_inputs_of_one_name_do_not_overwrite_each_other(cli: Cli) -> None:
    Path("folder/photo.png").write_bytes(Path("photo.png").read_bytes())
    result = cli("run", "brighten", "photo.png", "folder/photo.png", *FAST)
    assert result.status == 2
    assert "photo.png and folder/photo.png would both be written to photo_brighten.png" in result.error


def test_compare_shows_both_at_the_size_of_the_result(cli: Cli) -> None:
    assert cli("run", "brighten", "photo.png", "--compare", "pair.png", *FAST).status == 0
    with Image.open("pair.png") as pair:
        assert pair.format == "PNG"
        assert pair.width > 2 * 24
        assert pair.height > 16
        left, right = pair.crop((0, pair.height - 16, 24, pair.height)), pair.crop((pair.width - 24, 0, pair.width, 99))
    assert np.array_equal(np.asarray(left), np.asarray(Image.open("photo.png")))
    assert np.asarray(right).mean() > np.asarray(left).mean()
    assert cli("run", "brighten", "photo.png", "-o", "x.png", "--compare", "pair.png", *FAST).status == 2


def test_side_by_side_enlarges_the_input_and_takes_grey() -> None:
    pair = report.side_by_side(np.zeros((10, 20), np.float32), np.ones((40, 80, 3), np.float32) * 2)
    assert pair.shape[0] == 1
    assert pair.shape[1] == 3
    assert pair.shape[3] > 160
    assert float(pair[0, :, -1, 0].max()) == 0
    assert float(pair[0, :, -1, -1].min()) == 1


def test_dry_run_says_what_it_takes_and_writes_nothing(cli: Cli) -> None:
    before = here()
    result = cli("run", "brighten", "photo.png", "--steps", "7", "--dry-run", *FAST)
    assert result.status == 0
    assert "photo_brighten.png: 24x16, 7 evaluations" in result.out
    record = json.loads(cli("run", "brighten", "photo.png", "--dry-run", "--json", *FAST).out)
    assert record["outputs"] == ["photo_brighten.png"]
    assert here() == before


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
        ("degrade photo.png", "Missing option '-d' / '--degradation'. See 'gdpkit degrade --help'."),
        ("degrade photo.png -d dimm", "unknown degradation 'dimm'. Did you mean 'dim'?"),
        ("degrade photo.png -d dim:factor=2", "dim: factor must be at most 1, not 2.0"),
        ("list priorities", "unknown kind 'priorities'. Did you mean 'priors'?"),
        ("describe brightn", "nothing is called 'brightn'. Did you mean 'brighten'?"),
    ],
)
def test_what_a_person_can_mend_is_one_line_and_status_2(cli: Cli, args: str, message: str) -> None:
    Path("text.png").write_text("no picture", encoding="utf-8")
    Path("empty.png").touch()
    Path("nothing").mkdir()
    Path("taken.png").touch()
    Image.new("RGB", (3, 3)).save("tiny.png")
    before = here()
    fast = FAST if args.startswith("run") else ()
    # Options of the case come last: of an option given twice, the last counts.
    words = args.split()
    result = cli(*words[:2], *(fast if len(words) > 2 else ()), *words[2:])
    assert result.status == 2
    assert result.error.startswith(message)
    assert here() == before


def test_a_failure_of_ours_is_status_1_and_shows_its_traceback_on_request(cli: Cli) -> None:
    result = cli("run", "crash", "photo.png", *FAST)
    assert result.status == 1
    assert result.error == "internal error: ZeroDivisionError: oops; run with --debug for the traceback"
    result = cli("run", "crash", "photo.png", "--debug", *FAST)
    assert result.status == 1
    assert "Traceback" in result.err


def test_too_little_memory_is_said(cli: Cli) -> None:
    result = cli("run", "crash", "photo.png", "--how", "memory", *FAST)
    assert result.status == 1
    assert "not enough memory" in result.error


def test_interrupt_is_130(cli: Cli) -> None:
    result = cli("run", "crash", "photo.png", "--how", "interrupt", *FAST)
    assert result.status == 130
    assert "Traceback" not in result.err


def test_the_help_of_a_task_is_its_manual(cli: Cli) -> None:
    text = cli("run", "brighten", "--help").out
    assert "A second paragraph says more." in text
    assert text.index("Options of brighten:") < text.index("--factor") < text.index("Common options:")
    assert text.index("Common options:") < text.index("--seed") < text.index("Examples:")
    assert text.count("gdpkit run brighten photo.jpg") == 2
    assert "gdpkit run merge --exposures FILE... -o result.png" in cli("run", "merge", "--help").out


def test_run_lists_the_tasks(cli: Cli) -> None:
    assert "brighten  Brighten a dark photograph." in cli("run", "--help").out


def test_a_command_without_arguments_shows_its_help(cli: Cli) -> None:
    for args in ((), ("run",)):
        result = cli(*args)
        assert result.status == 2
        assert "Examples:" in result.err


def test_version(cli: Cli) -> None:
    assert cli("--version").out == f"gdpkit {gdpkit.__version__}\n"


def test_degrade_writes_what_the_model_says(cli: Cli) -> None:
    result = cli("degrade", "photo.png", "-d", "dim:factor=0.5", "-d", "dim", "-o", "dark.png")
    assert (result.status, result.out) == (0, "dark.png\n")
    before, after = (np.asarray(Image.open(name), float) for name in ("photo.png", "dark.png"))
    assert np.abs(after - before / 4).max() <= 0.51
    record = json.loads(cli("degrade", "photo.png", "-d", "dim", "--seed", "2", "--json").out)
    assert record["outputs"] == ["photo_degraded.png"]
    assert record["stages"] == ["dim"]


def test_list_is_plain_and_whole_in_a_pipe(cli: Cli) -> None:
    text = cli("list").out
    assert "task         brighten  Brighten a dark photograph." in text.splitlines()
    assert cli("list", "degradations").out.splitlines() == ["name  what it does", "dim   Darken by a factor."]


def test_describe_tells_all_of_a_component(cli: Cli) -> None:
    text = cli("describe", "dim").out
    assert text.startswith("dim, degradation of the plugin ours (gdpkit-ours 1.2)\n\nDarken by a factor.\n")
    assert "factor     number  0 to 1  0.5      Share of the light." in text.splitlines()
    assert text.endswith("Use: -d dim:factor=0.5\n")
    assert "Use: gdpkit run brighten --help" in cli("describe", "brighten").out


def test_plugins_tells_what_is_broken(cli: Cli, table: registry.Registry) -> None:
    table.add(registry.Plugin("greedy"), Greedy())
    table.plugins.append(registry.Plugin("dead", errors=["ImportError: no module named x"]))
    result = cli("plugins")
    assert result.status == 0
    assert "task brighten" in result.out
    assert "  greedy: there is no hook 'gdpkit_task'. Did you mean 'gdpkit_tasks'?" in result.out.splitlines()
    assert "  dead: ImportError: no module named x" in result.out.splitlines()
    assert "'flat' is claimed by ours" in result.out
    record = json.loads(cli("plugins", "--json").out)
    assert [p["name"] for p in record["plugins"]] == ["ours", "greedy", "dead"]
    assert len(record["conflicts"]) == 1
    assert "(" in cli("list", "priors").out, "a name that two claim is listed with what is wrong"
    assert cli("run", "brighten", "photo.png", *FAST).status == 2


def test_a_pipe_that_closes_is_quiet() -> None:
    code = "import sys; from gdpkit.cli import main; sys.exit(main(['run', '--help']))"
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run([sys.executable, "-c", code], stdout=write, stderr=subprocess.PIPE, timeout=60)
    os.close(write)
    assert done.stderr == b""


def test_suffixes_agree_with_what_is_written(tmp_path: Path) -> None:
    for suffix in files.READABLE:
        try:
            images.check_writable(tmp_path / f"x{suffix}")
        except GdpkitError:
            assert suffix not in files.WRITABLE or suffix == ".avif"
        else:
            assert suffix in files.WRITABLE


def test_durations() -> None:
    assert [report.duration(s) for s in (0, 9.94, 59.6, 61, 7300)] == [
        "0.0 s",
        "9.9 s",
        "1 min 0 s",
        "1 min 1 s",
        "2 h 1 min",
    ]


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


def test_an_empty_name_is_not_the_current_folder(cli: Cli) -> None:
    assert cli("run", "brighten", "", *FAST).error == "'IMAGE...': the name of the file is empty"
    assert cli("degrade", "photo.png", "-d", "dim", "-o", "").status == 2


@pytest.mark.skipif(sys.platform != "linux", reason="file names are bytes on Linux")
def test_a_name_that_is_not_text(photos: None, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    name = os.fsdecode(b"\xff.png")
    Path("photo.png").rename(name)
    assert main(["run", "brighten", name, *FAST]) == 0
    assert capfdbinary.readouterr().out == b"\xff_brighten.png\n"


def test_the_console_script_is_declared() -> None:
    scripts = importlib.metadata.entry_points(group="console_scripts", name="gdpkit")
    assert {script.value for script in scripts} <= {"gdpkit.cli:main"}
