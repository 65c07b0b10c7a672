"""The recipe of a training, which is kept with its checkpoints and written into the finished prior."""

from __future__ import annotations

from dataclasses import dataclass

from gdpkit.priors.unet import SIGMA_RANGE


@dataclass(frozen=True)
class Recipe:
    """How the embedded prior is trained. Noise is in [-1, 1] units.

    minutes: how long; the learning rate follows the share that has passed, so that it always ends at its lowest.
    decay: the share of the time, at the end, over which the learning rate falls linearly.
    sigma_log_mean, sigma_log_deviation: most noise levels are log-normal, as in EDM (Karras et al. 2022, table 1).
    spread: the share that is log-uniform from `sigma_least` to `sigma_most`, so that the ends are learned as well.
    """

    minutes: float = 120.0
    widths: tuple[int, ...] = (64, 128, 256)
    depths: tuple[int, ...] = (2, 2, 2)
    batch: int = 32
    crop: int = 64
    learning_rate: float = 6e-4
    warmup_steps: int = 300
    decay: float = 0.25
    weight_decay: float = 1e-4
    average: float = 0.999
    sigma_log_mean: float = -1.2
    sigma_log_deviation: float = 1.5
    spread: float = 0.1
    sigma_least: float = SIGMA_RANGE[0]
    sigma_most: float = SIGMA_RANGE[1]
    grey: float = 0.05

    def rate(self, step: int, passed: float) -> float:
        """The learning rate at a step, when `passed` (0..1) of the time has gone."""
        warm = min(1.0, (step + 1) / self.warmup_steps)
        left = 1.0 if passed < 1 - self.decay else max(0.01, (1 - passed) / self.decay)
        return self.learning_rate * warm * left
