"""What the checker of degradations asks of transposes and singular systems."""

from __future__ import annotations

import torch
from torch import Tensor

from gdpkit.components import Degradation, Unknowns
from gdpkit.testing.common import require, require_close


def check_transposed(forward: Tensor, y: Tensor, x: Tensor, transposed: Tensor, what: str) -> None:
    """<D x, y> = <x, D^T y>, given D x and D^T y."""
    require(transposed.shape == x.shape, f"{what}: the transpose gives {tuple(transposed.shape)}, not {tuple(x.shape)}")
    one, other = float((forward * y).double().sum()), float((x * transposed).double().sum())
    size = float(forward.double().norm() * y.double().norm()) + 1e-12
    require(abs(one - other) <= 1e-5 * size, f"{what}: <D x, y> is {one:.8g}, but <x, D^T y> is {other:.8g}")


def check_spectral(d: Degradation, x: Tensor, known: Unknowns) -> None:
    """D = U S V^T with orthonormal columns where s is not 0."""
    channels, height, width = x.shape[1:]
    system = d.spectral((channels, height, width), **known)
    if system is None:
        return
    seen = d(x, **known)
    values = system.values.to(x)
    require(bool((values >= 0).all()), f"{d.name}: a singular value is negative")
    coefficients = system.analyse(x)
    require_close(system.render(values * coefficients), seen, 1e-6, f"{d.name}: U S V^T x and D x")
    require_close(system.render(system.observe(seen)), seen, 1e-6, f"{d.name}: U U^T y and y")
    random = torch.randn(coefficients.shape, generator=torch.Generator().manual_seed(6), dtype=x.dtype)
    random = torch.where(values > 0, random, 0)
    again = torch.where(values > 0, system.analyse(system.synthesise(random)), 0)
    require_close(again, random, 1e-6, f"{d.name}: V^T V c and c")
    check_transposed(coefficients * (values > 0), random, x, system.synthesise(random), f"{d.name}: V")
    if system.pixelwise:
        require_close(system.observe(seen), seen, 1e-12, f"{d.name}: it is pixelwise, so U^T y and y")


def check_near(d: Degradation, x: Tensor, known: Unknowns) -> None:
    """What is near to D has a V^T whose transpose is V."""
    channels, height, width = x.shape[1:]
    near = d.near((channels, height, width), **known)
    if near is None or d.spectral((channels, height, width), **known) is not None:
        return
    require(bool((near.values >= 0).all()), f"{d.name}: near: a singular value is negative")
    seen = near.analyse(x)
    random = torch.randn(seen.shape, generator=torch.Generator().manual_seed(7), dtype=x.dtype)
    check_transposed(
        seen * near.values.to(x), random, x, near.synthesise(near.values.to(x) * random), f"{d.name}: near"
    )
