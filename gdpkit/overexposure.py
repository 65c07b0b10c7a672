"""What a camera saw brighter than white: of degradations that happen to light before the sensor clips it.

A lamp that a moving camera drew into a line was far brighter than white, and so was what lies within the kernel of a
white sky. Taken for white, it would be undone to rings and bars all around. So where a picture is white it says "at
least white": nothing where the present estimate predicts more (outlier handling as in Cho, Wang & Lee, "Handling
outliers in non-blind image deconvolution", ICCV 2011, where such pixels lose their weight), and else white. The image
may go beyond 1 there, and the sampler cuts it off at its end.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from gdpkit.components import Observation

WHITE = 1 - 0.4 / 255
DOUBT = 0.1
REACHED = 0.02  # of the light of a pixel: so much from places beyond white, and what was observed is not explained


def of(observation: Observation) -> Tensor | None:
    """Where it says "at least", as a mask like its image; None where it does so nowhere.

    A lossy file has errors at white too, so that what is white to within them counts.
    """
    if not observation.degradation.optical:
        return None
    white = WHITE if observation.recorder is None else min(WHITE, 1 - observation.sigma / 255)
    found = observation.image >= white
    return found if bool(found.any()) else None


def weight(own: Tensor | None, overexposed: Tensor, lacking: Tensor | None, sigma: float, like: Tensor) -> Tensor:
    """Of each value: its own, but next to none where it is white and more than that is predicted, and little where less is.

    lacking: how much less than white is predicted; before anything is, white tells nothing anywhere.
    sigma: the noise, in 0..1.
    """
    held = min(1.0, (sigma / DOUBT) ** 2)
    white = torch.zeros_like(like) if lacking is None else held * (lacking > 0)
    told = torch.where(overexposed, white, 1.0)
    return told if own is None else own * told


def lit(blur_of_beyond: Tensor) -> Tensor:
    """Where light from beyond white fell, given D of the mask of such places."""
    return blur_of_beyond > REACHED


def beyond(image: Tensor) -> Tensor:
    """Places as bright as a picture can be, which may have been brighter."""
    return (image >= WHITE).to(torch.float32)
