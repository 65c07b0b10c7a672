"""The ADM U-Net, under the parameter names that the public checkpoints use.

Dhariwal and Nichol, "Diffusion models beat GANs on image synthesis", NeurIPS 2021, section 3: the U-Net of Ho et al.
(DDPM, 2020) and of Nichol and Dhariwal (Improved DDPM, 2021), with attention at several resolutions, residual
blocks that change the resolution (`resblock_updown`, after BigGAN) and the timestep as a gain and an offset after a
normalisation (`use_scale_shift_norm`, adaptive group normalisation).

The order of the modules in each `nn.Sequential` is part of the file format: parameters are named by position. Hence
the parameterless places (activations, a dropout that does nothing when sampling).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gdpkit.errors import GdpkitError
from gdpkit.priors.layers import Classes, Conv1d, Conv2d, GroupNorm, Linear, arithmetic

if TYPE_CHECKING:
    from gdpkit.priors.adm import AdmConfig

GROUPS = 32
"""Channels are normalised in this many groups, so every width is a multiple of it."""


class GroupNorm32(GroupNorm):
    """Group normalisation in 32 groups."""

    def __init__(self, channels: int) -> None:
        super().__init__(GROUPS, channels)


class Downsample(nn.Module):
    """Half the size, by a convolution of stride 2."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.op = Conv2d(channels, channels, 3, stride=2, padding=1)

    def forward(self, h: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H/2, W/2)."""
        out: Tensor = self.op(h)
        return out


class Upsample(nn.Module):
    """Twice the size, by repeating pixels and a convolution."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = Conv2d(channels, channels, 3, padding=1)

    def forward(self, h: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, 2H, 2W)."""
        out: Tensor = self.conv(_double(h))
        return out


class ResBlock(nn.Module):
    """Two convolutions around the embedding of the timestep; `resize` is "up", "down" or "" (keeps the size)."""

    def __init__(self, channels: int, embedding: int, out: int, scale_shift: bool, resize: str = "") -> None:
        super().__init__()
        self.scale_shift, self.resize = scale_shift, resize
        self.in_layers = nn.Sequential(GroupNorm32(channels), nn.SiLU(), Conv2d(channels, out, 3, padding=1))
        self.emb_layers = nn.Sequential(nn.SiLU(), Linear(embedding, 2 * out if scale_shift else out))
        last = _zero(Conv2d(out, out, 3, padding=1))
        self.out_layers = nn.Sequential(GroupNorm32(out), nn.SiLU(), nn.Dropout(0.0), last)
        self.skip_connection = nn.Identity() if out == channels else Conv2d(channels, out, 1)

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        """(B, C, H, W) and the embedding (B, E) -> (B, out, H', W')."""
        norm, activation, conv = self.in_layers
        h = activation(norm(x))
        if self.resize:
            change = _double if self.resize == "up" else _halve
            h, x = change(h), change(x)
        h = conv(h)
        condition = self.emb_layers(embedding).to(h.dtype)[:, :, None, None]
        if self.scale_shift:
            scale, shift = condition.chunk(2, dim=1)
            norm, *rest = self.out_layers
            h = norm(h) * (1 + scale) + shift
            for layer in rest:
                h = layer(h)
        else:
            h = self.out_layers(h + condition)
        out: Tensor = self.skip_connection(x) + h
        return out


class AttentionBlock(nn.Module):
    """Every position attends to every other (Vaswani et al. 2017), added to the input.

    `qkv` holds its rows head by head (q, k, v of the first head, then of the second ...), or with `new_order`
    q of all heads, then k, then v.
    """

    def __init__(self, channels: int, heads: int, new_order: bool) -> None:
        super().__init__()
        self.heads, self.new_order = heads, new_order
        self.norm = GroupNorm32(channels)
        self.qkv = Conv1d(channels, 3 * channels, 1)
        self.proj_out = _zero(Conv1d(channels, channels, 1))

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> the same shape."""
        flat = x.flatten(2)
        layout = (3, self.heads, -1) if self.new_order else (self.heads, 3, -1)
        qkv = self.qkv(self.norm(flat)).unflatten(1, layout)  # (B, 3, heads, C / heads, H * W) or the first two swapped
        q, k, v = qkv.transpose(-1, -2).unbind(1 if self.new_order else 2)
        if x.is_cuda:  # whose fused kernels want each position's numbers side by side, and are passed over otherwise
            q, k, v = q.contiguous(), k.contiguous(), v.contiguous()
        # Scaled by 1 / sqrt(channels a head), as published, where each of q and k gets its square root.
        attended = F.scaled_dot_product_attention(q, k, v).transpose(-1, -2).flatten(1, 2)
        out: Tensor = x + self.proj_out(attended).view_as(x)
        return out


class Stage(nn.Sequential):
    """The layers that share one number of `input_blocks` or `output_blocks`."""

    def forward(self, h: Tensor, embedding: Tensor) -> Tensor:  # type: ignore[override]
        """(B, C, H, W) through each layer; the residual blocks also see the embedding."""
        for layer in self:
            h = layer(h, embedding) if isinstance(layer, ResBlock) else layer(h)
        return h


