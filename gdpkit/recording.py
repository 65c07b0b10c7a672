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

from gdpkit import functional, jpeg, jpeg_history
from gdpkit.components import Chain, Degradation
from gdpkit.degradations.jpeg import Jpeg
from gdpkit.degradations.noise import GaussianNoise
from gdpkit.degradations.stored_jpeg import StoredJpeg
from gdpkit.images import Picture

ROUGH = 1.4  # deviations: errors that keep to the edges of blocks are worse than white noise as strong
GRADE = 0.05
LOSSY = 4.0  # deblurring wants so much of a WebP of quality 75; other formats tell nothing either
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


def of_file(picture: Picture, observed: Tensor) -> tuple[Degradation | None, float, str]:
    """How its file recorded a picture, the deviation of what that took in 0..255, and a sentence that tells.

    Told from a JPEG, or from the pixels of another kind of file that was made of one. (None, 0, "") where it was none,
    or where it took little. `observed` is what the degradation accepts of the picture. Where that is grey and the file
    is not, and of files whose cells are not known, there is no recorder, but the error counts.
    """
    coding = picture.coding
    if coding is not None and not coding.steps:
        return None, LOSSY, f"its format keeps less than was seen, which counts as noise of sigma {LOSSY:g}"
    recorder, told = _recorder(picture)
    error = 0.0 if recorder is None else recorder.error(observed)
    if recorder is None or error <= jpeg.FELT:
        return None, 0.0, ""
    error = _graded(math.hypot(recorder.noise_sigma, ROUGH * error))
    note = f"{told}what JPEG took from it counts as noise of sigma {error:.1f}"
    known = observed.shape == picture.pixels.shape and (coding is None or coding.chroma)
    return (recorder if known else None), error, note


def _graded(error: float) -> float:
    """To the nearest of steps of a twentieth, so that photographs that are alike can be restored at once."""
    return math.exp(round(math.log(error) / GRADE) * GRADE)


def _recorder(picture: Picture) -> tuple[Jpeg | None, str]:
    if picture.coding is not None:
        steps, chroma, orientation = astuple(picture.coding)
        return StoredJpeg(steps=steps, chroma=chroma or "4:4:4", orientation=orientation), ""
    quality = jpeg_history.quality(picture.pixels) if picture.bits == 8 else None
    if quality is None:
        return None, ""
    model = Jpeg(quality=quality, chroma=jpeg_history.chroma(picture.pixels, quality))
    return model, f"it was a JPEG of quality {quality} before, say its pixels: "


def known(recorder: Degradation, recorded: Tensor) -> Tensor | None:
    """The weights of what was recorded so that it can be moved, 0 where the cells cannot be told; None where none can.

    Of a recorder with a method of this name, else all that it says is measured.
    """
    own = getattr(recorder, "known", None)
    weight: Tensor | None = own(recorded) if own else recorder.measured(recorded)
    if weight is None:
        weight = torch.ones_like(recorded[:, :1])
    return weight if bool(weight.any()) else None


def moved(recorder: Degradation, predicted: Tensor, recorded: Tensor, weight: Tensor, sigma: float) -> Tensor:
    """What was seen before it was recorded, given what the present estimate predicts; sigma: the noise, in 0..1.

    weight: as `known` tells.
    """
    deviation = predicted.new_full((len(predicted), 1, 1, 1), BELIEF * sigma)
    seen: Tensor | None = recorder.prox(predicted, recorded, deviation, 0.0)  # type: ignore[attr-defined]
    return recorded if seen is None else torch.lerp(recorded, seen, weight)
