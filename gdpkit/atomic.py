"""Files that appear whole or not at all."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from gdpkit.errors import ImageError


@contextmanager
def whole_file(path: Path, overwrite: bool = True) -> Iterator[Path]:
    """A temporary path beside `path` that takes its name when the block ends well, and is gone when it does not.

    Raises `ImageError` where the file exists (without `overwrite`) or cannot be written.
    """
    target = path.resolve() if path.is_symlink() else path  # replace the file, not the link to it
    temporary = target.with_name(f".gdpkit-{secrets.token_hex(8)}{target.suffix}")
    try:
        yield temporary
        if overwrite:
            temporary.replace(target)
        else:
            _place(temporary, target)
    except FileExistsError as error:
        raise ImageError(f"{path}: it exists already; --overwrite replaces it") from error
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
