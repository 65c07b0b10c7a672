"""Published weights of networks, read from files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path

from torch import Tensor

from gdpkit.errors import GdpkitError
from gdpkit.priors.weights import read_weights

Weights = Mapping[str, Tensor]


@lru_cache(maxsize=8)
def weights(file: Path, stamp: int) -> Weights:
    """The tensors of a file, in float32; `stamp` is when it was changed."""
    return {name: tensor.float() for name, tensor in read_weights(file)[0].items()}


def load(metric: str, file: Path, needed: Sequence[str], what: str) -> Weights:
    """The weights of a file that must hold the tensors `needed`; else a `GdpkitError` says what the file should be."""
    try:
        found = weights(file, file.stat().st_mtime_ns)
    except OSError as error:
        raise GdpkitError(f"{metric}: {file} cannot be read ({error.strerror}); it should be {what}") from error
    except GdpkitError as error:
        raise GdpkitError(f"{metric}: {error}") from error
    missing = [name for name in needed if name not in found]
    if missing:
        raise GdpkitError(f"{metric}: {file} holds no {missing[0]}, so it is not {what}")
    return found
