"""The contracts: what a degradation, a loss, a metric, a prior, a sampler and a task are.

Images are float32 (B, C, H, W), RGB, sRGB-encoded, in [0, 1]. This package declares; it imports torch for typing
only, and the few methods that compute import what they need when they are called.
"""

from gdpkit.components.base import Component
from gdpkit.components.degradation import Chain, Degradation, Shape, Unknowns
from gdpkit.components.observation import Observation, Problem, Result
from gdpkit.components.prior import Denoised, Prior
from gdpkit.components.quality import Metric, QualityLoss, SetMetric
from gdpkit.components.sampler import Noise, Objective, Sampler, Step
from gdpkit.components.singular import Measured, SingularSystem
from gdpkit.components.task import PhotoTask, Task

__all__ = [
    "Chain",
    "Component",
    "Degradation",
    "Denoised",
    "Measured",
    "Metric",
    "Noise",
    "Objective",
    "Observation",
    "PhotoTask",
    "Prior",
    "Problem",
    "QualityLoss",
    "Result",
    "Sampler",
    "SetMetric",
    "Shape",
    "SingularSystem",
    "Step",
    "Task",
    "Unknowns",
]
