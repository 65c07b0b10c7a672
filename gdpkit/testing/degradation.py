"""The checker of degradations, and the matrix of a linear one."""

from __future__ import annotations

import math
import warnings
from typing import Any

import torch
from torch import Tensor

from gdpkit.components import Chain, Degradation, Shape, Unknowns
from gdpkit.noise import SeededNoise
from gdpkit.testing.common import (
    check_component,
    check_derivative,
    doubles,
    picture,
    require,
    require_close,
    require_finite,
)
from gdpkit.testing.slopes import check_slopes
from gdpkit.testing.systems import check_near, check_spectral, check_transposed


def matrix(degradation: Degradation, shape: Shape) -> Tensor:
    """A linear degradation of (C, H, W) images as a dense float64 matrix, (M, C H W); for small images."""
    pixels = torch.eye(math.prod(shape), dtype=torch.float64).reshape(-1, *shape)
    columns: Tensor = degradation(doubles(degradation, pixels)).flatten(1).T
    return columns.double()


def check_degradation(d: Degradation, shape: Shape = (3, 32, 32)) -> None:
    """Raise an AssertionError that says what a degradation does wrong, for a clean image of this (C, H, W).

    A frozen dataclass with name, docstring and help; float32 in and out, the same answer twice, each image of a
    batch by itself, the input left alone; `clean_shape` and `accept` agree with what comes out; gradients in the image
    and the unknowns agree with finite differences, by `torch.autograd` and by `torch.func` alike; a linear one is
    linear, `adjoint` is its transpose, `pinv` its pseudo-inverse, `spectral` its singular system; the slopes that a
    pixelwise one tells are those of autograd; unknowns lead with the batch, `constrain` is idempotent; `noise_sigma`,
    `propagate` and `simulate` agree with one another.

    A class with `surrogate_gradient = True` (rounding, a codec) gives a useful gradient that is not its derivative;
    of it only finite gradients are asked.
    """
    for stage in d.stages if isinstance(d, Chain) else (d,):
        check_component(stage, Degradation)
    clean = picture(2, *canonical_shape(d, shape))
    unknowns = guesses(d, clean)
    for name, value in unknowns.items():
        what = f"{d.name}: unknown {name!r}"
        require(value.ndim > 0 and len(value) == 2, f"{what} has shape {tuple(value.shape)}; it must lead with B")
        require(value.dtype == torch.float32, f"{what} is {value.dtype}, not float32")
        require_finite(value, what)
    observed = _check_call(d, clean, unknowns)
    _check_shapes(d, clean, observed)
    _check_unknowns(d, clean, unknowns, observed)
    _check_gradients(d, clean, unknowns)
    if d.linear:
        _check_linear(d, clean, unknowns)
    if d.pixelwise:
        _check_pixelwise(d, clean, unknowns, observed)
    _check_noise(d, clean, unknowns, observed)


def guesses(d: Degradation, clean: Tensor) -> Unknowns:
    """The guesses that an observation of this image gives, which needs guesses itself: first those from the image."""
    channels, height, width = clean.shape[1:]
    return d.unknowns(d(clean, **_from_clean(d, clean)), (channels, height, width))


def _from_clean(d: Degradation, clean: Tensor) -> Unknowns:
    """Guesses before there is an observation: the stages of a chain guess in turn, from what reaches them."""
    found: Unknowns = {}
    for i, stage in enumerate(d.stages if isinstance(d, Chain) else (d,)):
        channels, height, width = clean.shape[1:]
        first = stage.unknowns(clean, (channels, height, width))
        clean = stage(clean, **first)
        found |= {f"{i}.{name}" if isinstance(d, Chain) else name: value for name, value in first.items()}
    return found


def canonical_shape(d: Degradation, shape: Shape) -> Shape:
    """The size of the clean image behind an observation of an image of this shape: whole blocks, three channels."""
    clean = picture(2, *shape)
    channels, height, width = d(clean, **guesses(d, clean)).shape[1:]
    found = d.clean_shape((channels, height, width))
    again = picture(2, *found)
    seen = tuple(d(again, **guesses(d, again)).shape[1:])
    require(
        seen == (channels, height, width),
        f"{d.name}: an image of {shape} gives one of {(channels, height, width)}, and clean_shape() of that is "
        f"{found}, but an image of {found} gives one of {seen}",
    )
    return found


def _one(unknowns: Unknowns, i: int) -> Unknowns:
    return {name: value[i : i + 1] for name, value in unknowns.items()}


