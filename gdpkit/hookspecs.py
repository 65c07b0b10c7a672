"""Everything a plugin can offer, on one screen. Hooks take no arguments and return lists of classes."""

from __future__ import annotations

from collections.abc import Sequence

import pluggy

from gdpkit.components import Degradation, Metric, Prior, QualityLoss, Sampler, Task

hookspec = pluggy.HookspecMarker("gdpkit")
hookimpl = pluggy.HookimplMarker("gdpkit")


@hookspec
def gdpkit_tasks() -> Sequence[type[Task]]:  # type: ignore[empty-body]
    """Tasks: what `gdpkit run NAME` can do."""


@hookspec
def gdpkit_degradations() -> Sequence[type[Degradation]]:  # type: ignore[empty-body]
    """Degradation models: the stages of `-d NAME:key=value`."""


@hookspec
def gdpkit_losses() -> Sequence[type[QualityLoss]]:  # type: ignore[empty-body]
    """Quality losses: what `--loss NAME:key=value` adds to the objective."""


@hookspec
def gdpkit_samplers() -> Sequence[type[Sampler]]:  # type: ignore[empty-body]
    """Samplers: the choices of `--sampler`."""


@hookspec
def gdpkit_priors() -> Sequence[type[Prior]]:  # type: ignore[empty-body]
    """Priors: the choices of `--prior`."""


@hookspec
def gdpkit_metrics() -> Sequence[type[Metric]]:  # type: ignore[empty-body]
    """Metrics: what a result can be measured by."""
