"""Which files go in, and what the results are called."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from gdpkit.errors import ImageError

_BOTH = "png jpg jpeg tif tiff webp bmp avif exr hdr"
_INPUT = "gif heic heif ppm pgm pbm pnm jp2 dib qoi mpo jfif pcx psd ico"
_RAW = "dng nef nrw cr2 cr3 crw arw srf sr2 raf rw2 orf pef srw 3fr iiq kdc dcr mrw rwl x3f"

WRITABLE = frozenset(f".{suffix}" for suffix in _BOTH.split())
"""Suffixes that a result may keep from its input."""

READABLE = WRITABLE | {f".{suffix}" for suffix in f"{_INPUT} {_RAW}".split()}
"""Suffixes by which a folder's pictures are told from its other files. A file named by itself may have any."""


def expand(images: Sequence[Path]) -> tuple[list[Path], bool]:
    """The files behind the IMAGE arguments, and whether they count as several (any folder does).

    A folder stands for the pictures directly in it, sorted; one without pictures is an ImageError.
    """
    found: list[Path] = []
    for path in images:
        if not path.is_dir():
            found.append(path)
            continue
        inside = [f for f in path.iterdir() if f.suffix.lower() in READABLE and not f.name.startswith(".")]
        if not inside:
            raise ImageError(f"{path}: the folder holds no picture")
        found += sorted(inside)
    return found, len(found) > 1 or any(path.is_dir() for path in images)


def target(source: Path, ending: str, out: Path | None, several: bool) -> tuple[Path, tuple[str, ...]]:
    """Where the result of one input goes, and a sentence where its suffix had to change.

    `out` is a file, or a folder (always with several inputs) for `<stem>_<ending>` with the input's suffix.
    """
    if out is not None and not _is_folder(out, several, "-o"):
        if not out.suffix and not out.exists():
            example = f"{out}{source.suffix if source.suffix.lower() in WRITABLE else '.png'}"
            raise ImageError(f"-o {out}: there is no such folder; make it first, or name a file such as {example}")
        return out, ()
    kept = source.suffix.lower() in WRITABLE
    path = (out or Path()) / f"{source.stem}_{ending}{source.suffix if kept else '.png'}"
    if kept:
        return path, ()
    return path, (f"the result is {path.name}, as {source.suffix or 'a file without a suffix'} cannot be written",)


def comparison(source: Path, ending: str, out: Path | None, several: bool) -> Path | None:
    """Where the side-by-side PNG of one input goes: `out`, or `<stem>_<ending>_compare.png` in that folder."""
    if out is None:
        return None
    if _is_folder(out, several, "--compare"):
        return out / f"{source.stem}_{ending}_compare.png"
    if out.suffix.lower() != ".png":
        raise ImageError(f"--compare {out}: it is written as PNG; let its name end with .png")
    return out


def _is_folder(out: Path, several: bool, option: str) -> bool:
    if several and not out.is_dir():
        what = "this is a file" if out.exists() else "this one does not exist, make it first"
        raise ImageError(f"{option} {out}: with several inputs {option} is a folder, and {what}")
    return out.is_dir()


def distinct(sources: Sequence[Path], targets: Sequence[Path]) -> None:
    """Raise an ImageError where two inputs would be written to one file."""
    first: dict[Hashable, Path] = {}
    for source, path in zip(sources, targets, strict=True):
        other = first.setdefault(_identity(path), source)
        if other is not source:
            raise ImageError(
                f"{other} and {source} would both be written to {path}; restore them one at a time, with -o"
            )


def protect(inputs: Iterable[Path], targets: Iterable[Path], beside: Iterable[Path] = ()) -> None:
    """Raise an ImageError where a file to be written is one that is read, by whatever path.

    `beside` are those of --compare, which must not be among the targets either.
    """
    read = {_identity(path): path for path in inputs}
    results = list(targets)
    written = {_identity(path) for path in results}
    compared = list(beside)
    for option, path in [*(("-o", path) for path in results), *(("--compare", path) for path in compared)]:
        source = read.get(_identity(path))
        if source is not None:
            raise ImageError(f"{option} {path}: that is the input {source}, which is never replaced; give another name")
    for path in compared:
        if _identity(path) in written:
            raise ImageError(f"{path}: the result and --compare need different names")


def files_in(value: Any) -> Iterator[Path]:
    """The files that an option names: paths, and what is a file among the parameters of stages (mask:file=m.png)."""
    if isinstance(value, Path):
        yield value
    elif isinstance(value, str):
        parts = (item.partition("=")[2].strip() for item in value.partition(":")[2].split(","))
        yield from (path for path in map(Path, filter(None, parts)) if _is_file(path))
    elif isinstance(value, tuple):
        for item in value:
            yield from files_in(item)


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # such as a text that is too long for a name
        return False


def check_writable(path: Path, overwrite: bool) -> None:
    """Raise now what would spoil the result after minutes of work."""
    from gdpkit import images

    images.check_writable(path, overwrite=True)
    if path.exists() and not overwrite:
        raise ImageError(f"{path}: it exists already; --overwrite replaces it")


def _identity(path: Path) -> Hashable:
    """What two paths to one file have in common, whether it exists or not."""
    try:
        found = path.stat()
    except OSError:
        return path.resolve()
    return found.st_dev, found.st_ino
