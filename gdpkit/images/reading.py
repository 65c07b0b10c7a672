"""Read a picture from a file. The bytes say what it is, never the suffix."""

from __future__ import annotations

import os
import re
import struct
import warnings
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from difflib import get_close_matches
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from gdpkit.errors import ImageError
from gdpkit.images import coding, deep, linear, metadata, raw, signatures
from gdpkit.images.picture import Picture, from_array, to_tensor


def read_image(path: str | os.PathLike[str]) -> Tensor:
    """The pixels of a file, float32 (1, C, H, W) in [0, 1], sRGB-encoded, upright; C = 1 for grey. See `load`."""
    return load(path).pixels


def open_picture(source: str | os.PathLike[str] | NDArray[Any] | Tensor | Picture) -> Picture:
    """A picture from a file (`load`), from an array or tensor (`from_array`), or as it is."""
    if isinstance(source, Picture):
        return source
    return load(source) if isinstance(source, str | os.PathLike) else from_array(source)


def load(path: str | os.PathLike[str]) -> Picture:
    """Read a picture with all that is needed to write it back.

    16 bits stay 16. CMYK and Lab become sRGB; other colour profiles are kept beside untouched numbers. EXR and Radiance
    files, scene-linear, are clipped to [0, 1] and sRGB-encoded (`read_linear` gives their own values). Camera RAW is
    developed with the camera's white balance. Of several frames the first is used. Changes are told in `notes`.

    Raises ImageError, one line with the file's name, where it is missing, damaged, cut short, too large or no picture.
    """
    path = Path(path)
    with _named(path):
        return _decode(path, _bytes(path))


def load_raw(
    path: str | os.PathLike[str],
    *,
    half: bool = False,
    balance: tuple[float, ...] | None = None,
    white: int | None = None,
) -> Picture | None:
    """`load` for camera RAW with choices: at half the size, or with another frame's white balance (`raw_balance`).

    `white` is the sensor's value for white that a bracket has in common (`raw_white`). None where the file is something
    else.
    """
    path = Path(path)
    with _named(path):
        data = _bytes(path)
        if not signatures.is_raw(data):
            return None
        pixels, notes = raw.read(data, linear=False, half=half, balance=balance, white=white)
        return Picture(pixels, bits=16, exif=metadata.read_tiff(data), source=str(path), notes=tuple(notes))


def raw_balance(path: str | os.PathLike[str]) -> tuple[float, ...] | None:
    """The white balance that a camera stored in a RAW file; None where there is none, or for another file."""
    path = Path(path)
    with _named(path):
        data = _bytes(path)
        return raw.balance(data) if signatures.is_raw(data) else None


def raw_white(paths: Sequence[str | os.PathLike[str]]) -> int | None:
    """The value of white that RAW files of one bracket have in common, in units of the sensor above black.

    The largest that any of them recorded where that is above 75 % of what LibRaw knows as white: there the sensor
    clips, which is often below; else what LibRaw knows. None where a file is no RAW, or they are of several sensors.
    """
    found = []
    for path in map(Path, paths):
        with _named(path):
            data = _bytes(path)
            found.append(raw.whites(data) if signatures.is_raw(data) else None)
    told = [levels for levels in found if levels is not None]
    if len(told) < len(found) or len({known for _, known in told}) != 1:
        return None
    peak, known = max(told)
    return peak if peak > 0.75 * known else known


def read_linear(path: str | os.PathLike[str]) -> Tensor:
    """Scene-linear values of an EXR, Radiance HDR or camera RAW file: float32 (1, C, H, W), unbounded (RAW: [0, 1]).

    Raises ImageError as `load` does, and for a file that is not scene-linear.
    """
    path = Path(path)
    with _named(path):
        data = _bytes(path)
        if signatures.is_raw(data):
            return raw.read(data, linear=True)[0]
        scene = _scene(path, data)
        if scene is None:
            raise ImageError("it is not scene-linear; EXR, Radiance HDR and camera RAW are")
        return scene[0]


