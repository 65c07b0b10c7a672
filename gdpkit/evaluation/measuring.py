"""The metrics of a picture."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy.typing as npt
import torch
from torch import Tensor

from gdpkit import functional, images, params, registry
from gdpkit.components import Degradation, Metric, SetMetric
from gdpkit.errors import GdpkitError, ImageError
from gdpkit.evaluation.tables import Results, Row
from gdpkit.metrics.pairs import SizesDiffer

OPTIONS = {"truth": "--reference", "input": "--input", "exposures": "--exposures"}
"""How each kind of reference is given on the command line."""


@dataclass(frozen=True)
class Comparison:
    """One picture and what there is to compare it with."""

    output: Path
    truth: Path | None = None
    input: Path | None = None
    exposures: Sequence[Path] = ()

    @property
    def against(self) -> dict[str, str]:
        """The names of what it is compared with, for a record."""
        named = {"reference": self.truth, "input": self.input}
        return {kind: str(path) for kind, path in named.items() if path is not None}


def metric(spec: str | Metric) -> Metric:
    """A metric from "name:key=value"; what it needs that gdpkit cannot ship is named where it is missing."""
    if isinstance(spec, Metric):
        return spec
    name, values = params.parse(spec)
    cls: type[Metric] = registry.load().get("metrics", name)
    given = {key.replace("-", "_") for key in values}
    missing = [d for d in params.declared(cls) if d.required and d.name not in given]
    if missing:
        told = "; ".join(f"{d.name}=FILE: {d.about.help.rstrip('.')}" for d in missing)
        example = f"{name}:" + ",".join(f"{d.name}=FILE" for d in missing)
        raise GdpkitError(f"{name} needs what does not come with gdpkit, as in --metric {example}. {told}.")
    built = params.build(cls, values)
    for d in params.declared(cls):
        file = getattr(built, d.name)
        # Now, and not after the work: a metric reads its files when it is first called.
        if isinstance(file, Path) and not file.is_file():
            what = "it is a folder" if file.is_dir() else "there is no such file"
            raise GdpkitError(f"{name}: {d.name}={file}: {what}")
    return built


def measure(
    name: str | Metric,
    image: str | Path | npt.NDArray[Any] | Tensor,
    reference: str | Path | npt.NDArray[Any] | Tensor | Sequence[Any] | None = None,
) -> float:
    """One metric of one picture.

    Args:
        name: "name:key=value", or a `Metric`.
        image: a file, an array (H, W[, 3]) or a tensor ([1,] C, H, W), sRGB-encoded in [0, 1], arrays also in
            integers; for a metric of radiance, linear and at least 0.
        reference: what it is compared with, likewise; for a metric of exposures, a list of them.

    Returns:
        The value in the metric's own unit, such as dB.

    Raises:
        GdpkitError: where they cannot be compared, and for what the metric cannot be told without.
    """
    chosen = metric(name)
    several = list(reference) if isinstance(reference, list | tuple) else []
    one = None if several or reference is None else _read(reference, chosen.radiance)  # type: ignore[arg-type]
    picture = _read(image, chosen.radiance)
    chosen = chosen.named(Path(image).name) if isinstance(image, str | Path) else chosen
    if several:
        return _value(chosen, picture, _stacked(chosen, [_read(r, chosen.radiance) for r in several]))
    return _value(chosen, *_same_channels(picture, one))


def evaluate(
    metrics: Mapping[str, Metric],
    comparisons: Sequence[Comparison],
    degradation: Degradation | None = None,
    on_picture: Callable[[int, int], None] = lambda done, total: None,
    on_error: Callable[[Comparison, Exception], str] | None = None,
) -> Results:
    """Measure pictures one after the other.

    Args:
        metrics: by the name that the results give them.
        comparisons: the pictures.
        degradation: D, for metrics of the picture degraded again.
        on_picture: called with how many of how many are done.
        on_error: called with what went wrong with one; returns the text for its row, which keeps the values of the
            metrics that did not fail. What goes wrong with a whole set is told with its last picture. Without it the
            error is raised.
    """
    rows = []
    features: dict[str, list[tuple[Tensor, Tensor]]] = {n: [] for n, m in metrics.items() if isinstance(m, SetMetric)}
    for done, comparison in enumerate(comparisons, 1):
        files = _Files(comparison, degradation)
        values: dict[str, float] = {}
        errors: dict[str, Exception] = {}
        for name, one in metrics.items():
            try:
                if isinstance(one, SetMetric):
                    picture, reference = files.of(one)
                    assert reference is not None
                    features[name].append((one.features(picture), one.features(reference)))
                else:
                    values[name] = files.value(one)
            except Exception as reason:
                if on_error is None:
                    raise
                errors.setdefault(str(reason), reason)  # a broken file is one error, not one for each metric
        told = "; ".join(on_error(comparison, reason) for reason in errors.values()) if on_error else ""
        rows.append(Row(str(comparison.output), values, comparison.against, told or None))
        on_picture(done, len(comparisons))
    of_all = {}
    for name, pairs in features.items():
        if pairs:
            found, wanted = (torch.cat(both) for both in zip(*pairs, strict=True))
            try:
                of_all[name] = float(metrics[name].distance(found, wanted))  # type: ignore[attr-defined]
            except GdpkitError as reason:
                if on_error is None:
                    raise
                told = "; ".join(filter(None, (rows[-1].error, on_error(comparisons[-1], reason))))
                rows[-1] = replace(rows[-1], error=told)
    return Results(rows, {name: one.higher_is_better for name, one in metrics.items()}, of_all)


def check(metrics: Mapping[str, Metric], given: set[str], degraded: bool) -> None:
    """Raise a `GdpkitError` where a metric lacks what it is compared with. `given`: kinds of reference there are."""
    for name, one in metrics.items():
        if one.reference != "none" and one.reference not in given:
            option = OPTIONS[one.reference]
            what = {"truth": "the truth", "input": "the input", "exposures": "the exposures"}[one.reference]
            raise GdpkitError(f"{name} compares a picture with {what}: give {option}")
        if one.degraded and not degraded:
            raise GdpkitError(f"{name} degrades the picture again: give the chain with -d, e.g. -d downsample:scale=4")


@dataclass
class _Files:
    """The files of one comparison, each read once."""

    comparison: Comparison
    degradation: Degradation | None
    _read: dict[tuple[Path, bool], Tensor] = field(default_factory=dict)

    def read(self, path: Path, linear: bool) -> Tensor:
        key = path, linear
        if key not in self._read:
            self._read[key] = _read(path, linear)
        return self._read[key]

    def of(self, one: Metric) -> tuple[Tensor, Tensor | None]:
        """What a metric is called with."""
        picture = self.again if one.degraded else self.read(self.comparison.output, one.radiance)
        if one.reference == "exposures":
            exposures = [self.read(path, one.radiance) for path in self.comparison.exposures]
            return picture, _stacked(one, exposures)
        path = {"truth": self.comparison.truth, "input": self.comparison.input, "none": None}[one.reference]
        if path is None:
            return picture, None
        if one.degraded:
            assert self.degradation is not None
            return _same_channels(picture, self.degradation.accept(self.read(path, one.radiance)))
        return _same_channels(picture, self.read(path, one.radiance))

    def value(self, one: Metric) -> float:
        """What a metric finds; where sizes differ, the error is the same for each metric, and names the files."""
        picture, reference = self.of(one)
        try:
            return _value(one.named(self.comparison.output.name), picture, reference)
        except SizesDiffer as error:
            assert reference is not None
            other = self.comparison.truth if one.reference == "truth" else self.comparison.input
            (height, width), (rows, columns) = picture.shape[-2:], reference.shape[-2:]
            degraded = ", degraded again," * one.degraded
            raise ImageError(
                f"{self.comparison.output}{degraded} is {width}x{height} pixels and {other} {columns}x{rows}; only "
                "pictures of one size are compared"
            ) from error

    @cached_property
    def again(self) -> Tensor:
        """D(output)."""
        picture = self.read(self.comparison.output, False)
        assert self.degradation is not None
        channels, height, width = picture.shape[1:]
        if self.degradation.unknowns(picture, (channels, height, width)):
            raise GdpkitError(f"{self.degradation.name} has unknowns, so what it does to a picture is not known")
        with torch.no_grad():
            return self.degradation(picture)


def _read(source: str | Path | npt.NDArray[Any] | Tensor, radiance: bool) -> Tensor:
    """(B, C, H, W): sRGB-encoded, or linear light where that is wanted, from scene-linear files without a bound.

    A tensor is taken as it is: what a degradation makes of a picture may leave [0, 1] by a little.
    """
    if isinstance(source, Tensor):
        return source if source.ndim == 4 else source[None]
    if not radiance:
        return images.open_picture(source).pixels
    if isinstance(source, str | Path):
        if images.is_scene_linear(source):
            return images.read_linear(source)
        return images.decode_srgb(images.load(source).pixels)
    array = torch.from_numpy(source.astype("float64"))
    return array[None, None] if array.ndim == 2 else array.movedim(-1, 0)[None]


def _stacked(one: Metric, exposures: Sequence[Tensor]) -> Tensor:
    """A bracket as a metric takes it, (B, K, C, H, W)."""
    sizes = {tuple(exposure.shape[-2:]) for exposure in exposures}
    if len(sizes) > 1:
        told = " and ".join(sorted(f"{width}x{height}" for height, width in sizes))
        raise GdpkitError(f"{one.name}: the exposures differ in size, {told} pixels")
    channels = max(exposure.shape[1] for exposure in exposures)
    return torch.stack([functional.with_channels(e, channels) for e in exposures], dim=1)


def _same_channels(image: Tensor, reference: Tensor | None) -> tuple[Tensor, Tensor | None]:
    """A grey one of two is repeated to three channels where the other has them."""
    if reference is None or image.shape[1] == reference.shape[1]:
        return image, reference
    return functional.with_channels(image, 3), functional.with_channels(reference, 3)


def _value(one: Metric, image: Tensor, reference: Tensor | None) -> float:
    with torch.no_grad():
        return float(one(image, reference).mean())
