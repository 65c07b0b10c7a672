"""The command line beside a few photographs, with components that take no time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from gdpkit import hookimpl, param, registry
from gdpkit.cli import main
from gdpkit.components import Degradation, Denoised, PhotoTask, Prior, Sampler, Step, Task


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


@pytest.fixture
def fast() -> tuple[str, ...]:
    """Options of `gdpkit run` with which a run takes no time."""
    return "--prior", "flat", "--sampler", "direct", "--device", "cpu"


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


@pytest.fixture
def greedy() -> object:
    """A plugin that takes a name that is taken, and misspells a hook."""

    class Greedy:
        @hookimpl
        def gdpkit_priors(self) -> list[type[Prior]]:
            return [Flat]

        @hookimpl
        def gdpkit_task(self) -> list[type[Task]]:
            return [Merge]

    return Greedy()


@pytest.fixture
def here() -> Callable[[], set[str]]:
    """Gives the files of the current folder."""

    def files() -> set[str]:
        return {path.as_posix() for path in Path().rglob("*") if path.is_file()}

    return files
