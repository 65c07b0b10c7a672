"""Plugins from elsewhere, each its own distribution, installed into a new virtual environment and run there.

The new environment sees the packages of the running one (a line in a .pth file), so that torch is not installed again.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

TUTORIAL = Path(__file__).parent.parent / "examples" / "plugins" / "gdpkit-tutorial-dehaze"
SIDE = 48
AIR = (0.9, 0.87, 0.84)
TRANSMISSION = 0.5
Picture = np.ndarray[tuple[int, ...], np.dtype[np.float64]]

PYPROJECT = """\
[build-system]
requires = ["flit_core >=3.11,<5"]
build-backend = "flit_core.buildapi"

[project]
name = "{name}"
version = "0.3"
description = "A plugin with a fault"

[project.entry-points.gdpkit]
{name} = "{module}"
"""

# What each of the faulty plugins holds: a failing import, a name that the tutorial's plugin has, a misspelt hook.
FAULTY = {
    "faulty-import": "import a_module_that_nobody_has\n",
    "faulty-name": """\
from dataclasses import dataclass
from gdpkit import Degradation, hookimpl

@dataclass(frozen=True)
class Haze(Degradation):
    \"\"\"Another haze.\"\"\"
    name = "tutorial-haze"

    def __call__(self, image):
        return image

@hookimpl
def gdpkit_degradations():
    return [Haze]
""",
    "faulty-hook": """\
from gdpkit import hookimpl

@hookimpl
def gdpkit_degredations():
    return []
""",
}


@dataclass(frozen=True)
class Environment:
    """A virtual environment and a folder to work in."""

    root: Path

    def python(self, *args: str | Path) -> subprocess.CompletedProcess[str]:
        """Run its interpreter; nothing of the running environment but the .pth file leads to gdpkit."""
        scripts = "Scripts" if os.name == "nt" else "bin"
        clean = {k: v for k, v in os.environ.items() if k not in {"PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV"}}
        return subprocess.run(
            [self.root / "venv" / scripts / "python", *args], cwd=self.root, env=clean, capture_output=True, text=True
        )

    def gdpkit(self, *args: str | Path) -> subprocess.CompletedProcess[str]:
        """Run the command, which the entry point of the running environment would."""
        return self.python("-m", "gdpkit", *args)

    def install(self, *folders: Path) -> None:
        """Install distributions without their dependencies, which are there."""
        options = ["--no-deps", "--no-build-isolation", "--no-index", "--disable-pip-version-check", "--quiet"]
        done = self.python("-m", "pip", "install", *options, *folders)
        assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def tutorial(tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """An environment with the tutorial's plugin, and the pictures."""
    root = tmp_path_factory.mktemp("third-party")
    venv.create(root / "venv", with_pip=False)
    paths = sysconfig.get_paths(vars={"base": str(root / "venv"), "platbase": str(root / "venv")})
    seen = dict.fromkeys(sysconfig.get_path(kind) for kind in ("purelib", "platlib"))
    lines = [f"import site; site.addsitedir({path!r})" for path in seen]
    Path(paths["purelib"], "running-environment.pth").write_text("\n".join(lines), encoding="utf-8")
    environment = Environment(root)
    found = environment.python("-c", "import importlib.metadata as m; print(m.version('gdpkit'))")
    assert found.returncode == 0, f"gdpkit is not installed for {sys.executable}: pip install -r requirements.txt"
    environment.install(_copy(TUTORIAL, root / "source"))
    clean = _scene()
    _write(root / "clean.png", clean)
    _write(root / "hazy.png", TRANSMISSION * clean + (1 - TRANSMISSION) * np.array(AIR))
    return environment


@pytest.fixture(scope="module")
def crowded(tutorial: Environment) -> Environment:
    """The same environment with three faulty plugins."""
    folders = []
    for name, source in FAULTY.items():
        folder = tutorial.root / name
        module = name.replace("-", "_")
        folder.mkdir()
        (folder / "pyproject.toml").write_text(PYPROJECT.format(name=name, module=module), encoding="utf-8")
        (folder / f"{module}.py").write_text(source, encoding="utf-8")
        folders.append(folder)
    tutorial.install(*folders)
    return tutorial


def _copy(folder: Path, target: Path) -> Path:
    """A build leaves nothing in the repository this way."""
    target.mkdir()
    for file in folder.iterdir():
        if file.is_file():
            (target / file.name).write_bytes(file.read_bytes())
    return target


def _scene() -> Picture:
    """A colourful picture from black to white, (SIDE, SIDE, 3) in [0, 1]: a ramp, a dark disc, and a bright frame."""
    y, x = np.mgrid[0:SIDE, 0:SIDE] / (SIDE - 1)
    scene = np.stack([x, 0.6 * y + 0.2 * x, 1 - x], axis=-1)
    scene[(x - 0.5) ** 2 + (y - 0.5) ** 2 < 0.06] = (0.05, 0.15, 0.1)
    scene[:4] = 0.95
    return np.asarray(scene, dtype=np.float64)


def _write(path: Path, picture: Picture) -> None:
    Image.fromarray(np.uint8(np.rint(255 * picture))).save(path)


