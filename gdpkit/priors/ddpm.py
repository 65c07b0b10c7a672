"""What every DDPM network shares as a prior: the noise level's timestep, the sides, the precision, and the answer."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from gdpkit import functional
from gdpkit.components import Denoised
from gdpkit.errors import GdpkitError
from gdpkit.priors.evaluate import one_by_one
from gdpkit.priors.layers import HALF
from gdpkit.schedule import Schedule

PREDICTIONS = ("epsilon", "v_prediction", "sample")
"""What a network says: the noise n; v = sqrt(abar) n - sqrt(1 - abar) x_0 (Salimans and Ho 2022); or the image x_0."""


def denoise(
    network: Callable[..., Tensor],
    schedule: Schedule,
    noisy: Tensor,
    sigma: float | Tensor,
    *,
    multiple: int,
    label: int | None = None,
    prediction: str = "epsilon",
) -> Denoised:
    """One evaluation of `network(x_t, t[, y])` at the timestep whose noise level is nearest to sigma.

    `noisy` (B, 3, H, W) and `sigma`, a float or (B,), as in `Prior.denoise`. The sides are extended by reflection to
    multiples of `multiple`. `label` is the class of a network that has classes; -1 is none of them.
    """
    sigmas = 2 * functional.levels(sigma, noisy, torch.float64).expand(len(noisy))
    if isinstance(sigma, Tensor):
        steps = schedule.timesteps.to(noisy.device)[schedule.nearest(sigmas)]
    else:  # looked up where the schedule is: a GPU would wait for it to be brought
        at = schedule.timesteps[schedule.nearest(2.0 * sigma)].item()
        steps = torch.full((len(noisy),), at, dtype=torch.long, device=noisy.device)
    wide = sigmas.float()[:, None, None, None]
    x = 2 * noisy - 1
    keep = (1 + wide**2).rsqrt()  # sqrt(abar) of this very sigma, so that a clean image stays what it is
    height, width = noisy.shape[-2:]
    x_t = functional.pad_reflect(x * keep, 0, -width % multiple, 0, -height % multiple)
    classes = () if label is None else (torch.full_like(steps, label),)
    out = one_by_one(network, x_t, steps, *classes)[..., :height, :width]
    said = out[:, :3]
    if prediction == "sample":
        image = said
    elif prediction == "v_prediction":
        image = keep**2 * x - wide * keep * said
    else:
        image = x - wide * said
    return Denoised((image + 1) / 2, (out[:, 3:] + 1) / 2 if out.shape[1] == 6 else None)


def held(precision: str) -> torch.dtype | None:
    """What weights wider than half precision are held in; None: as they come."""
    return {"float16": torch.float16, "bfloat16": torch.bfloat16}.get(precision)


def computed(precision: str, device: torch.device, weights: torch.dtype) -> torch.dtype | None:
    """What layers compute in; None: float32. A CPU is slow in float16, so there float32 stands in for it."""
    if precision == "bfloat16":
        return torch.bfloat16
    if device.type == "cpu":
        return None
    if precision == "float16":
        return torch.float16
    return weights if precision == "auto" and weights in HALF else None


def check_label(label: int, classes: int, what: str) -> None:
    """Raise a `GdpkitError` where a network of so many classes has no such class; a label of -1 is none."""
    if label >= classes:
        has = f"the classes 0 to {classes - 1}" if classes else "no classes; leave label out"
        raise GdpkitError(f"{what}: label={label}, but it has {has}")


def note_on_classes(classes: int, what: str) -> str:
    """What a person should know who gave no class."""
    return (
        f"{what} was trained on {classes} classes and was told none: the mean of all stands in for it; say "
        f"label=0 to label={classes - 1} if you know what is shown"
    )
