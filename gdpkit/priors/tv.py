"""Total variation as a prior without weights, for trials and tests, and as the baseline a network must beat."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gdpkit.components import Denoised, Prior
from gdpkit.params import param

if TYPE_CHECKING:
    from torch import Tensor

ITERATIONS = 12
FIRST_WEIGHT = 0.01
LAST_WEIGHT = 4.0
TYPICAL_MEAN, TYPICAL_SPREAD = 0.5, 0.2


@dataclass(frozen=True)
class TotalVariationPrior(Prior):
    """Total variation: flat areas between sharp edges; no weights, fast, for trials and tests.

    Clean images have density exp(-strength TV(x)), TV the sum over pixels of the length of the gradient of all
    channels together (Bresson and Chan, "Fast dual minimization of the vectorial total variation norm", IPI 2008).
    Denoising gives the most probable image rather than the mean one (Rudin, Osher and Fatemi, Physica D 1992):

        argmin_x |x - noisy|^2 / 2 + strength sigma^2 TV(x),

    by accelerated projected gradients on the dual (Beck and Teboulle, IEEE TIP 2009), coarse to fine. The image's
    mean, which TV leaves free, is drawn to 0.5 as far as the noise leaves it open.
    """

    name = "tv"
    strength: float = param(7.0, help="Weight of total variation, per unit of sigma^2; larger is flatter.", min=0)

    def denoise(self, noisy: Tensor, sigma: float | Tensor) -> Denoised:
        """(B, C, H, W), sigma a float or (B,) -> the most probable clean image; differentiable in `noisy`."""
        import torch

        level = torch.as_tensor(sigma, dtype=noisy.dtype, device=noisy.device).reshape(-1).expand(len(noisy))
        weight = self.strength * level.square()
        # Images are solved together where they need the same levels of the pyramid, and a result never depends on
        # what else is in the batch.
        plans = [_levels(w, *noisy.shape[-2:]) for w in weight.tolist()]
        clean = torch.empty_like(noisy) if len(set(plans)) > 1 else None
        for finest, coarsest in set(plans):
            if clean is None:
                clean = _pyramid(noisy, weight.view(-1, 1, 1, 1), finest, coarsest)
                break
            here = [i for i, plan in enumerate(plans) if plan == (finest, coarsest)]
            part = _pyramid(noisy[here], weight[here].view(-1, 1, 1, 1), finest, coarsest)
            clean = clean.index_copy(0, torch.tensor(here, device=noisy.device), part)
        assert clean is not None
        # E[mean | mean + noise of variance sigma^2 / N] for photographs' means: at the first steps of a sampler,
        # sigma = 78, the mean of a small noisy image would otherwise lie far outside [0, 1].
        pixels = noisy.shape[-2] * noisy.shape[-1]
        keep = 1 / (1 + level.view(-1, 1, 1, 1).square() / (pixels * TYPICAL_SPREAD**2))
        mean = noisy.mean(dim=(2, 3), keepdim=True)
        wanted = TYPICAL_MEAN + keep * (mean - TYPICAL_MEAN)
        return Denoised(clean + (wanted - clean.mean(dim=(2, 3), keepdim=True)))

    def work(self, height: int, width: int) -> tuple[float, float]:
        """About 30 operations a value and iteration on 4/3 of the pixels; the dual and its copies in memory."""
        values = 3 * height * width
        return 30 * ITERATIONS * values * 4 / 3, 12 * 4.0 * values


def _levels(weight: float, height: int, width: int) -> tuple[int, int]:
    """The finest and coarsest level of the pyramid, level k being 2^k times smaller, for a weight at level 0.

    Restricted to images that are constant on 2x2 blocks the problem is the same one, half as large and with half
    the weight: 4 pixels of data and 2 of edge for every block. A spot of contrast 1 survives where its radius exceeds
    twice the weight, so while that is LAST_WEIGHT or more nothing is lost by staying coarse. Under FIRST_WEIGHT the
    iterations reach as far as they need from a start at zero.
    """
    deepest = max(0, math.ceil(math.log2(max(height, width))))
    finest = max(0, math.ceil(math.log2(max(weight, 1e-12) / LAST_WEIGHT)))
    coarsest = max(0, math.ceil(math.log2(max(weight, 1e-12) / FIRST_WEIGHT)))
    return min(finest, deepest), min(coarsest, deepest)


def _pyramid(noisy: Tensor, weight: Tensor, finest: int, coarsest: int) -> Tensor:
    """Solve from the coarsest level to the finest, each starting from the dual of the one before."""
    from torch.nn import functional as F

    images = [noisy]
    for _ in range(coarsest):
        images.append(F.avg_pool2d(images[-1], 2, ceil_mode=True))
    dual = None
    for k in range(coarsest, finest - 1, -1):
        dual = _solve(images[k], weight / 2**k, dual)
    assert dual is not None
    clean = images[finest] + _divergence(*dual)
    if finest:
        clean = F.interpolate(clean, size=noisy.shape[-2:], mode="bilinear", align_corners=False)
    return clean


def _solve(image: Tensor, weight: Tensor, start: tuple[Tensor, Tensor] | None) -> tuple[Tensor, Tensor]:
    """The dual (q_across, q_down), |q| <= weight at every pixel; x = image + div q."""
    import torch
    from torch.nn import functional as F

    least = weight.square().clamp_min(1e-30)
    if start is None:
        across, down = torch.zeros_like(image), torch.zeros_like(image)
    else:
        # Twice: the weight doubles from level to level. What crosses the border is cut off again.
        across, down = (
            2 * F.interpolate(q, size=image.shape[-2:], mode="bilinear", align_corners=False) for q in start
        )
        across = F.pad(across[..., :, :-1], (0, 1, 0, 0))
        down = F.pad(down[..., :-1, :], (0, 0, 0, 1))
    ahead_across, ahead_down, t = across, down, 1.0
    for _ in range(ITERATIONS):
        x = image + _divergence(ahead_across, ahead_down)
        new_across = ahead_across + 0.125 * F.pad(x[..., :, 1:] - x[..., :, :-1], (0, 1, 0, 0))
        new_down = ahead_down + 0.125 * F.pad(x[..., 1:, :] - x[..., :-1, :], (0, 0, 0, 1))
        squared = (new_across.square() + new_down.square()).sum(dim=1, keepdim=True)
        shrink = (least / torch.maximum(squared, least)).sqrt()
        new_across, new_down = new_across * shrink, new_down * shrink
        t_next = (1 + math.sqrt(1 + 4 * t * t)) / 2
        momentum = (t - 1) / t_next
        ahead_across = torch.lerp(across, new_across, 1 + momentum)
        ahead_down = torch.lerp(down, new_down, 1 + momentum)
        across, down, t = new_across, new_down, t_next
    return across, down


def _divergence(across: Tensor, down: Tensor) -> Tensor:
    """Minus the transpose of the forward difference; `across` is 0 in its last column and `down` in its last row."""
    from torch.nn import functional as F

    return across - F.pad(across[..., :, :-1], (1, 0, 0, 0)) + down - F.pad(down[..., :-1, :], (0, 0, 1, 0))
