"""Structural similarity."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gdpkit.components import Metric
from gdpkit.metrics.pairs import compared
from gdpkit.params import param

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class SSIM(Metric):
    """Structural similarity in [-1, 1], 1 for equal pictures, mean over the channels.

    With local means mu, variances s^2 and covariance s_xy under an 11x11 Gaussian window of deviation 1.5,

        SSIM = (2 mu_x mu_y + C1) (2 s_xy + C2) / ((mu_x^2 + mu_y^2 + C1) (s_x^2 + s_y^2 + C2)),

    C1 = 0.01^2, C2 = 0.03^2 for values in [0, 1] (Wang et al., "Image quality assessment: from error visibility to
    structural similarity", IEEE TIP 2004, equation 13), averaged over every place where the window fits, of each
    channel. As skimage's `structural_similarity(gaussian_weights=True, sigma=1.5, use_sample_covariance=False)`.
    """

    name = "ssim"
    border: int = param(0, help="Pixels left out on every side.", min=0)

    def __call__(self, image: Tensor, reference: Tensor | None) -> Tensor:
        """(B, C, H, W) and the truth, of the same shape, at least 11x11 -> (B,)."""
        import torch

        from gdpkit import similarity

        x, y = compared(self.name, image, reference, self.border, smallest=similarity.SIDE)
        a, b, _, _ = similarity.dissimilarity(x, y, similarity.Windows(torch.ones_like(x[:1, :1])))
        edge = similarity.SIDE // 2
        whole = (..., slice(edge, x.shape[-2] - edge), slice(edge, x.shape[-1] - edge))
        return 1 - (a + b - a * b)[whole].mean(dim=(1, 2, 3)).to(image.dtype)
