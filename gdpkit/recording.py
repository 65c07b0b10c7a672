"""Files that keep less than was seen: stages of a chain that round, as JPEG does, taken for noise and put right later.

The derivative of rounding tells nothing, and one that passes over it makes the inverse of a blur answer to every value
that changes its cell. So a chain is restored with the error of the rounding for noise, and what was observed moves
within the cells of the file towards the present estimate (`Observation.recorder`), as in expectation maximisation.
"""

from __future__ import annotations

import math
from dataclasses import astuple, replace

import torch
from torch import Tensor

from gdpkit import functional
from gdpkit.components import Chain, Degradation
from gdpkit.degradations.noise import GaussianNoise
from gdpkit.degradations.stored_jpeg import StoredJpeg
from gdpkit.images import Picture

FELT = 0.5  # of 0..255: less is hardly more than the rounding of levels
ROUGH = 1.4  # deviations: errors that keep to the edges of blocks are worse than white noise as strong
BELIEF = 1.4  # deviations of the noise: how far a prediction may be from what was seen


def apart(degradation: Degradation, observed: Tensor) -> tuple[Degradation, Degradation | None]:
    """A chain whose stages that round are noise instead, and its last stage if it rounds: the recorder.

    Any other degradation as it is, a single stage too. `observed` is (B, C, H, W).
    """
    if not isinstance(degradation, Chain):
        return degradation, None
    stages = list(degradation.stages)
    channels, height, width = observed.shape[1:]
    for i, stage in enumerate(stages):
        later = Chain(stages=tuple(stages[i + 1 :]))
        put_out = later.clean_shape((channels, height, width))
        error = stage.error(functional.resize(functional.with_channels(observed, put_out[0]), put_out[1:]))
        if error is not None:
            stages[i] = GaussianNoise(sigma=min(255.0, math.hypot(stage.noise_sigma, ROUGH * error)))
    if stages == list(degradation.stages):
        return degradation, None
    last = degradation.stages[-1]
    return replace(degradation, stages=tuple(stages)), last if hasattr(last, "prox") and stages[
        -1
    ] is not last else None


def of_file(picture: Picture) -> tuple[Degradation | None, float]:
    """How its file recorded a picture, and the deviation of what that took in 0..255; (None, 0) where it is little."""
    if picture.coding is None:
        return None, 0.0
    steps, chroma, orientation = astuple(picture.coding)
    recorder = StoredJpeg(steps=steps, chroma=chroma, orientation=orientation)
    error = recorder.error(picture.pixels)
    return (recorder, math.hypot(recorder.noise_sigma, ROUGH * error)) if error > FELT else (None, 0.0)


def moved(recorder: Degradation, predicted: Tensor, recorded: Tensor, weight: Tensor | None, sigma: float) -> Tensor:
    """What was seen before it was recorded, given what the present estimate predicts; sigma: the noise, in 0..1.

    weight: what the recorder says is measured; of blocks whose cells cannot be told it is 0.
    """
    deviation = predicted.new_full((len(predicted), 1, 1, 1), BELIEF * sigma)
    seen: Tensor | None = recorder.prox(predicted, recorded, deviation, 0.0)  # type: ignore[attr-defined]
    if seen is None:
        return recorded
    return seen if weight is None else torch.lerp(recorded, seen, weight)
