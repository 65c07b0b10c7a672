"""The networks that were tried for the embedded prior, all with the interface of `gdpkit.priors.unet.UNet.raw`.

The one that was chosen is `UNet` itself; the others live here because the product does not need them.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gdpkit.priors.unet import UNet


class BoundedBlock(nn.Module):
    """The residual block of `UNet` with gains between 0 and 2, so that no noise level can blow up."""

    def __init__(self, width: int, embedding: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width, width, 3, padding=1)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1)
        self.film = _zeroed(nn.Linear(embedding, 2 * width))
        _shrink(self.conv2)

    def forward(self, h: Tensor, embedding: Tensor) -> Tensor:
        """(B, width, h, w) and (B, embedding) -> (B, width, h, w)."""
        gain, offset = self.film(embedding)[:, :, None, None].chunk(2, dim=1)
        return h + self.conv2(F.silu(torch.addcmul(offset, self.conv1(h), 1 + gain.tanh())))


class BiasFreeBlock(nn.Module):
    """No offsets anywhere: the output scales with the input (Mohan et al., ICLR 2020); the noise level sets gains."""

    def __init__(self, width: int, embedding: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.film = _zeroed(nn.Linear(embedding, width))
        _shrink(self.conv2)

    def forward(self, h: Tensor, embedding: Tensor) -> Tensor:
        """(B, width, h, w) and (B, embedding) -> (B, width, h, w)."""
        gain = self.film(embedding)[:, :, None, None]
        return h + self.conv2(F.relu(self.conv1(h) * (1 + gain)))


class NafBlock(nn.Module):
    """NAFNet's block (Chen et al., ECCV 2022) without its pooling: depthwise convolution, gates, channel norm."""

    def __init__(self, width: int, embedding: int) -> None:
        super().__init__()
        self.expand = nn.Conv2d(width, 2 * width, 1)
        self.depthwise = nn.Conv2d(2 * width, 2 * width, 3, padding=1, groups=2 * width)
        self.project = nn.Conv2d(width, width, 1)
        self.wide = nn.Conv2d(width, 2 * width, 1)
        self.narrow = nn.Conv2d(width, width, 1)
        self.film = _zeroed(nn.Linear(embedding, 4 * width))
        self.scales = nn.Parameter(torch.full((2, width, 1, 1), 0.1))

    def forward(self, h: Tensor, embedding: Tensor) -> Tensor:
        """(B, width, h, w) and (B, embedding) -> (B, width, h, w)."""
        gain1, offset1, gain2, offset2 = self.film(embedding)[:, :, None, None].chunk(4, dim=1)
        inner = torch.addcmul(offset1, _channel_norm(h), 1 + gain1)
        a, b = self.depthwise(self.expand(inner)).chunk(2, dim=1)
        h = h + self.scales[0] * self.project(a * b)
        a, b = self.wide(torch.addcmul(offset2, _channel_norm(h), 1 + gain2)).chunk(2, dim=1)
        return h + self.scales[1] * self.narrow(a * b)


class Built(UNet):
    """`UNet` with another block."""

    def __init__(self, widths: Sequence[int], depths: Sequence[int], block: type[nn.Module]) -> None:
        self._block = block
        super().__init__(widths, depths)

    def _levels(self, embedding: int) -> nn.ModuleList:
        return nn.ModuleList(
            nn.ModuleList(self._block(width, embedding) for _ in range(depth))
            for width, depth in zip(self.widths, self.depths, strict=True)
        )


def bias_free(widths: Sequence[int], depths: Sequence[int]) -> UNet:
    """`UNet` of `BiasFreeBlock`, its other convolutions without offsets too."""
    network = Built(widths, depths, BiasFreeBlock)
    for part in [network.first, network.last, *network.down, *network.up]:
        part.bias = None
    return network


def _zeroed(layer: nn.Linear) -> nn.Linear:
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer


@torch.no_grad()
def _shrink(layer: nn.Conv2d) -> None:
    layer.weight.mul_(0.1)


def _channel_norm(h: Tensor) -> Tensor:
    mean = h.mean(dim=1, keepdim=True)
    centred = h - mean
    return centred * (centred.square().mean(dim=1, keepdim=True) + 1e-6).rsqrt()
