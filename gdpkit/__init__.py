"""gdpkit: restore photographs with one pretrained diffusion model (Generative Diffusion Prior, CVPR 2023).

>>> import gdpkit
>>> result = gdpkit.restore("sr", image="small.png", scale=4, seed=0)  # doctest: +SKIP
>>> result.save("large.png")  # doctest: +SKIP

Importing gdpkit is cheap: torch is loaded by the first call that computes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gdpkit.components import (
    Chain,
    Component,
    Degradation,
    Denoised,
    Metric,
    Objective,
    Observation,
    PhotoTask,
    Prior,
    Problem,
    QualityLoss,
    Result,
    Sampler,
    SetMetric,
    SingularSystem,
    Step,
    Task,
)
from gdpkit.errors import GdpkitError, ImageError, PluginError, UnknownNameError
from gdpkit.hookspecs import hookimpl
from gdpkit.params import param

if TYPE_CHECKING:
    from gdpkit.engine import load_prior, restore
    from gdpkit.evaluation.measuring import measure
    from gdpkit.images import read_image
    from gdpkit.registry import chain
    from gdpkit.restoration import Restoration
    from gdpkit.simulate import degrade

__version__ = "0.1.0"

_LAZY = {
    "Restoration": "gdpkit.restoration",
    "chain": "gdpkit.registry",
    "degrade": "gdpkit.simulate",
    "load_prior": "gdpkit.engine",
    "measure": "gdpkit.evaluation.measuring",
    "read_image": "gdpkit.images",
    "restore": "gdpkit.engine",
}

__all__ = [
    "Chain",
    "Component",
    "Degradation",
    "Denoised",
    "GdpkitError",
    "ImageError",
    "Metric",
    "Objective",
    "Observation",
    "PhotoTask",
    "PluginError",
    "Prior",
    "Problem",
    "QualityLoss",
    "Restoration",
    "Result",
    "Sampler",
    "SetMetric",
    "SingularSystem",
    "Step",
    "Task",
    "UnknownNameError",
    "chain",
    "degrade",
    "hookimpl",
    "load_prior",
    "measure",
    "param",
    "read_image",
    "restore",
]


def __getattr__(name: str) -> Any:
    """Load what needs torch on first use (PEP 562)."""
    if name in _LAZY:
        import importlib

        return getattr(importlib.import_module(_LAZY[name]), name)
    raise AttributeError(f"module 'gdpkit' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
