"""A file from the web: goes on where it was cut, and takes its name only when it is what it should be."""

from __future__ import annotations

import http.client
import json
import re
import shutil
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gdpkit import __version__
from gdpkit.atomic import exclusive
from gdpkit.errors import GdpkitError
from gdpkit.priors import known

CHUNK = 1 << 20
TIMEOUT = 60.0  # seconds without a byte
ATTEMPTS = 5  # in a row that bring nothing; one that brings something counts anew


@dataclass(frozen=True)
class _Part:
    """A download that is not complete: its bytes, and what tells whether the file behind the URL is still the same."""

    path: Path
    url: str

    @property
    def _notes(self) -> Path:
        return self.path.with_name(self.path.name + ".json")

    def begun(self, sure: bool) -> tuple[int, str]:
        """How many bytes can be kept, and the server's mark of the version that they are of, "" where it gave none.

        Without a mark they are kept only where a SHA-256 will make `sure` of the whole.
        """
        try:
            notes = json.loads(self._notes.read_text(encoding="utf-8"))
            mark, same = str(notes["mark"]), notes["url"] == self.url
            size = self.path.stat().st_size if same else 0
        except (OSError, ValueError, LookupError, TypeError):
            return 0, ""
        return (size, mark) if mark or sure else (0, "")

    def begin(self, mark: str) -> None:
        """Forget what is here and note the mark of what comes now."""
        self.path.write_bytes(b"")
        self._notes.write_text(json.dumps({"url": self.url, "mark": mark}), encoding="utf-8")

    def remove(self) -> None:
        """Forget it."""
        for file in (self.path, self._notes):
            file.unlink(missing_ok=True)

    def name(self, target: Path) -> None:
        """Give the complete file its name."""
        self.path.replace(target)
        self._notes.unlink(missing_ok=True)


def download(
    url: str,
    target: Path,
    partial: str,
    *,
    sha256: str | None = None,
    size: int | None = None,
    on_bytes: Callable[[int, int | None], None] = lambda done, total: None,
) -> str:
    """Bring `url` to `target` and return its SHA-256; until it is complete and right it has `partial` behind its name.

    `on_bytes` is told how many bytes of how many there are. A download that was cut goes on from there, in this call
    and in the next one. Raises `GdpkitError` where the server, the disk or the SHA-256 has something against it.
    """
    check_address(url)
    part = _Part(target.with_name(target.name + partial), url)
    with exclusive(target.with_name(target.name + ".lock"), f"{target}: is being fetched by another process"):
        _bring(part, sha256 is not None, size, on_bytes)
        found = known.sha256(part.path)
        if sha256 is not None and found != sha256:
            part.remove()
            raise GdpkitError(
                f"{url}: is not the file expected, and was removed: its SHA-256 is\n{found} instead of\n{sha256}"
            )
        part.name(target)
    target.with_name(target.name + ".lock").unlink(missing_ok=True)
    return found


def check_address(url: str) -> urllib.parse.SplitResult:
    """The parts of an address, or a `GdpkitError` where it is none that can be fetched."""
    try:
        parts = urllib.parse.urlsplit(url)
        parts.port  # noqa: B018 - raises where it is no number
    except ValueError as error:
        raise GdpkitError(f"{url}: is not an address ({error})") from error
    if parts.scheme not in ("http", "https") or not parts.netloc:
        raise GdpkitError(f"{url}: only http and https addresses can be fetched")
    return parts


class _Cut(Exception):
    """The connection failed or ended early, and may do better next time."""


def _bring(part: _Part, sure: bool, size: int | None, on_bytes: Callable[[int, int | None], None]) -> None:
    """Attempts until the part is complete, or until several in a row have brought nothing."""
    fruitless = 0
    while True:
        before = part.begun(sure)[0]
        try:
            if _attempt(part, sure, size, on_bytes):
                return
            reason = "the connection was cut"
        except _Cut as cut:
            reason = str(cut)
        now = part.begun(sure)[0]
        fruitless = 0 if now > before else fruitless + 1
        if fruitless == ATTEMPTS:
            kept = f" after {now} bytes; the same command goes on from there" if now else ""
            raise GdpkitError(f"{part.url}: {reason}{kept}")


def _attempt(part: _Part, sure: bool, size: int | None, on_bytes: Callable[[int, int | None], None]) -> bool:
    """One request, from where the part ends; whether it is complete then."""
    done, mark = part.begun(sure)
    headers = {"User-Agent": f"gdpkit/{__version__}", "Accept-Encoding": "identity"}
    if done:
        headers["Range"] = f"bytes={done}-"
    if done and mark:
        headers["If-Range"] = mark  # where the file has changed, the server sends all of the new one
    try:
        response = urllib.request.urlopen(urllib.request.Request(part.url, headers=headers), timeout=TIMEOUT)
    except urllib.error.HTTPError as error:
        if error.code == 416 and done:  # nothing lies behind: it is complete, or was longer than the file is now
            if error.headers.get("Content-Range", "").replace(" ", "") == f"bytes*/{done}":
                return True
            part.remove()
            raise _Cut("the file became shorter") from error
        raise GdpkitError(f"{part.url}: the server says {error.code} {error.reason}") from error
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise _Cut(f"cannot be reached ({getattr(error, 'reason', None) or error})") from error
    with response:
        went_on = re.fullmatch(r"bytes (\d+)-\d+/(\d+)", response.headers.get("Content-Range", ""))
        if response.status == 206 and went_on and int(went_on[1]) == done:
            total: int | None = int(went_on[2])
        else:
            length = response.headers.get("Content-Length", "")
            done, total = 0, int(length) if length.isdecimal() else None
            part.begin(_mark(response.headers))
        _check_size(part, done, total, size)
        on_bytes(done, total)
        with part.path.open("ab") as opened:
            while chunk := _read(response):
                opened.write(chunk)
                done += len(chunk)
                on_bytes(done, total)
    return total is None or done == total


def _read(response: Any) -> bytes:
    """Some bytes, b"" at the end."""
    try:
        chunk: bytes = response.read(CHUNK)
    except http.client.IncompleteRead as error:
        return error.partial
    except (OSError, http.client.HTTPException) as error:
        raise _Cut(f"the connection failed ({error})") from error
    return chunk


def _mark(headers: Any) -> str:
    """What tells one version of a file from another: an ETag, unless it is a weak one, or the date."""
    etag = str(headers.get("ETag", ""))
    return etag if etag and not etag.startswith("W/") else str(headers.get("Last-Modified", ""))


def _check_size(part: _Part, done: int, total: int | None, size: int | None) -> None:
    if total is None:
        return
    if size is not None and total != size:
        part.remove()
        raise GdpkitError(f"{part.url}: the server has {total} bytes, but {size} are expected; it is another file")
    free = shutil.disk_usage(part.path.parent).free
    if total - done > free:
        raise GdpkitError(f"{part.path.parent}: {total - done} bytes are still to come, but only {free} are free there")
