"""The noise schedule of a DDPM: how much of the image is left at each timestep, and what one step back needs.

x_t = sqrt(abar_t) x_0 + sqrt(1 - abar_t) n, with abar_t the running product of 1 - beta_t (Ho, Jain and Abbeel,
"Denoising diffusion probabilistic models", NeurIPS 2020, equation 4). Index 0 is the cleanest step. The cosine
schedule, the learned range of variances and respacing (sampling in fewer steps than were trained) are from
Nichol and Dhariwal, "Improved denoising diffusion probabilistic models", ICML 2021.

Coefficients are float64 on the CPU: abar_t reaches 4e-5, where 1 - abar_t in float32 would lose its digits. A
single coefficient, `schedule.c1[k]`, multiplies a tensor of any dtype and device and leaves both as they are.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import overload

import torch
from torch import Tensor

from gdpkit.errors import GdpkitError


@dataclass(frozen=True, eq=False)
class Schedule:
    """A (respaced) noise schedule, made by `Schedule.linear()`, `Schedule.cosine()` and `.respace(spec)`.

    Images are in [-1, 1] here, and so are the units of `sigma`.
    """

    alphas_cumprod: Tensor
    """abar, (N,) float64, falling."""
    timesteps: Tensor
    """(N,) int64: the timestep of the trained schedule that each index stands for, which the network is given."""

    @classmethod
    def linear(cls, steps: int = 1000) -> Schedule:
        """Betas from 1e-4 to 0.02 in equal steps (Ho et al. 2020, section 4), scaled by 1000 / steps."""
        if steps < 21:
            raise GdpkitError(f"A linear schedule of {steps} steps has beta >= 1; give it 21 or more.")
        scale = 1000 / steps
        return cls.from_betas(torch.linspace(scale * 1e-4, scale * 0.02, steps, dtype=torch.float64))

    @classmethod
    def cosine(cls, steps: int = 1000) -> Schedule:
        """abar_t proportional to cos^2((t/T + s) / (1 + s) * pi/2), s = 0.008; beta at most 0.999 (Nichol, eq. 17)."""
        if steps < 1:
            raise GdpkitError(f"A schedule needs at least one step, not {steps}.")
        t = torch.linspace(0, 1, steps + 1, dtype=torch.float64)
        f = torch.cos((t + 0.008) / 1.008 * (math.pi / 2)) ** 2
        return cls.from_betas((1 - f[1:] / f[:-1]).clamp(max=0.999))

    @classmethod
    def from_betas(cls, betas: Tensor) -> Schedule:
        """From the betas themselves, (N,), each in 0..1."""
        betas = betas.double().cpu()
        if betas.ndim != 1 or not len(betas) or not bool(((betas > 0) & (betas < 1)).all()):
            raise GdpkitError("A schedule needs betas above 0 and below 1, one for each step.")
        return cls((1 - betas).cumprod(0), torch.arange(len(betas)))

    def __len__(self) -> int:
        return len(self.timesteps)

    def respace(self, spec: str | int) -> Schedule:
        """The same noise levels at fewer of the steps (Nichol, section 4).

        "ddimN" keeps every k-th step so that N remain (Song et al., DDIM); "100" spreads 100 steps evenly from the
        first to the last; "10,15,20" does so within three equal sections, the cleanest first.
        """
        kept = torch.tensor(kept_indices(len(self), str(spec)))
        return Schedule(self.alphas_cumprod[kept], self.timesteps[kept])

    @cached_property
    def betas(self) -> Tensor:
        """1 - abar_k / abar_{k-1}, (N,): the noise that step k adds."""
        return 1 - self.alphas_cumprod / self._previous

    @cached_property
    def _previous(self) -> Tensor:
        return torch.cat([torch.ones(1, dtype=torch.float64), self.alphas_cumprod[:-1]])

    @cached_property
    def c1(self) -> Tensor:
        """Weight of x_0 in the mean of q(x_{k-1} | x_k, x_0), (N,) (Ho, equation 7)."""
        return self._previous.sqrt() * self.betas / (1 - self.alphas_cumprod)

    @cached_property
    def c2(self) -> Tensor:
        """Weight of x_k in the mean of q(x_{k-1} | x_k, x_0), (N,) (Ho, equation 7)."""
        return (1 - self.betas).sqrt() * (1 - self._previous) / (1 - self.alphas_cumprod)

    @cached_property
    def posterior_log_variance(self) -> Tensor:
        """Log of the variance of q(x_{k-1} | x_k, x_0), (N,). The first is 0 without its log: the second stands in."""
        variance = self.betas * (1 - self._previous) / (1 - self.alphas_cumprod)
        # One step alone has no second; its noise is never drawn, so any finite number serves.
        variance[0] = variance[1] if len(self) > 1 else self.betas[0]
        return variance.log()

    @cached_property
    def max_log_variance(self) -> Tensor:
        """The log of beta, (N,): the upper end of the learned range."""
        return self.betas.log()

    def log_variance(self, k: int, v: Tensor) -> Tensor:
        """The learned variance's log (Nichol, equation 15), from the network's interpolation v in [-1, 1]."""
        fraction = (v + 1) / 2
        return fraction * self.max_log_variance[k] + (1 - fraction) * self.posterior_log_variance[k]

    @cached_property
    def sigmas(self) -> Tensor:
        """sqrt((1 - abar) / abar), (N,), rising: the noise beside an unscaled image in [-1, 1]."""
        return ((1 - self.alphas_cumprod) / self.alphas_cumprod).sqrt()

    def sigma(self, k: int) -> float:
        """`sigmas[k]` as a float."""
        return float(self.sigmas[k])

    @cached_property
    def _midpoints(self) -> Tensor:
        logs = self.sigmas.log()
        return (logs[1:] + logs[:-1]) / 2

    @overload
    def nearest(self, sigma: float) -> int: ...
    @overload
    def nearest(self, sigma: Tensor) -> Tensor: ...
    def nearest(self, sigma: float | Tensor) -> int | Tensor:
        """The index whose sigma is nearest, by ratio; a tensor gives int64 of its shape, on its device."""
        if not isinstance(sigma, Tensor):
            return int(self.nearest(torch.tensor(sigma, dtype=torch.float64)))
        return torch.bucketize(sigma.detach().double().log(), self._midpoints.to(sigma.device))


def kept_indices(steps: int, spec: str) -> list[int]:
    """The indices among `steps` that a respacing string keeps, rising; see `Schedule.respace`."""
    wanted = spec.removeprefix("ddim")
    try:
        counts = [int(part) for part in wanted.split(",")]
    except ValueError:
        counts = []
    if not counts or min(counts) < 1 or (wanted != spec and len(counts) > 1):
        raise GdpkitError(f'respacing "{spec}" is not understood; write a number of steps, "ddim25" or "10,15,20"')
    if wanted != spec:
        for stride in range(1, steps + 1):
            if len(range(0, steps, stride)) == counts[0]:
                return list(range(0, steps, stride))
        raise GdpkitError(f'respacing "{spec}": no whole stride through {steps} steps gives {counts[0]}')
    kept: list[int] = []
    start, (size, larger) = 0, divmod(steps, len(counts))
    for section, count in enumerate(counts):
        length = size + (section < larger)
        if count > length:
            raise GdpkitError(f'respacing "{spec}" asks for {count} steps out of a section of {length}.')
        stride_ = (length - 1) / (count - 1) if count > 1 else 1.0
        # Added up rather than multiplied out: a position half way between two steps must round as published.
        position = 0.0
        for _ in range(count):
            kept.append(start + round(position))
            position += stride_
        start += length
    return kept
