"""The forward model, run on a clean picture: what a camera would have recorded. For trials and tests."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy.typing as npt
import torch
from torch import Tensor

from gdpkit import images, params, registry
from gdpkit.components import Chain, Degradation
from gdpkit.errors import GdpkitError, UnknownNameError, did_you_mean
from gdpkit.images import Picture
from gdpkit.noise import SeededNoise, digest


def degrade(
    image: str | Path | npt.NDArray[Any] | Tensor | Picture,
    stages: str | Degradation | Sequence[str | Degradation],
    *,
    seed: int = 0,
) -> Picture:
    """Put a clean picture through stages, with their noise, and round it to the depth of the picture.

    A stage's unknowns are given like its parameters, as in "tutorial-haze:airlight=0.9"; one that is not given has
    the value the degradation would first guess. Noise depends on the seed and the picture.
    """
    if isinstance(stages, str | Degradation):
        stages = (stages,)
    if not stages:
        raise GdpkitError("nothing to do: give at least one stage, e.g. downsample:scale=4")
    picture = images.open_picture(image)
    pixels = picture.pixels
    noise = SeededNoise(seed, [digest(pixels[0])])
    with torch.no_grad():
        for degradation, given in (pair for stage in stages for pair in _stages(stage)):
            pixels = degradation.simulate(pixels, noise, **_unknowns(degradation, pixels, given))
    levels = 2 ** min(picture.bits, 16) - 1
    pixels = (pixels.clamp(0, 1) * levels).round() / levels
    return replace(picture, pixels=pixels, alpha=picture.alpha if _same_size(pixels, picture) else None)


def _same_size(pixels: Tensor, picture: Picture) -> bool:
    return pixels.shape[-2:] == picture.pixels.shape[-2:]


def _stages(stage: str | Degradation) -> list[tuple[Degradation, dict[str, str]]]:
    """Stages, each with the texts that are none of its parameters and so must be unknowns.

    A chain is taken apart, because its stages guess their unknowns from what reaches them.
    """
    if isinstance(stage, Chain):
        return [(one, {}) for one in stage.stages]
    if isinstance(stage, Degradation):
        return [(stage, {})]
    name, values = params.parse(stage)
    cls = registry.load().get("degradations", name)
    fields = {key for d in params.declared(cls) for key in (d.name, d.option)}
    own = {k: v for k, v in values.items() if k in fields or k.replace("-", "_") in fields}
    rest = {k.replace("-", "_"): v for k, v in values.items() if k not in own}
    return [(params.build(cls, own), rest)]


def _unknowns(degradation: Degradation, pixels: Tensor, given: dict[str, str]) -> dict[str, Tensor]:
    channels, height, width = pixels.shape[1:]
    guesses = degradation.unknowns(pixels, (channels, height, width))
    for key, text in given.items():
        if key not in guesses:
            known = [d.name for d in params.declared(type(degradation))] + list(guesses)
            raise UnknownNameError(f"{degradation.name} has no parameter {key!r}.{did_you_mean(key, known)}")
        value = params.convert(text, float, f"{degradation.name}: {key}")
        guesses[key] = torch.full_like(guesses[key], value)
    return degradation.constrain(**guesses) if guesses else {}