def _error(path: Path, clean: Path) -> float:
    """The mean squared difference, in 0..255."""
    return float(np.square(_read(path) - _read(clean)).mean())


def _read(path: Path) -> Picture:
    """(H, W, 3) in 0..255."""
    with Image.open(path) as picture:
        return np.asarray(picture.convert("RGB"), dtype=np.float64)


def _about(text: str, name: str) -> str:
    """The lines of a listing that begin with a plugin's name: its row of the table, and its problems."""
    return "\n".join(line for line in text.splitlines() if line.split(maxsplit=1)[:1] in ([name], [f"{name}:"]))


def _says(done: subprocess.CompletedProcess[str], words: Sequence[str]) -> None:
    text = done.stdout + done.stderr
    assert not [word for word in words if word not in text], text
    assert "Traceback" not in text


def test_the_plugin_is_listed(tutorial: Environment) -> None:
    done = tutorial.gdpkit("plugins")
    assert done.returncode == 0, done.stderr
    line = _about(done.stdout + done.stderr, "tutorial-dehaze")
    assert "gdpkit-tutorial-dehaze" in line and "1.0.0" in line
    assert "task tutorial-dehaze" in line and "degradation tutorial-haze" in line


def test_the_task_clears_the_haze(tutorial: Environment) -> None:
    prior = ["--prior", "tv", "--json"]
    done = tutorial.gdpkit("run", "tutorial-dehaze", "hazy.png", "--transmission", "0.5", *prior, "-o", "clear.png")
    assert done.returncode == 0, done.stderr
    root = tutorial.root
    assert _error(root / "clear.png", root / "clean.png") < 0.2 * _error(root / "hazy.png", root / "clean.png")
    assert json.loads(done.stdout)["task"] == "tutorial-dehaze"


def test_its_degradation_is_a_stage_of_any_chain(tutorial: Environment) -> None:
    stages = ["-d", "tutorial-haze:transmission=0.5"]
    done = tutorial.gdpkit("run", "restore", "hazy.png", *stages, "--prior", "tv", "-o", "restored.png")
    assert done.returncode == 0, done.stderr
    root = tutorial.root
    assert _error(root / "restored.png", root / "clean.png") < 0.2 * _error(root / "hazy.png", root / "clean.png")


def test_its_unknowns_are_given_where_it_degrades(tutorial: Environment) -> None:
    stage = "tutorial-haze:transmission=0.25,airlight=0.8"
    done = tutorial.gdpkit("degrade", "clean.png", "-d", stage, "-o", "thick.png")
    assert done.returncode == 0, done.stderr
    clean, thick = _read(tutorial.root / "clean.png"), _read(tutorial.root / "thick.png")
    assert np.abs(thick - (0.25 * clean + 0.75 * 0.8 * 255)).max() <= 0.51


def test_it_passes_the_checks_as_the_guide_shows(tutorial: Environment) -> None:
    guide = (TUTORIAL.parents[2] / "docs" / "writing-a-plugin.md").read_text(encoding="utf-8")
    module = guide.partition("```py\n")[2].partition("```")[0]
    (tutorial.root / "test_dehaze.py").write_text(module, encoding="utf-8")
    done = tutorial.python("-m", "pytest", "-q", "-p", "no:cacheprovider", "test_dehaze.py")
    assert done.returncode == 0, done.stdout
    assert "2 passed" in done.stdout


def test_its_limits_are_options_limits(tutorial: Environment) -> None:
    done = tutorial.gdpkit("run", "tutorial-dehaze", "hazy.png", "--transmission", "1.5", "-o", "never.png")
    assert done.returncode == 2
    _says(done, ["transmission", "at most 1"])
    assert not (tutorial.root / "never.png").exists()


def test_faults_are_reported_by_name(crowded: Environment) -> None:
    done = crowded.gdpkit("plugins")
    text = done.stdout + done.stderr
    assert "No module named 'a_module_that_nobody_has'" in _about(text, "faulty-import")
    assert "there is no hook 'gdpkit_degredations'" in _about(text, "faulty-hook")
    assert "'gdpkit_degradations'" in _about(text, "faulty-hook")
    claim = next(line for line in text.splitlines() if "'tutorial-haze' is claimed by" in line)
    assert "faulty-name" in claim and "tutorial-dehaze" in claim
    assert "task tutorial-dehaze" in _about(text, "tutorial-dehaze")
    _says(done, [])


def test_a_repeated_name_is_an_error_that_names_both(crowded: Environment) -> None:
    done = crowded.gdpkit("degrade", "clean.png", "-d", "tutorial-haze:transmission=0.5", "-o", "never.png")
    assert done.returncode == 2
    _says(done, ["tutorial-haze", "faulty-name", "tutorial-dehaze"])
    assert not (crowded.root / "never.png").exists()


def test_faults_stop_nothing_else(crowded: Environment) -> None:
    done = crowded.gdpkit("degrade", "clean.png", "-d", "downsample:scale=4", "-o", "small.png")
    assert done.returncode == 0, done.stderr
    assert _read(crowded.root / "small.png").shape == (SIDE // 4, SIDE // 4, 3)
    done = crowded.gdpkit("run", "tutorial-dehaze", "hazy.png", "--prior", "tv", "--dry-run")
    assert done.returncode == 0, done.stderr