class AdmNetwork(nn.Module):
    """The network of a diffusion model: `network(x, t, y=None)`, as `gdpkit.priors.adm.load` gives it.

    Its first three output channels are the noise n in x = sqrt(abar_t) x_0 + sqrt(1 - abar_t) n; three more, with
    `learn_sigma`, are v, the place of the variance in its range (Improved DDPM, equation 15).
    """

    def __init__(self, config: AdmConfig) -> None:
        super().__init__()
        self.config = config
        self.compute: torch.dtype | None = None
        """What the torso computes in; None: float32 or more, whatever the weights are held in."""
        embedding = 4 * config.num_channels
        self.time_embed = nn.Sequential(Linear(config.num_channels, embedding), nn.SiLU(), Linear(embedding, embedding))
        if config.class_cond:
            self.label_emb = Classes(config.num_classes, embedding)

        def residual(channels: int, out: int, resize: str = "") -> ResBlock:
            return ResBlock(channels, embedding, out, config.use_scale_shift_norm, resize)

        def attention(channels: int, upward: bool = False) -> AttentionBlock:
            return AttentionBlock(channels, config.heads(channels, upward), config.use_new_attention_order)

        widths, attends = config.widths, config.attends
        bottom = len(widths) - 1
        channels = widths[0]
        self.input_blocks = nn.ModuleList([Stage(Conv2d(3, channels, 3, padding=1))])
        skips = [channels]
        for level, width in enumerate(widths):
            for _ in range(config.num_res_blocks):
                layers: list[nn.Module] = [residual(channels, width)]
                channels = width
                if attends[level]:
                    layers.append(attention(channels))
                self.input_blocks.append(Stage(*layers))
                skips.append(channels)
            if level < bottom:
                down = residual(channels, channels, "down") if config.resblock_updown else Downsample(channels)
                self.input_blocks.append(Stage(down))
                skips.append(channels)
        self.middle_block = Stage(residual(channels, channels), attention(channels), residual(channels, channels))
        self.output_blocks = nn.ModuleList()
        for level in range(bottom, -1, -1):
            for index in range(config.num_res_blocks + 1):
                layers = [residual(channels + skips.pop(), widths[level])]
                channels = widths[level]
                if attends[level]:
                    layers.append(attention(channels, upward=True))
                if level > 0 and index == config.num_res_blocks:
                    layers.append(residual(channels, channels, "up") if config.resblock_updown else Upsample(channels))
                self.output_blocks.append(Stage(*layers))
        last = _zero(Conv2d(channels, 6 if config.learn_sigma else 3, 3, padding=1))
        self.out = nn.Sequential(GroupNorm32(channels), nn.SiLU(), last)
        if config.use_fp16:
            self.torso_to_half()

    @property
    def held(self) -> torch.dtype:
        """What the weights of the torso are held in."""
        return next(self.input_blocks.parameters()).dtype

    @property
    def multiple(self) -> int:
        """Image sides must be a multiple of this many pixels."""
        return int(2 ** (len(self.config.widths) - 1))

    def torso_to_half(self) -> AdmNetwork:
        """Convolutions between the embedding and the output to float16, in place; the rest stays as it is."""
        for part in (self.input_blocks, self.middle_block, self.output_blocks):
            for module in part.modules():
                if isinstance(module, nn.Conv1d | nn.Conv2d):
                    module.half()
        return self

    def forward(self, x: Tensor, t: Tensor, y: Tensor | None = None) -> Tensor:
        """The noise in x, and v.

        x is (B, 3, H, W), a noisy image whose clean part is in [-1, 1], its sides multiples of `multiple`; t (B,)
        the timesteps of the trained schedule, 0 the cleanest; y (B,) the classes, where the network has classes;
        -1 is none of them, for which the mean of their embeddings stands in.
        Returns (B, 3 or 6, H, W) in the dtype of x.
        """
        self._check(x, t, y)
        wide = arithmetic(self.held)
        embedding = self.time_embed(timestep_features(t, self.config.num_channels).to(wide))
        if y is not None:
            embedding = embedding + self.label_emb(y).to(wide)
        h = x.to(self.compute or (torch.float16 if self.config.use_fp16 else wide))
        skips = []
        for stage in self.input_blocks:
            h = stage(h, embedding)
            skips.append(h)
        h = self.middle_block(h, embedding)
        for stage in self.output_blocks:
            h = stage(torch.cat([h, skips.pop()], dim=1), embedding)
        out: Tensor = self.out(h.to(wide))
        return out.to(x.dtype)

    def _check(self, x: Tensor, t: Tensor, y: Tensor | None) -> None:
        if x.ndim != 4 or x.shape[1] != 3:
            raise GdpkitError(f"The network takes images of shape (B, 3, H, W), not {tuple(x.shape)}.")
        if t.shape != x.shape[:1]:
            raise GdpkitError(f"The network takes one timestep an image, ({len(x)},), not {tuple(t.shape)}.")
        height, width = x.shape[2:]
        if height % self.multiple or width % self.multiple:
            raise GdpkitError(f"Sides must be multiples of {self.multiple} for this network: {width} x {height}.")
        if (y is None) == self.config.class_cond:
            wants = "needs classes y" if self.config.class_cond else "knows no classes, so y must be None"
            raise GdpkitError(f"This network {wants}.")


def _zero(module: nn.Conv1d | nn.Conv2d) -> nn.Conv1d | nn.Conv2d:
    """Start from the identity: the last convolution of every residual branch begins at zero (ADM, appendix)."""
    for parameter in module.parameters():
        nn.init.zeros_(parameter)
    return module


def _double(h: Tensor) -> Tensor:
    return F.interpolate(h, scale_factor=2, mode="nearest")


def _halve(h: Tensor) -> Tensor:
    return F.avg_pool2d(h, 2)


def timestep_features(t: Tensor, size: int) -> Tensor:
    """Cosines, then sines of t at size / 2 frequencies from 1 down to 1e-4 (Vaswani et al. 2017), (B, size)."""
    half = size // 2
    frequencies = torch.exp(-math.log(10000) / half * torch.arange(half, dtype=torch.float32, device=t.device))
    angles = t.float()[:, None] * frequencies
    return torch.cat([angles.cos(), angles.sin()], dim=1)
