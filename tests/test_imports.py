"""What is imported when: help is quick, and no level of the design imports from one below it."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import gdpkit
from gdpkit import registry

HEAVY = ["torch", "numpy", "cv2", "rich", "rawpy", "imageio", "PIL", "OpenEXR", "skimage", "scipy", "safetensors"]

PRIOR = [f"prior {command}" for command in ("train", "list", "info", "verify", "fetch")]

PACKAGE = Path(gdpkit.__file__).parent

LEVELS = {
    "errors": 0,
    "params": 1,
    "components": 2,
    **dict.fromkeys(("hookspecs", "__init__"), 3),
    "registry": 4,
    **dict.fromkeys(
        (
            "functional",
            "masks",
            "schedule",
            "solvers",
            "distances",
            "noise",
            "grey",
            "images",
            "memory",
            "atomic",
            "download",
        ),
        5,
    ),
    **dict.fromkeys(
        (
            "grey",
            "dct",
            "spectra",
            "similarity",
            "kernels",
            "convolution",
            "borders",
            "mosaic",
            "patches",
            "wiener",
            "weighed_blur",
            "overexposure",
            "blind",
            "blind_spectrum",
            "recording",
            "jpeg_history",
            "estimate",
            "coloured_noise",
            "exposure",
            "jpeg",
        ),
        5,
    ),
    **dict.fromkeys(("degradations", "losses", "metrics", "samplers", "priors"), 5),
    **dict.fromkeys(("views", "fitting", "pointwise", "agreement", "newton", "objective", "builtin"), 6),
    **dict.fromkeys(
        (
            "choices",
            "budget",
            "restoration",
            "planning",
            "hierarchy",
            "engine",
            "speed",
            "together",
            "simulate",
            "testing",
            "training",
            "evaluation",
        ),
        7,
    ),
    **dict.fromkeys(("options", "report", "meter"), 8),
    **dict.fromkeys(("cli", "__main__"), 9),
}


def imported(*args: str) -> tuple[str, list[str]]:
    """What a command prints, and which heavy modules it imports."""
    code = (
        "import sys; from gdpkit.cli import main; status = main(sys.argv[1:])\n"
        f"print('heavy:', *sorted(set({HEAVY!r}) & set(sys.modules)), file=sys.stderr); sys.exit(status)"
    )
    done = subprocess.run([sys.executable, "-c", code, *args], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout, done.stderr.partition("heavy:")[2].split()


COMMANDS = ("", "run", "degrade", "eval", "list", "describe", "plugins", "prior", "bench", *PRIOR)


@pytest.mark.parametrize("command", COMMANDS)
def test_help_imports_nothing_heavy_and_shows_two_examples(command: str) -> None:
    text, heavy = imported(*command.split(), "--help")
    assert heavy == []
    assert text.partition("Examples:")[2].count("gdpkit ") >= 2


@pytest.mark.parametrize("task", registry.load().names("tasks"))
def test_help_of_every_task_imports_nothing_heavy(task: str) -> None:
    text, heavy = imported("run", task, "--help")
    assert heavy == []
    assert text.partition("Examples:")[2].count(f"gdpkit run {task} ") >= 2


@pytest.mark.parametrize("command", ["list", "plugins", "prior list"])
def test_what_is_installed_is_listed_without_loading_it(command: str) -> None:
    assert imported(*command.split())[1] == []


def module_level(tree: ast.AST) -> Iterator[ast.Import | ast.ImportFrom]:
    """The imports that run when a module is imported: not those in functions, nor those for typing."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield node
        elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        elif not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield from module_level(node)


def parts(node: ast.Import | ast.ImportFrom) -> Iterator[str]:
    """The top-level parts of gdpkit that an import statement names."""
    if isinstance(node, ast.Import):
        names = [alias.name for alias in node.names]
    else:
        assert node.level == 0, "imports are absolute"
        module = node.module or ""
        names = [f"{module}.{alias.name}" for alias in node.names] if module == "gdpkit" else [module]
    for name in names:
        package, _, rest = name.partition(".")
        if package == "gdpkit":
            part = rest.partition(".")[0]
            yield part if (PACKAGE / part).is_dir() or (PACKAGE / f"{part}.py").is_file() else "__init__"


@pytest.mark.parametrize("file", sorted(PACKAGE.rglob("*.py")), ids=lambda f: f.relative_to(PACKAGE).as_posix())
def test_levels(file: Path) -> None:
    own = file.relative_to(PACKAGE).parts[0].removesuffix(".py")
    assert own in LEVELS, f"give {own} its level, here and in the design"
    for node in module_level(ast.parse(file.read_text(encoding="utf-8"))):
        for part in parts(node):
            assert LEVELS[part] <= LEVELS[own], f"{file}:{node.lineno}: {own} imports {part}, a level below it"


def test_importing_gdpkit_is_cheap() -> None:
    code = f"import sys, gdpkit, gdpkit.registry; print(*set({HEAVY!r}) & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.split() == []


def test_a_run_on_the_cpu_compiles_nothing_and_does_not_import_the_compiler() -> None:
    code = (
        "import sys, torch, gdpkit\n"
        "gdpkit.restore('denoise', image=torch.rand(1, 3, 24, 24), sigma=25.0, steps=1, memory=1, device='cpu')\n"
        "print('torch._dynamo' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.split() == ["False"]
