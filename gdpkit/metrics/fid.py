"""Frechet inception distance."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from gdpkit.components import SetMetric
from gdpkit.errors import GdpkitError
from gdpkit.params import param

if TYPE_CHECKING:
    from torch import Tensor

WHAT = "the Inception of pytorch-fid, pt_inception-2015-12-05-6726825d.pth"


@dataclass(frozen=True)
class Fid(SetMetric):
    """Distance of two sets of pictures in the features of a classifier; 0 for equal sets, lower is better.

    |m1 - m2|^2 + tr(S1 + S2 - 2 (S1 S2)^(1/2)), of the mean and covariance of 2048 features of Inception-v3 (Heusel,
    Ramsauer, Unterthiner, Nessler and Hochreiter, "GANs trained by a two time-scale update rule converge to a local
    Nash equilibrium", NeurIPS 2017, equation 6). It depends on the number of pictures: below a few thousand, compare
    it between sets of one size alone. The weights do not come with gdpkit: `network` is the state_dict of
    pytorch-fid, made of TensorFlow's inception-2015-12-05.
    """

    name = "fid"
    higher_is_better: ClassVar[bool] = False
    network: Path = param(help="The weights of pytorch-fid's Inception, pt_inception-2015-12-05-6726825d.pth.")

    def features(self, image: Tensor) -> Tensor:
        """(B, C, H, W) in [0, 1], of any size -> (B, 2048)."""
        import torch

        from gdpkit import functional
        from gdpkit.metrics import inception, network_files

        needed = ["Conv2d_1a_3x3.conv.weight", "Mixed_7c.branch_pool.bn.running_var"]
        network = network_files.load(self.name, self.network, needed, WHAT)
        try:
            with torch.no_grad():
                return inception.inception(functional.with_channels(image.float(), 3), network)
        except (KeyError, RuntimeError) as error:
            reason = " ".join(str(error).split())[:120]
            raise GdpkitError(f"{self.name}: {self.network} is not {WHAT} ({reason})") from error

    def distance(self, found: Tensor, wanted: Tensor) -> Tensor:
        """The features of two sets of at least two pictures each -> ()."""
        from gdpkit.metrics import inception

        if min(len(found), len(wanted)) < 2:
            raise GdpkitError(f"{self.name} compares sets of at least two pictures")
        return inception.frechet(found, wanted)
