"""The errors a person meets. Each message says what was wrong, where, and what would be right."""

from __future__ import annotations

from collections.abc import Iterable


class GdpkitError(Exception):
    """Something the user can mend. The command line prints the message and exits with status 2."""


class ImageError(GdpkitError):
    """A picture that cannot be read, written or used."""


class UnknownNameError(GdpkitError):
    """A component, option or parameter that nobody declares."""


class PluginError(GdpkitError):
    """A plugin that cannot be loaded, or two that claim one name."""


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """A sentence to append to an error: the nearest of the known names, or all of them; "" where there are none.

    >>> did_you_mean("downsampel", ["gray", "downsample"])
    " Did you mean 'downsample'?"
    """
    import difflib

    names = sorted(set(known))
    near = difflib.get_close_matches(word, names, n=len(names) or 1, cutoff=0.6)
    if near:
        # Two letters that changed places are the likelier slip than one that is another: hrd is hdr, not red.
        best = next((name for name in near if sorted(name) == sorted(word)), near[0])
        return f" Did you mean {best!r}?"
    return f" Known: {', '.join(names)}." if names else ""