def is_scene_linear(path: str | os.PathLike[str]) -> bool:
    """Whether a file holds scene-linear values, as OpenEXR and Radiance HDR do. Raises ImageError as `load` does."""
    path = Path(path)
    with _named(path):
        data = _bytes(path)
        return signatures.is_exr(data) or signatures.is_radiance(data)


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """Turn whatever a decoder raises into an ImageError that names the file, and keep warnings from the screen."""
    before = Image.MAX_IMAGE_PIXELS
    try:
        # Pillow refuses twice its limit by itself; between the two `check_size` does.
        Image.MAX_IMAGE_PIXELS = linear.LIMIT
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except ImageError as error:
        raise ImageError(f"{path}: {error}") from error.__cause__
    except Image.DecompressionBombError as error:
        claim = re.search(r"\d+", str(error))
        size = f"{int(claim[0]) / 1e6:,.0f} megapixels" if claim else "a huge size"
        limit = f"up to {linear.LIMIT // 10**6} megapixels are read"
        raise ImageError(f"{path}: it says it has {size}; {limit}") from error
    except UnidentifiedImageError as error:
        raise ImageError(f"{path}: it is no picture; {signatures.READABLE} are read") from error
    except MemoryError as error:
        raise ImageError(f"{path}: there is not enough memory to decode it") from error
    except Exception as error:  # broken files make decoders raise nearly everything
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ImageError(f"{path}: it is damaged or cut short ({reason})") from error
    finally:
        Image.MAX_IMAGE_PIXELS = before


def _bytes(path: Path) -> bytes:
    try:
        if path.is_dir():
            raise ImageError("it is a folder, not a picture")
        if not path.exists():
            names = [file.name for file in path.parent.iterdir()] if path.parent.is_dir() else []
            near = get_close_matches(path.name, names, 1)
            raise ImageError("there is no such file." + (f" Did you mean {near[0]!r}?" if near else ""))
        if not path.is_file():
            raise ImageError("it is not a regular file")
        data = path.read_bytes()
    except OSError as error:
        raise ImageError(f"it cannot be read ({error.strerror})") from error
    if not data:
        raise ImageError("it is empty (0 bytes)")
    return data


def _scene(path: Path, data: bytes) -> tuple[Tensor, list[str]] | None:
    if signatures.is_exr(data):
        return linear.read_exr(path)
    return linear.read_radiance(data) if signatures.is_radiance(data) else None


def _decode(path: Path, data: bytes) -> Picture:
    scene = _scene(path, data)
    if scene is not None:
        light, notes = scene
        above = float((light > 1).float().mean())
        notes.append(f"scene-linear values were sRGB-encoded; {above:.1%} of them, above 1, were clipped")
        return Picture(linear.encode_srgb(light), bits=32, source=str(path), notes=tuple(notes))
    if signatures.is_raw(data):
        pixels, notes = raw.read(data, linear=False)
        return Picture(pixels, bits=16, exif=metadata.read_tiff(data), source=str(path), notes=tuple(notes))
    notes = []
    try:
        image = Image.open(BytesIO(data), formats=signatures.pillow_formats(data))
    except UnidentifiedImageError:
        kind = signatures.begun(data)
        if kind is not None:
            raise ImageError(f"its {kind} header is damaged or cut short") from None
        if not signatures.is_tiff(data):
            raise
        pixels, alpha, bits = deep.read_float_tiff(data, notes)
        return Picture(pixels, alpha, bits, metadata.read_tiff(data), None, str(path), tuple(notes))
    if path.suffix.lower() in signatures.RAW_SUFFIXES:
        notes.append(f"it is named {path.suffix} but holds {image.format}, not camera RAW")
    with image:
        linear.check_size(*image.size)
        return _pillow(image, data, str(path), notes)


def _check_sums(data: bytes) -> None:
    """Refuse a PNG whose pixels are not those that were written: Pillow does not look at their checksums."""
    at = 8
    while at + 12 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, at)
        end = at + 8 + length
        if kind == b"IDAT" and data[end : end + 4] != zlib.crc32(memoryview(data)[at + 4 : end]).to_bytes(4, "big"):
            raise ImageError("its pixels are damaged or cut short (a wrong checksum)")
        at = end + 4


