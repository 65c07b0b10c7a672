"""What cannot be read is one line that names the file."""

from __future__ import annotations

import struct
import sys
import zlib
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from gdpkit import images
from gdpkit.errors import ImageError
from gdpkit.images import encoders

DATA = Path(__file__).parents[1] / "data" / "images"


def noise(*shape: int, top: int = 255) -> NDArray[Any]:
    kind = np.uint8 if top == 255 else np.uint16
    return np.random.default_rng(7).integers(0, top, shape, dtype=kind, endpoint=True)


def bomb() -> bytes:
    header = b"IHDR" + struct.pack(">IIBBBBB", 60000, 60000, 8, 2, 0, 0, 0)
    data = b"IDAT" + zlib.compress(b"")
    chunks = b"".join(struct.pack(">I", len(c) - 4) + c + struct.pack(">I", zlib.crc32(c)) for c in (header, data))
    return b"\x89PNG\r\n\x1a\n" + chunks


def encoded(kind: str, **options: Any) -> bytes:
    out = BytesIO()
    Image.fromarray(noise(40, 40, 3)).save(out, kind, **options)
    return out.getvalue()


def flipped() -> bytes:
    data = bytearray(encoded("PNG"))
    data[len(data) // 2] ^= 1
    return bytes(data)


BROKEN = {
    "text.png": (b"This is no picture.\n", "no picture"),
    "zero.png": (b"", "empty"),
    "bomb.png": (bomb(), "3,600 megapixels; up to 500"),
    "large.png": (bomb().replace(struct.pack(">II", 60000, 60000), struct.pack(">II", 30000, 30000)), "header"),
    "cut.png": (encoded("PNG")[:900], "cut short"),
    "flipped.png": (flipped(), "checksum"),
    "cut.jpg": (encoded("JPEG")[:1000], "cut short"),
    "cut.tif": (encoded("TIFF")[:1500], "cut short"),
    "cut.webp": (encoded("WEBP", lossless=True)[:1500], "cut short|no picture"),
    "cut.gif": (encoded("GIF")[:900], "cut short"),
    "cut.bmp": (encoded("BMP")[:900], "cut short"),
    "cut16.png": (encoders.png(noise(40, 40, 3, top=65535), None, None)[:5000], "cut short"),
    "cut16.tif": (encoders.tiff(noise(40, 40, 3, top=65535), None, None)[:5000], "damaged|cut short|unknown"),
    "head.jpg": (encoded("JPEG")[:20], "JPEG header"),
    "flat.gif": (b"GIF89a" + bytes(30), "GIF header"),
    "phone.heic": (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", r"gdpkit\[heif\]"),
    "scan.nef": (b"FUJIFILMCCD-RAW " + bytes(500), "RAW data"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_files_are_one_line(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    data, reason = BROKEN[name]
    (tmp_path / name).write_bytes(data)
    before = Image.MAX_IMAGE_PIXELS
    with pytest.raises(ImageError, match=reason) as caught:
        images.load(tmp_path / name)
    assert str(caught.value).startswith(str(tmp_path / name)) and "\n" not in str(caught.value)
    assert before == Image.MAX_IMAGE_PIXELS


@pytest.mark.parametrize(
    "name", ["xcsn0g01.png", "xdtn0g01.png", "xhdn0g08.png", "xlfn0g04.png", "Bad_width.bmp", "old-rle.hdr"]
)
def test_files_damaged_by_others(name: str) -> None:
    with pytest.raises(ImageError, match=name):
        images.load(DATA / name)


def test_missing_files_and_folders(tmp_path: Path) -> None:
    (tmp_path / "photo.jpg").touch()
    with pytest.raises(ImageError, match=r"no such file\. Did you mean 'photo.jpg'"):
        images.load(tmp_path / "foto.jpg")
    with pytest.raises(ImageError, match="no such file"):
        images.load(tmp_path / "nowhere" / "foto.jpg")
    with pytest.raises(ImageError, match="folder"):
        images.load(str(tmp_path))
