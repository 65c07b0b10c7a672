"""Camera RAW, through LibRaw."""

from __future__ import annotations

from io import BytesIO

from torch import Tensor

from gdpkit.errors import ImageError
from gdpkit.images.linear import check_size
from gdpkit.images.picture import to_tensor


def settings(data: bytes) -> tuple[float, float, float]:
    """Shutter time in seconds, ISO and f-number that LibRaw found; 0 where it found none, or cannot read the file."""
    import rawpy

    try:
        with rawpy.imread(BytesIO(data)) as raw:
            other = raw.other
            return float(other.shutter_speed), float(other.iso_speed), float(other.aperture)
    except (rawpy.LibRawError, AttributeError):  # rawpy before 0.22 does not tell
        return 0.0, 0.0, 0.0


def balance(data: bytes) -> tuple[float, ...] | None:
    """The white balance that the camera stored, a factor for each colour of the sensor; None where it stored none."""
    import rawpy

    try:
        with rawpy.imread(BytesIO(data)) as raw:
            return _stored(list(raw.camera_whitebalance))
    except rawpy.LibRawError:
        return None


def whites(data: bytes) -> tuple[int, int] | None:
    """Above black, in units of the sensor: the largest value recorded, and what LibRaw knows as white.

    None for kinds of sensor whose values LibRaw does not show one by one, and where it cannot read the file.
    """
    import rawpy

    try:
        with rawpy.imread(BytesIO(data)) as raw:
            if raw.raw_type != rawpy.RawType.Flat:
                return None
            black = max(raw.black_level_per_channel)
            return int(raw.raw_image_visible.max()) - black, int(raw.white_level) - black
    except rawpy.LibRawError:
        return None


def _stored(factors: list[float]) -> tuple[float, ...] | None:
    return tuple(factors) if len(factors) > 2 and min(factors[:3]) > 0 else None


def read(
    data: bytes,
    *,
    linear: bool,
    half: bool = False,
    balance: tuple[float, ...] | None = None,
    white: int | None = None,
) -> tuple[Tensor, list[str]]:
    """Develop RAW: float32 (1, C, H, W) in [0, 1], upright, sRGB primaries, and notes.

    The camera's white balance where it stored one, else daylight; no automatic brightening. A picture to look at takes
    the frame's own maximum for white where it lies above 75 % of the sensor's, against pink highlights, which would
    scale every frame of a bracket differently; `linear`, which also leaves out the sRGB curve, does not, and `white`
    says which value above black it is (`whites`). `half` makes one pixel of each 2x2 of the sensor, without
    interpolation: half the size, less noise. `balance` replaces the white balance, e.g. by that of another frame of a
    bracket. Raises ImageError where the data cannot be decoded.
    """
    import rawpy

    try:
        with rawpy.imread(BytesIO(data)) as raw:
            check_size(raw.sizes.width, raw.sizes.height)
            stored = balance or _stored(list(raw.camera_whitebalance))
            developed = raw.postprocess(
                use_camera_wb=stored is not None and balance is None,
                user_wb=None if balance is None else list(balance),
                half_size=half,
                output_bps=16,
                output_color=rawpy.ColorSpace.sRGB,
                no_auto_bright=True,
                gamma=(1, 1) if linear else (2.4, 12.92),
                adjust_maximum_thr=0.75 if white is None and not linear else 0.0,
                user_sat=white,
            )
    except rawpy.LibRawError as error:
        reason = error.args[0] if error.args else "unknown reason"
        reason = reason.decode("utf-8", "replace") if isinstance(reason, bytes) else reason
        raise ImageError(f"its camera RAW data are cut short, damaged or of an unknown kind ({reason})") from error
    if not developed.any():
        raise ImageError("its camera RAW data decode to nothing but zeros: the pixels are missing from the file")
    notes = [] if stored is not None else ["the camera stored no white balance, daylight is assumed"]
    return to_tensor(developed, 65535), notes