def _check_call(d: Degradation, clean: Tensor, unknowns: Unknowns) -> Tensor:
    before = clean.clone()
    observed = d(clean, **unknowns)
    require(torch.equal(clean, before), f"{d.name} changes its input in place")
    require(observed.dtype == torch.float32, f"{d.name} turns float32 into {observed.dtype}")
    require(
        observed.ndim == 4 and len(observed) == len(clean) and observed.shape[1] in (1, 3),
        f"{d.name} gives {tuple(observed.shape)}, not (B, 1 or 3, H, W)",
    )
    require_finite(observed, f"{d.name}: the output")
    require(torch.equal(observed, d(clean, **unknowns)), f"{d.name} is random; noise belongs in `simulate`")
    for i in range(len(clean)):
        alone = d(clean[i : i + 1], **_one(unknowns, i))
        require_close(alone, observed[i : i + 1], 1e-5, f"{d.name}: image {i} alone and in a batch")
    return observed


def _check_shapes(d: Degradation, clean: Tensor, observed: Tensor) -> None:
    channels, height, width = observed.shape[1:]
    found, wanted = tuple(d.clean_shape((channels, height, width))), tuple(clean.shape[1:])
    require(found == wanted, f"{d.name}: clean_shape() says {found}, where an image of {wanted} gave the observation")
    accepted = d.accept(picture(2, 3, height, width))
    require(
        accepted.shape[1] == channels or wanted[0] == 1,
        f"{d.name} observes {channels} channel(s), but accept() makes {accepted.shape[1]} of a colour picture",
    )
    smaller = d.at_scale(2)
    require(smaller is None or isinstance(smaller, Degradation), f"{d.name}: at_scale(2) is {type(smaller).__name__}")


def _check_unknowns(d: Degradation, clean: Tensor, unknowns: Unknowns, observed: Tensor) -> None:
    channels, height, width = clean.shape[1:]
    together = d.unknowns(observed, (channels, height, width))
    for i in range(len(clean)):
        alone = d.unknowns(observed[i : i + 1], (channels, height, width))
        require(alone.keys() == unknowns.keys(), f"{d.name}: the names of the unknowns change: {sorted(alone)}")
        for name, value in alone.items():
            require_close(
                value, together[name][i : i + 1], 1e-5, f"{d.name}: {name!r} of image {i} alone and in a batch"
            )
    generator = torch.Generator().manual_seed(2)
    for spread in (0.0, 0.5):
        moved = {n: u + spread * torch.randn(u.shape, generator=generator) for n, u in unknowns.items()}
        once = d.constrain(**moved)
        require(
            {n: u.shape for n, u in once.items()} == {n: u.shape for n, u in moved.items()},
            f"{d.name}: constrain() changes the names or shapes of the unknowns",
        )
        twice = d.constrain(**once)
        for name, value in once.items():
            require_finite(value, f"{d.name}: constrain() of {name!r}")
            require_close(twice[name], value, 1e-4, f"{d.name}: constrain() of {name!r} once and twice")
    penalty = d.penalty(**unknowns)
    if isinstance(penalty, Tensor):
        require(penalty.shape == (len(clean),), f"{d.name}: penalty() has shape {tuple(penalty.shape)}, not (B,)")
        require_finite(penalty, f"{d.name}: penalty()")
    else:
        require(math.isfinite(penalty), f"{d.name}: penalty() is {penalty}")


def _check_gradients(d: Degradation, clean: Tensor, unknowns: Unknowns) -> None:
    surrogate = getattr(type(d), "surrogate_gradient", False)

    def of_unknown(name: str, value: Tensor) -> Tensor:
        cast = {n: u.to(value) for n, u in unknowns.items()}
        return d(clean.to(value), **{**cast, name: value})

    def of_image(image: Tensor) -> Tensor:
        return d(image, **{n: u.to(image) for n, u in unknowns.items()})

    pairs: list[tuple[str, Any, Tensor]] = [("the image", of_image, clean)]
    for name, value in unknowns.items():
        pairs.append((f"unknown {name!r}", lambda u, name=name: of_unknown(name, u), value))
    for what, function, at in pairs:
        if surrogate:
            leaf = at.clone().requires_grad_()
            (gradient,) = torch.autograd.grad(function(leaf).sum(), leaf, allow_unused=True)
            require(gradient is not None, f"{d.name}: no gradient reaches {what}")
            require_finite(gradient, f"{d.name}: the gradient in {what}")
            continue
        check_derivative(function, at, f"{d.name}: {what}")
        # The objective linearises with forward and reverse mode: <J v, w> = <v, J^T w>.
        generator = torch.Generator().manual_seed(3)
        tangent = torch.randn(at.shape, generator=generator)
        try:
            with warnings.catch_warnings():  # the first jvp of a process imports what torch itself calls deprecated
                warnings.simplefilter("ignore", DeprecationWarning)
                forward = torch.func.jvp(function, (at,), (tangent,))[1]
                transpose = torch.func.vjp(function, at)[1]
        except RuntimeError as error:
            raise AssertionError(f"{d.name}: torch.func cannot differentiate it in {what}: {error}") from error
        cotangent = torch.randn(forward.shape, generator=generator)
        check_transposed(forward, cotangent, tangent, transpose(cotangent)[0], f"{d.name}: Jacobian in {what}")


