"""The network of the embedded prior: a small residual U-Net on 2x2 space-to-depth.

Convolutions only: no attention and no normalisation over space, so what it does to a pixel depends on the
pixels within its receptive field and on nothing else. The noise level enters every block as a gain and an
offset per channel (FiLM; Perez et al., AAAI 2018). The input and output scalings are those of EDM (Karras et
al., "Elucidating the design space of diffusion-based generative models", NeurIPS 2022, table 1), which make
one network serve every noise level from clean to pure noise.

Here images are in [-1, 1]; `gdpkit.priors.embedded` brings [0, 1] to it and back.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

SIGMA_RANGE = (0.002, 80.0)  # of the noise levels it is trained for


class ResidualBlock(nn.Module):
    """h + conv(silu(gain(sigma) * conv(h) + offset(sigma)))."""

    def __init__(self, width: int, embedding: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width, width, 3, padding=1)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1)
        self.film = nn.Linear(embedding, 2 * width)
        nn.init.zeros_(self.film.weight)
        nn.init.zeros_(self.film.bias)
        with torch.no_grad():
            self.conv2.weight.mul_(0.1)

    def forward(self, h: Tensor, embedding: Tensor) -> Tensor:
        """(B, width, h, w) and (B, embedding) -> (B, width, h, w)."""
        gain, offset = self.film(embedding)[:, :, None, None].chunk(2, dim=1)
        hidden: Tensor = torch.addcmul(offset, self.conv1(h), 1 + gain)
        # In place where nothing is kept for gradients: of large images each such tensor is tens of megabytes.
        out: Tensor = self.conv2(F.silu(hidden, inplace=not hidden.requires_grad))
        return out.add_(h)


class UNet(nn.Module):
    """D(x; sigma): the expected clean image given x = clean + sigma * n.

    `widths` are the channels of each level, the first at half the image's size, and `depths` the residual
    blocks on each side of each level. `sigma_data` is the deviation of the data in EDM's scalings: well below it the
    network tells the noise, well above it the image. Image sides must be multiples of `multiple`.
    """

    def __init__(
        self, widths: Sequence[int] = (64, 128, 256), depths: Sequence[int] = (2, 2, 2), sigma_data: float = 0.5
    ) -> None:
        super().__init__()
        if len(widths) != len(depths):
            raise ValueError(f"one depth a level: {len(widths)} widths but {len(depths)} depths")
        if not sigma_data > 0:
            raise ValueError(f"sigma_data must be more than 0, not {sigma_data}")
        self.widths, self.depths, self.sigma_data = tuple(widths), tuple(depths), sigma_data
        embedding = 4 * widths[0]
        self.embed = nn.Sequential(nn.Linear(2 * widths[0], embedding), nn.SiLU(), nn.Linear(embedding, embedding))
        self.first = nn.Conv2d(12, widths[0], 3, padding=1)
        self.encoder = self._levels(embedding)
        self.decoder = self._levels(embedding)
        pairs = list(itertools.pairwise(widths))
        self.down = nn.ModuleList(nn.Conv2d(fine, coarse, 2, stride=2) for fine, coarse in pairs)
        self.up = nn.ModuleList(nn.ConvTranspose2d(coarse, fine, 2, stride=2) for fine, coarse in pairs)
        self.last = nn.Conv2d(widths[0], 12, 3, padding=1)
        for parameter in self.last.parameters():
            nn.init.zeros_(parameter)

    def _levels(self, embedding: int) -> nn.ModuleList:
        return nn.ModuleList(
            nn.ModuleList(ResidualBlock(width, embedding) for _ in range(depth))
            for width, depth in zip(self.widths, self.depths, strict=True)
        )

    @property
    def architecture(self) -> dict[str, Any]:
        """The arguments that make another one like it."""
        return {"widths": self.widths, "depths": self.depths, "sigma_data": self.sigma_data}

    @property
    def multiple(self) -> int:
        """Image sides must be a multiple of this many pixels."""
        return int(2 ** len(self.widths))

    @property
    def receptive_field(self) -> int:
        """Side, in pixels, of the square of input pixels that one output pixel can depend on (an upper bound)."""
        radius = 2 + 2 + self.multiple - 1
        for level, depth in enumerate(self.depths):
            radius += 2 * 2 * depth * 2 ** (level + 1)
        return 2 * radius + 1

    def forward(self, x: Tensor, sigma: Tensor) -> Tensor:
        """x (B, 3, H, W) in [-1, 1] plus noise of deviation sigma (B,) -> the denoised image, the same shape."""
        into, skip, out = self.scalings(sigma.to(x.dtype))
        return skip * x + out * self.raw(x * into, sigma)

    def scalings(self, sigma: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """c_in, c_skip and c_out of EDM's table 1, each (B, 1, 1, 1): D(x) = c_skip x + c_out F(c_in x)."""
        s, data = sigma[:, None, None, None], self.sigma_data
        norm = (s**2 + data**2).rsqrt()
        return norm, data**2 * norm**2, s * data * norm

    def raw(self, x: Tensor, sigma: Tensor) -> Tensor:
        """F: the unscaled network, on an input of unit variance (EDM, equation 7)."""
        embedding = self.embed(_noise_features(sigma.to(x.dtype), 2 * self.widths[0]))
        h = self.first(F.pixel_unshuffle(x, 2))
        skips = []
        bottom = len(self.widths) - 1
        for level, blocks in enumerate(self.encoder):
            for block in blocks:  # type: ignore[attr-defined]
                h = block(h, embedding)
            if level < bottom:
                skips.append(h)
                h = self.down[level](h)
        for level in range(bottom, -1, -1):
            if level < bottom:
                h = self.up[level](h).add_(skips.pop())
            for block in self.decoder[level]:  # type: ignore[attr-defined]
                h = block(h, embedding)
        return F.pixel_shuffle(self.last(h), 2)


def _noise_features(sigma: Tensor, size: int) -> Tensor:
    """Cosines and sines of ln(sigma) / 4 at `size / 2` frequencies, (B, size)."""
    frequencies = 2 * math.pi * torch.linspace(0, 4, size // 2, dtype=sigma.dtype, device=sigma.device)
    angles = (sigma.log() / 4)[:, None] * frequencies
    return torch.cat([angles.cos(), angles.sin()], dim=1)