def _pillow(image: Image.Image, data: bytes, source: str, notes: list[str]) -> Picture:
    frames = getattr(image, "n_frames", 1)
    if frames > 1:
        notes.append(f"only the first of {frames} frames is used")
    bits = deep.depth(image, data)
    if image.format == "PNG":
        _check_sums(data)
        image.load()  # EXIF may stand behind the pixels
    orientation, exif = metadata.read(image, notes)
    icc = image.info.get("icc_profile") or None
    code = coding.of(image, data, orientation)
    image.load()
    _warn_of_transfer(image, data, notes)
    full = None
    if image.mode == "F" or image.mode.startswith("I"):
        pixels, alpha, bits = deep.read_grey(image, notes)
    else:
        if bits > 8 and image.mode in ("RGB", "RGBA", "RGBX"):
            full = deep.read_colour(image, data, notes)
        bits = 8 if full is None else 16
        if image.mode in ("CMYK", "LAB"):
            image, icc = _to_srgb(image, icc, notes), None
        pixels, alpha = full or _eight(image)
    if image.format == "PNG" and data[25] in (0, 4):
        pixels = pixels[:, :1]  # Pillow makes colour of 16-bit grey with alpha
    pixels, alpha = (
        metadata.upright(pixels, orientation),
        None if alpha is None else metadata.upright(alpha, orientation),
    )
    return Picture(pixels, alpha, bits, exif, icc, source, tuple(notes), code)


def _eight(image: Image.Image) -> tuple[Tensor, Tensor | None]:
    """Pixels and alpha of a loaded image of at most 8 bits, in any of Pillow's modes."""
    alpha = None
    palette = image.mode in ("P", "PA")
    grey = image.mode in ("1", "L", "LA", "La")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        alpha = to_tensor(np.asarray(image.getchannel("A")), 255)
        image = image.getchannel("R") if grey else image.convert("RGB")
    array = np.asarray(image.convert("L" if grey else "RGB"))
    if palette and (array == array[..., :1]).all():
        array = array[..., 0]
    return to_tensor(array, 255), alpha


def _to_srgb(image: Image.Image, icc: bytes | None, notes: list[str]) -> Image.Image:
    """CMYK and Lab to sRGB, through the file's own profile where it has a good one."""
    from PIL import ImageCms

    if image.mode == "LAB":
        notes.append("Lab was converted to sRGB")
        return image.convert("RGB")
    if icc is not None:
        try:
            profile = ImageCms.ImageCmsProfile(BytesIO(icc))
            intent, flags = ImageCms.Intent.RELATIVE_COLORIMETRIC, ImageCms.Flags.BLACKPOINTCOMPENSATION
            new = ImageCms.profileToProfile(image, profile, ImageCms.createProfile("sRGB"), intent, "RGB", flags=flags)
        except (ImageCms.PyCMSError, OSError):
            new = None
        if new is not None:
            notes.append("CMYK was converted to sRGB through its colour profile")
            return new
    notes.append("CMYK was converted to sRGB without a colour profile, so its colours are approximate")
    return image.convert("RGB")


def _warn_of_transfer(image: Image.Image, data: bytes, notes: list[str]) -> None:
    """Say where the file asks for another curve than sRGB in a way that is not kept."""
    info = image.info
    gamma = info.get("gamma")
    if (
        image.format == "PNG"
        and gamma
        and "srgb" not in info
        and "icc_profile" not in info
        and abs(gamma * 2.2 - 1) > 0.03
    ):
        notes.append(f"its gamma {gamma:g} is ignored, the numbers are taken as sRGB")
    at = data.find(b"colrnclx", 0, 4096) if image.format in ("AVIF", "HEIF") else -1
    if at > 0 and data[at + 11] in (16, 18):
        notes.append(f"it is HDR ({'PQ' if data[at + 11] == 16 else 'HLG'}), its numbers are taken as sRGB")