def _check_pixelwise(d: Degradation, clean: Tensor, unknowns: Unknowns, observed: Tensor) -> None:
    require(clean.shape == observed.shape, f"{d.name} says that it is pixelwise, but it changes the shape")
    other = clean.clone()
    other[:, 0, 5, 7] += 0.1
    changed = (d(other, **unknowns) != observed) & (other == clean)
    require(not bool(changed.any()), f"{d.name} says that it is pixelwise, but one value of the image changes others")
    if all(u.shape[-2:].numel() == 1 for u in unknowns.values()):
        below = d(clean[..., 3:, :], **unknowns)
        require_close(below, observed[..., 3:, :], 1e-5, f"{d.name} says that it is pixelwise: a part of D(x), D of it")
    check_slopes(d, clean, unknowns)


def _check_linear(d: Degradation, clean: Tensor, unknowns: Unknowns) -> None:
    generator = torch.Generator().manual_seed(4)
    x = doubles(lambda image: d(image, **{n: u.to(image) for n, u in unknowns.items()}), clean)
    known = {n: u.to(x) for n, u in unknowns.items()}
    other = torch.randn(x.shape, generator=generator, dtype=x.dtype)
    seen = d(x, **known)
    require_close(
        d(2 * x - 3 * other, **known),
        2 * seen - 3 * d(other, **known),
        1e-5,
        f"{d.name}: D(2x - 3z) and 2 D(x) - 3 D(z)",
    )
    adjoint, pinv = getattr(d, "adjoint", None), getattr(d, "pinv", None)
    if adjoint is not None:
        y = torch.randn(seen.shape, generator=generator, dtype=x.dtype)
        check_transposed(d(other, **known), y, other, adjoint(y, **known), f"{d.name}: adjoint")
    if pinv is not None:
        require_close(d(pinv(seen, **known), **known), seen, 1e-4, f"{d.name}: D pinv(D x) and D x")
        back = pinv(seen, **known)
        require_close(pinv(d(back, **known), **known), back, 1e-4, f"{d.name}: pinv(D pinv(y)) and pinv(y)")
    check_spectral(d, x, known)
    check_near(d, x, known)


def _check_noise(d: Degradation, clean: Tensor, unknowns: Unknowns, observed: Tensor) -> None:
    sigma = d.noise_sigma
    require(math.isfinite(sigma) and sigma >= 0, f"{d.name}: noise_sigma is {sigma}, not a number from 0")
    require(
        math.isclose(d.propagate(0.0), sigma, rel_tol=1e-6, abs_tol=1e-9),
        f"{d.name}: behind no noise propagate(0) is {d.propagate(0.0):.4g}, but noise_sigma is {sigma:.4g}",
    )
    if d.linear:
        noise = torch.randn(clean.shape, generator=torch.Generator().manual_seed(5))
        through = d(10 * noise, **unknowns)
        measured = float(through[through != 0].square().mean().sqrt())  # lost pixels carry no noise
        expected = math.sqrt(max(0.0, d.propagate(10.0) ** 2 - sigma**2))
        require(
            measured / 1.5 <= expected <= measured * 1.5,
            f"{d.name}: noise of deviation 10 leaves it with {measured:.3g}, propagate(10) says {expected:.3g}",
        )

    def simulate(seed: int) -> Tensor:
        return d.simulate(clean, SeededNoise(seed, [b"first", b"second"]), **unknowns)

    recorded = simulate(0)
    require(
        recorded.shape == observed.shape,
        f"{d.name}: simulate() gives {tuple(recorded.shape)}, the call {tuple(observed.shape)}",
    )
    require_finite(recorded, f"{d.name}: simulate()")
    require(
        torch.equal(recorded, simulate(0)), f"{d.name}: simulate() with the same noise differs; draw all from `noise`"
    )
    if sigma:
        require(not torch.equal(recorded, simulate(1)), f"{d.name}: simulate() is the same for every seed")
        added = 255 * float((recorded - observed).square().mean().sqrt())
        require(
            added / 2 <= sigma <= added * 2,
            f"{d.name}: simulate() adds noise of {added:.3g}, noise_sigma says {sigma:.3g}",
        )
