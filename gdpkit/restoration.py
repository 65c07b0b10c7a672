"""What a run gives back: the picture, the fitted unknowns, and the record of how it was made."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from gdpkit import images
from gdpkit.atomic import whole_file
from gdpkit.components import Problem
from gdpkit.errors import ImageError

MOST_VALUES = 16  # larger unknowns, such as maps and kernels, are written to files of their own


class Restoration:
    """A restored picture. It shows itself in a notebook.

    tensor: (B, C, H, W) in [0, 1].
    unknowns: the fitted parameters of the degradation, as arrays by name.
    record: the facts of the run, ready for JSON.
    problem: what was observed, as the task stated it.
    notes: sentences about what was changed when the source was read, and what the task says of the result.
    """

    def __init__(
        self,
        tensor: Tensor,
        unknowns: Mapping[str, Tensor],
        record: dict[str, Any],
        problem: Problem,
        notes: Sequence[str] = (),
        radiance: Callable[[], Tensor] | None = None,
        unused: str = "",
    ) -> None:
        self.tensor = tensor
        self.unknowns: dict[str, npt.NDArray[np.float32]] = {k: u.numpy() for k, u in unknowns.items()}
        self.record = record
        self.notes: tuple[str, ...] = (*(problem.source.notes if problem.source is not None else ()), *notes)
        self.problem = problem
        self._radiance, self._unused = radiance, unused
        record["unknowns"] = {k: u.tolist() for k, u in self.unknowns.items() if u.size <= MOST_VALUES}
        if len(tensor) > 1:
            self.notes = (*self.notes, _first(len(tensor), "`image` and `save` give"))

    @property
    def image(self) -> npt.NDArray[np.float32]:
        """float32 in [0, 1], H x W x 3, or H x W where the result is grey; the first of a batch."""
        return images.to_array(self.tensor[:1])

    @property
    def radiance(self) -> npt.NDArray[np.float32] | None:
        """Linear radiance, unbounded, in the form of `image`, of a task that knows it, such as hdr; else None."""
        return None if self._radiance is None else images.to_array(self._radiance()[:1])

    @property
    def input_image(self) -> npt.NDArray[np.float32]:
        """What was observed, in the same form; the first of a batch."""
        source = self.problem.source
        return images.to_array((self.problem.observations[0].image if source is None else source.pixels)[:1])

    def save(self, path: str | Path, overwrite: bool = False) -> tuple[str, ...]:
        """Write the picture, with the depth, profile and metadata of its source where the format can hold them.

        Of a batch, that is the first. A task that knows the radiance of its scene writes that to .exr and .hdr. Large
        unknowns go to `<stem>.<name>.npy` beside it, kernels also to `<stem>.<name>.png`, to look at, unless the task
        says that nobody needs them (`Problem.unknowns_beside`). Files that hold these values already are left as they
        are, so that one result can be saved as `scene.png` and as `scene.tif`.
        Returns sentences about what could not be kept.
        Raises `ImageError` where the file exists (without `overwrite`) or cannot be written.
        """
        path = Path(path)
        wanted = self.unknowns if self.problem.unknowns_beside else {}
        large = {name: value for name, value in wanted.items() if value.size > MOST_VALUES}
        beside = {name: path.with_name(f"{path.stem}.{name}.npy") for name in large}
        pictures = {n: path.with_name(f"{path.stem}.{n}.png") for n, v in large.items() if v.ndim == 3 and len(v) == 1}
        kept = {name for name, value in large.items() if not overwrite and _holds(beside[name], value)}
        pictures = {name: file for name, file in pictures.items() if name not in kept or not file.exists()}
        for file in (*(file for name, file in beside.items() if name not in kept), *pictures.values()):
            if file.exists() and not overwrite:
                raise ImageError(f"{file}: it exists already; overwrite=True, or --overwrite, replaces it")
        if self._radiance is not None and images.is_linear(path):
            notes = images.save_linear(path, self._radiance()[:1], overwrite=overwrite)
            if self._unused:
                notes += (
                    f"{path.name} holds radiance, for which {self._unused} does nothing; .png, .jpg and .tif show it",
                )
        else:
            notes = images.save(path, self.tensor[:1], like=self.problem.source, overwrite=overwrite)
        if self.problem.exact and not images.is_lossless(path):
            kind = path.suffix.lower()
            notes += (f"{kind} changes every pixel a little, those to be kept as well; .png, .tif and .webp do not",)
        for name, value in large.items():
            if name not in kept:
                with whole_file(beside[name], overwrite) as temporary:
                    np.save(temporary, value)
            self.record["unknowns"][name] = str(beside[name])
            if name in pictures:
                images.save(pictures[name], _to_look_at(value), overwrite=overwrite)
        self.record["outputs"].append(str(path))
        return notes if len(self.tensor) == 1 else (*notes, _first(len(self.tensor), "the file holds"))

    def _repr_png_(self) -> bytes:
        return images.to_png_bytes(self.tensor[:1])

    def __repr__(self) -> str:
        width, height = self.record["size"]
        work = f"{self.record['network_evaluations']} evaluations of {self.record['prior']}"
        return f"<Restoration by {self.record['task']}: {width}x{height}, {work} in {self.record['seconds']:.1f} s>"


def _first(count: int, what: str) -> str:
    return f"this is a batch of {count} pictures, of which {what} the first; `tensor` has them all"


def _holds(file: Path, values: npt.NDArray[np.float32]) -> bool:
    """Whether the file is there and is what `np.save` would make it."""
    wanted = BytesIO()
    np.save(wanted, values)
    return file.is_file() and file.read_bytes() == wanted.getvalue()


def _to_look_at(values: npt.NDArray[np.float32]) -> Tensor:
    """(1, h, w) -> the same between black and white."""
    low, high = min(0.0, float(values.min())), float(values.max())
    return torch.from_numpy((values - low) / max(high - low, 1e-12))
