"""`gdpkit degrade`."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from PIL import Image

# torch's own forward-mode differentiation compiles its rules in a way that it deprecates.
pytestmark = pytest.mark.filterwarnings("ignore:.*torch.jit.script:DeprecationWarning")

Cli = Callable[..., Any]


def test_degrade_writes_what_the_model_says(cli: Cli) -> None:
    result = cli("degrade", "photo.png", "-d", "dim:factor=0.5", "-d", "dim", "-o", "dark.png")
    assert (result.status, result.out) == (0, "dark.png\n")
    before, after = (np.asarray(Image.open(name), float) for name in ("photo.png", "dark.png"))
    assert np.abs(after - before / 4).max() <= 0.51
    record = json.loads(cli("degrade", "photo.png", "-d", "dim", "--seed", "2", "--json").out)
    assert record["outputs"] == ["photo_degraded.png"]
    assert record["stages"] == ["dim"]
