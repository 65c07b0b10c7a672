"""Hierarchical guidance: the problem seen smaller is solved first, and its answer guides the larger one.

Fei et al., "Generative diffusion prior for unified image restoration and enhancement", CVPR 2023 (images of any size).
"""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional as F

from gdpkit.components import Degradation, Observation, Prior, Problem
from gdpkit.degradations.crop import Crop
from gdpkit.degradations.downsample import Downsample
from gdpkit.errors import GdpkitError
from gdpkit.objective import EnergyObjective
from gdpkit.views import View

if TYPE_CHECKING:
    from gdpkit.choices import Chosen

FACTORS = (4, 2)
"""How many times smaller each level is than the next: the first that leaves it large enough."""

FAR = 4
"""An image is far larger than those that a prior was trained on from this many times their side."""

LEAST = 64
"""Side in pixels of the smallest level, where the prior does not say what it was trained on."""

DEEP = 16
"""Pixels: what is nearer to something observed the prior fills better itself, as it does scratches."""

SIGMA = 5.0
"""How far the small answer is trusted, in 0..255. Where nothing else tells, 0.3 and 5 gave the same."""


def sizes(problem: Problem, chosen: Chosen) -> list[Problem]:
    """`levels` for these components; the problem alone where the sampler could not use what the smaller ones tell.

    Raises `GdpkitError` there where hierarchy is "on": before the smaller ones are solved, which may take minutes.
    """
    found = levels(problem, chosen.prior, chosen.hierarchy)
    if not chosen.sampler.needs_spectral or len(found) == 1:
        return found
    if not EnergyObjective(problem, chosen.distance, chosen.device).supports("spectral"):
        return [problem]  # of which the sampler says at once what is missing
    for small, large in pairwise(found):
        batch, height, width = small.shape
        aim = EnergyObjective(guided(large, torch.zeros(batch, 3, height, width)), chosen.distance, chosen.device)
        if not aim.supports("spectral"):
            if chosen.hierarchy == "on":
                raise GdpkitError(
                    f"--hierarchy on: the sampler {chosen.sampler.name} needs a singular system, and together with a "
                    "smaller restoration this problem has none; leave the option out, or use --sampler hqs"
                )
            return [problem]
    return found


def levels(problem: Problem, prior: Prior, wish: str = "auto") -> list[Problem]:
    """The problem and what is left of it where it is seen smaller and smaller; the smallest first, the problem last.

    Smaller ones join where the image is far larger than those that the prior was trained on, while the degradations
    have a smaller form (`Degradation.at_scale`) and the small answer would tell the larger problem something
    (`wanted`), down to the training's size. `wish` is "auto", "on" (at every size, with every prior, and of
    degradations that are not linear where all is seen as well), or "off".
    """
    found = [problem]
    size = prior.training_size
    far = size is not None and min(problem.shape[1:]) >= FAR * size
    if wish == "off" or not (far or wish == "on"):
        return found
    least = LEAST if size is None else size
    while (s := _factor(found[0], least)) and wanted(found[0], s, everywhere=wish == "on") is not None:
        small = smaller(found[0], s)
        if small is None or not _tells(small):
            break
        found.insert(0, small)
    return found


def _factor(problem: Problem, least: int) -> int:
    """How many times smaller the next level is; 0 where there is none."""
    return next((s for s in FACTORS if min(problem.shape[1:]) // s >= least), 0)


def smaller(problem: Problem, s: int) -> Problem | None:
    """The problem seen s times smaller: of each observation the means of s x s pixels, all of which must count.

    Sides that are no multiples of s lose the rest. None where a degradation has no such form.
    """
    found = []
    for o in problem.observations:
        degradation = o.degradation.at_scale(s)
        if degradation is None or min(o.image.shape[-2:]) < s:
            return None
        weight = None
        if o.weight is not None:
            worst = -F.max_pool2d(-o.weight, s)
            weight = torch.where(worst > 0, F.avg_pool2d(o.weight, s), 0)
        found.append(Observation(F.avg_pool2d(o.image, s), degradation, o.sigma / s, weight))
    _, height, width = problem.shape
    if any(o.clean_shape[1:] != (height // s, width // s) for o in found):
        return None
    return replace(problem, observations=tuple(found), source=None, guide=None)


def guided(problem: Problem, answer: Tensor | None) -> Problem:
    """The problem with one more thing observed: its answer seen smaller, where nothing else tells (`wanted`)."""
    if answer is None:
        return problem
    _, height, width = problem.shape
    s = height // answer.shape[-2]
    weight = wanted(problem, s, everywhere=True)
    seen: Degradation = Downsample(scale=s)
    if height % s or width % s:
        seen = Crop(bottom=height % s, right=width % s) >> seen
    return replace(problem, guide=Observation(answer.cpu(), seen, SIGMA, weight))


def wanted(problem: Problem, s: int, *, everywhere: bool = False) -> Tensor | None:
    """Where a small answer is to be observed, (B, 1, h, w): 1 for s x s blocks that are far from all observed.

    None where there is no such block; with `everywhere`, all blocks then, unless the problem is linear: where each
    block is measured, that would cost the singular system and tell nothing new.
    """
    if not everywhere and not all(_may_miss(o) for o in problem.observations):
        return None
    seen = torch.stack([_seen(o) for o in problem.observations]).amax(0)
    near = F.max_pool2d(F.max_pool2d(seen, (2 * DEEP + 1, 1), 1, (DEEP, 0)), (1, 2 * DEEP + 1), 1, (0, DEEP))
    blocks = 1 - F.max_pool2d(near, s)
    if blocks.any():
        return blocks
    linear = all(o.degradation.linear for o in problem.observations)
    return torch.ones_like(blocks) if everywhere and not linear else None


def _may_miss(o: Observation) -> bool:
    """Whether some of the image may not be seen: without building the derivative, as `_seen` does."""
    return o.clean_shape[1:] != o.image.shape[-2:] or (o.weight is not None and bool((o.weight == 0).any()))


def _seen(o: Observation) -> Tensor:
    """1 where a pixel of the clean image changes what is observed, (B, 1, H, W)."""
    view = View(o, "cpu")
    grey = torch.full(view.clean_shape, 0.5)
    weight = torch.ones_like(view.image) if view.weight is None else view.weight
    told: Tensor = view.jacobian(grey).transpose(weight).abs().amax(dim=1, keepdim=True)
    return (told > 0).to(grey)


def _tells(problem: Problem) -> bool:
    """Whether anything is measured of each image."""
    views = [View(o, "cpu") for o in problem.observations]
    return all(view.weight is None or bool((view.weight.flatten(1).amax(1) > 0).all()) for view in views)
