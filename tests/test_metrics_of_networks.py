"""LPIPS, FID and PI: the networks and formulas against other libraries, with weights made up for the purpose.

The published weights are not in the repository. That a network is computed as its authors compute it shows with any
weights: the recorded values are those of their packages with the same made-up ones.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from gdpkit import measure, params
from gdpkit.errors import GdpkitError
from gdpkit.metrics import inception as fid_network
from gdpkit.metrics.fid import Fid
from gdpkit.metrics.lpips import Lpips
from gdpkit.metrics.niqe import Niqe
from gdpkit.metrics.pi import PerceptualIndex

CONVOLUTIONS: dict[str, dict[object, tuple[int, int, int]]] = {
    "alex": {"0": (64, 3, 11), "3": (192, 64, 5), "6": (384, 192, 3), "8": (256, 384, 3), "10": (256, 256, 3)},
    "vgg": {
        at: (wide, narrow, 3)
        for at, narrow, wide in zip(
            (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28),
            (3, 64, 64, 128, 128, 256, 256, 256, 512, 512, 512, 512, 512),
            (64, 64, 128, 128, 256, 256, 256, 512, 512, 512, 512, 512, 512),
            strict=True,
        )
    },
}
STAGES = {"alex": (64, 192, 384, 256, 256), "vgg": (64, 128, 256, 512, 512)}


def made_up(shape: tuple[int, ...], number: int) -> Tensor:
    """Weights that are the same on every machine, of the size that keeps a picture's contrast."""
    fan = math.prod(shape[1:])
    values = (0.7 * torch.arange(math.prod(shape)).double() + number).sin() * 1e4
    centred: Tensor = (values - values.floor() - 0.5) * (24 / fan) ** 0.5
    return centred.float().reshape(shape)


def classifier(kind: str) -> dict[str, Tensor]:
    found = {}
    for number, (at, (wide, narrow, side)) in enumerate(CONVOLUTIONS[kind].items()):
        found[f"features.{at}.weight"] = made_up((wide, narrow, side, side), number)
        found[f"features.{at}.bias"] = 0.1 * made_up((wide, 1), number + 50)[:, 0]
    return found


def linear(kind: str) -> dict[str, Tensor]:
    return {f"lin{k}.model.1.weight": made_up((1, c, 1, 1), k).abs() for k, c in enumerate(STAGES[kind])}


def pair(height: int = 64, width: int = 80) -> tuple[Tensor, Tensor]:
    channels, rows, columns = torch.meshgrid(torch.arange(3), torch.arange(height), torch.arange(width), indexing="ij")
    truth = 0.5 + 0.3 * (rows / 5 + channels).sin() * (columns / 7).cos()
    return (truth + 0.1 * (rows * columns / 3).sin())[None].clamp(0, 1), truth[None]


@pytest.mark.parametrize(("kind", "wanted"), [("alex", 0.046587), ("vgg", 0.042410)])
def test_lpips_agrees_with_the_authors_package(kind: str, wanted: float, tmp_path: Path) -> None:
    """`lpips.LPIPS(net=kind)(image, truth, normalize=True)` of lpips 0.1.4 gives these with the same weights."""
    torch.save(classifier(kind), tmp_path / "network.pth")
    torch.save(linear(kind), tmp_path / "linear.pth")
    metric = Lpips(network=tmp_path / "network.pth", linear=tmp_path / "linear.pth")
    assert float(metric(*pair())) == pytest.approx(wanted, rel=1e-4)
    _, truth = pair()
    assert float(metric(truth, truth)) == 0
    batch = torch.cat((truth, pair()[0]))
    assert metric(batch, truth.expand(2, -1, -1, -1)).tolist() == pytest.approx([0, wanted], rel=1e-4, abs=1e-7)


