"""Learned perceptual image patch similarity."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from gdpkit.components import Metric
from gdpkit.errors import GdpkitError
from gdpkit.metrics.pairs import compared
from gdpkit.params import param

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Lpips(Metric):
    """Distance of two pictures in the features of a classifier; 0 for equal ones, lower is better.

    sum_l mean_hw sum_c w_lc (f_lc - g_lc)^2, of the features f and g of five stages, each pixel's scaled to length 1
    (Zhang, Isola, Efros, Shechtman and Wang, "The unreasonable effectiveness of deep features as a perceptual
    metric", CVPR 2018, equation 1; version 0.1 of its weights). The weights do not come with gdpkit: `network` is
    torchvision's AlexNet or VGG-16, a state_dict, and `linear` is alex.pth or vgg.pth, the weights w of the authors'
    package `lpips`.
    """

    name = "lpips"
    higher_is_better: ClassVar[bool] = False
    network: Path = param(help="The weights of AlexNet or VGG-16 as torchvision names them, alexnet-owt-7be5be79.pth.")
    linear: Path = param(help="The authors' weights of its stages, lpips/weights/v0.1/alex.pth (or vgg.pth).")

    def __call__(self, image: Tensor, reference: Tensor | None) -> Tensor:
        """(B, C, H, W) and the truth, of the same shape, at least 32x32 -> (B,)."""
        import torch

        from gdpkit import functional
        from gdpkit.metrics import network_files, perceptual

        x, y = (functional.with_channels(p.float(), 3) for p in compared(self.name, image, reference, smallest=32))
        first = ["features.0.weight", "features.0.bias", "features.10.weight"]
        network = network_files.load(self.name, self.network, first, "torchvision's AlexNet or VGG-16")
        stages = [f"lin{k}.model.1.weight" for k in range(5)]
        linear = network_files.load(self.name, self.linear, stages, "the weights of lpips, alex.pth or vgg.pth")
        try:
            with torch.no_grad():
                return perceptual.lpips(x, y, network, linear).to(image)
        except (KeyError, RuntimeError) as error:
            reason = " ".join(str(error).split())[:120]
            files = f"{self.network} and {self.linear}"
            raise GdpkitError(f"{self.name}: {files} are not of one network ({reason})") from error
