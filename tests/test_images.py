"""Reading and writing pictures: nothing is cut, turned or lost in silence, and what cannot be read is one line."""

from __future__ import annotations

import struct
import sys
import zlib
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image, ImageCms, ImageOps, PngImagePlugin
from PIL.TiffImagePlugin import IFDRational, ImageFileDirectory_v2

from gdpkit import images
from gdpkit.errors import ImageError
from gdpkit.images import deep, encoders, metadata

DATA = Path(__file__).parent / "data" / "images"
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
GREY_ICC = SRGB[:16] + b"GRAY" + SRGB[20:]


def noise(*shape: int, top: int = 255) -> NDArray[Any]:
    kind = np.uint8 if top == 255 else np.uint16
    return np.random.default_rng(7).integers(0, top, shape, dtype=kind, endpoint=True)


def smooth(height: int = 24, width: int = 32) -> NDArray[np.uint8]:
    y, x = np.mgrid[:height, :width]
    return np.stack([x * 255 // width, y * 255 // height, (x + y) * 255 // (height + width)], 2).astype(np.uint8)


def levels(pixels: torch.Tensor, bits: int = 8) -> NDArray[Any]:
    return np.asarray(np.rint(images.to_array(pixels) * (2**bits - 1)), int)


def exif_bytes(orientation: int = 1) -> bytes:
    tags = Image.Exif()
    tags[0x010F], tags[0x0112] = "Maker", orientation
    tags.get_ifd(0x8769).update({0x829A: 0.125, 0xA002: 999, 0xA003: 999})
    tags[0x8769] = tags.get_ifd(0x8769)
    return tags.tobytes()


# --- reading -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_sixteen_bits_round_trip_exactly(tmp_path: Path, suffix: str, channels: int) -> None:
    array = noise(300, 21, channels, top=65535)  # more rows than a TIFF strip has
    file = tmp_path / f"deep{suffix}"
    file.write_bytes((encoders.png if suffix == ".png" else encoders.tiff)(array, None, None))
    picture = images.load(file)
    if (suffix, channels) == (".tif", 2):  # neither Pillow nor OpenCV reads it whole: say so, and do not write it
        assert picture.notes[0] == "its 16 bits are read as 8" and "alpha" in picture.notes[1]
        picture = images.from_array(np.dstack([array[..., :1]] * 3 + [array[..., 1:]]))
        like = images.Picture(picture.pixels[:, :1], picture.alpha, 16)
        assert "with alpha" in images.save(tmp_path / "again.tif", like.pixels, like=like)[0]
        assert torch.equal(images.read_image(tmp_path / "again.tif"), picture.pixels)
        return
    colours = channels - 1 + channels % 2
    assert picture.bits == 16 and picture.notes == () and picture.grey == (channels < 3)
    assert np.array_equal(levels(picture.pixels, 16), array[..., :colours].squeeze())
    if channels in (2, 4):
        assert picture.alpha is not None and np.array_equal(levels(picture.alpha, 16), array[..., -1])
    again = tmp_path / f"again{suffix}"
    assert images.save(again, picture.pixels, like=picture) == ()
    assert torch.equal(images.read_image(again), picture.pixels)


def test_sixteen_bits_agree_with_other_writers(tmp_path: Path) -> None:
    import cv2

    array = noise(16, 12, 3, top=65535)
    for name in ("a.png", "a.tif", "a.ppm"):
        cv2.imwrite(str(tmp_path / name), array[..., ::-1])
        picture = images.load(tmp_path / name)
        assert picture.bits == 16, name
        if name != "a.ppm":
            assert np.array_equal(levels(picture.pixels, 16), array), name
    Image.fromarray(array[..., 0]).save(tmp_path / "grey.png")
    assert np.array_equal(levels(images.read_image(tmp_path / "grey.png"), 16), array[..., 0])


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif", ".webp"])
def test_orientation_agrees_with_pillow(tmp_path: Path, suffix: str, orientation: int) -> None:
    file = tmp_path / f"turned{suffix}"
    Image.fromarray(smooth()).save(file, exif=exif_bytes(orientation))
    with Image.open(file) as image:
        wanted = np.asarray(ImageOps.exif_transpose(image))
    picture = images.load(file)
    assert np.array_equal(levels(picture.pixels), wanted)
    assert picture.exif is not None
    tags = Image.Exif()
    tags.load(picture.exif)
    assert tags[0x0112] == 1 and tags[0x010F] == "Maker"
    assert float(tags.get_ifd(0x8769)[0x829A]) == 0.125


def test_orientation_turns_sixteen_bits_and_alpha(tmp_path: Path) -> None:
    array = noise(5, 9, 4, top=65535)
    tags = Image.Exif()
    tags[0x0112] = 6
    (tmp_path / "deep.png").write_bytes(encoders.png(array, tags, None))
    picture = images.load(tmp_path / "deep.png")
    assert picture.alpha is not None
    assert np.array_equal(levels(picture.pixels, 16), np.rot90(array[..., :3], -1))
    assert np.array_equal(levels(picture.alpha, 16), np.rot90(array[..., 3], -1))


@pytest.mark.parametrize("name", ["basi0g16", "basn0g01", "basn2c16", "basn3p08", "basn4a16", "basn6a16", "tbwn3p08"])
def test_pngsuite_agrees_with_pillow(name: str) -> None:
    picture = images.load(DATA / f"{name}.png")
    with Image.open(DATA / f"{name}.png") as image:
        wanted = np.asarray(image, np.uint16) // 256 if image.mode == "I;16" else np.asarray(image.convert("RGB"))
        alpha = np.asarray(image.convert("RGBA"))[..., 3] if image.has_transparency_data else None
    assert picture.bits == (16 if "16" in name else 8)
    assert picture.grey == (name[4] in "04")
    got = levels(picture.pixels, picture.bits) // (257 if picture.bits == 8 else 256) if picture.bits == 16 else None
    got = levels(picture.pixels) if got is None else got
    assert np.array_equal(got, wanted[..., 0] if picture.grey and wanted.ndim == 3 else wanted)
    assert (picture.alpha is None) == (alpha is None)
    if picture.alpha is not None and alpha is not None:
        assert np.abs(levels(picture.alpha) - alpha).max() <= 1


def test_avif_and_turned_jpeg_of_libavif() -> None:
    assert images.read_image(DATA / "white_1x1.avif").shape == (1, 3, 1, 1)
    assert images.read_image(DATA / "paris_exif_orientation_5.jpg").shape == (1, 3, 403, 302)


def test_transparent_colour_of_sixteen_bits() -> None:
    array = noise(4, 4, 3, top=65535)
    data = encoders.png(array, None, None)
    clear = struct.pack(">HHH", *array[1, 2].tolist())
    chunk = struct.pack(">I", 6) + b"tRNS" + clear + struct.pack(">I", zlib.crc32(b"tRNS" + clear))
    at = data.index(b"IDAT") - 4
    notes: list[str] = []
    with Image.open(BytesIO(data[:at] + chunk + data[at:])) as image:
        image.load()
        read = deep.read_colour(image, data[:at] + chunk + data[at:], notes)
    assert read is not None and read[1] is not None and notes == []
    assert read[1].sum() == 15 and read[1][0, 0, 1, 2] == 0


def test_palette_and_bilevel(tmp_path: Path) -> None:
    Image.fromarray(smooth()).quantize(16).save(tmp_path / "colour.gif")
    Image.fromarray(smooth()).convert("L").quantize(16).save(tmp_path / "grey.png")
    Image.fromarray(smooth()).convert("1").save(tmp_path / "black.tif")
    assert not images.load(tmp_path / "colour.gif").grey
    assert images.load(tmp_path / "grey.png").grey
    assert set(images.read_image(tmp_path / "black.tif").flatten().tolist()) == {0.0, 1.0}


def test_cmyk_becomes_srgb(tmp_path: Path) -> None:
    Image.new("CMYK", (8, 8), (0, 255, 255, 0)).save(tmp_path / "ink.jpg", quality=100)
    picture = images.load(tmp_path / "ink.jpg")
    assert "CMYK" in picture.notes[0] and picture.icc is None
    red = picture.pixels.mean((0, 2, 3))
    assert red[0] > 0.95 and red[1] < 0.05 and red[2] < 0.05


def test_frames_and_gamma_are_told(tmp_path: Path) -> None:
    frames = [Image.fromarray(np.roll(smooth(), k, 1)) for k in (0, 5, 9)]
    frames[0].save(tmp_path / "three.tif", save_all=True, append_images=frames[1:])
    picture = images.load(tmp_path / "three.tif")
    assert picture.notes == ("only the first of 3 frames is used",)
    assert np.array_equal(levels(picture.pixels), smooth())
    assert "gamma 1 " in images.load(DATA / "basn2c16.png").notes[0]


def test_the_suffix_is_not_trusted(tmp_path: Path) -> None:
    Image.fromarray(smooth()).save(tmp_path / "really.jpg", "PNG")
    assert np.array_equal(levels(images.read_image(tmp_path / "really.jpg")), smooth())
    Image.fromarray(smooth()).save(tmp_path / "preview.nef", "PNG")
    assert "not camera RAW" in images.load(tmp_path / "preview.nef").notes[0]


def test_broken_exif_is_a_note(tmp_path: Path) -> None:
    info = PngImagePlugin.PngInfo()
    info.add_text("Raw profile type exif", "\nexif\n       8\nnot hexadecimal")
    Image.fromarray(smooth()).save(tmp_path / "a.png", pnginfo=info)
    assert images.load(tmp_path / "a.png").notes == ("its EXIF data are damaged and are not kept",)


def test_float_tiff(tmp_path: Path) -> None:
    import cv2

    array = np.linspace(0, 1, 5 * 4 * 3, dtype=np.float32).reshape(5, 4, 3)
    cv2.imwrite(str(tmp_path / "f.tif"), array)
    picture = images.load(tmp_path / "f.tif")
    assert picture.bits == 32 and picture.rounding_sigma == 0
    assert np.array_equal(images.to_array(picture.pixels), array[..., ::-1])
    Image.fromarray(array[..., 0] * 2).save(tmp_path / "grey.tif")
    assert "clipped" in images.load(tmp_path / "grey.tif").notes[0]


# --- linear light ------------------------------------------------------------------------------------------------


def test_srgb_curve_is_exact() -> None:
    x = torch.linspace(0, 1, 4097)
    assert (images.decode_srgb(images.encode_srgb(x)) - x).abs().max() < 2e-6
    assert images.encode_srgb(torch.tensor([0.21404])).item() == pytest.approx(0.5, abs=1e-4)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("suffix", [".exr", ".hdr"])
def test_linear_files_round_trip(tmp_path: Path, suffix: str, channels: int) -> None:
    light = torch.rand(1, channels, 8, 16, generator=torch.Generator().manual_seed(3)) * 30 + 0.01
    file = tmp_path / f"scene{suffix}"
    notes = images.save_linear(file, light)
    assert len(notes) == (channels == 1 and suffix == ".hdr")
    got = images.read_linear(file)
    assert (
        torch.equal(got, light) if suffix == ".exr" else torch.allclose(got, light.expand_as(got), rtol=0.02, atol=0.2)
    )
    picture = images.load(file)
    assert picture.bits == 32 and "clipped" in picture.notes[-1] and picture.pixels.max() == 1
    shown = tmp_path / f"shown{suffix}"
    images.save(shown, picture.pixels)
    assert (images.read_image(shown) - picture.pixels).abs().max() < (1e-5 if suffix == ".exr" else 0.02)


def test_linear_reading_refuses_what_is_not(tmp_path: Path) -> None:
    Image.fromarray(smooth()).save(tmp_path / "a.png")
    with pytest.raises(ImageError, match="not scene-linear"):
        images.read_linear(tmp_path / "a.png")
    with pytest.raises(ImageError, match=r"\.exr or \.hdr"):
        images.save_linear(tmp_path / "b.png", torch.rand(3, 4, 4))


def test_damaged_linear_files(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    for suffix in (".exr", ".hdr"):
        file = tmp_path / f"cut{suffix}"
        images.save_linear(file, torch.rand(3, 32, 32))
        file.write_bytes(file.read_bytes()[:1500])
        with pytest.raises(ImageError, match=f"cut{suffix}"):
            images.load(file)
    huge = tmp_path / "huge.hdr"
    huge.write_bytes(b"#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n\n-Y 90000 +X 90000\n")
    with pytest.raises(ImageError, match="500 megapixels"):
        images.load(huge)


# --- what cannot be read -------------------------------------------------------------------------------------------


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


def test_zeros_from_libraw_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "sensor.dng"
    for level, refused in ((500, False), (0, True)):
        file.write_bytes(dng(level))
        if refused:
            with pytest.raises(ImageError, match="zeros"):
                images.load(file)
        else:
            picture = images.load(file)
            assert picture.bits == 16 and picture.pixels.shape[1] == 3 and picture.pixels.mean() > 0.1
            assert "daylight" in picture.notes[0]
            assert images.read_linear(file).mean() < picture.pixels.mean()


def dng(level: int, side: int = 64) -> bytes:
    """The least that LibRaw takes for a camera's: a Bayer mosaic of one grey, 16 bits, white level 1023."""
    pixels = np.full((side, side), level, "<u2").tobytes()
    ifd = ImageFileDirectory_v2()
    ifd[254], ifd[256], ifd[257], ifd[258], ifd[259], ifd[262] = 0, side, side, (16,), 1, 32803
    ifd[271], ifd[272], ifd[273], ifd[274], ifd[277], ifd[278], ifd[279] = "M", "M 1", (0,), 1, 1, side, (len(pixels),)
    for tag, kind, value in (
        (33421, 3, (2, 2)),
        (33422, 1, bytes([0, 1, 1, 2])),
        (50706, 1, bytes([1, 4, 0, 0])),
        (50717, 4, 1023),
    ):
        ifd.tagtype[tag] = kind
        ifd[tag] = value
    ifd.tagtype[50721] = 10
    ifd[50721] = tuple(IFDRational(v) for v in (1, 0, 0, 0, 1, 0, 0, 0, 1))
    return b"II*\0" + struct.pack("<I", 8) + ifd.tobytes(8) + pixels


# --- arrays --------------------------------------------------------------------------------------------------------


def test_arrays_of_every_accepted_kind() -> None:
    eight = noise(4, 6, 3)
    for value in (eight, torch.from_numpy(eight).permute(2, 0, 1), eight / 255, (eight / 255).astype(np.float32)):
        picture = images.from_array(value)
        assert picture.bits == 8 and np.array_equal(levels(picture.pixels), eight)
        assert picture.rounding_sigma == pytest.approx(0.2887, abs=1e-4)
    deep = noise(4, 6, top=65535)
    for value in (deep, deep / 65535, (deep / 65535).astype(np.float32)):
        assert images.from_array(value).bits == 16 and images.from_array(value).grey
    assert images.from_array(deep).rounding_sigma == pytest.approx(0.2887 * 255 / 65535, rel=1e-3)
    assert images.from_array(np.random.default_rng(1).random((4, 6, 3))).bits == 32
    assert images.from_array(np.eye(4, dtype=bool)).pixels.sum() == 4
    assert images.from_array(noise(4, 6, 4)).alpha is not None
    assert images.from_array(torch.rand(5, 3, 4, 6)).pixels.shape == (5, 3, 4, 6)
    assert np.array_equal(
        images.to_array(images.from_array(eight[..., :1] / 255).pixels), (eight[..., 0] / 255).astype("f4")
    )


def test_the_picture_does_not_share_the_callers_memory() -> None:
    array = np.zeros((4, 4, 3), np.float32)
    picture = images.from_array(array)
    array[:] = 1
    assert picture.pixels.max() == 0


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (np.zeros((3, 8, 8)), r"\(H, W, C\)"),
        (torch.zeros(8, 8, 3), r"\(C, H, W\)"),
        (np.zeros((2, 8, 8, 3)), "no picture"),
        (np.zeros((0, 8, 3)), "no pixel"),
        (np.zeros((8, 8), np.int64), "int64"),
        (np.full((8, 8), 128.0), "divide by 255"),
        (np.full((8, 8), -0.1), "-0.1"),
        (np.full((8, 8), np.nan), "NaN"),
    ],
)
def test_arrays_that_are_no_picture(value: Any, reason: str) -> None:
    with pytest.raises(ImageError, match=reason):
        images.from_array(value)


def test_open_picture_takes_files_arrays_and_pictures(tmp_path: Path) -> None:
    Image.fromarray(smooth()).save(tmp_path / "a.png")
    picture = images.open_picture(str(tmp_path / "a.png"))
    assert images.open_picture(picture) is picture
    assert torch.equal(images.open_picture(smooth()).pixels, picture.pixels)


# --- writing -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".png", ".tif", ".tiff", ".webp", ".bmp"])
@pytest.mark.parametrize("channels", [1, 3])
def test_eight_bits_are_rounded_and_exact(tmp_path: Path, suffix: str, channels: int) -> None:
    pixels = (torch.arange(256).reshape(1, 1, 16, 16) / 255).expand(1, channels, 16, 16)
    notes = images.save(tmp_path / f"a{suffix}", pixels + 0.001)
    assert len(notes) == (channels == 1 and suffix == ".webp")
    got = images.read_image(tmp_path / f"a{suffix}")
    assert torch.equal(got, pixels.expand_as(got)) and got.shape[1] == (channels if suffix != ".webp" else 3)


@pytest.mark.parametrize("suffix", [".jpg", ".jpeg", ".avif"])
def test_lossy_formats_keep_full_colour(tmp_path: Path, suffix: str) -> None:
    pixels = images.from_array(smooth(64, 64)).pixels.clone()
    pixels[..., 32:] = pixels[..., 32:].flip(1)  # an edge in colour, which 4:2:0 would smear
    images.save(tmp_path / f"a{suffix}", pixels)
    assert (images.read_image(tmp_path / f"a{suffix}") - pixels).abs().mean() < 0.01


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("suffix", [".png", ".tif", ".jpg", ".webp", ".avif"])
def test_exif_and_profile_go_along(tmp_path: Path, suffix: str, bits: int) -> None:
    pixels = images.from_array(smooth()).pixels
    like = images.Picture(pixels, bits=bits, exif=exif_bytes(), icc=SRGB)
    notes = images.save(tmp_path / f"a{suffix}", pixels, like=like)
    assert notes == (() if bits == 8 or suffix in (".png", ".tif") else (f"16 bits became 8: {suffix} has no more",))
    again = images.load(tmp_path / f"a{suffix}")
    assert again.icc == SRGB and again.exif is not None
    tags = metadata.resized(again.exif, 1, 1)
    assert tags[0x010F] == "Maker" and float(tags.get_ifd(0x8769)[0x829A]) == 0.125
    with Image.open(tmp_path / f"a{suffix}") as image:
        assert image.getexif().get_ifd(0x8769)[0xA002] == 32  # the size it has now


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("suffix", [".png", ".tif", ".webp", ".avif", ".jpg", ".bmp", ".exr"])
def test_alpha_is_kept_resized_or_told(tmp_path: Path, suffix: str, bits: int) -> None:
    array = np.dstack([smooth(), smooth()[..., 0]])
    like = images.from_array(array.astype(np.uint16) * 257 if bits == 16 else array)
    assert like.alpha is not None
    large = torch.nn.functional.interpolate(like.pixels, scale_factor=2)
    notes = images.save(tmp_path / f"a{suffix}", large, like=like)
    assert any("alpha is dropped" in note for note in notes) == (suffix in (".jpg", ".bmp", ".exr"))
    alpha = images.load(tmp_path / f"a{suffix}").alpha
    if suffix in (".jpg", ".bmp", ".exr"):
        assert alpha is None
    else:
        assert alpha is not None and alpha.shape[-2:] == large.shape[-2:]
        assert (alpha[..., ::2, ::2] - like.alpha).abs().mean() < 0.02


def test_profiles_that_no_longer_fit_are_told(tmp_path: Path) -> None:
    grey = images.Picture(torch.rand(1, 1, 8, 8), icc=GREY_ICC)
    assert images.save(tmp_path / "grey.png", grey.pixels, like=grey) == ()
    assert "for GRAY, the result is in colour" in images.save(tmp_path / "c.png", torch.rand(3, 8, 8), like=grey)[0]
    junk = images.Picture(torch.rand(1, 3, 8, 8), icc=b"junk", exif=exif_bytes())
    assert "damaged" in images.save(tmp_path / "j.jpg", junk.pixels, like=junk)[0]
    good = images.Picture(junk.pixels, icc=SRGB, exif=exif_bytes())
    assert len(images.save(tmp_path / "j.bmp", good.pixels, like=good)) == 2


def test_refusals_come_before_the_work(tmp_path: Path) -> None:
    taken = tmp_path / "taken.png"
    taken.write_bytes(b"mine")
    cases = {
        "a.gif": r"'\.gif' cannot be written; \.png, .* can",
        "a": "suffix is missing",
        "no/where/a.png": "does not exist",
        "taken.png": "--overwrite",
    }
    (tmp_path / "folder.png").mkdir()
    cases["folder.png"] = "folder"
    for name, reason in cases.items():
        for refuse in (images.check_writable, lambda path: images.save(path, torch.rand(3, 4, 4))):
            with pytest.raises(ImageError, match=reason):
                refuse(tmp_path / name)
    with pytest.raises(ImageError, match="16383"):
        images.check_writable(tmp_path / "wide.webp", size=(10, 20000))
    assert taken.read_bytes() == b"mine"
    images.save(taken, torch.rand(3, 4, 4), overwrite=True)
    assert images.read_image(taken).shape == (1, 3, 4, 4)


@pytest.mark.parametrize("pixels", [torch.rand(2, 4, 4), torch.rand(2, 3, 4, 4), torch.full((3, 4, 4), torch.nan)])
def test_pixels_that_cannot_be_written(tmp_path: Path, pixels: torch.Tensor) -> None:
    with pytest.raises(ImageError, match=r"\(1, 3, H, W\)|NaN"):
        images.save(tmp_path / "a.png", pixels)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("suffix", [".png", ".exr", ".hdr"])
def test_nothing_stays_behind_when_writing_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str) -> None:
    target = tmp_path / f"a{suffix}"
    target.write_bytes(b"mine")

    def full_disk(self: Path, target: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full_disk)
    with pytest.raises(ImageError, match="No space left"):
        images.save(target, torch.rand(3, 4, 4), overwrite=True)
    assert target.read_bytes() == b"mine" and list(tmp_path.iterdir()) == [target]


