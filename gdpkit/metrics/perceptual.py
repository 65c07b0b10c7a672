"""LPIPS as a function of the published weights of its networks."""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor
from torch.nn import functional as F

from gdpkit.metrics.network_files import Weights

ALEXNET = (("0", 4, 2), ("3", 1, 2), ("6", 1, 1), ("8", 1, 1), ("10", 1, 1))
"""The convolutions of AlexNet, each with its stride and padding; every one ends a stage of LPIPS."""
VGG16 = (("0", "2"), ("5", "7"), ("10", "12", "14"), ("17", "19", "21"), ("24", "26", "28"))
"""The convolutions of VGG-16 by stage."""
SHIFT, SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)
"""How LPIPS normalises [-1, 1]: ImageNet's means and deviations, rounded."""


def stages(image: Tensor, w: Weights) -> Iterator[Tensor]:
    """The five stages of AlexNet or VGG-16, whichever the weights are of: (B, 3, H, W) in [-1, 1] -> (B, C, h, w)."""
    x = (image - image.new_tensor(SHIFT).view(1, 3, 1, 1)) / image.new_tensor(SCALE).view(1, 3, 1, 1)
    if w["features.0.weight"].shape[-1] == 11:
        for at, stride, padding in ALEXNET:
            if at in ("3", "6"):
                x = F.max_pool2d(x, 3, 2)
            x = F.conv2d(x, w[f"features.{at}.weight"].to(x), w[f"features.{at}.bias"].to(x), stride, padding).relu()
            yield x
        return
    for index, stage in enumerate(VGG16):
        x = F.max_pool2d(x, 2) if index else x
        for at in stage:
            x = F.conv2d(x, w[f"features.{at}.weight"].to(x), w[f"features.{at}.bias"].to(x), padding=1).relu()
        yield x


def lpips(image: Tensor, reference: Tensor, network: Weights, linear: Weights) -> Tensor:
    """The distance of two batches, (B, 3, H, W) in [0, 1] -> (B,)."""
    total = image.new_zeros(len(image))
    pairs = zip(stages(2 * image - 1, network), stages(2 * reference - 1, network), strict=True)
    for index, (one, other) in enumerate(pairs):
        one, other = (x / (x.square().sum(dim=1, keepdim=True).sqrt() + 1e-10) for x in (one, other))
        weight = linear[f"lin{index}.model.1.weight"].to(one)
        total = total + F.conv2d((one - other).square(), weight).mean(dim=(1, 2, 3))
    return total