def test_lpips_says_what_a_wrong_file_should_be(tmp_path: Path) -> None:
    torch.save(classifier("alex"), tmp_path / "network.pth")
    torch.save(linear("vgg"), tmp_path / "vgg.pth")
    with pytest.raises(GdpkitError, match=r"vgg\.pth holds no features\.0\.weight, so it is not torchvision's AlexNet"):
        Lpips(network=tmp_path / "vgg.pth", linear=tmp_path / "vgg.pth")(*pair())
    with pytest.raises(GdpkitError, match=r"network\.pth and .*vgg\.pth are not of one network"):
        Lpips(network=tmp_path / "network.pth", linear=tmp_path / "vgg.pth")(*pair())
    with pytest.raises(GdpkitError, match=r"none\.pth cannot be read .*; it should be torchvision's AlexNet or VGG-16"):
        Lpips(network=tmp_path / "none.pth", linear=tmp_path / "vgg.pth")(*pair())


@pytest.mark.parametrize("name", ["lpips", "fid", "pi"])
def test_what_does_not_come_with_gdpkit_is_named(name: str) -> None:
    with pytest.raises(GdpkitError, match=f"^{name} needs what does not come with gdpkit, .*{name}:.*=FILE"):
        measure(name, *pair())


def inception() -> dict[str, Tensor]:
    """Made-up weights of the whole Inception-v3, 21.8 million, with the names and shapes of pytorch-fid's."""
    shapes: dict[str, tuple[int, int, int, int]] = {}

    def path(block: str, wide: int, *convolutions: tuple[str, int, int, int]) -> int:
        """Convolutions one behind the other, each (name, channels, height, width)."""
        for name, channels, rows, columns in convolutions:
            shapes[f"{block}{name}"] = (channels, wide, rows, columns)
            wide = channels
        return wide

    path("Conv2d_", 3, ("1a_3x3", 32, 3, 3), ("2a_3x3", 32, 3, 3), ("2b_3x3", 64, 3, 3), ("3b_1x1", 80, 1, 1))
    path("Conv2d_", 80, ("4a_3x3", 192, 3, 3))
    for block, wide, pooled in (("Mixed_5b", 192, 32), ("Mixed_5c", 256, 64), ("Mixed_5d", 288, 64)):
        b = f"{block}.branch"
        path(b, wide, ("1x1", 64, 1, 1))
        path(b, wide, ("5x5_1", 48, 1, 1), ("5x5_2", 64, 5, 5))
        path(b, wide, ("3x3dbl_1", 64, 1, 1), ("3x3dbl_2", 96, 3, 3), ("3x3dbl_3", 96, 3, 3))
        path(b, wide, ("_pool", pooled, 1, 1))
    path("Mixed_6a.branch", 288, ("3x3", 384, 3, 3))
    path("Mixed_6a.branch", 288, ("3x3dbl_1", 64, 1, 1), ("3x3dbl_2", 96, 3, 3), ("3x3dbl_3", 96, 3, 3))
    for block, c in (("Mixed_6b", 128), ("Mixed_6c", 160), ("Mixed_6d", 160), ("Mixed_6e", 192)):
        b = f"{block}.branch"
        path(b, 768, ("1x1", 192, 1, 1))
        path(b, 768, ("7x7_1", c, 1, 1), ("7x7_2", c, 1, 7), ("7x7_3", 192, 7, 1))
        twice = [(f"7x7dbl_{k}", c, *((7, 1) if k % 2 == 0 else (1, 7))) for k in (2, 3, 4)]
        path(b, 768, ("7x7dbl_1", c, 1, 1), *twice, ("7x7dbl_5", 192, 1, 7))
        path(b, 768, ("_pool", 192, 1, 1))
    path("Mixed_7a.branch", 768, ("3x3_1", 192, 1, 1), ("3x3_2", 320, 3, 3))
    seven = (("7x7x3_1", 192, 1, 1), ("7x7x3_2", 192, 1, 7), ("7x7x3_3", 192, 7, 1), ("7x7x3_4", 192, 3, 3))
    path("Mixed_7a.branch", 768, *seven)
    for block, wide in (("Mixed_7b", 1280), ("Mixed_7c", 2048)):
        b = f"{block}.branch"
        path(b, wide, ("1x1", 320, 1, 1))
        path(b, path(b, wide, ("3x3_1", 384, 1, 1)), ("3x3_2a", 384, 1, 3))
        path(b, 384, ("3x3_2b", 384, 3, 1))
        path(b, wide, ("3x3dbl_1", 448, 1, 1), ("3x3dbl_2", 384, 3, 3), ("3x3dbl_3a", 384, 1, 3))
        path(b, 384, ("3x3dbl_3b", 384, 3, 1))
        path(b, wide, ("_pool", 192, 1, 1))
    found = {}
    for number, (name, shape) in enumerate(sorted(shapes.items())):
        found[f"{name}.conv.weight"] = made_up(shape, number)
        for k, part in enumerate(("running_mean", "running_var", "weight", "bias")):
            values = made_up((shape[0], 24), number + 100 * k)[:, 0]  # -0.5 to 0.5
            found[f"{name}.bn.{part}"] = 1 + 0.5 * values if part in ("running_var", "weight") else 0.1 * values
    return found


