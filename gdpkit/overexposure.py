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
DOUBT = 0.1  # deviation of what white is held to be, in the units of the image, where less is predicted
REACHED = 0.02  # of the light of a pixel: so much from places beyond white, and what was observed is not explained


def seen_in(observation: Observation) -> bool:
    """Whether white says "at least" somewhere."""
    return Overexposed.of(observation, None, observation.image, observation.sigma / 255) is not None


class Overexposed:
    """Where an observation is white, and what its values weigh then: `weight`, (B, C, h, w)."""

    def __init__(self, white: Tensor, own: Tensor | None, recorded: Tensor, sigma: float) -> None:
        """Where it is white, the weights that it has anyhow, what was recorded, and its noise in 0..1."""
        self._white, self._own, self._recorded = white, own, recorded
        self._held = min(1.0, (sigma / DOUBT) ** 2)
        self.weight = self._weighed(torch.zeros_like(recorded))

    @staticmethod
    def of(observation: Observation, own: Tensor | None, recorded: Tensor, sigma: float) -> Overexposed | None:
        """None where nothing is white, or where it was no light that was degraded.

        A lossy file has errors at white too, so that what is white to within them counts.
        """
        if not observation.degradation.optical or observation.degradation.pixelwise:
            return None
        white = recorded >= (WHITE if observation.recorder is None else min(WHITE, 1 - sigma))
        return Overexposed(white, own, recorded, sigma) if bool(white.any()) else None

    def recall(self, predicted: Tensor) -> None:
        """White weighs next to nothing where more than that is predicted, and little where less is."""
        self.weight = self._weighed(self._held * (predicted < self._recorded))

    def restored(self, moved: Tensor) -> Tensor:
        """Values that were moved since, but for those that were white."""
        return torch.where(self._white, self._recorded, moved)

    def deviation(self, predicted: Tensor, lit: Tensor) -> Tensor:
        """Of what an image predicts from what was recorded, where it can tell.

        lit: how much of the light came from places beyond white, `beyond`, which an image does not show as they were.
        """
        return (predicted - self._recorded) * ~(self._white | (lit > REACHED))

    def _weighed(self, white: Tensor) -> Tensor:
        told = torch.where(self._white, white, 1.0)
        return told if self._own is None else self._own * told


def beyond(image: Tensor) -> Tensor:
    """Places as bright as a picture can be, which may have been brighter."""
    return (image >= WHITE).to(torch.float32)
