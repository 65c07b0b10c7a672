"""What a file is, by the bytes that it begins with."""

from __future__ import annotations

from PIL import Image

from gdpkit.errors import ImageError

READABLE = "PNG, JPEG, TIFF, WebP, AVIF, HEIC, BMP, GIF, camera RAW, EXR and Radiance HDR"

# Pillow knows more: those left out run other programs (EPS), or take anything for a picture (TGA has no signature).
_PILLOW = ("PNG", "JPEG", "TIFF", "WEBP", "BMP", "DIB", "GIF", "PPM", "JPEG2000", "PCX", "PSD", "ICO", "QOI", "AVIF")
_COMMON = {b"\x89PNG": "PNG", b"\xff\xd8\xff": "JPEG", b"GIF8": "GIF", b"BM": "BMP"}
_TIFF = (b"II*\0", b"MM\0*")
_EXR = b"\x76\x2f\x31\x01"
_RADIANCE = (b"#?RADIANCE", b"#?RGBE")
_RAW = (
    (0, b"FUJIFILMCCD-RAW"),
    (0, b"FOVb"),  # Sigma
    (0, b"\0MRM"),  # Minolta
    (0, b"IIRO"),  # Olympus
    (0, b"IIRS"),
    (0, b"MMOR"),
    (0, b"IIU\0"),  # Panasonic
    (4, b"ftypcrx"),  # Canon CR3
    (6, b"HEAPCCDR"),  # Canon CRW
    (8, b"CR\x02"),  # Canon CR2
)

_RAW_NAMES = "3fr arw cr2 cr3 crw dng erf kdc mrw nef nrw orf pef raf raw rw2 srw x3f"
RAW_SUFFIXES = frozenset(f".{name}" for name in _RAW_NAMES.split())
"""What cameras name their RAW files. Only messages look at it."""


def is_exr(data: bytes) -> bool:
    """Whether the bytes are OpenEXR."""
    return data.startswith(_EXR)


def is_radiance(data: bytes) -> bool:
    """Whether the bytes are Radiance HDR."""
    return data.startswith(_RADIANCE)


def is_tiff(data: bytes) -> bool:
    """Whether the bytes are TIFF, or camera RAW that is built as TIFF is."""
    return data.startswith(_TIFF)


def is_raw(data: bytes) -> bool:
    """Whether the bytes are camera RAW: by their signature, or by the tags of a TIFF that is no ordinary TIFF."""
    if any(data.startswith(magic, offset) for offset, magic in _RAW):
        return True
    if not is_tiff(data):
        return False
    tags = Image.Exif()
    try:
        tags.load(data)
        dng = 0xC612 in tags
        sensor = tags.get(0x0106) in (32803, 34892)  # photometric interpretation: colour filter array, linear RAW
        packed = tags.get(0x0103) in (32767, 32770, 34713, 65535)  # compression: Sony, Samsung, Nikon, Pentax
        preview = tags.get(0x00FE) == 1 and 0x014A in tags  # a reduced copy in front, the sensor in a SubIFD
    except Exception:
        return False
    return dng or sensor or packed or preview


def begun(data: bytes) -> str | None:
    """Which common format the first bytes promise, whatever comes after them; None where it is none of those."""
    return next((kind for magic, kind in _COMMON.items() if data.startswith(magic)), None)


def pillow_formats(data: bytes) -> list[str]:
    """The formats that Pillow may try; for HEIC the plugin's. ImageError where it is HEIC and cannot be read."""
    Image.init()
    if data[4:8] != b"ftyp" or b"avif" in data[8:64] or b"avis" in data[8:64]:
        return [name for name in _PILLOW if name in Image.OPEN]
    try:
        import pillow_heif
    except ImportError:
        raise ImageError("HEIC is read with an extra package: pip install 'gdpkit[heif]'") from None
    pillow_heif.register_heif_opener()
    return ["HEIF"]