def test_the_features_of_fid_agree_with_pytorch_fid() -> None:
    """`pytorch_fid.inception.InceptionV3([3])(image)` of pytorch-fid 0.3.0 gives these with the same weights."""
    features = fid_network.inception(pair()[0], inception())[0]
    assert features.shape == (2048,)
    assert features[:4].tolist() == pytest.approx([0.466549, 0.306325, 0.969295, 0.799612], rel=1e-3, abs=1e-5)
    assert float(features.norm()) == pytest.approx(30.09961, rel=1e-4)


def test_the_distance_of_gaussians_agrees_with_its_definition() -> None:
    linalg: Any = pytest.importorskip("scipy.linalg")
    generator = torch.Generator().manual_seed(0)
    for many, more in ((40, 50), (7, 9), (5, 30)):  # more and fewer pictures than features
        found, wanted = (torch.randn(n, 12, generator=generator).double() * 2 + n / 40 for n in (many, more))
        (m1, s1), (m2, s2) = ((x.numpy().mean(axis=0), np.cov(x.numpy(), rowvar=False)) for x in (found, wanted))
        root = np.real(np.trace(linalg.sqrtm(s1 @ s2)))
        direct = ((m1 - m2) ** 2).sum() + np.trace(s1) + np.trace(s2) - 2 * root
        assert float(fid_network.frechet(found, wanted)) == pytest.approx(direct, rel=1e-4)
        assert float(fid_network.frechet(found, found)) == pytest.approx(0, abs=1e-9)


def test_fid_says_what_is_wrong(tmp_path: Path) -> None:
    torch.save(classifier("alex"), tmp_path / "alexnet.pth")
    with pytest.raises(GdpkitError, match=r"alexnet\.pth holds no Conv2d_1a_3x3.* not the Inception of pytorch-fid"):
        Fid(network=tmp_path / "alexnet.pth").features(pair()[0])
    with pytest.raises(GdpkitError, match="at least two pictures"):
        Fid(network=tmp_path / "any.pth").distance(torch.zeros(1, 4), torch.zeros(3, 4))


def test_pi_is_made_of_a_score_from_a_file_and_niqe(tmp_path: Path) -> None:
    scores = tmp_path / "ma.csv"
    scores.write_text("a.png,8.5\nb,7\nc,good\n")
    image = torch.rand(1, 3, 200, 300, generator=torch.Generator().manual_seed(0))
    metric = params.build(PerceptualIndex, {"ma": str(scores)})
    niqe = float(Niqe()(image, None))
    assert float(metric.named("x/a.png")(image, None)) == pytest.approx((1.5 + niqe) / 2)
    assert float(metric.named("b.jpg")(image, None)) == pytest.approx((3 + niqe) / 2)
    with pytest.raises(GdpkitError, match=r"has no score of d\.png"):
        metric.named("d.png")(image, None)
    with pytest.raises(GdpkitError, match="the score of c is no number"):
        metric.named("c.png")(image, None)
    with pytest.raises(GdpkitError, match=r"none\.csv cannot be read"):
        PerceptualIndex(ma=tmp_path / "none.csv", picture="a.png")(image, None)
