"""What the checker of degradations asks of slopes that a pixelwise one tells itself."""

from __future__ import annotations

import torch
from torch import Tensor

from gdpkit.components import Degradation, Unknowns
from gdpkit.exposure import spread
from gdpkit.testing.common import doubles, require, require_close


def check_slopes(d: Degradation, clean: Tensor, unknowns: Unknowns) -> None:
    """`slope` and `slope_of_unknowns` give D(x) and what autograd finds, also for values beyond black and white.

    An unknown that is a map is spread by `gdpkit.exposure.spread`.
    """
    own, of_unknowns = getattr(d, "slope", None), getattr(d, "slope_of_unknowns", None)
    if own is None and of_unknowns is None:
        return
    what = f"{d.name} says that it is pixelwise"
    image = doubles(lambda x: d(x, **{n: u.to(x) for n, u in unknowns.items()}), 1.4 * clean - 0.2)
    known = {n: u.to(image) for n, u in unknowns.items()}
    maps = {n: u if u.shape[-2:].numel() == 1 else spread(u, *image.shape[-2:]) for n, u in known.items()}
    mean = d(image, **known)
    require_close(d(image, **maps), mean, 1e-5, f"{what}: D by maps that were spread, and by their cells")
    if own is not None:
        value, slope = own(image, **known)
        require_close(value, mean, 1e-5, f"{d.name}: slope() gives D(x)")
        leaf = image.clone().requires_grad_()
        (wanted,) = torch.autograd.grad(d(leaf, **known).sum(), leaf)
        require_close(slope, wanted, 1e-4, f"{d.name}: slope() and the derivative in the image")
    if own is not None and hasattr(d, "inner"):
        require(d.shares_inner(d), f"{d.name}: shares_inner() of itself")  # type: ignore[attr-defined]
        inner, bend = d.inner(image)
        value, outer = d.outer_slope(inner, **known)  # type: ignore[attr-defined]
        require_close(value, mean, 1e-5, f"{d.name}: outer_slope() gives D(x)")
        require_close(outer * bend, own(image, **known)[1], 1e-4, f"{d.name}: inner() and outer_slope(), and slope()")
    if own is not None and hasattr(d, "inverse_slope"):
        observed = mean.clamp(0, 1)
        says, steep = d.inverse_slope(observed, **known)
        require_close(says, d.inverse(observed, **known), 1e-5, f"{d.name}: inverse_slope() gives the inverse")  # type: ignore[attr-defined]
        require_close(steep, own(says, **known)[1], 1e-3, f"{d.name}: inverse_slope() and slope() there")
    if of_unknowns is not None:
        value, slopes = of_unknowns(image, **known)
        require_close(value, mean, 1e-5, f"{d.name}: slope_of_unknowns() gives D(x)")
        require(slopes.keys() == known.keys(), f"{d.name}: slope_of_unknowns() tells of {sorted(slopes)}")
        for name in known:
            each = maps[name].expand_as(image).clone().requires_grad_()  # a value of its own for every place
            (wanted,) = torch.autograd.grad(d(image, **{**maps, name: each}).sum(), each)
            require_close(slopes[name], wanted, 1e-4, f"{d.name}: slope_of_unknowns() and the derivative in {name!r}")
