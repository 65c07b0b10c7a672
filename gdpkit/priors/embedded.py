"""The prior inside the wheel, and any other that `gdpkit.training` made."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from gdpkit.components import Denoised, Prior
from gdpkit.params import param

if TYPE_CHECKING:
    import torch
    from torch import Tensor

COUNTED = 4  # blocks a side of what is evaluated to count; of one, what does not grow with the pixels would show
MOST = 20.0  # deviations of a noisy image's values that the network is shown
EMBEDDED = Path(__file__).with_name("embedded.safetensors")


@dataclass(frozen=True)
class EmbeddedPrior(Prior):
    """The small convolutional network that comes with gdpkit (docs/prior.md), or another of its kind.

    Works at any size: the image is extended by reflection to the next multiple the network needs.
    """

    name = "embedded"
    file: Path = param(EMBEDDED, help="Checkpoint made by gdpkit; the one inside the package by default.")
    precision: str = param("auto", help="Of its convolutions; auto: float16 on a GPU, float32 on a CPU.",
                           choices=("auto", "float32", "float16", "bfloat16"))  # fmt: skip

    def denoise(self, noisy: Tensor, sigma: float | Tensor) -> Denoised:
        """One evaluation of the network; what it gives is float32, and so is all around its convolutions."""
        import torch

        from gdpkit import functional
        from gdpkit.priors import checkpoint
        from gdpkit.priors.evaluate import autocast, one_by_one
        from gdpkit.priors.unet import SIGMA_RANGE

        network = checkpoint.load_unet(self.file, noisy.device).network
        sigmas = functional.levels(sigma, noisy, torch.float32).expand(len(noisy))
        height, width = noisy.shape[-2:]
        below, right = -height % network.multiple, -width % network.multiple
        x = functional.pad_reflect(2 * noisy - 1, 0, right, 0, below)
        # Beyond the trained noise levels: no image is that clean, and in more noise the same share of it says as much.
        trained = (2 * sigmas).clamp(*SIGMA_RANGE)
        x = x * (trained / (2 * sigmas).clamp_min(SIGMA_RANGE[0]))[:, None, None, None]
        if noisy.is_cuda:  # of no image: what a sampler that goes astray asks would overflow float16
            most = MOST * (1 + trained.square()).sqrt()[:, None, None, None]
            x = torch.minimum(torch.maximum(x, -most), most)
        with autocast(self.precision, noisy):
            clean = one_by_one(network, x.contiguous(memory_format=torch.channels_last), trained)
        return Denoised((clean[..., :height, :width] + 1) / 2)

    def load(self, device: str | torch.device) -> None:
        """Read and check the file."""
        from gdpkit.priors import checkpoint

        checkpoint.load_unet(self.file, device)

    @property
    def receptive_field(self) -> int:
        """Of the file's network."""
        from gdpkit.priors import checkpoint

        return checkpoint.load_unet(self.file, "cpu").network.receptive_field

    @property
    def training_size(self) -> int:
        """Side of the crops it was trained on; as its receptive field is known, tiles do not depend on it."""
        return 64

    @property
    def sha256(self) -> str:
        """Of the file."""
        from gdpkit.priors import checkpoint

        return checkpoint.sha256(self.file)

    def work(self, height: int, width: int) -> tuple[float, float]:
        """Counted from the network's operations, which are alike for every pixel."""
        import torch

        from gdpkit.priors import checkpoint, cost

        network = checkpoint.load_unet(self.file, "cpu").network
        height, width = height + -height % network.multiple, width + -width % network.multiple
        return cost.of_pixels(network, height, width, torch.ones(1), side=COUNTED * network.multiple)

    @property
    def weight_bytes(self) -> int:
        """Of the network, in float32."""
        from gdpkit.priors import checkpoint

        return sum(p.nbytes for p in checkpoint.load_unet(self.file, "cpu").network.parameters())
