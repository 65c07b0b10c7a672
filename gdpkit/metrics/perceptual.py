"""The networks of LPIPS and of FID, as functions of their published weights, which are read from files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from gdpkit.errors import GdpkitError
from gdpkit.priors.weights import read_weights

Weights = Mapping[str, Tensor]

ALEXNET = (("0", 4, 2), ("3", 1, 2), ("6", 1, 1), ("8", 1, 1), ("10", 1, 1))
"""The convolutions of AlexNet, each with its stride and padding; every one ends a stage of LPIPS."""
VGG16 = (("0", "2"), ("5", "7"), ("10", "12", "14"), ("17", "19", "21"), ("24", "26", "28"))
"""The convolutions of VGG-16 by stage."""
SHIFT, SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)
"""How LPIPS normalises [-1, 1]: ImageNet's means and deviations, rounded."""

NORMALISED = ("running_mean", "running_var", "weight", "bias")


@lru_cache(maxsize=8)
def weights(file: Path, stamp: int) -> Weights:
    """The tensors of a file, in float32; `stamp` is when it was changed."""
    return {name: tensor.float() for name, tensor in read_weights(file)[0].items()}


def load(metric: str, file: Path, needed: Sequence[str], what: str) -> Weights:
    """The weights of a file that must hold the tensors `needed`; else a `GdpkitError` says what the file should be."""
    try:
        found = weights(file, file.stat().st_mtime_ns)
    except OSError as error:
        raise GdpkitError(f"{metric}: {file} cannot be read ({error.strerror}); it should be {what}") from error
    except GdpkitError as error:
        raise GdpkitError(f"{metric}: {error}") from error
    missing = [name for name in needed if name not in found]
    if missing:
        raise GdpkitError(f"{metric}: {file} holds no {missing[0]}, so it is not {what}")
    return found


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


def inception(image: Tensor, w: Weights) -> Tensor:
    """The 2048 features of Inception-v3 in the form that FID uses: (B, 3, H, W) in [0, 1] -> (B, 2048).

    Szegedy et al., "Rethinking the Inception architecture for computer vision", CVPR 2016, with the weights of
    TensorFlow's inception-2015-12-05. Its means over 3x3 pixels leave out the border, and its last block takes the
    maximum where the others take the mean.
    """

    def conv(name: str, x: Tensor, stride: int = 1) -> Tensor:
        kernel = w[f"{name}.conv.weight"].to(x)
        same = name.startswith("Mixed") or name == "Conv2d_2b_3x3"
        padding = (kernel.shape[-2] // 2, kernel.shape[-1] // 2) if same and stride == 1 else (0, 0)
        x = F.conv2d(x, kernel, stride=stride, padding=padding)
        mean, variance, gain, bias = (w[f"{name}.bn.{part}"].to(x) for part in NORMALISED)
        return F.batch_norm(x, mean, variance, gain, bias, eps=0.001).relu()

    def path(block: str, branch: str, x: Tensor, count: int, last: int = 1) -> Tensor:
        for k in range(1, count + 1):
            x = conv(f"{block}.{branch}_{k}", x, last if k == count else 1)
        return x

    def pooled(block: str, x: Tensor, most: bool = False) -> Tensor:
        x = F.max_pool2d(x, 3, 1, 1) if most else F.avg_pool2d(x, 3, 1, 1, count_include_pad=False)
        return conv(f"{block}.branch_pool", x)

    def split(block: str, branch: str, x: Tensor) -> Tensor:
        return torch.cat((conv(f"{block}.{branch}a", x), conv(f"{block}.{branch}b", x)), dim=1)

    x = 2 * F.interpolate(image, (299, 299), mode="bilinear", align_corners=False) - 1
    x = conv("Conv2d_2b_3x3", conv("Conv2d_2a_3x3", conv("Conv2d_1a_3x3", x, 2)))
    x = conv("Conv2d_4a_3x3", conv("Conv2d_3b_1x1", F.max_pool2d(x, 3, 2)))
    x = F.max_pool2d(x, 3, 2)
    for b in ("Mixed_5b", "Mixed_5c", "Mixed_5d"):
        five, three = path(b, "branch5x5", x, 2), path(b, "branch3x3dbl", x, 3)
        x = torch.cat((conv(f"{b}.branch1x1", x), five, three, pooled(b, x)), dim=1)
    b = "Mixed_6a"
    x = torch.cat((conv(f"{b}.branch3x3", x, 2), path(b, "branch3x3dbl", x, 3, 2), F.max_pool2d(x, 3, 2)), dim=1)
    for b in ("Mixed_6b", "Mixed_6c", "Mixed_6d", "Mixed_6e"):
        seven, twice = path(b, "branch7x7", x, 3), path(b, "branch7x7dbl", x, 5)
        x = torch.cat((conv(f"{b}.branch1x1", x), seven, twice, pooled(b, x)), dim=1)
    b = "Mixed_7a"
    x = torch.cat((path(b, "branch3x3", x, 2, 2), path(b, "branch7x7x3", x, 4, 2), F.max_pool2d(x, 3, 2)), dim=1)
    for b in ("Mixed_7b", "Mixed_7c"):
        three = split(b, "branch3x3_2", conv(f"{b}.branch3x3_1", x))
        twice = split(b, "branch3x3dbl_3", path(b, "branch3x3dbl", x, 2))
        x = torch.cat((conv(f"{b}.branch1x1", x), three, twice, pooled(b, x, most=b == "Mixed_7c")), dim=1)
    return x.mean(dim=(2, 3))


def frechet(found: Tensor, wanted: Tensor) -> Tensor:
    """|m1 - m2|^2 + tr(S1 + S2 - 2 (S1 S2)^(1/2)) of the Gaussians of two sets of features, (N, F) and (M, F).

    With X the centred features over sqrt(N - 1), the trace of the root is the sum of the singular values of X1 X2^T,
    which needs no covariance and is exact for fewer pictures than features.
    """
    one, other = found.double(), wanted.double()
    means = (one.mean(dim=0) - other.mean(dim=0)).square().sum()
    one, other = ((x - x.mean(dim=0)) / (len(x) - 1) ** 0.5 for x in (one, other))
    traces = one.square().sum() + other.square().sum()
    # Of many pictures their triangular factor, which has the same products.
    one, other = (torch.linalg.qr(x, mode="r").R if len(x) > x.shape[1] else x for x in (one, other))
    root: Tensor = torch.linalg.svdvals(one @ other.T).sum()
    distance: Tensor = means + traces - 2 * root
    return distance.clamp_min(0)
