"""What the checkers share: assertions with readable messages, test pictures, and examples of components."""

from __future__ import annotations

import dataclasses
import math
import re
import typing
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor

from gdpkit import params
from gdpkit.components import Component, Task

C = TypeVar("C", bound=Component)
PICTURE_SIDE = 32


def require(condition: bool, message: str) -> None:
    """Raise an AssertionError with this message unless the condition holds; `python -O` does not remove it."""
    if not condition:
        raise AssertionError(message)


def require_close(found: Tensor, wanted: Tensor, tolerance: float, message: str) -> None:
    """The largest difference is at most `tolerance` times the largest magnitude wanted, or 1 if that is smaller."""
    same_shape = f"{message}: shapes {tuple(found.shape)} and {tuple(wanted.shape)}"
    require(found.shape == wanted.shape, same_shape)
    difference = float((found - wanted).detach().abs().max())
    allowed = tolerance * max(1.0, float(wanted.detach().abs().max()))
    require(difference <= allowed, f"{message}: they differ by {difference:.3g}, allowed {allowed:.1g}")


def require_finite(tensor: Tensor, what: str) -> None:
    """No value is nan or infinite."""
    require(bool(torch.isfinite(tensor).all()), f"{what} is not finite")


def picture(*shape: int, seed: int = 0) -> Tensor:
    """Smooth colourful test pictures, (B, C, H, W) in [0.1, 0.9]: each of a few long waves."""
    batch, channels, height, width = shape
    generator = torch.Generator().manual_seed(seed)
    rows = torch.linspace(0, 1, height)[:, None]
    columns = torch.linspace(0, 1, width)
    image = torch.zeros(shape)
    for _ in range(4):
        down, across, phase = torch.rand(3, batch, channels, 1, 1, generator=generator)
        image = image + torch.sin(2 * math.pi * (1.5 * down * rows + 1.5 * across * columns + phase))
    return 0.5 + 0.1 * image


def check_component(component: Component, base: type[Component]) -> None:
    """A frozen dataclass of the right kind, with a name one can type, a docstring, and help for each parameter."""
    cls = type(component)
    require(isinstance(component, base), f"{cls.__qualname__} is not a {base.__name__}")
    require(
        dataclasses.is_dataclass(cls) and "__dataclass_fields__" in cls.__dict__,
        f"{cls.__qualname__} is not decorated with @dataclass(frozen=True)",
    )
    name = getattr(cls, "name", None)
    require(
        isinstance(name, str) and re.fullmatch(r"[a-z0-9]+([-_.][a-z0-9]+)*", name) is not None,
        f"{cls.__qualname__}: name = {name!r} must be lower-case letters and digits, with hyphens between",
    )
    doc = cls.__dict__.get("__doc__") or ""
    written = bool(doc.strip()) and not doc.startswith(f"{cls.__name__}(")  # which is what dataclass puts there
    require(written, f"{name} has no docstring; its first line is its description in `gdpkit list`")
    for d in params.declared(cls):
        require(bool(d.about.help), f"{name}: parameter {d.name} has no help; declare it with param(..., help=...)")


def example(cls: type[C], folder: Path, **values: Any) -> C:
    """An instance of a component class, for tests.

    From `values`, then the class's `example_params`, then the defaults. A required `Path` that neither gives is a PNG
    of 32x32 pixels written into `folder`: a smooth picture for a task, a quarter of white blocks (a mask) elsewhere;
    a required tuple of paths is three of them, each brighter than the one before.
    """
    given = {**cls.example_params, **values}
    for d in params.declared(cls):
        if d.required and d.name not in given:
            origin = typing.get_origin(d.type)
            if d.type is Path:
                given[d.name] = _write(cls, folder, d.name, 1.0)
            elif origin is tuple and typing.get_args(d.type)[0] is Path:
                given[d.name] = tuple(_write(cls, folder, f"{d.name}{k}", 0.25 * 2**k) for k in range(3))
    return params.build(cls, given)


def _write(cls: type[Component], folder: Path, stem: str, exposure: float) -> Path:
    from PIL import Image

    if issubclass(cls, Task):
        pixels = picture(1, 3, PICTURE_SIDE, PICTURE_SIDE)[0] * exposure
    else:
        block = torch.arange(PICTURE_SIDE) // 4 % 2
        pixels = (block[:, None] * block).expand(3, -1, -1).float()
    path = folder / f"{stem}.png"
    Image.fromarray((255 * pixels).round().byte().permute(1, 2, 0).numpy()).save(path)
    return path


def doubles(function: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """`x` as float64 where the function computes in it, else as it is."""
    try:
        return x.double() if function(x.double()).dtype == torch.float64 else x
    except (RuntimeError, TypeError):  # what torch raises where types are mixed
        return x


def check_derivative(
    function: Callable[[Tensor], Tensor], at: Tensor, what: str, step: float = 1e-5, tolerance: float = 1e-3
) -> None:
    """The gradient of `function`, projected on a random output, agrees with a central difference along a direction.

    In float64 where the function computes in it, else in float32 with a step 100 times, a tolerance 20 times larger.
    """
    at = doubles(function, at.detach())
    if at.dtype == torch.float32:
        step, tolerance = 100 * step, 20 * tolerance
    generator = torch.Generator().manual_seed(1)
    direction = torch.randn(at.shape, generator=generator, dtype=at.dtype)
    leaf = at.clone().requires_grad_()
    value = function(leaf)
    require(value.requires_grad, f"{what}: no gradient reaches it")
    along = torch.randn(value.shape, generator=generator, dtype=value.dtype)
    (gradient,) = torch.autograd.grad((value * along).sum(), leaf, allow_unused=True)
    require(gradient is not None, f"{what}: no gradient reaches it")
    require_finite(gradient, f"{what}: the gradient")
    with torch.no_grad():
        change = (function(at + step * direction) - function(at - step * direction)) / (2 * step)
    wanted, found = float((change * along).sum()), float((gradient * direction).sum())
    # Relative to what the sums are made of, for the sums themselves may be near 0 by chance.
    size = float((change * along).square().sum().sqrt() + (gradient * direction).square().sum().sqrt())
    require(
        abs(found - wanted) <= tolerance * (size + 1e-6),
        f"{what}: the gradient along a direction is {found:.6g}, a finite difference gives {wanted:.6g}",
    )
