"""The checker of a sampler and a degradation together."""

from __future__ import annotations

import math
import re

import torch

from gdpkit import registry
from gdpkit.components import Degradation, Observation, Problem, Sampler
from gdpkit.errors import GdpkitError
from gdpkit.noise import SeededNoise
from gdpkit.objective import EnergyObjective
from gdpkit.testing.common import require
from gdpkit.testing.degradation import canonical_shape, guesses
from gdpkit.testing.sampler import check_explains, run_checked

NOISE = 5.0
SIDE = 16


def check_sampler_on(s: Sampler, d: Degradation) -> bool:
    """Raise an AssertionError that says what a sampler does wrong with a degradation; True where it takes it.

    One 16x16 draw of a Gaussian field is seen through the degradation and noise of 5/255. A sampler that takes it
    explains what was observed (as in `check_sampler`, but a tenth of a flat picture's discrepancy will do). One that
    cannot says so with a `GdpkitError`, before it asks the prior anything, and names another sampler to use.
    """
    from gdpkit.priors.gaussian import GaussianPrior

    prior = GaussianPrior(deviation=0.12)
    generator = torch.Generator().manual_seed(7)
    shape = canonical_shape(d, (3, SIDE, SIDE))
    truth = prior.draw(torch.randn(1, *shape, generator=generator)).clamp(0, 1)
    noise = SeededNoise(0, [b"pair"])
    observed = d.simulate(truth, noise, **guesses(d, truth))
    observed = observed + NOISE / 255 * noise.normal(observed.shape)
    sigma = math.hypot(d.noise_sigma, NOISE)
    objective = EnergyObjective(Problem((Observation(observed, d, sigma, d.measured(observed)),)))
    try:
        result, seen = run_checked(s, prior, objective, SeededNoise(0, [b"image"]))
    except GdpkitError as refusal:
        _check_refusal(s, d, refusal)
        return False
    check_explains(f"{s.name} on {d.name}", seen, result, share=0.1)
    return True


def _check_refusal(s: Sampler, d: Degradation, refusal: GdpkitError) -> None:
    what = f"{s.name} refuses {d.name} and says {str(refusal)!r}"
    asked = getattr(refusal, "evaluations", 0)
    require(asked == 0, f"{what}, after {asked} evaluations of the prior; it must say so before the first")
    require(s.name in str(refusal), f"{what}, which does not name the sampler")
    others = set(re.findall(r"[\w-]+", str(refusal))) & set(registry.load().names("samplers")) - {s.name}
    require(bool(others), f"{what}, which names no sampler that could take it, e.g. --sampler hqs")
