"""GDP-x0 and GDP-xt step by step against trajectories of the published sampler."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from gdpkit.components import Observation, Problem
from gdpkit.degradations.downsample import Downsample
from gdpkit.degradations.gray import Gray
from gdpkit.noise import ReplayedNoise
from gdpkit.objective import EnergyObjective
from gdpkit.priors.adm import AdmPrior
from gdpkit.samplers.gdp import Gdp, GdpXt

DATA = Path(__file__).parent / "data" / "conformance"
RECORDED = (0, 1, 9, 18)  # sample_after_step holds these steps and the last


@pytest.mark.parametrize("name", ["gdp_x0_sr4", "gdp_xt_sr4", "gdp_x0_color"])
def test_published_trajectory(name: str) -> None:
    recorded = {key: torch.from_numpy(value) for key, value in np.load(DATA / f"{name}.npz").items()}
    gray = name.endswith("color")
    observed = recorded["y01"] if gray else recorded["y01"][..., ::4, ::4]
    problem = Problem((Observation(observed, Gray() if gray else Downsample(scale=4), 1.0),))
    sampler = (GdpXt if "xt" in name else Gdp)(steps=20, scale=float(recorded["scale"]))
    noise = ReplayedNoise([recorded["x_T"], *recorded["noises"]])
    prior = Spy(file=DATA / "adm_a.safetensors")
    steps = list(sampler.sample(prior, EnergyObjective(problem), noise))

    assert len(steps) == 20
    # the prior saw each sample as the next step's input; its scaling to [0, 1] is undone here
    for at, sample in zip(RECORDED, recorded["sample_after_step"], strict=False):
        assert torch.allclose(prior.seen[at + 1], sample, atol=1e-4), at
    # at the first step sigma = 157 multiplies the rounding of the network's output, so only the later one is compared
    assert torch.allclose(2 * steps[9].image - 1, recorded["pred_x0"][1], atol=1e-4)
    final = ((recorded["final"] + 1) / 2).clamp(0, 1)
    assert torch.allclose(steps[-1].image, final, atol=1e-4)


class Spy(AdmPrior):
    """Keeps the DDPM samples x_t that it is asked about."""

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "seen", [])

    def denoise(self, noisy: torch.Tensor, sigma: float | torch.Tensor):  # type: ignore[no-untyped-def]
        level = 2 * float(sigma)
        self.seen.append((2 * noisy - 1) / (1 + level**2) ** 0.5)
        return super().denoise(noisy, sigma)
