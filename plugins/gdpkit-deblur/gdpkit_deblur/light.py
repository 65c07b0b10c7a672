"""Whether light was blurred, as by a lens or a hand, or the values of a file, as by a program."""

from __future__ import annotations

from torch import Tensor

from gdpkit import functional, overexposure, weighed_blur
from gdpkit.blind_spectrum import Spectrum
from gdpkit_deblur.noise import middle

CLEARLY = 0.05
"""So much better must light explain the spectrum; of a photograph with a camera's EXIF data, the values. Of 24
photographs whose light was blurred by a disk or a motion it was better by so much in most, of those that were blurred
as values in next to none; gaussians hardly differ."""

FAR = 0.1  # so much worse is light explained by a kernel that was found in values only where those were blurred

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


def preferred(image: Tensor, values: Tensor, light: Tensor | None, *, camera: bool, error: float) -> float:
    """By how much light explains the powers of an image (B, C, H, W) better than values, and how clearly it has to.

    Args:
        image: in [0, 1].
        values: the kernel that was found in values, (h, w).
        light: the one that was found in light; the same where none was looked for.
        camera: whether the file is one that cameras write.
        error: the deviation of errors that are known, in the units of the image.

    Returns:
        The gain, less what is asked for: above 0 it was light.
    """
    grey = middle(image).mean((0, 1))
    gained = _misfit(grey, values, error) - _misfit(
        functional.srgb_decoded(grey), values if light is None else light, error * weighed_blur.spread(grey)
    )
    return gained + CLEARLY if camera else gained - CLEARLY


def _misfit(grey: Tensor, kernel: Tensor, error: float = 0.0) -> float:
    """Of the law of photographs and the kernel, (H, W); it does not depend on the units of the values."""
    spectrum = Spectrum.of(grey, error)
    whole = spectrum.weight > 0
    return spectrum.misfit(kernel) - float(spectrum.level[whole].mean())
