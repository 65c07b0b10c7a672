"""How much light a photograph was given: shutter time, ISO and aperture, from EXIF or from camera RAW."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from gdpkit.images import raw, signatures
from gdpkit.images.metadata import EXIF_IFD

TIME, APERTURE, ISO = 0x829A, 0x829D, 0x8827


@dataclass(frozen=True)
class Exposure:
    """The settings of the camera; None what the file does not say.

    time: of the shutter, in seconds. iso: the sensitivity. aperture: the f-number.
    """

    time: float | None = None
    iso: float | None = None
    aperture: float | None = None

    @property
    def relative(self) -> float | None:
        """time x ISO / aperture^2, the light recorded up to a factor; None without a time.

        What else is missing counts as 1, so two exposures compare only where both say the same: see `comparable`.
        """
        if self.time is None:
            return None
        return self.time * (self.iso or 1.0) / (self.aperture or 1.0) ** 2


def comparable(exposures: list[Exposure]) -> list[float] | None:
    """The light recorded by each, up to one common factor; None where a time is missing.

    ISO and aperture count only where all files tell them: a lens without contacts tells none.
    """
    if any(e.time is None for e in exposures):
        return None
    iso = all(e.iso for e in exposures)
    aperture = all(e.aperture for e in exposures)
    kept = [Exposure(e.time, e.iso if iso else None, e.aperture if aperture else None) for e in exposures]
    return [e.relative or 0.0 for e in kept]


def of_exif(exif: bytes | None) -> Exposure:
    """From the bytes that `Picture.exif` holds; damaged or senseless values count as missing."""
    if exif is None:
        return Exposure()
    tags = Image.Exif()
    try:
        tags.load(exif)
        details: dict[int, Any] = tags.get_ifd(EXIF_IFD)
    except Exception:  # whatever Pillow raises on broken EXIF
        return Exposure()
    return Exposure(*(_positive(details.get(tag)) for tag in (TIME, ISO, APERTURE)))


def of_file(path: str | os.PathLike[str], exif: bytes | None = None) -> Exposure:
    """From the file's EXIF, already read, or what LibRaw knows of a RAW file, where EXIF does not tell the time."""
    found = of_exif(exif)
    if found.time is not None:
        return found
    try:
        data = Path(path).read_bytes()
    except OSError:
        return found
    if not signatures.is_raw(data):
        return found
    time, iso, aperture = raw.settings(data)
    return Exposure(_positive(time), _positive(iso), _positive(aperture))


def _positive(value: Any) -> float | None:
    """A number above 0, the first of several; None for anything else, as cameras write 0 for what they do not know."""
    if isinstance(value, tuple):
        value = value[0] if value else None
    try:
        number = float(value)
    except (TypeError, ValueError, ZeroDivisionError):
        return None
    return number if math.isfinite(number) and number > 0 else None
