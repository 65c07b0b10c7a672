"""Whether a kernel near to the given one explains a photograph better, so that a mistake in a number is noticed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor

from gdpkit import functional, kernels, weighed_blur
from gdpkit.blind_spectrum import Spectrum, descended
from gdpkit_deblur.noise import middle

BETTER = 0.06
"""So much more of Whittle's likelihood a mean frequency has. With right kernels six photographs had .02 at most, with
noise and with values or light blurred; a disk or a motion wrong by a tenth had .03 to .8, by a fifth mostly .1 to 1."""
DIFFERENT = 0.04  # in proportion
FACTORS = (1.0, 0.8, 0.9, 1.1, 1.25)  # where to start: a motion fits nearly as well where its zeros do again
NEAR = 0.6, 1.7  # in proportion; beyond lies what leaves all to the scene, as a point does
SIDE = 384  # pixels that are looked at

Family = tuple[Callable[..., Tensor], tuple[str, ...], tuple[float, ...], tuple[float, ...]]
FAMILIES: Mapping[str, Family] = {
    "disk": (kernels.disk, ("radius",), (0.5,), (0.5,)),
    "motion": (kernels.motion, ("length", "angle"), (0.5, 2.0), (1.0, -720.0)),
}
"""The function, its parameters, the first steps of the search, and the least values. A gaussian is not told from scenes
that are smooth themselves: in two of six photographs a right one would be taken for a wider one."""


def better(image: Tensor, family: str, given: Mapping[str, Any], error: float, *, light: bool) -> dict[str, float]:
    """The parameters of a kernel that explains the spectrum clearly better; none where the given ones do.

    Args:
        image: (B, C, H, W) in [0, 1].
        family: disk or motion; of others nothing is said.
        given: the parameters of the kernel.
        error: the deviation of known errors, as of JPEG, in the units of the image.
        light: whether light was blurred.
    """
    if family not in FAMILIES:
        return {}
    make, names, steps, least = FAMILIES[family]
    image = middle(image, SIDE)
    error = error * weighed_blur.spread(image) if light else error
    grey = (functional.srgb_decoded(image) if light else image).mean((0, 1))
    spectrum = Spectrum.of(grey, error)

    def cost(values: tuple[float, ...]) -> float:
        return spectrum.misfit(make(*(max(value, low) for value, low in zip(values, least, strict=True))))

    start = tuple(float(given[name]) for name in names)
    begins = [(factor * start[0], *start[1:]) for factor in FACTORS]
    reached = [descended(cost, begin, steps) for begin in begins]
    found = min((p for p in reached if NEAR[0] < p[0] / start[0] < NEAR[1]), key=cost, default=start)
    if cost(start) - cost(found) < BETTER or abs(found[0] / start[0] - 1) < DIFFERENT:
        return {}
    return dict(zip(names, found, strict=True))
