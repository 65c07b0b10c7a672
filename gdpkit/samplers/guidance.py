"""Guidance whose strength follows from the noise: Morozov's discrepancy principle."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from gdpkit.components import Objective
from gdpkit.samplers import membrane

BORNE = 1.2  # discrepancy of noisy observations, a tenth in sigma
CLIPPINGS = 12
LITTLE = 0.99  # what a round leaves of the discrepancy where more rounds would not bring it to the noise
POWER_ITERATIONS = 12
COARSE_TO_FINE = ((64, 1), (32, 2), (16, 3), (8, 4), (4, 6), (2, 16))  # widths in pixels, and how often each
MIXED = 2.0  # see `informed`
PROBE = 1e-2  # the size of the difference that tells the curvature, in the units of the image
SHORTEST, FURTHEST = 0.5, 1.5  # steps of the relaxation
DOUBLINGS = 4  # sixteen times the sigma that the sampler trusts; what then is left is the model's, not the noise


def descend_to_noise(objective: Objective, x: Tensor) -> Tensor:
    """The step from x along -grad E to where the residual is that of the noise, (B, 3, H, W).

    Goes to the first point of the line where the discrepancy is 1, or to the line's minimum where it stays above or
    where quality losses guide as well; without losses, nowhere if x already fits. E is taken to be a parabola along the
    line, which it is for linear degradations and squared error; its curvature is read off one more evaluation of E.
    """
    gradient = objective.gradient(x)
    # In float64: the noise of a 16-bit file is 4e-6, and the square of the slope would overflow.
    slope = gradient.double().square().flatten(1).sum(1)
    energy = objective.energy(x).double()
    trial = energy / slope.clamp_min(1e-30)
    moved = x - trial.to(x.dtype).view(-1, 1, 1, 1) * gradient
    curvature = 2 * (objective.energy(moved) - energy + trial * slope) / trial.square().clamp_min(1e-60)
    curvature = curvature.clamp_min(1e-30)
    if objective.supports("losses"):
        length = slope / curvature
    else:
        excess = energy * (1 - 1 / objective.discrepancy(x).clamp_min(1e-30)).clamp_min(0)
        length = (slope - (slope**2 - 2 * curvature * excess).clamp_min(0).sqrt()) / curvature
    return -length.to(x.dtype).view(-1, 1, 1, 1) * gradient


def known_noise(objective: Objective) -> tuple[float, float]:
    """How well the observations alone know the image: the noise of its best and of its worst known component.

    In the units of the image, sigma / s for singular values s; infinite for the worst where something is not seen.
    Without a singular system the best follows from the largest curvature of E, told or searched for, and the worst
    counts as unseen.
    """
    if objective.supports("spectral"):
        parts = objective.spectral().parts
        best = max(float(m.system.values.max()) / m.sigma for m in parts)
        least = min(float(m.system.values.min()) / m.sigma for m in parts)
        whole = sum(m.observed[0].numel() for m in parts) >= math.prod(objective.shape[1:])
        return 1 / max(best, 1e-30), 1 / least if least > 0 and whole else math.inf
    return (objective.sharpness() or sharpest(objective)) ** -0.5, math.inf


def sharpest(objective: Objective) -> float:
    """The largest eigenvalue of half the Hessian of E at a grey image, of the whole batch, by power iteration."""
    x = torch.full(objective.shape, 0.5, device=objective.device)
    generator = torch.Generator().manual_seed(0)
    direction = torch.randn(objective.shape[1:], generator=generator).to(x).expand_as(x)
    value, base = 0.0, objective.gradient(x)
    for _ in range(POWER_ITERATIONS):
        direction = PROBE * direction / direction.square().mean().sqrt().clamp_min(1e-30)
        bent = (objective.gradient(x + direction) - base) / 2
        value = float(bent.norm() / direction.norm())
        direction = bent
    return max(value, 1e-30)


def is_noisy(objective: Objective) -> bool:
    """Whether linear observations have noise of a level of 255 or more; where their sigma is not told, they do."""
    if not objective.supports("spectral"):
        return objective.supports("linear")
    return objective.supports("linear") and max(m.sigma for m in objective.spectral().parts) > 0.999 / 255


def axis_of_colour(objective: Objective) -> Tensor | None:
    """The one direction (3,) of RGB, of unit length, of which the observations tell, all that they tell equally well.

    That of grey pictures is their weights. None where more is seen, or some better than the rest.
    """
    if not objective.supports("spectral") or len(objective.spectral().parts) > 1:
        return None
    system = objective.spectral().system
    s = system.values
    if not (s > 0).any() or s.max() > (1 + 1e-4) * s[s > 0].min():
        return None
    trial = torch.randn(1, *objective.shape[1:], generator=torch.Generator().manual_seed(0)).to(objective.device)
    colours = system.synthesise((s > 0).to(trial) * system.analyse(trial))[0]
    del trial
    # Sums in float64 without an image in it: of large images every tensor counts.
    sums = [[(a * b).sum(dtype=torch.float64) for b in colours] for a in colours]
    powers, axes = torch.linalg.eigh(torch.stack([torch.stack(row) for row in sums]))
    return axes[:, -1].float() if powers[-2] <= 1e-6 * powers[-1] else None


def noise_of_colour(objective: Objective, axis: Tensor, drawn: Tensor) -> Tensor:
    """White noise (B, 3, H, W) without what lies along `axis`, as strong as unit noise of what is seen is in a pixel.

    The means of blocks of n pixels have a sqrt(n)-th of their noise in each.
    """
    seen = objective.spectral().observed[0].numel() / math.prod(drawn.shape[2:])
    along = axis.view(1, 3, 1, 1)
    return math.sqrt(seen) * (drawn - along * (along * drawn).sum(1, keepdim=True))


def known(objective: Objective, sigma: float) -> Tensor:
    """What the observations know better than sigma, on grey."""
    return informed(objective, torch.full(objective.shape, 0.5, device=objective.device), sigma)


def smooth(objective: Objective, sigma: float) -> Tensor:
    """A smooth image that explains the observations: what they leave open is filled in from coarse to fine.

    A start from plain grey would leave the grey where thin things are lost, as the prior sees no noise there to remove.
    """
    x = objective.prox(torch.full(objective.shape, 0.5, device=objective.device), sigma)
    if not objective.supports("spectral"):  # where a proximal step takes many iterations, this would take longest
        return x
    # A filter leaves nothing open but what is finer than a pixel or two: once does, and its data steps take longer.
    repeated = all(m.system.pixelwise for m in objective.spectral().parts)
    filled = membrane.filled(objective, x, sigma) if repeated else None
    if filled is not None:
        x = filled[0]
    for width, times in COARSE_TO_FINE:
        done = filled[1] if filled is not None and width >= membrane.BLOCK else None
        if width >= min(x.shape[-2:]) or (done is not None and bool(done.all())):
            continue
        for _ in range(times if repeated else 1):
            smoother = objective.prox(_blurred(x, width), sigma)
            x = smoother if done is None else torch.where(done, x, smoother)
    return x


def _blurred(x: Tensor, width: int) -> Tensor:
    """By a triangle of about 2 width pixels, at a cost that does not depend on the width; borders replicate.

    Wide ones are the means of blocks joined by straight lines. The narrowest, which is repeated most, is exact: the
    places of blocks would show in it.
    """
    if width == 2:
        x = F.pad(x, (1, 1, 1, 1), mode="replicate")
        for _ in range(2):
            x = x[..., 1:] + x[..., :-1]
        for _ in range(2):
            x = x[..., 1:, :] + x[..., :-1, :]
        return x.mul_(1 / 16)
    height, rest = x.shape[-2:]
    means = F.avg_pool2d(x, width, ceil_mode=True, count_include_pad=False)
    return F.interpolate(means, scale_factor=float(width), mode="bilinear")[..., :height, :rest]


def informed(objective: Objective, x: Tensor, sigma: float, after: float | None = None) -> Tensor:
    """x, of which the observations replace what they know better than sigma.

    What they know less well is left to the prior: a mixture would carry noise of a colour that no network was shown. So
    no component of the result has more noise than sigma. Without a singular system, the proximal step.

    Where pixels are observed with noise that differs from one to the next, as of several exposures, a mixture has noise
    that is as white. There each is mixed to have that of `after`, the level that the prior is told next, or less: one
    replaced wholly would still be noisy when the levels have passed it by. What is more than MIXED times as noisy as
    sigma is left to the prior.
    """
    if not objective.supports("spectral"):
        return prox_to_noise(objective, x, sigma)
    measured = objective.spectral()
    mixed = after is not None and len(measured.parts) == 1 and measured.system.uneven

    def gain(s: Tensor) -> Tensor:
        if after is not None and mixed:
            share = (s * after / measured.sigma).clamp_max(1)
            asked = (s * (sigma * MIXED)).sub_(measured.sigma * (1 - 1e-6)).sign_().clamp_min_(0)
            return share.mul_(asked).div_(s.clamp_min(1e-30))
        return (s * sigma >= measured.sigma * (1 - 1e-6)) / s.clamp_min(1e-30)

    return measured.moved(x, gain)


def relaxation(before: Tensor, denoised: Tensor, answered: Tensor) -> Tensor:
    """How far to go from `before` to `answered`, of each image, (B, 1, 1, 1): a half to one and a half.

    `answered` is what the data step makes of `denoised`. It follows from the share of the prior's change, as energy,
    that the observations take back. Where they take back nearly all, as with pixels lost among known ones, what is open
    follows slowly: over-relaxation. Where they take back little, as with detail that a blur removed, the prior is free,
    and full steps would go on to the most probable picture, which is too sharp (docs/method.md has what it brings).
    """
    taken = (answered - denoised).square_().flatten(1).mean(1)
    moved = (denoised - before).square_().flatten(1).mean(1)
    share = taken / moved.clamp_min(1e-30)
    return (2.5 * share - 1).clamp(SHORTEST, FURTHEST).view(-1, 1, 1, 1)


def told(objective: Objective, sigma: float) -> Tensor | None:
    """The share of each block of `membrane.BLOCK` pixels that the observations know better than sigma, (B, 3, h, w).

    None where no block is open, or where the image is not seen pixel by pixel.
    """
    if not objective.supports("spectral") or not all(m.system.pixelwise for m in objective.spectral().parts):
        return None
    left = informed(objective, torch.ones(objective.shape, device=objective.device), sigma)
    found = 1 - membrane.means(left.sub_(informed(objective, torch.zeros_like(left), sigma)))
    return found if bool(membrane.open_wide(found).any()) else None


def blended(objective: Objective, x: Tensor, told: Tensor | None, sigma: float, after: float) -> Tensor:
    """`informed`, and what that changes around wide holes goes on into them; `told` tells where they are.

    As in the seamless cloning of Pérez et al., "Poisson image editing", SIGGRAPH 2003, a hole keeps the texture of x
    and takes its level from what is observed around it. A network that is shown less noise than it is told is some
    levels off, the embedded one towards red where it is dark; without observations that would add up from step to step.
    """
    if told is None:
        return informed(objective, x, sigma, after)
    further = membrane.continued(informed(objective, x, sigma, after) - x, told)
    return informed(objective, further.add_(x), sigma, after)


def faithful(objective: Objective, x: Tensor, sigma: float) -> Tensor:
    """x where it explains the observations to within their noise; elsewhere the nearest that does, in [0, 1].

    Noise that was estimated may be a tenth too small, and an image that is made to explain the rest takes on noise: so
    of noisy observations more is borne, as usual in Morozov's principle.
    """
    most = BORNE if is_noisy(objective) else 1.0
    if objective.supports("brighter"):
        fits = (objective.discrepancy(x) <= most).view(-1, 1, 1, 1)
        return (x if fits.all() else torch.where(fits, x, prox_to_noise(objective, x, sigma))).clamp(0, 1)
    clipped = x.clamp(0, 1)
    fits = objective.discrepancy(clipped) <= most
    if fits.all():
        return clipped
    if not fits.any():
        del clipped
        return prox_within_range(objective, x, sigma)
    return torch.where(fits.view(-1, 1, 1, 1), clipped, prox_within_range(objective, x, sigma))


def prox_to_noise(objective: Objective, x: Tensor, sigma: float) -> Tensor:
    """`objective.prox(x, sigma)`, where need be with a larger sigma, until the residual is no larger than the noise.

    x is trusted to within sigma; where that leaves more residual than noise can explain, x is worse than sigma says.
    """
    z = objective.prox(x, sigma)
    for _ in range(DOUBLINGS):
        unexplained = objective.discrepancy(z) > 1
        if not unexplained.any():
            break
        sigma = 2 * sigma
        z = torch.where(unexplained.view(-1, 1, 1, 1), objective.prox(x, sigma), z)
    return z


def prox_within_range(objective: Objective, x: Tensor, sigma: float) -> Tensor:
    """`prox_to_noise` among images in [0, 1], by Dykstra's alternation (Bauschke & Combettes 2008).

    Clipping alone would darken what is as bright as a picture can be: a white sky, or paper. An image that a round
    brought no nearer is left as it is.
    """
    z = prox_to_noise(objective, x, sigma)
    clipped = z.clamp(0, 1)
    correction = z - clipped
    del z  # as large as the image
    before = x.new_full((len(x),), math.inf)
    wrong = torch.ones_like(before, dtype=torch.bool)
    for _ in range(CLIPPINGS):
        left = objective.discrepancy(clipped)
        wrong = wrong & (left > 1) & (left < LITTLE * before)
        before = left
        if not wrong.any():
            break
        z = prox_to_noise(objective, clipped, sigma) + correction
        again = z.clamp(0, 1)
        correction = z - again
        del z
        clipped = torch.where(wrong.view(-1, 1, 1, 1), again, clipped)
    return clipped
