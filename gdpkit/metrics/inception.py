"""What FID is made of: the features of Inception-v3 as a function of its weights, and the distance of two sets."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from gdpkit.metrics.network_files import Weights

NORMALISED = ("running_mean", "running_var", "weight", "bias")


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
