"""The U-Net that Hugging Face diffusers calls UNet2DModel, under its parameters' names.

That of Ho et al. (DDPM, 2020) with the variants of Song et al. (2021) and of ADM: attention over one or more heads,
downsampling by a convolution or in a residual block, the timestep as an offset, or as a gain and an offset.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gdpkit.errors import GdpkitError
from gdpkit.priors.layers import Classes, Conv2d, GroupNorm, Linear, arithmetic
from gdpkit.priors.unet2d_config import UNet2DConfig

OLDER = {"query": "to_q", "key": "to_k", "value": "to_v", "proj_attn": "to_out.0"}
"""Names of attention's parts in files written before diffusers 0.15."""

_ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "silu": F.silu, "swish": F.silu, "mish": F.mish, "gelu": F.gelu, "relu": F.relu,
}  # fmt: skip


def newer_names(names: Iterable[str]) -> dict[str, str]:
    """The newer names of the parameters that a file calls by their older ones."""
    found = {}
    for name in names:
        *path, part, what = name.split(".")
        if part in OLDER and "attentions" in path:
            found[name] = ".".join((*path, OLDER[part], what))
    return found


class Residual(nn.Module):
    """Two convolutions around the embedding of the timestep; `resize` is "up", "down" or "" (keeps the size)."""

    def __init__(self, config: UNet2DConfig, channels: int, out: int, resize: str = "", divisor: float = 1) -> None:
        super().__init__()
        self.resize, self.divisor, self.activation = resize, divisor, _ACTIVATIONS[config.act_fn]
        self.scale_shift = config.resnet_time_scale_shift == "scale_shift"
        self.norm1 = GroupNorm(config.norm_num_groups, channels, config.norm_eps)
        self.conv1 = Conv2d(channels, out, 3, padding=1)
        self.time_emb_proj = Linear(embedding_width(config), 2 * out if self.scale_shift else out)
        self.norm2 = GroupNorm(config.norm_num_groups, out, config.norm_eps)
        self.conv2 = Conv2d(out, out, 3, padding=1)
        self.conv_shortcut = None if out == channels else Conv2d(channels, out, 1)

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        """(B, C, H, W) and the embedding (B, E) -> (B, out, H', W')."""
        h = self.activation(self.norm1(x))
        if self.resize == "up":
            h, x = _double(h), _double(x)
        elif self.resize:
            h, x = F.avg_pool2d(h, 2), F.avg_pool2d(x, 2)
        h = self.conv1(h)
        condition = self.time_emb_proj(self.activation(embedding)).to(h.dtype)[:, :, None, None]
        if self.scale_shift:
            scale, shift = condition.chunk(2, dim=1)
            h = self.norm2(h) * (1 + scale) + shift
        else:
            h = self.norm2(h + condition)
        h = self.conv2(self.activation(h))
        out: Tensor = (x if self.conv_shortcut is None else self.conv_shortcut(x)) + h
        return out / self.divisor


class Attention(nn.Module):
    """Every position attends to every other (Vaswani et al. 2017), added to the input."""

    def __init__(self, config: UNet2DConfig, channels: int, groups: int | None, divisor: float = 1) -> None:
        super().__init__()
        self.width, self.divisor = config.attention_head_dim or channels, divisor
        self.group_norm = None if groups is None else GroupNorm(groups, channels, config.norm_eps)
        self.to_q, self.to_k, self.to_v = (Linear(channels, channels) for _ in range(3))
        self.to_out = nn.ModuleList([Linear(channels, channels)])

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> the same shape."""
        h = x if self.group_norm is None else self.group_norm(x)
        rows = h.flatten(2).transpose(1, 2)
        q, k, v = (to(rows).unflatten(2, (-1, self.width)).transpose(1, 2) for to in (self.to_q, self.to_k, self.to_v))
        attended = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
        out: Tensor = self.to_out[0](attended).transpose(1, 2).reshape(x.shape)
        return (out + x) / self.divisor


class Resample(nn.Module):
    """Half or twice the size, by a convolution of stride 2, or by repeating pixels and a convolution."""

    def __init__(self, channels: int, down: bool, padding: int = 1) -> None:
        super().__init__()
        self.down, self.bare = down, padding == 0
        self.conv = Conv2d(channels, channels, 3, stride=2 if down else 1, padding=padding)

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H/2, W/2) or (B, C, 2H, 2W)."""
        x = x if self.down else _double(x)
        out: Tensor = self.conv(F.pad(x, (0, 1, 0, 1)) if self.bare else x)
        return out


class Level(nn.Module):
    """The layers at one size; `kind` is diffusers' name of such a block, `way` is "down", "up" or "across"."""

    def __init__(
        self, config: UNet2DConfig, kind: str, pairs: list[tuple[int, int]], way: str, resamples: bool = False
    ) -> None:
        super().__init__()
        kind = kind.removeprefix("UNetRes")
        self.way = way
        out, groups, divisor = pairs[-1][1], config.norm_num_groups, 1.0
        self.attending = len(pairs) if kind.startswith("Attn") else 0
        normed: int | None = groups
        if way == "across":
            divisor, self.attending = config.mid_block_scale_factor, int(config.add_attention)
            normed = config.attn_norm_num_groups or (groups if config.resnet_time_scale_shift == "default" else None)
        self.resnets = nn.ModuleList(Residual(config, i, o, divisor=divisor) for i, o in pairs)
        if self.attending:
            self.attentions = nn.ModuleList(Attention(config, out, normed, divisor) for _ in range(self.attending))
        if resamples:
            chosen = config.downsample_type if way == "down" else config.upsample_type
            within = kind.startswith("Resnet") or (kind.startswith("Attn") and chosen == "resnet")
            padding = config.downsample_padding if way == "down" else 1
            one = Residual(config, out, out, way) if within else Resample(out, way == "down", padding)
            self.add_module(f"{way}samplers", nn.ModuleList([one]))

    def forward(self, h: Tensor, embedding: Tensor, skips: list[Tensor]) -> Tensor:
        """(B, C, H, W) -> the same at the next size; on the way down `skips` grows, and on the way up it is used up."""
        for index, resnet in enumerate(self.resnets):
            if self.way == "up":
                h = torch.cat([h, skips.pop()], dim=1)
            h = resnet(h, embedding)
            if index < self.attending:
                h = self.attentions[index](h)
            if self.way == "down":
                skips.append(h)
        for resample in getattr(self, f"{self.way}samplers", ()):
            h = resample(h, embedding)
            if self.way == "down":
                skips.append(h)
        return h


