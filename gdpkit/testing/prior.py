"""The checker of priors."""

from __future__ import annotations

import torch
from torch import Tensor

from gdpkit.components import Prior
from gdpkit.testing.common import check_component, picture, require, require_close, require_finite

SIZES = ((16, 16), (17, 31), (40, 24))
WIDEST_CHECKED = 400


def check_prior(p: Prior) -> None:
    """Raise an AssertionError that says what a prior does wrong. On the CPU, with small images.

    Any size gives an image of that size; sigma may be a float or (B,), and each image of a batch has its own; with
    little noise the input comes back, and a noisy smooth picture comes nearer to the clean one; gradients reach the
    noisy image and agree with a finite difference, the gradient mode is left alone; the answer at sigma = 78, where
    samplers may start, is finite; `receptive_field`, `work`, `weight_bytes` and `variance_fraction` are what they say.
    """
    check_component(p, Prior)
    p.load("cpu")
    with torch.no_grad():
        for size in SIZES:
            _check_size(p, size)
        _check_denoises(p)
        _check_reach(p)
    _check_gradient(p)
    work = p.work(64, 64)
    require(p.weight_bytes >= 0, f"{p.name}: weight_bytes is {p.weight_bytes}")
    if work is not None:
        require(p.weight_bytes <= work[1], f"{p.name}: weight_bytes is {p.weight_bytes}, and work(64, 64) is {work}")
        more = p.work(128, 128)
        grows = more is not None and 0 <= work[0] <= more[0] and 0 <= work[1] <= more[1]
        require(grows, f"{p.name}: work(64, 64) is {work}, work(128, 128) is {more}")
    digest = p.sha256
    require(digest is None or len(digest) == 64, f"{p.name}: sha256 is {digest!r}, not 64 hexadecimal digits")


def _noisy(size: tuple[int, int], sigma: float, batch: int = 2) -> tuple[Tensor, Tensor]:
    clean = picture(batch, 3, *size)
    return clean, clean + sigma * torch.randn(clean.shape, generator=torch.Generator().manual_seed(1))


def _check_size(p: Prior, size: tuple[int, int]) -> None:
    _, noisy = _noisy(size, 0.1)
    before = noisy.clone()
    answer = p.denoise(noisy, 0.1)
    what = f"{p.name} at {size[1]}x{size[0]} pixels"
    require(torch.equal(noisy, before), f"{p.name} changes its input in place")
    require(answer.clean.shape == noisy.shape, f"{what} gives {tuple(answer.clean.shape)} for {tuple(noisy.shape)}")
    require(answer.clean.dtype == noisy.dtype, f"{what} turns float32 into {answer.clean.dtype}")
    require(not answer.clean.is_inference(), f"{p.name} computes in inference mode; use no_grad where you must")
    require_finite(answer.clean, what)
    if answer.variance_fraction is not None:
        v = answer.variance_fraction
        require(
            v.shape == noisy.shape, f"{what}: variance_fraction has shape {tuple(v.shape)}, not {tuple(noisy.shape)}"
        )
    each = p.denoise(noisy, torch.tensor([0.1, 0.1])).clean
    require_close(each, answer.clean, 1e-5, f"{what}: sigma as a float and as (B,)")
    mixed = p.denoise(noisy, torch.tensor([0.03, 0.3])).clean
    for i, sigma in enumerate((0.03, 0.3)):
        alone = p.denoise(noisy[i : i + 1], sigma).clean
        require_close(alone, mixed[i : i + 1], 1e-4, f"{what}: image {i} alone, and in a batch with another sigma")


def _check_denoises(p: Prior) -> None:
    clean, nearly = _noisy((32, 32), 1e-3)
    moved = float((p.denoise(nearly, 1e-3).clean - nearly).abs().max())
    require(
        moved < 0.03, f"{p.name}: with noise of 0.001 the image should hardly change, but a pixel moves by {moved:.3g}"
    )
    for sigma in (0.05, 0.2):
        clean, noisy = _noisy((32, 32), sigma)
        error = float((p.denoise(noisy, sigma).clean - clean).square().mean().sqrt())
        require(
            error < 0.9 * sigma,
            f"{p.name}: noise of {sigma} on a smooth picture leaves an error of {error:.3g}, no less",
        )
    _, hidden = _noisy((32, 32), 78.0)
    require_finite(p.denoise(hidden, 78.0).clean, f"{p.name} at sigma 78")


def _check_reach(p: Prior) -> None:
    field = p.receptive_field
    if field is None:
        return
    require(isinstance(field, int) and field > 0, f"{p.name}: receptive_field is {field!r}, not a number of pixels")
    if field > WIDEST_CHECKED:
        return
    _, noisy = _noisy((16, field // 2 + 16), 0.1, batch=1)
    other = noisy.clone()
    other[..., -1] += 0.5
    # The last column may reach half a receptive field to the left, and the first columns lie beyond that.
    beyond = other.shape[-1] - 1 - field // 2
    changed = (p.denoise(other, 0.1).clean - p.denoise(noisy, 0.1).clean)[..., :beyond].abs().max()
    require(
        float(changed) < 1e-5,
        f"{p.name}: receptive_field is {field}, but a pixel further away than half of it changes the output",
    )


def _check_gradient(p: Prior) -> None:
    require(torch.is_grad_enabled(), "check_prior must be called with gradients enabled")
    _, noisy = _noisy((24, 24), 0.1, batch=1)
    leaf = noisy.clone().requires_grad_()
    clean = p.denoise(leaf, 0.1).clean
    require(torch.is_grad_enabled(), f"{p.name} leaves gradients switched off")
    require(clean.requires_grad, f"{p.name}: no gradient reaches the noisy image; a prior never sets the gradient mode")
    generator = torch.Generator().manual_seed(2)
    along = torch.randn(clean.shape, generator=generator)
    (gradient,) = torch.autograd.grad((clean * along).sum(), leaf)
    require_finite(gradient, f"{p.name}: the gradient")
    direction = torch.randn(noisy.shape, generator=generator)
    step = 1e-3
    with torch.no_grad():
        quiet = p.denoise(noisy + step * direction, 0.1).clean
        require(not quiet.requires_grad, f"{p.name} switches gradients on under no_grad")
        change = (quiet - p.denoise(noisy - step * direction, 0.1).clean) / (2 * step)
    found, wanted = float((gradient * direction).sum()), float((change * along).sum())
    size = float((gradient * direction).norm() + (change * along).norm()) + 1e-6
    require(
        abs(found - wanted) < 0.1 * size,
        f"{p.name}: the gradient along a direction is {found:.4g}, a finite difference gives {wanted:.4g}",
    )
