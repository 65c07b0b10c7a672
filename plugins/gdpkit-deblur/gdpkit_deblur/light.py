"""Whether light was blurred, as by a lens or a hand, or the values of a file, as by a program."""

from __future__ import annotations

from torch import Tensor

from gdpkit import functional, overexposure
from gdpkit.blind_spectrum import Spectrum
from gdpkit_deblur.noise import middle

CLEARLY = 0.05
"""So much better must light explain the spectrum; of a photograph with a camera's EXIF data, the values. Of 24
photographs whose light was blurred by a disk or a motion it was better by so much in most, of those that were blurred
as values in next to none; gaussians hardly differ."""


FITS = 1.8
"""Where there is little noise, a right kernel leaves the light no more misfit (1.61 to 1.68 in four of five
photographs; 1.58 is noise's own), a wrong one more (1.86 to 2.14), and then nothing is said of what was blurred."""


def was_blurred(image: Tensor, kernel: Tensor, *, camera: bool, noisy: bool) -> bool:
    """Whether the kernel explains the powers of the light of an image (B, C, H, W) better than those of its values.

    Where light was blurred, the values are no sum of shifted copies, and frequencies that the kernel takes out of the
    light are in them all the same.

    Args:
        image: in [0, 1].
        kernel: (h, w).
        camera: whether a camera's settings are told by the file.
        noisy: whether noise hides how well the kernel fits.
    """
    grey = middle(image).mean((0, 1))
    light = _misfit(functional.srgb_decoded(grey), kernel)
    gained = _misfit(grey, kernel) - light
    told = noisy or light < FITS or bool((image >= overexposure.WHITE).any())  # what is clipped fits no kernel
    return gained > -CLEARLY if camera else gained > CLEARLY and told


def _misfit(grey: Tensor, kernel: Tensor) -> float:
    """Of the law of photographs and the kernel, (H, W); it does not depend on the units of the values."""
    spectrum = Spectrum.of(grey)
    whole = spectrum.weight > 0
    return spectrum.misfit(kernel) - float(spectrum.level[whole].mean())
