"""The documentation says what is there: hooks, contracts, files, commands and links."""

from __future__ import annotations

import inspect
import re
import shlex
import subprocess
import tomllib
from pathlib import Path

import click
import pytest

import gdpkit
from gdpkit import components, hookspecs, registry
from gdpkit.cli import cli
from gdpkit.cli.base import Command
from gdpkit.cli.run import task_command
from gdpkit.components import Noise

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
GUIDE = ROOT / "docs" / "writing-a-plugin.md"
TUTORIAL = ROOT / "examples" / "plugins" / "gdpkit-tutorial-dehaze"
PAGES = [
    page
    for page in sorted(ROOT.rglob("*.md"))
    if not any(part.startswith(".") or part in {"runs", "venv", "build"} for part in page.relative_to(ROOT).parts)
]
HOOKS = [name for name in vars(hookspecs) if name.startswith("gdpkit_")]
CONTRACTS = [
    getattr(components, name)
    for name in components.__all__
    if name in gdpkit.__all__ and inspect.isclass(getattr(components, name))
]


def blocks(page: Path, language: str | None = None) -> list[str]:
    found = re.findall(r"^```(\w*)\n(.*?)^```$", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    return [text for kind, text in found if language is None or kind == language]


def sections(page: Path) -> dict[str, str]:
    """The text below each heading of the third level whose title is code."""
    parts = re.split(r"^(#+ .*)\n", page.read_text(encoding="utf-8"), flags=re.MULTILINE)
    titles = (re.fullmatch(r"### `(\w+)`", title) for title in parts[1::2])
    return {title[1]: text for title, text in zip(titles, parts[2::2], strict=True) if title}


def members(cls: type) -> list[str]:
    """What a class declares itself, publicly: fields, class variables, properties and methods."""
    names = {*vars(cls), *inspect.get_annotations(cls)}
    return sorted(name for name in names if name == "__call__" or not name.startswith("_"))


def slug(heading: str) -> str:
    return re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-")


@pytest.mark.parametrize("hook", HOOKS)
def test_every_hook_is_documented(hook: str) -> None:
    assert hook in sections(GUIDE), f"{GUIDE.name} has no heading ### `{hook}`"


def test_every_documented_hook_exists() -> None:
    assert {name for name in sections(GUIDE) if name.startswith("gdpkit_")} == set(HOOKS)


@pytest.mark.parametrize("cls", CONTRACTS, ids=lambda cls: cls.__name__)
def test_every_contract_is_documented(cls: type) -> None:
    text = sections(GUIDE).get(cls.__name__, "")
    missing = [name for name in members(cls) if not re.search(rf"`{name}\b", text)]
    assert text, f"{GUIDE.name} has no heading ### `{cls.__name__}`"
    assert not missing, f"{GUIDE.name}, section {cls.__name__}: nothing about {missing}"


def test_the_source_of_noise_is_documented() -> None:
    for name in members(Noise):
        assert f"`noise.{name}(" in GUIDE.read_text(encoding="utf-8")


def test_every_checker_is_documented() -> None:
    testing = pytest.importorskip("gdpkit.testing")
    for name in testing.__all__:
        assert f"`{name}(" in GUIDE.read_text(encoding="utf-8"), f"{GUIDE.name} says nothing about {name}"


def test_the_tutorial_prints_the_plugin_as_it_is() -> None:
    source = (TUTORIAL / "gdpkit_tutorial_dehaze.py").read_text(encoding="utf-8")
    *steps, whole = blocks(GUIDE, "python")
    assert whole == source
    assert "".join(steps).replace("\n", "") == source.replace("\n", ""), "the steps do not add up to the file"
    assert blocks(GUIDE, "toml") == [(TUTORIAL / "pyproject.toml").read_text(encoding="utf-8")]
    assert len(source.splitlines()) < 40


def test_the_first_block_installs_and_restores_an_example() -> None:
    *setup, run = blocks(README)[0].splitlines()
    assert setup == ["python3 -m venv .venv", ". .venv/bin/activate", "pip install -r requirements.txt"]
    photo = re.fullmatch(r"gdpkit run sr (examples/photos/\S+\.png) --scale 4 -o \S+\.png", run)
    assert photo and (ROOT / photo[1]).is_file()


def test_the_second_block_sets_up_and_runs_the_tests() -> None:
    *setup, test = blocks(README)[1].splitlines()
    assert setup == ["python3 -m venv .venv", ". .venv/bin/activate", "pip install -r requirements.txt"]
    assert test == "pytest"


def test_the_checks_run_the_second_block_of_the_readme() -> None:
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    extract = re.search(r"^block=.*\n(awk .*) >\"\$block\"$", script, re.MULTILINE)
    assert extract and 'bash -e -o pipefail -- "$block"' in script
    done = subprocess.run(["bash", "-c", extract[1]], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == blocks(README)[1]


def test_requirements_name_every_plugin() -> None:
    lines = (ROOT / "requirements.txt").read_text(encoding="utf-8").split("\n")
    plugins = [f"-e plugins/{p.parent.name}" for p in sorted((ROOT / "plugins").glob("*/pyproject.toml"))]
    assert lines[:2] == ["-c constraints.txt", "-e .[test]"]
    assert sorted(line for line in lines[2:] if line) == plugins


def test_constraints_pin_every_dependency() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = {re.split(r"\W", d.replace("-", "_"))[0].lower() for d in project["dependencies"]}
    wanted |= {re.split(r"\W", d.replace("-", "_"))[0].lower() for d in project["optional-dependencies"]["test"]}
    pins = re.findall(r"^([\w-]+)==\S+$", (ROOT / "constraints.txt").read_text(encoding="utf-8"), re.MULTILINE)
    assert wanted <= {pin.replace("-", "_").lower() for pin in pins}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"https?:", link):
            continue
        name, _, anchor = link.partition("#")
        target = (page.parent / name) if name else page
        assert target.exists(), f"{link} does not exist"
        if anchor:
            headings = re.findall(r"^#+ (.*)$", target.read_text(encoding="utf-8"), re.MULTILINE)
            assert anchor in map(slug, headings), f"{link} has no such heading"


def commands() -> list[str]:
    """Every `gdpkit ...` of a block, but those of plugins that are not installed here."""
    found = {
        line.removeprefix("$ ").split(" > ")[0]
        for page in PAGES
        for block in blocks(page, "sh") + blocks(page, "console")
        for line in block.splitlines()
        if line.removeprefix("$ ").startswith("gdpkit ")
    }
    return sorted(line for line in found if "tutorial-" not in line)


@pytest.mark.parametrize("line", commands())
def test_commands_are_understood(line: str) -> None:
    """Names, options, values and stages: everything but the files."""
    command: click.Command = cli()
    args = shlex.split(line)
    while isinstance(command, click.Group):
        name, *args = args[1:] if command.name == "gdpkit" else args
        found = command.get_command(click.Context(command), name)
        assert found is not None
        command = found
    for stage, option in zip(args[1:], args, strict=False):
        if option == "-d":
            registry.load().build("degradations", stage)
    command.make_context(line, args)


def test_the_options_of_every_run_are_documented() -> None:
    table = (
        (ROOT / "docs" / "cli.md").read_text(encoding="utf-8").partition("### Common options")[2].partition("```")[0]
    )
    command = task_command("restore")
    assert isinstance(command, Command)
    common = {max(p.opts, key=len) for p in command.params if p not in command.own}
    assert set(re.findall(r"^\|.*?`(--[\w-]+)", table, re.MULTILINE)) == common


@pytest.mark.parametrize("name", gdpkit.__all__)
def test_every_public_name_is_documented(name: str) -> None:
    text = GUIDE.read_text(encoding="utf-8") + (ROOT / "docs" / "python.md").read_text(encoding="utf-8")
    assert re.search(rf"`(gdpkit\.)?{name}\b", text), f"nothing about gdpkit.{name} in docs/"


def test_every_member_of_a_restoration_is_documented() -> None:
    text = (ROOT / "docs" / "python.md").read_text(encoding="utf-8").partition("It returns a `Restoration`")[2]
    restoration = getattr(gdpkit, "Restoration")  # noqa: B009  (loaded on use)
    assert not [name for name in members(restoration) if not re.search(rf"^- `{name}\b", text, re.MULTILINE)]


@pytest.mark.parametrize("page", [README, ROOT / "docs" / "python.md"], ids=lambda page: page.name)
def test_python_blocks_are_python(page: Path) -> None:
    for block in blocks(page, "python"):
        names = re.findall(r"gdpkit\.(\w+)\(", block)
        assert set(names) <= set(gdpkit.__all__)
        compile(block, page.name, "exec")


def test_every_example_photograph_is_credited() -> None:
    credits = (ROOT / "examples" / "photos" / "CREDITS.md").read_text(encoding="utf-8")
    for photo in (ROOT / "examples" / "photos").glob("*.png"):
        assert f"| `{photo.name}` " in credits
