"""Noise: a function of the seed, the picture and the number of the draw, and of nothing else."""

from __future__ import annotations

import pytest
import torch

from gdpkit.components import Observation, Problem
from gdpkit.degradations.downsample import Downsample
from gdpkit.degradations.gray import Gray
from gdpkit.noise import ReplayedNoise, SeededNoise, digest, digests
from gdpkit.testing import picture

SHAPE = (3, 8, 10)


def test_each_image_has_the_same_noise_alone_and_in_any_batch() -> None:
    together = SeededNoise(7, [b"a", b"b", b"c"])
    alone = {name: SeededNoise(7, [name]) for name in (b"c", b"a", b"b")}
    for _ in range(3):
        batch = together.normal((3, *SHAPE))
        for i, name in enumerate((b"a", b"b", b"c")):
            assert torch.equal(alone[name].normal((1, *SHAPE))[0], batch[i])


def test_seeds_pictures_and_draws_are_independent() -> None:
    noise = SeededNoise(0, [b"a", b"b"])
    drawn = [*noise.normal((2, *SHAPE)), *noise.normal((2, *SHAPE)), SeededNoise(1, [b"a"]).normal((1, *SHAPE))[0]]
    correlation = torch.corrcoef(torch.stack(drawn).flatten(1))
    assert float((correlation - torch.eye(len(drawn))).abs().max()) < 4 / SHAPE[0] ** 0.5 / 80**0.5


def test_it_is_standard_normal() -> None:
    drawn = SeededNoise(3, [b"a"]).normal((1, 3, 128, 128))
    assert drawn.dtype == torch.float32
    assert abs(float(drawn.mean())) < 0.02
    assert float(drawn.std()) == pytest.approx(1, abs=0.02)
    assert float(drawn.pow(4).mean()) == pytest.approx(3, abs=0.15)


def test_draws_can_be_passed_over_to_resume() -> None:
    whole = SeededNoise(-5, [b"a"])
    wanted = [whole.normal((1, *SHAPE)) for _ in range(4)][-1]
    assert torch.equal(SeededNoise(-5, [b"a"], draws=3).normal((1, *SHAPE)), wanted)


def test_the_digest_is_of_everything_observed_of_each_image() -> None:
    def problem(*seeds: int, last: float = 0.0) -> Problem:
        colour = torch.cat([picture(1, 3, 4, 4, seed=s) for s in seeds])
        grey = torch.cat([picture(1, 1, 8, 8, seed=s) for s in seeds])
        grey[-1, -1, -1, -1] += last
        return Problem((Observation(colour, Downsample(scale=2), 1.0), Observation(grey, Gray(), 1.0)))

    first, second = digests(problem(0, 1))
    assert [first, second] == [*digests(problem(0)), *digests(problem(1))]
    assert first != second
    assert digests(problem(0, 1, last=1e-3)) != [first, second]
    assert digests(Problem.stack([problem(0), problem(1)])) == [first, second]


def test_the_digest_does_not_depend_on_how_the_values_lie_in_memory() -> None:
    image = picture(1, 3, 4, 6)
    assert digest(image.contiguous(memory_format=torch.channels_last)) == digest(image)


def test_recorded_noise_is_replayed_in_order_and_checked() -> None:
    recorded = [torch.full((1, *SHAPE), float(k)) for k in range(2)]
    noise = ReplayedNoise(recorded)
    assert torch.equal(noise.normal((1, *SHAPE)), recorded[0])
    with pytest.raises(ValueError, match=r"has shape \(1, 3, 8, 10\), not \(2, 3, 8, 10\)"):
        noise.normal((2, *SHAPE))
