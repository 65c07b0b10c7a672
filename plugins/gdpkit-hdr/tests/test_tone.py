"""Tone mapping."""

from __future__ import annotations

import cv2
import numpy as np
from gdpkit_hdr import response, tone


def test_fusion_keeps_the_hue_of_a_wall_that_the_long_exposure_clips() -> None:
    """A lamp on a tinted wall: channels clip one after the other, which made rings of other hues on it."""
    y, x = np.mgrid[-1:1:128j, -1:1:160j]
    light = 0.03 + 0.7 * np.exp(-3 * (x * x + y * y))[..., None] * np.ones(3)
    light = (light * np.array([0.9, 1.0, 1.2])).astype(np.float32)
    fused = tone.fused([response.encoded(light * np.float32(2.0**s)).clip(0, 1) for s in (-3.0, 0.0, 2.0)])
    _, red, blue = cv2.split(cv2.cvtColor(fused, cv2.COLOR_RGB2YCrCb))
    assert np.ptp(np.degrees(np.arctan2(red - 0.5, blue - 0.5))) < 6
