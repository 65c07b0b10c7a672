"""What a blurred photograph tells about its border."""

from __future__ import annotations

from torch import Tensor

from gdpkit import dct, overexposure, spectra
from gdpkit_deblur.roughly import TRUSTED, borderless, undone

SMOOTH = 1.05  # 14 photographs, five kernels: less with mirrored borders, and mostly more, up to 1.6, without
BEYOND = 10 / 255
"""In three photographs of 16 bits and three kernels 8 levels at most with mirrored borders; with those whose edge pixel
was not repeated, 11 to 171 where that does harm."""
LAMPS = 60 / 255
"""Ten photographs that a program blurred had 33 levels at most; lamps that were brighter than white and moved, 86."""
LARGEST = 4_000_000  # pixels; of larger pictures, which no program made for a trial, nothing is known of the border


def is_mirrored(image: Tensor, kernel: Tensor, sigma: float) -> bool:
    """Whether a blurred image (B, C, H, W) was mirrored at its border before it was blurred, as programs do.

    Undone with mirrored borders, an image that was not becomes rougher than it does with borders that nothing is known
    of: what the border cannot explain rings through the picture. Where the noise, sigma in the units of the image, or
    the kernel hides that, mirroring does no harm either.
    """
    grey = image.mean(1, keepdim=True)
    if grey[0].numel() > LARGEST:
        return False
    mirrored = _roughness(undone(grey, grey, kernel, "reflect", sigma))
    if mirrored > SMOOTH * _roughness(borderless(grey, kernel, sigma)):
        return False
    lies = _beyond(grey, kernel, sigma)
    if lies > LAMPS and bool((grey >= overexposure.WHITE).any()):
        return False
    return not spectra.symmetric(kernel) or lies <= BEYOND


def _beyond(grey: Tensor, kernel: Tensor, sigma: float) -> float:
    """How far a picture, undone exactly with mirrored borders, lies beyond black and white, (root mean square).

    Where there is little noise everything that another border left is let through, as of one that is mirrored without
    its edge pixel: bars from side to side, which an iteration that stops early does not show.
    """
    system = spectra.cosine_filter(kernel, *grey.shape[-2:])
    s = system.values.double()
    sharp = dct.idct(s / (s.square() + (sigma / TRUSTED) ** 2) * dct.dct(grey.double()))
    return float((sharp - sharp.clamp(0, 1)).square().mean().sqrt())


def _roughness(image: Tensor) -> float:
    across, along = image.diff(n=2, dim=-1), image.diff(n=2, dim=-2)
    return float(across.square().mean() + along.square().mean())