class UNet2DNetwork(nn.Module):
    """The network: `network(x, t, y=None)`, as `gdpkit.priors.diffusers.load` gives it."""

    def __init__(self, config: UNet2DConfig) -> None:
        super().__init__()
        self.config = config
        self.compute: torch.dtype | None = None
        """What all but the embedding computes in; None: float32 or more, whatever the weights are held in."""
        widths, wide, layers = config.block_out_channels, embedding_width(config), config.layers_per_block
        bottom = len(widths) - 1
        self.conv_in = Conv2d(3, widths[0], 3, padding=1)
        self.time_embedding = nn.ModuleDict({"linear_1": Linear(widths[0], wide), "linear_2": Linear(wide, wide)})
        if config.num_class_embeds is not None:
            self.class_embedding = Classes(config.num_class_embeds, wide)
        self.down_blocks = nn.ModuleList()
        channels, skips = widths[0], [widths[0]]
        for level, (kind, width) in enumerate(zip(config.down_block_types, widths, strict=True)):
            pairs = [(channels, width), *[(width, width)] * (layers - 1)]
            self.down_blocks.append(Level(config, kind, pairs, "down", level < bottom))
            channels = width
            skips += [width] * (layers + (level < bottom))
        if config.mid_block_type is not None:
            self.mid_block = Level(config, config.mid_block_type, [(channels, channels)] * 2, "across")
        self.up_blocks = nn.ModuleList()
        for level, (kind, width) in enumerate(zip(config.up_block_types, reversed(widths), strict=True)):
            pairs = []
            for _ in range(layers + 1):
                pairs.append((channels + skips.pop(), width))
                channels = width
            self.up_blocks.append(Level(config, kind, pairs, "up", level < bottom))
        self.conv_norm_out = GroupNorm(config.norm_num_groups, widths[0], config.norm_eps)
        self.conv_out = Conv2d(widths[0], config.out_channels, 3, padding=1)

    @property
    def held(self) -> torch.dtype:
        """What the weights are held in."""
        return self.conv_in.weight.dtype

    @property
    def multiple(self) -> int:
        """Image sides must be a multiple of this many pixels."""
        return int(2 ** (len(self.config.block_out_channels) - 1))

    def forward(self, x: Tensor, t: Tensor, y: Tensor | None = None) -> Tensor:
        """What the network was trained to say of x: the noise, v or the image (the scheduler's prediction_type).

        x is (B, 3, H, W), a noisy image whose clean part is in [-1, 1], its sides multiples of `multiple`; t (B,)
        the timesteps; y (B,) the classes where the network has some, -1 for none of them, for which the mean of their
        embeddings stands in. Returns (B, 3 or 6, H, W) in the dtype of x.
        """
        if (y is None) != (self.config.num_class_embeds is None):
            raise GdpkitError(f"This network {'needs classes y' if y is None else 'knows no classes'}.")
        wide = arithmetic(self.held)
        features = timestep_features(
            t, self.config.block_out_channels[0], self.config.freq_shift, self.config.flip_sin_to_cos
        )
        first, second = self.time_embedding["linear_1"], self.time_embedding["linear_2"]
        embedding = second(F.silu(first(features.to(wide))))
        if y is not None:
            embedding = embedding + self.class_embedding(y).to(wide)
        h = (2 * x - 1 if self.config.center_input_sample else x).to(self.compute or wide)
        h = self.conv_in(h)
        skips = [h]
        for level in self.down_blocks:
            h = level(h, embedding, skips)
        if self.config.mid_block_type is not None:
            h = self.mid_block(h, embedding, skips)
        for level in self.up_blocks:
            h = level(h, embedding, skips)
        out: Tensor = self.conv_out(F.silu(self.conv_norm_out(h.to(wide))))
        return out.to(x.dtype)


def embedding_width(config: UNet2DConfig) -> int:
    """Channels of the timestep's embedding."""
    return config.time_embedding_dim or 4 * config.block_out_channels[0]


def timestep_features(t: Tensor, size: int, shift: float, cosines_first: bool) -> Tensor:
    """Sines and cosines of t at size / 2 frequencies from 1 down (Vaswani et al. 2017), (B, size)."""
    half = size // 2
    exponents = -math.log(10000) / (half - shift) * torch.arange(half, dtype=torch.float32, device=t.device)
    angles = t.float()[:, None] * exponents.exp()
    both = (angles.cos(), angles.sin()) if cosines_first else (angles.sin(), angles.cos())
    return F.pad(torch.cat(both, dim=1), (0, size % 2))


def _double(h: Tensor) -> Tensor:
    return F.interpolate(h, scale_factor=2, mode="nearest")
