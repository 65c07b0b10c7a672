"""What JPEG compression takes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from gdpkit.components import Degradation, Shape, SingularSystem
from gdpkit.errors import GdpkitError
from gdpkit.params import param

if TYPE_CHECKING:
    from torch import Tensor

ROUNDING = 0.7
"""What codecs add in 0..255 by computing planes in whole levels: each rounds luma and chroma, and chroma weighs
up to 1.77 in RGB, which gives 0.5 on decoding alone."""
HALF = 0.499  # of a cell: at its very end float32 would fall into the next
CHANGED = 4.0
"""Mean square, in levels, of what changes in a block that was not just rounded."""


@dataclass(frozen=True)
class Jpeg(Degradation):
    """Compress as JPEG does and decode again: cosine coefficients of 8x8 blocks, rounded to multiples of their steps.

    Luma and chroma as in JFIF, chroma reduced by `chroma`, the example tables of ITU-T T.81 scaled by `quality` as
    libjpeg does, or `steps`. What was observed says in which cell of width one step every coefficient lies, and
    nothing more. The gradient passes over the rounding; `prox` knows the cells.
    """

    name = "jpeg"
    surrogate_gradient: ClassVar[bool] = True
    example_params: ClassVar[Mapping[str, Any]] = {"quality": 95, "chroma": "4:4:4"}

    quality: int = param(30, help="Quality of libjpeg and most programs.", min=1, max=100)
    chroma: str = param("4:2:0", help="How chroma is reduced.", choices=("4:4:4", "4:2:2", "4:2:0"))
    steps: tuple[int, ...] = param((), help="Steps of luma and chroma, 128 numbers in rows, instead of a quality.")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.steps and (len(self.steps) != 128 or min(self.steps) < 1):
            raise GdpkitError(f"jpeg: steps are 128 numbers from 1, 64 of luma and 64 of chroma, not {len(self.steps)}")

    @property
    def noise_sigma(self) -> float:
        """Of the rounding of planes; that of coefficients is part of the mean."""
        return ROUNDING

    def __call__(self, image: Tensor) -> Tensor:  # type: ignore[override]
        """(B, 1 or 3, H, W) -> the decoded picture, the same shape, in [0, 1]. A grey image has luma alone."""
        from gdpkit import jpeg

        tables, factors = self._tables(image), jpeg.CHROMA[self.chroma]
        height, width = image.shape[-2:]
        if image.shape[1] == 1:
            decoded = jpeg.quantised(255 * image, tables[0]) / 255
        else:
            planes = jpeg.to_ycc(255 * image)
            luma = jpeg.quantised(planes[:, :1], tables[0])
            small = jpeg.quantised(jpeg.reduced(planes[:, 1:], factors) + 128, tables[1]) - 128
            chroma = jpeg.enlarged(small, factors, height, width)
            decoded = jpeg.to_rgb(jpeg.joined(luma, chroma)) / 255
        return decoded + (decoded.clamp(0, 1) - decoded).detach()

    def measured(self, observed: Tensor) -> Tensor | None:
        """0 in blocks whose cells cannot be told.

        Of those that reach over the edge, what filled them is not in the picture; others were clipped after decoding,
        and do not come back when the picture is compressed again.
        """
        weight = self.known(observed)
        return None if bool(weight.all()) or not bool(weight.any()) else weight

    def known(self, observed: Tensor) -> Tensor:
        """1 in blocks whose cells can be told, 0 elsewhere, (B, 1, H, W)."""
        from gdpkit import jpeg

        rows, columns = (jpeg.BLOCK * f for f in (jpeg.CHROMA[self.chroma] if observed.shape[1] == 3 else (1, 1)))
        height, width = observed.shape[-2:]

        def unchanged(seen: Tensor) -> Tensor:
            changed = (255 * (Jpeg.__call__(self, seen) - seen)).square().mean(dim=1, keepdim=True)
            error = jpeg.reduced(changed, (rows, columns)).repeat_interleave(rows, 2).repeat_interleave(columns, 3)
            return (error[..., : seen.shape[2], :width] < CHANGED).to(seen)

        weight = jpeg.in_strips(unchanged, observed)
        weight[..., height - height % rows :, :] = 0
        weight[..., width - width % columns :] = 0
        return weight

    def error(self, observed: Tensor) -> float:
        """Of the coefficients' rounding, in RGB. What coarser chroma takes is not in it."""
        import torch

        from gdpkit import jpeg

        tables, observed = self._tables(observed), jpeg.thinned(observed)
        if observed.shape[1] == 1:
            return float(jpeg.error_within(jpeg.blocks(255 * (observed - 0.5)), tables[0]).sum() ** 0.5)
        planes = jpeg.to_ycc(255 * observed)
        chroma = jpeg.reduced(planes[:, 1:], jpeg.CHROMA[self.chroma])
        luma = jpeg.error_within(jpeg.blocks(planes[:, :1] - 128), tables[0])
        squares = torch.cat([luma, jpeg.error_within(jpeg.blocks(chroma), tables[1])])
        return float((jpeg.powers().to(squares) * squares).sum() ** 0.5)

    def near(self, shape: Shape, **unknowns: Tensor) -> SingularSystem:
        """The identity: its gradient passes over the rounding, and only chroma is made coarser."""
        from gdpkit import spectra

        return spectra.IDENTITY

    def prox(self, image: Tensor, observed: Tensor, sigma: Tensor, noise: float) -> Tensor | None:
        """The mean of N(image, sigma^2) given the cell of every coefficient; sigma (B, 1, 1, 1) in units of the image.

        Planes and coefficients are taken to be independent, each with the variance that white noise of the image has
        there. None for a picture that had noise since, which hides the cells.
        """
        from gdpkit import jpeg

        if noise > 2 * ROUNDING / 255:
            return None
        return jpeg.in_strips(lambda rows, seen: self._within(rows, seen, sigma), image, observed)

    def _within(self, image: Tensor, observed: Tensor, sigma: Tensor) -> Tensor:
        from gdpkit import functional, jpeg

        tables, factors = self._tables(image), jpeg.CHROMA[self.chroma]
        if image.shape[1] == 1:
            return image + self._moved(255 * (image - 0.5), 255 * (observed - 0.5), tables[0], 255 * sigma) / 255
        planes, seen = (jpeg.to_ycc(255 * t) for t in (image, observed))
        spread = functional.constant(jpeg.SPREADS, image.dtype, image.device).view(1, 3, 1, 1)
        luma = self._moved(planes[:, :1] - 128, seen[:, :1] - 128, tables[0], 255 * sigma * spread[:, :1])
        few = (factors[0] * factors[1]) ** -0.5
        small, kept = jpeg.reduced(planes[:, 1:], factors), jpeg.stored(seen[:, 1:], factors)
        chroma = self._moved(small, kept, tables[1], 255 * sigma * spread[:, 1:] * few)
        chroma = chroma.repeat_interleave(factors[0], 2).repeat_interleave(factors[1], 3)
        chroma = chroma[..., : image.shape[2], : image.shape[3]]
        return image + jpeg.to_rgb(jpeg.joined(luma, chroma)) / 255

    @staticmethod
    def _moved(plane: Tensor, seen: Tensor, steps: Tensor, sigma: Tensor) -> Tensor:
        """By how much a plane moves into the cells of another."""
        from gdpkit import jpeg

        believed, cells = jpeg.blocks(plane), (jpeg.blocks(seen) / steps).round_()
        low, high = (cells - HALF) * steps, (cells + HALF) * steps
        deviation = sigma[..., None, None].expand_as(believed)
        moved = jpeg.mean_within(believed, deviation, low, high) - believed
        return jpeg.unblocked(moved, plane.shape[-2], plane.shape[-1])

    def _tables(self, like: Tensor) -> Tensor:
        from gdpkit import functional, jpeg

        if self.steps:
            return functional.constant(self.steps, like.dtype, like.device).reshape(2, jpeg.BLOCK, jpeg.BLOCK)
        return jpeg.tables_on(self.quality, like.dtype, like.device)
