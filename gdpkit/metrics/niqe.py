"""Natural image quality evaluator: a number for a picture by itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from gdpkit.components import Metric
from gdpkit.errors import GdpkitError, ImageError
from gdpkit.params import param

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Niqe(Metric):
    """How far a picture's local statistics are from those of good photographs; lower is better, no reference.

    Luma, in whole levels, is normalised by its local mean and deviation; in each block of 96x96 pixels, at two
    scales, asymmetric generalised Gaussians are fitted to the values and to products of neighbours, 36 numbers; the
    distance is that of their mean and covariance from a model of pristine photographs (Mittal, Soundararajan and
    Bovik, "Making a 'completely blind' image quality analyzer", IEEE Signal Processing Letters 2013). The model that
    comes with gdpkit is fitted to the 400 train and test photographs of BSDS500 (`benchmarks/niqe_model.py`). The
    authors' model gives other values: to compare with published ones, name it with `model=FILE`, a .npz file with
    `mu_pris_param` and `cov_pris_param`. A picture needs two blocks, and a few dozen for a steady value.
    """

    name = "niqe"
    reference: ClassVar[Literal["truth", "input", "exposures", "none"]] = "none"
    higher_is_better: ClassVar[bool] = False
    example_params: ClassVar[Mapping[str, Any]] = {"block": 16}
    model: Path | None = param(None, help="The model of pristine photographs, .npz; gdpkit's own by default.")
    block: int = param(96, help="Side of a block, an even number; 96 is what models are fitted for.", min=8, max=512)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.block % 2:
            raise GdpkitError(f"{self.name}: block must be even, not {self.block}")

    def __call__(self, image: Tensor, reference: Tensor | None) -> Tensor:
        """(B, C, H, W) of at least two blocks -> (B,)."""
        import torch

        from gdpkit.metrics import naturalness, windows

        height, width = image.shape[-2:]
        if (height // self.block) * (width // self.block) < 2:
            needed = f"{2 * self.block}x{self.block} pixels are needed"
            raise ImageError(f"{self.name}: {width}x{height} is too small; {needed}")
        pristine = naturalness.model(self.model or naturalness.OWN_MODEL)
        values = []
        for luma in (255 * windows.luma(image.detach().cpu().double())).round()[:, 0]:
            features, _ = naturalness.features(luma, self.block)
            try:
                values.append(naturalness.distance(naturalness.gaussian_of(features), pristine))
            except GdpkitError as error:
                raise GdpkitError(f"{self.name}: {error}") from error
        return torch.stack(values).to(image)
