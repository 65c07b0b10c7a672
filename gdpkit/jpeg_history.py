"""Whether a picture was a JPEG before it was stored as it is now, told from its pixels."""

from __future__ import annotations

from torch import Tensor

from gdpkit import jpeg

QUALITIES = range(5, 97)
PIXELS = 2**15
"""So many are looked at, in whole rows of blocks."""
CELLS = 0.4
"""Coefficients so near to the middles of cells other than that of 0, as a share of the mean square within a cell, were
rounded to them. Of others it is about 1, and of JPEGs 1.6 / step^2, as their pixels were rounded to whole levels."""
ROUNDED = 0.8  # median, in levels: what is farther from the middles had noise since, which hides the cells
LEAST = 100
"""So many such coefficients tell: those near 0 say nothing, as a smooth picture has no others."""


def quality(image: Tensor) -> int | None:
    """The quality with the example tables of ITU-T T.81, as libjpeg scales them, of a picture (B, C, H, W) in [0, 1].

    After any change since, a turn that moves the blocks, a crop or another size, and of other tables: None.
    """
    image = jpeg.thinned(image, PIXELS)
    height, width = (side - side % jpeg.BLOCK for side in image.shape[-2:])
    image = 255 * image[..., :height, :width]
    luma = image - 128 if image.shape[1] == 1 else jpeg.to_ycc(image)[:, :1] - 128
    coefficients = jpeg.blocks(luma)
    best: tuple[float, int] | None = None
    for q in QUALITIES:
        steps = jpeg.tables(q)[0].to(coefficients)
        cells = (coefficients / steps).round()
        tells = cells != 0
        count = int(tells.sum())
        if count < LEAST:
            continue
        off = (coefficients - cells * steps)[tells].abs()
        share = float(12 * off.square().sum() / (tells * steps.square()).sum())
        if float(off.median()) < ROUNDED and share < (CELLS if best is None else best[0]):
            best = share, q
    return None if best is None else best[1]


def chroma(image: Tensor, quality: int) -> str:
    """How the colours of a JPEG of this quality were reduced: as it changes least when it is compressed again."""
    from gdpkit.degradations.jpeg import Jpeg

    image = jpeg.thinned(image, PIXELS)
    changes = {c: (Jpeg(quality=quality, chroma=c)(image) - image).square().mean().item() for c in jpeg.CHROMA}
    return min(changes, key=changes.__getitem__)
