"""Grey photographs: their noise made white among the channels, as the priors of colour photographs know it."""

from __future__ import annotations

from torch import Tensor

from gdpkit import noise
from gdpkit.components import Degradation

FELT = 1.0  # of 0..255: weaker noise, as of rounding, is alike in the channels without harm


def channels(image: Tensor) -> int:
    """Of how many channels (B, C, H, W) the noise is its own: of one where all are alike."""
    return 1 if bool((image == image[:, :1]).all()) else image.shape[1]


def told(sigma: float, is_grey: bool) -> float:
    """What a prior of colour photographs is told of noise, 0..255, that is alike in three channels.

    All of it lies on one of three axes of colour: as much as of noise that has sqrt(3) times that in every channel.
    """
    return 3**0.5 * sigma if is_grey and sigma >= FELT else sigma


def is_seen_in_place(degradation: Degradation, observed: Tensor) -> bool:
    """Whether D shows each pixel of a picture (B, 1, H, W) by itself and where it is, or not at all."""
    _, height, width = observed.shape[1:]
    shape = (3, height, width)
    if not degradation.linear or degradation.clean_shape(shape) != shape or degradation.unknowns(observed, shape):
        return False
    system = degradation.spectral(shape)
    return system is not None and system.pixelwise


def coloured(observed: Tensor, sigma: float, weight: Tensor | None) -> Tensor:
    """A grey picture with noise of sigma (0..255) over the root of its weights, in colour with sqrt(3) times that.

    (B, 1, H, W) -> (B, 3, H, W), of the same mean over the channels; values may leave [0, 1]. Repeated in three
    channels the noise would be alike in all, which no prior has seen: all on one of three axes of colour. What it lacks
    on the others is added. Where the weight is 0 nothing is.
    """
    spread = 1.0 if weight is None else (weight > 0) / weight.clamp_min(1e-30).sqrt()
    seeded = noise.SeededNoise(0, [noise.digest(image) for image in observed])
    drawn = seeded.normal((len(observed), 3, *observed.shape[2:]), observed.device)
    return observed + 3**0.5 * sigma / 255 * spread * (drawn - drawn.mean(dim=1, keepdim=True))
