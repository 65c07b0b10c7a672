"""The field's samplers beside gdpkit's own, each a `--sampler NAME` with its published constants as defaults.

Images are in [0, 1] and noise is in their units: x_t = x_0 + sigma_t n. A paper that scales its images by sqrt(abar_t)
and keeps them in [-1, 1] is read in these units, with sigma_t = sqrt((1 - abar_t) / abar_t) / 2.
"""

from __future__ import annotations

from collections.abc import Sequence

from gdpkit import Sampler, hookimpl
from gdpkit_samplers.daps import Daps
from gdpkit_samplers.ddnm import Ddnm
from gdpkit_samplers.ddrm import Ddrm
from gdpkit_samplers.diffpir import DiffPir
from gdpkit_samplers.dps import Dps
from gdpkit_samplers.red import RedDiff
from gdpkit_samplers.snips import Snips


@hookimpl
def gdpkit_samplers() -> Sequence[type[Sampler]]:
    """All seven."""
    return [Daps, Ddnm, Ddrm, DiffPir, Dps, RedDiff, Snips]
