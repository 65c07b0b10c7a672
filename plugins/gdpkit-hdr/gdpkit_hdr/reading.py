"""The files of a bracket: pixels, the light each was given, and what is wrong with them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gdpkit import GdpkitError, ImageError, functional, images
from gdpkit.images import Exposure, Picture
from gdpkit.images.exposure import of_exif, of_file
from gdpkit_hdr import channels

SMALLEST = 32
EMPTY = 0.002  # of the pixels must be neither black nor white, or an exposure holds nothing
BLACK, WHITE = 0.03, 0.985


@dataclass(frozen=True, eq=False)
class Frame:
    """One exposure as read.

    encoded: (H, W, 3) in [0, 1], sRGB-encoded or as the camera encoded it.
    light: what it was given, up to a factor common to all; None where that is not known.
    """

    picture: Picture
    encoded: NDArray[np.float32]
    light: float | None
    settings: Exposure

    @property
    def name(self) -> str:
        """As messages call it."""
        return Path(self.picture.source).name

    @property
    def telling(self) -> float:
        """The share of pixels that are neither black nor white."""
        grey = channels.brightest(self.encoded)
        return float(((grey > BLACK) & (channels.darkest(self.encoded) < WHITE)).mean())


def read(sources: Sequence[Any], times: Sequence[float], half: bool) -> tuple[list[Frame], list[str]]:
    """The exposures in the order given, those that hold nothing left out, and sentences about what was assumed.

    `times`, in seconds, is empty or has one above 0 for each exposure. Raises `GdpkitError` for no exposure, folders,
    one file given twice, and pictures of several sizes.
    """
    _check(sources)
    balance = None
    files = all(isinstance(source, str | Path) for source in sources)
    white = images.raw_white(sources) if files and len(sources) > 1 else None
    frames = []
    for k, source in enumerate(sources):
        file = isinstance(source, str | Path)
        picture = images.load_raw(source, half=half, balance=balance, white=white) if file else None
        if picture is not None and balance is None:
            balance = images.raw_balance(source)  # of the first for all: a balance of its own would look like colour
        if picture is None:
            picture = images.open_picture(source)
        if not file:
            picture = replace(picture, source=f"exposure {k + 1}")
        settings = of_file(source, picture.exif) if file else of_exif(picture.exif)
        pixels = functional.with_channels(picture.pixels[:1], 3)
        frames.append(Frame(picture, images.to_array(pixels), None, settings))
    _check_sizes(frames)
    notes: list[str] = []
    lights = list(times) if times else images.comparable([f.settings for f in frames])
    if lights is None and len(frames) > 1 and any(f.settings.time for f in frames):
        missing = [f.name for f in frames if f.settings.time is None]
        notes.append(f"{', '.join(missing)} tells no exposure time, so those of the others are not used")
    if lights is not None:
        frames = [replace(f, light=light) for f, light in zip(frames, lights, strict=True)]
    return _telling(frames, notes), notes


def _check(sources: Sequence[Any]) -> None:
    if not len(sources):
        raise GdpkitError("hdr needs at least one exposure, e.g. --exposures dark.jpg middle.jpg bright.jpg")
    paths = [Path(s) for s in sources if isinstance(s, str | Path)]
    for k, path in enumerate(paths):
        if path.is_dir():
            raise ImageError(f"{path}: it is a folder; --exposures takes the files, e.g. --exposures {path}/*.jpg")
        if path in paths[:k]:
            raise GdpkitError(f"{path} is given twice; every exposure counts once")


def _check_sizes(frames: Sequence[Frame]) -> None:
    sizes = [f.encoded.shape[1::-1] for f in frames]
    if len(set(sizes)) > 1:
        told = ", ".join(f"{f.name} {w}x{h}" for f, (w, h) in zip(frames, sizes, strict=True))
        raise ImageError(f"the exposures are not of one size: {told}; give those of one bracket, uncropped")
    if min(sizes[0]) < SMALLEST:
        raise ImageError(f"the exposures are {sizes[0][0]}x{sizes[0][1]} pixels; hdr needs {SMALLEST}x{SMALLEST}")


def _telling(frames: list[Frame], notes: list[str]) -> list[Frame]:
    """Without those of nothing but black or white."""
    if len(frames) == 1:
        return frames
    kept = []
    for frame in frames:
        if frame.telling > EMPTY:
            kept.append(frame)
        else:
            what = "black" if float(frame.encoded.mean()) < 0.5 else "white"
            notes.append(f"{frame.name} holds nothing but {what} and is not used")
    if not kept:
        raise ImageError(f"all {len(frames)} exposures are black or white: there is nothing to merge")
    return kept
