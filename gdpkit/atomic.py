"""Files that appear whole or not at all, and folders that belong to one process at a time."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from gdpkit.errors import GdpkitError, ImageError

_PREFIX = ".gdpkit-"


@contextmanager
def whole_file(path: Path, overwrite: bool = True) -> Iterator[Path]:
    """A temporary path beside `path` that takes its name when the block ends well, and is gone when it does not.

    Raises `ImageError` where the file exists (without `overwrite`) or cannot be written.
    """
    target = path.resolve() if path.is_symlink() else path  # replace the file, not the link to it
    temporary = target.with_name(f"{_PREFIX}{secrets.token_hex(8)}{target.suffix}")
    try:
        yield temporary
        if overwrite:
            temporary.replace(target)
        else:
            _place(temporary, target)
    except FileExistsError as error:
        raise ImageError(f"{path}: it exists already; overwrite=True, or --overwrite, replaces it") from error
    except (OSError, RuntimeError) as error:  # OpenEXR raises RuntimeError where the disk is full
        raise ImageError(f"{path}: it cannot be written ({getattr(error, 'strerror', None) or error})") from error
    finally:
        temporary.unlink(missing_ok=True)


def _place(temporary: Path, target: Path) -> None:
    """Give a file its name unless the name is taken, even if somebody takes it at this moment."""
    try:
        target.hardlink_to(temporary)
    except FileExistsError:
        raise
    except OSError:  # no hard links on this file system (exFAT, some network shares): claim the name, then replace
        target.touch(exist_ok=False)
        try:
            temporary.replace(target)
        except OSError:
            with suppress(OSError):
                target.unlink()
            raise


def remove_leftovers(folder: Path) -> None:
    """Remove the temporary files of processes that were killed; only where no other process writes to the folder."""
    for file in folder.glob(f"{_PREFIX}*"):
        file.unlink(missing_ok=True)


@contextmanager
def exclusive(lock: Path, message: str) -> Iterator[None]:
    """Hold a lock file, or raise a `GdpkitError` with the message where another process does.

    The system lets go of the lock when the process ends, however it ends, so that none is ever left behind.
    """
    try:
        import fcntl
    except ImportError:  # Windows, where two processes that write the same files fail by themselves
        yield
        return
    with lock.open("w") as opened:
        try:
            fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise GdpkitError(message) from None
        except OSError:  # a file system without locks
            pass
        yield
