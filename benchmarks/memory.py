"""What large photographs take: time and peak memory of whole commands, reading and writing included.

python benchmarks/memory.py [--task denoise] [--task sr] [--megapixels 24] [--steps 1]

Each row is a process of its own, on the CPU. 24 megapixels take minutes a step.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import click
import numpy as np
from PIL import Image

SIZES = {0.25: (612, 408), 1: (1224, 816), 4: (2448, 1632), 16: (4896, 3264), 24: (6000, 4000)}
COMMANDS = {"denoise": ["denoise", "--sigma", "25"], "sr": ["sr", "--scale", "2"]}


@click.command()
@click.option("--task", "tasks", type=click.Choice(sorted(COMMANDS)), multiple=True, default=sorted(COMMANDS))
@click.option("--megapixels", "sizes", type=float, multiple=True, default=list(SIZES), help="Of the result.")
@click.option("--steps", default=1, show_default=True)
@click.option("--prior", default="embedded", show_default=True)
def main(tasks: tuple[str, ...], sizes: tuple[float, ...], steps: int, prior: str) -> None:
    """Print a row for each task and size."""
    click.echo(f"{'task':<8}{'megapixels':>11}{'result':>12}{'seconds':>9}{'CPU s':>8}{'peak MiB':>10}")
    with tempfile.TemporaryDirectory() as name:
        for task in tasks:
            for size in sizes:
                width, height = SIZES[size]
                options = ["--steps", str(steps), "--prior", prior]
                seconds, busy, peak = _run(Path(name), task, width, height, options)
                row = f"{seconds:>9.1f}{busy:>8.1f}{peak:>10.0f}"
                click.echo(f"{task:<8}{size:>11g}{f'{width}x{height}':>12}{row}")


def _run(folder: Path, task: str, width: int, height: int, options: list[str]) -> tuple[float, float, float]:
    """Seconds, seconds that a processor was busy with it, and peak MiB of one command whose result has this size."""
    photo, result = folder / "photo.png", folder / "result.png"
    scale = 2 if task == "sr" else 1
    _picture(width // scale, height // scale, 25.0 if task == "denoise" else 0.0).save(photo)
    command = [sys.executable, "-m", "gdpkit", "run", *COMMANDS[task], str(photo), "-o", str(result), "--overwrite"]
    started = time.perf_counter()
    child = subprocess.Popen([*command, "--device", "cpu", *options], stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise click.ClickException(f"{task} at {width}x{height} failed")
    return time.perf_counter() - started, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 2**10


def _picture(width: int, height: int, sigma: float) -> Image.Image:
    """Smooth colours, with noise."""
    generator = np.random.default_rng(0)
    small = Image.fromarray(generator.integers(0, 256, (height // 40, width // 40, 3), dtype=np.uint8))
    smooth = np.asarray(small.resize((width, height), Image.Resampling.BICUBIC), dtype=np.float32)
    noisy = smooth + sigma * generator.standard_normal(smooth.shape, dtype=np.float32)
    return Image.fromarray(noisy.clip(0, 255).astype(np.uint8))


if __name__ == "__main__":
    main()
