"""Margins of a pure colour, with which programs fill what a frame that they have shifted or turned does not reach."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from gdpkit_hdr import channels

Array = NDArray[Any]
Mask = NDArray[np.bool_]

PURE = 0.04  # of the encoded range, by which a channel may differ from 0 or 1 after a file was made smaller
MIXED = 2  # pixels beside a margin whose colour is mixed with its own


def filled(image: Array, valid: Mask) -> Mask:
    """Where an exposure, (H, W, 3), shows a margin, (H, W): one pure colour from its end inwards.

    Pure is blue, red, green, cyan, magenta or yellow, of channels that are all near 0 or 1. A camera records such
    colours only where both ends of its range cut them off, as of coloured lamps. Of those the ones that touch an end of
    the picture are taken for margins too, which loses little: values that were cut off tell hardly anything. Black and
    white margins are no better seen than dark and burnt parts, which count for nothing as well.

    valid: what the file reaches, (H, W).
    """
    pure: Mask = (channels.brightest(np.minimum(image, 1 - image)) < PURE) & (
        channels.brightest(image) - channels.darkest(image) > 0.5
    )
    if not pure.any():
        return pure
    outside = np.pad((~valid | pure).astype(np.uint8), 1, constant_values=1)
    _, labels = cv2.connectedComponents(outside, connectivity=4)
    margin = (labels == labels[0, 0])[1:-1, 1:-1] & pure
    size = 2 * MIXED + 1
    grown: Mask = cv2.dilate(margin.astype(np.uint8), np.ones((size, size), np.uint8)) > 0
    return grown
