"""Checkers for plugin authors: each takes a component and raises an AssertionError that says what is wrong with it.

>>> from gdpkit.degradations.gray import Gray
>>> check_degradation(Gray())

`example(cls, tmp_path)` makes an instance of any component, `matrix` the dense matrix of a linear degradation.
"""

from __future__ import annotations

from gdpkit.testing.common import check_component, example, picture
from gdpkit.testing.degradation import check_degradation, matrix
from gdpkit.testing.pairs import check_sampler_on
from gdpkit.testing.prior import check_prior
from gdpkit.testing.quality import check_loss, check_metric
from gdpkit.testing.sampler import check_sampler
from gdpkit.testing.task import check_task

__all__ = [
    "check_component",
    "check_degradation",
    "check_loss",
    "check_metric",
    "check_prior",
    "check_sampler",
    "check_sampler_on",
    "check_task",
    "example",
    "matrix",
    "picture",
]
