"""Write a picture: depth and metadata by suffix and source, and the whole file or none of it."""

from __future__ import annotations

import os
import tempfile
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, features
from torch import Tensor

from gdpkit.atomic import whole_file
from gdpkit.errors import ImageError
from gdpkit.images import encoders, metadata
from gdpkit.images.linear import decode_srgb, radiance_bytes, write_exr
from gdpkit.images.picture import Picture, to_array

_LINEAR = {".exr": "EXR", ".hdr": "Radiance HDR"}
_FORMATS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".tif": "TIFF", ".tiff": "TIFF", ".webp": "WEBP"}
_FORMATS |= {".bmp": "BMP", ".avif": "AVIF"} | _LINEAR
_LARGEST = {"JPEG": 65535, "WEBP": 16383, "AVIF": 65536}
_OPTIONS: dict[str, dict[str, Any]] = {
    "JPEG": {"quality": 95, "subsampling": "4:4:4"},
    "WEBP": {"lossless": True, "exact": True},  # the other kind halves the resolution of colour
    "AVIF": {"quality": 95, "subsampling": "4:4:4"},
}
_ALPHA, _GREY = {"PNG", "TIFF", "WEBP", "AVIF"}, {"PNG", "TIFF", "JPEG", "BMP", "EXR"}
_METADATA = _ALPHA | {"JPEG"}
_LOSSLESS = {"PNG", "TIFF", "WEBP", "BMP"}
Path_ = str | os.PathLike[str]


