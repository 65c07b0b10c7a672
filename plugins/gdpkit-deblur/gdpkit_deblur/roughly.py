"""A blurred photograph undone roughly, to see what a border or the law of light makes of it."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from gdpkit import convolution, solvers

TRUSTED = 0.1  # how far, in the units of the image, the blurred picture is from the sharp one
ITERATIONS = 30


def undone(image: Tensor, start: Tensor, kernel: Tensor, boundary: str, sigma: float) -> Tensor:
    """The least squares solution near `start`, (B, C, H, W), roughly; sigma: the noise, in the units of the image."""
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


def borderless(image: Tensor, kernel: Tensor, sigma: float) -> Tensor:
    """Undone with borders that nothing is known of, but for what lies beyond them; of the image's size."""
    rows, columns = (side // 2 for side in kernel.shape)
    beyond = convolution.extended(image, rows, columns, "reflect")
    whole = undone(image, beyond, kernel, "valid", sigma)
    return whole[..., rows : rows + image.shape[-2], columns : columns + image.shape[-1]]