def test_a_file_that_appears_meanwhile_is_not_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from gdpkit.images import writing

    monkeypatch.setattr(writing, "check_writable", lambda *args, **options: None)
    target = tmp_path / "a.png"
    target.write_bytes(b"theirs")

    def no_links(self: Path, target: Path) -> None:
        raise PermissionError(1, "Operation not permitted")

    for _ in range(2):  # with hard links, then on a file system without
        with pytest.raises(ImageError, match="exists already"):
            images.save(target, torch.rand(3, 4, 4))
        assert target.read_bytes() == b"theirs" and list(tmp_path.iterdir()) == [target]
        monkeypatch.setattr(Path, "hardlink_to", no_links)
    images.save(tmp_path / "b.png", torch.rand(3, 4, 4))
    assert sorted(file.name for file in tmp_path.iterdir()) == ["a.png", "b.png"]


def test_a_link_keeps_pointing(tmp_path: Path) -> None:
    (tmp_path / "real.png").write_bytes(b"old")
    (tmp_path / "link.png").symlink_to(tmp_path / "real.png")
    images.save(tmp_path / "link.png", torch.rand(3, 4, 4), overwrite=True)
    assert (tmp_path / "link.png").is_symlink() and images.read_image(tmp_path / "real.png").shape == (1, 3, 4, 4)


def test_png_bytes() -> None:
    with Image.open(BytesIO(images.to_png_bytes(images.from_array(smooth()).pixels))) as image:
        assert np.array_equal(np.asarray(image), smooth())