def check_writable(path: Path_, overwrite: bool = False, *, size: tuple[int, int] | None = None) -> None:
    """Raise the ImageError that `save` would, before any work is done.

    For an unknown suffix, a missing or locked folder, a file that exists without `overwrite`, and, where `size`
    (height, width) is known, a picture larger than the format can hold.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in _FORMATS or (suffix == ".avif" and not features.check("avif")):
        known = [s for s in _FORMATS if s != ".avif" or features.check("avif")]
        what = f"{suffix!r} cannot be written" if suffix else "a suffix is missing, it says the format"
        raise ImageError(f"{path}: {what}; {', '.join(known[:-1])} and {known[-1]} can")
    if path.is_dir():
        raise ImageError(f"{path}: it is a folder; give the name of a file")
    if not path.parent.is_dir():
        raise ImageError(f"{path}: the folder {path.parent} does not exist; make it first")
    if path.exists() and not overwrite:
        raise ImageError(f"{path}: it exists already; overwrite=True replaces it")
    try:
        with tempfile.TemporaryFile(dir=path.parent):  # the permissions alone do not tell: root has all of them
            pass
    except OSError as error:
        raise ImageError(f"{path}: the folder {path.parent} cannot be written to ({error.strerror})") from error
    largest = _LARGEST.get(_FORMATS[suffix])
    if size is not None and largest is not None and max(size) > largest:
        raise ImageError(
            f"{path}: {size[1]} x {size[0]} pixels are more than {suffix} holds ({largest} a side); use .png or .tif"
        )


def is_lossless(path: Path_) -> bool:
    """Whether a file of this suffix holds pixels as they are, in whole levels."""
    return _FORMATS.get(Path(path).suffix.lower()) in _LOSSLESS


def is_linear(path: Path_) -> bool:
    """Whether a file of this suffix holds linear light: .exr and .hdr."""
    return Path(path).suffix.lower() in _LINEAR


def save(path: Path_, pixels: Tensor, *, like: Picture | None = None, overwrite: bool = False) -> tuple[str, ...]:
    """Write sRGB-encoded pixels, (C, H, W) or (1, C, H, W) with C = 1 or 3 in [0, 1] (clipped), in the suffix's format.

    `like` is the picture it was made from: PNG and TIFF get 16 bits where it had more than 8; its EXIF, colour profile
    and alpha (resized with Lanczos where sizes differ) go along as far as the format allows. JPEG has quality 95
    without colour subsampling, WebP is lossless, .exr and .hdr hold linear light. A file appears whole or not at all,
    and an existing one is replaced only with `overwrite`. Returns sentences about what could not be kept.

    Raises ImageError as `check_writable` does, where the disk fails, and for pixels of another shape or with NaN.
    """
    path = Path(path)
    pixels = _checked(path, pixels)
    height, width = pixels.shape[-2:]
    check_writable(path, overwrite, size=(height, width))
    suffix = path.suffix.lower()
    kind = _FORMATS[suffix]
    like = like or Picture(pixels)
    notes: list[str] = []

    deep = like.bits > 8 and kind in ("PNG", "TIFF")
    if like.bits == 16 and not deep and kind not in _LINEAR.values():
        notes.append(f"16 bits became 8: {suffix} has no more")
    if like.bits == 32 and kind not in _LINEAR.values():
        notes.append(f"floats became {16 if deep else 8} bits")
    alpha = None if like.alpha is None else like.alpha[:1]
    rare = deep and kind == "TIFF" and alpha is not None  # neither Pillow nor OpenCV reads 16-bit grey with alpha
    if pixels.shape[1] == 1 and (kind not in _GREY or rare):
        notes.append(f"grey was written as three equal channels: {suffix} has no grey{' with alpha' if rare else ''}")
        pixels = pixels.expand(-1, 3, -1, -1)
    if alpha is not None and kind not in _ALPHA:
        alpha = None
        notes.append(f"alpha is dropped: {suffix} has none")
    icc = _profile(like.icc, pixels.shape[1], notes)
    if icc is not None and kind not in _METADATA:
        icc = None
        notes.append(f"the colour profile is dropped: {suffix} has none")
    exif = None if like.exif is None else metadata.resized(like.exif, width, height)
    if exif is not None and (kind not in _METADATA or (kind == "JPEG" and len(exif.tobytes()) > 65500)):
        notes.append(f"EXIF is dropped: {suffix} has no room for it")
        exif = None
    if kind in _LINEAR.values():
        _write_linear(path, decode_srgb(pixels), overwrite)
    else:
        try:
            data = _encode(kind, pixels, alpha, 16 if deep else 8, exif, icc)
        except (OSError, ValueError) as error:
            raise ImageError(f"{path}: {suffix} cannot hold this picture ({error})") from error
        with whole_file(path, overwrite) as temporary:
            temporary.write_bytes(data)
    return tuple(notes)


def save_linear(path: Path_, linear: Tensor, *, overwrite: bool = False) -> tuple[str, ...]:
    """Write scene-linear values, (C, H, W) or (1, C, H, W) and unbounded, as .exr (exact) or .hdr (about 1 %).

    Returns and raises as `save` does, and raises ImageError for another suffix.
    """
    path = Path(path)
    linear = _checked(path, linear)
    if path.suffix.lower() not in _LINEAR:
        raise ImageError(f"{path}: scene-linear values go to .exr or .hdr")
    check_writable(path, overwrite)
    three = path.suffix.lower() == ".hdr" and linear.shape[1] == 1
    _write_linear(path, linear.expand(-1, 3, -1, -1) if three else linear, overwrite)
    return ("grey was written as three equal channels: .hdr has no grey",) if three else ()


def to_png_bytes(pixels: Tensor) -> bytes:
    """An 8-bit PNG of (C, H, W) or (1, C, H, W) pixels in [0, 1], for notebooks. ImageError on another shape or NaN."""
    return _encode("PNG", _checked(Path("PNG"), pixels), None, 8, None, None)


def _checked(path: Path, pixels: Tensor) -> Tensor:
    pixels = pixels.detach().to("cpu", torch.float32)
    pixels = pixels[None] if pixels.ndim == 3 else pixels
    if pixels.ndim != 4 or pixels.shape[0] != 1 or pixels.shape[1] not in (1, 3) or not pixels.numel():
        raise ImageError(f"{path}: a picture is (1, 3, H, W) or (1, 1, H, W), not {tuple(pixels.shape)}")
    if not torch.isfinite(pixels).all():
        raise ImageError(f"{path}: the result holds NaN or infinite values, nothing is written")
    return pixels


def _profile(icc: bytes | None, channels: int, notes: list[str]) -> bytes | None:
    """The colour profile where it still describes the pixels."""
    if icc is None or metadata.profile_space(icc) == ("GRAY" if channels == 1 else "RGB"):
        return icc
    result = "grey" if channels == 1 else "in colour"
    kind = metadata.profile_space(icc)
    notes.append(f"the colour profile is dropped: it is {f'for {kind}' if kind else 'damaged'}, the result is {result}")
    return None


def _encode(
    kind: str, pixels: Tensor, alpha: Tensor | None, bits: int, exif: Image.Exif | None, icc: bytes | None
) -> bytes:
    """The file as bytes; the largest error against the pixels is half a level (JPEG and AVIF lose more)."""
    array = to_array(pixels)
    array = array[..., None] if array.ndim == 2 else array
    if alpha is not None:
        plane = Image.fromarray(to_array(alpha)).resize(array.shape[1::-1], Image.Resampling.LANCZOS)
        array = np.concatenate([array, np.asarray(plane)[..., None]], axis=2)
    levels = array.clip(0, 1)
    levels *= np.float32(2**bits - 1)
    np.rint(levels, out=levels)
    if kind == "TIFF":
        return encoders.tiff(levels.astype(np.uint16 if bits == 16 else np.uint8), exif, icc)
    if bits == 16:
        return encoders.png(levels.astype(np.uint16), exif, icc)
    image = Image.fromarray(levels.astype(np.uint8).squeeze(2) if array.shape[2] == 1 else levels.astype(np.uint8))
    extra: dict[str, Any] = {} if exif is None else {"exif": exif.tobytes()}
    out = BytesIO()
    image.save(out, kind, **_OPTIONS.get(kind, {}), **extra, **({} if icc is None else {"icc_profile": icc}))
    return out.getvalue()


def _write_linear(path: Path, linear: Tensor, overwrite: bool) -> None:
    with whole_file(path, overwrite) as temporary:
        if path.suffix.lower() == ".exr":
            write_exr(temporary, linear)
        else:
            temporary.write_bytes(radiance_bytes(linear))
