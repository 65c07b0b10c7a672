"""Checkpoints known by name: the one inside the package, the public ones, and what the cache holds. Without torch.

What is known of them is in `known.json`. After a new training of the embedded prior its entry there is what
`gdpkit prior train` prints; a test keeps the two in step.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from pathlib import Path

from gdpkit.errors import GdpkitError, UnknownNameError, did_you_mean

PARTIAL = ".part"
"""What a download that is not complete has behind its name."""

_SUFFIXES = (".safetensors", ".pt", ".pth", ".ckpt", ".bin")
_SIDES = (PARTIAL, ".json", ".sha256", ".lock")


@dataclass(frozen=True)
class Known:
    """A checkpoint of which more is known than its bytes say; None: not known."""

    name: str
    file: str
    bytes: int | None = None
    sha256: str | None = None
    licence: str = ""
    url: str | None = None


@cache
def table() -> dict[str, Known]:
    """All of them, by name."""
    entries = json.loads(Path(__file__).with_name("known.json").read_text(encoding="utf-8"))
    return {name: Known(name, **entry) for name, entry in entries.items()}


def public() -> dict[str, Known]:
    """Those that `gdpkit prior fetch` can bring."""
    return {name: entry for name, entry in table().items() if entry.url}


def cache_folder() -> Path:
    """Where fetched checkpoints are: $GDPKIT_CACHE, or gdpkit in $XDG_CACHE_HOME or in ~/.cache."""
    own = os.environ.get("GDPKIT_CACHE")
    if own:
        return Path(own)
    base = Path(os.environ.get("XDG_CACHE_HOME") or "")
    try:
        # The standard has a path that is not absolute ignored.
        return (base if base.is_absolute() else Path.home() / ".cache") / "gdpkit"
    except RuntimeError as error:
        raise GdpkitError("there is no home folder for fetched priors; set GDPKIT_CACHE to a folder") from error


def cached() -> dict[str, Path]:
    """The checkpoints in the cache, by name: that of the file without its suffix."""
    folder = cache_folder()
    files = sorted(folder.iterdir()) if folder.is_dir() else []
    return {f.stem: f for f in files if f.is_file() and f.suffix not in _SIDES and not f.name.startswith(".")}


def find_cached(name: str) -> Path | None:
    """The fetched checkpoint of that name, with or without its suffix."""
    found = cached()
    return found.get(name) or next((file for file in found.values() if file.name == name), None)


def checkpoint_file(wanted: str, names: Iterable[str] = ("embedded",)) -> Path:
    """The file of a prior: the embedded one, an existing file, or one in the cache, by name.

    Another name is an `UnknownNameError` that says what would be right, `names` among it.
    """
    if not wanted:
        raise UnknownNameError(f"the name of the prior is empty.{did_you_mean(wanted, names)}")
    if wanted == "embedded":
        return Path(__file__).with_name(table()["embedded"].file)
    if Path(wanted).exists():
        return Path(wanted)
    found = find_cached(wanted)
    if found is not None:
        return found
    name = wanted.removesuffix(".pt")
    if name in public():
        raise UnknownNameError(f"the prior {name} is not here yet; fetch it first: gdpkit prior fetch {name}")
    if ":" not in wanted and (Path(wanted).suffix in _SUFFIXES or Path(wanted).name != wanted):
        raise UnknownNameError(f"{wanted}: there is no such file or folder.{_like(Path(wanted))}")
    hint = did_you_mean(wanted.partition(":")[0], [*names, *cached(), *public()])
    raise UnknownNameError(f"{wanted!r} is neither a prior nor a checkpoint's file.{hint}")


def _like(missing: Path) -> str:
    """A sentence with the checkpoint that a missing one may mean, beside it, in the cache or public; "" without."""
    around = missing.parent.glob("*") if missing.parent.is_dir() else ()
    files = [f.name for f in (*around, *cached().values()) if f.suffix in _SUFFIXES or f.is_dir()]
    known = [*files, *(entry.file for entry in public().values())]
    return did_you_mean(missing.name, known) if get_close_matches(missing.name, known) else ""


def expected_sha256(file: Path) -> tuple[str, str] | None:
    """The SHA-256 that a file ought to have, and who says so; None: nobody does."""
    for entry in table().values():
        inside = entry.url is None and file.resolve() == Path(__file__).with_name(entry.file)
        if entry.sha256 and (inside or (entry.url and file.name == entry.file)):
            return entry.sha256, "gdpkit's list"
    beside = file.with_name(f"{file.name}.sha256")
    try:
        return beside.read_text(encoding="utf-8").split()[0].lower(), str(beside)
    except (OSError, ValueError, IndexError):
        return None


def sha256(file: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def valid_sha256(text: str) -> str:
    """A SHA-256 as a person gives it, in lower case."""
    if not re.fullmatch(r"[0-9a-fA-F]{64}", text.strip()):
        raise GdpkitError(f"--sha256 must be 64 hexadecimal digits, not {text!r}")
    return text.strip().lower()
