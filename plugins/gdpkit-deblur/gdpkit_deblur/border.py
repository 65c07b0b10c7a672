"""What a blurred photograph tells about its border."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from gdpkit import convolution, dct, overexposure, solvers, spectra

SMOOTH = 1.05  # 14 photographs, five kernels: less with mirrored borders, and mostly more, up to 1.6, without
BEYOND = 10 / 255
"""In three photographs of 16 bits and three kernels 8 levels at most with mirrored borders; with those whose edge pixel
was not repeated, 11 to 171 where that does harm."""
LAMPS = 60 / 255
"""Ten photographs that a program blurred had 33 levels at most; lamps that were brighter than white and moved, 86."""
TRUSTED = 0.1  # how far, in the units of the image, the blurred picture is from the sharp one
ITERATIONS = 30
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
    rows, columns = (side // 2 for side in kernel.shape)
    inside = (..., slice(rows, rows + grey.shape[-2]), slice(columns, columns + grey.shape[-1]))
    beyond = convolution.extended(grey, rows, columns, "reflect")
    mirrored = _roughness(_undone(grey, grey, kernel, "reflect", sigma))
    if mirrored > SMOOTH * _roughness(_undone(grey, beyond, kernel, "valid", sigma)[inside]):
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
    undone = dct.idct(s / (s.square() + (sigma / TRUSTED) ** 2) * dct.dct(grey.double()))
    return float((undone - undone.clamp(0, 1)).square().mean().sqrt())


def _undone(image: Tensor, start: Tensor, kernel: Tensor, boundary: str, sigma: float) -> Tensor:
    """The least squares solution near `start`, roughly."""
    weight = (TRUSTED / sigma) ** 2
    rows, columns = kernel.shape
    border = rows // 2, columns // 2
    height, width = convolution.extended(start, *border, boundary).shape[-2:]
    # As `convolution` does it, with the kernel's spectrum computed once for all iterations.
    size = [convolution.fast_length(side) for side in (height, width)]
    spectrum = torch.fft.rfft2(kernel.to(start), s=size)
    around = (columns - 1, size[1] - width, rows - 1, size[0] - height)

    def blurred(x: Tensor) -> Tensor:
        beyond = convolution.extended(x, *border, boundary)
        whole: Tensor = torch.fft.irfft2(torch.fft.rfft2(beyond, s=size) * spectrum, s=size)
        return whole[..., rows - 1 : height, columns - 1 : width]

    def back(y: Tensor) -> Tensor:
        whole = torch.fft.irfft2(torch.fft.rfft2(F.pad(y, around)) * spectrum.conj(), s=size)
        return weight * convolution.folded(whole[..., :height, :width], *border, boundary)

    rest = back(image - blurred(start))
    return start + solvers.conjugate_gradients(lambda d: d + back(blurred(d)), rest, ITERATIONS, 1e-3)


def _roughness(image: Tensor) -> float:
    across, along = image.diff(n=2, dim=-1), image.diff(n=2, dim=-2)
    return float(across.square().mean() + along.square().mean())
