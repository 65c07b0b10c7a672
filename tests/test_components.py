"""The contracts as their users rely on them: chains, observations, problems, and tasks about one photograph."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from gdpkit import chain, param
from gdpkit.components import Chain, Degradation, Observation, PhotoTask, Problem, Result, Shape, Unknowns
from gdpkit.degradations.downsample import Downsample
from gdpkit.degradations.gray import Gray
from gdpkit.degradations.noise import GaussianNoise
from gdpkit.errors import GdpkitError, ImageError
from gdpkit.losses.tv import TotalVariation
from gdpkit.noise import SeededNoise
from gdpkit.testing import check_degradation, picture


@dataclass(frozen=True)
class Veil(Degradation):
    """Add light of an unknown, non-negative amount."""

    name = "veil"
    strength: float = param(1.0, help="How strongly.")

    def __call__(self, image: Tensor, *, light: Tensor) -> Tensor:  # type: ignore[override]
        return image + self.strength * light

    def unknowns(self, observed: Tensor, shape: Shape) -> Unknowns:
        assert tuple(observed.shape[1:]) == shape  # it changes neither size nor channels
        return {"light": observed.amin(dim=(1, 2, 3)).view(-1, 1, 1, 1)}

    def constrain(self, *, light: Tensor) -> Unknowns:  # type: ignore[override]
        return {"light": light.clamp_min(0)}

    def penalty(self, *, light: Tensor) -> Tensor:  # type: ignore[override]
        return light.flatten(1).square().sum(1)


@dataclass(frozen=True)
class Reduced(Degradation):
    """Half the size, with unknown light."""

    name = "reduced"

    def __call__(self, image: Tensor, *, light: Tensor) -> Tensor:  # type: ignore[override]
        return light * Downsample(scale=2)(image)

    def unknowns(self, observed: Tensor, shape: Shape) -> Unknowns:
        assert tuple(observed.shape[1:]) == (shape[0], shape[1] // 2, shape[2] // 2)
        return {"light": observed.mean(dim=(1, 2, 3)).view(-1, 1, 1, 1)}

    def clean_shape(self, observed_shape: Shape) -> Shape:
        return Downsample(scale=2).clean_shape(observed_shape)


@dataclass(frozen=True)
class Scalable(Degradation):
    """Something with a width in pixels."""

    name = "scalable"
    linear: ClassVar[bool] = True
    width: float = 8.0

    def __call__(self, image: Tensor) -> Tensor:  # type: ignore[override]
        return image

    def at_scale(self, s: int) -> Degradation:
        return Scalable(width=self.width / s)


@dataclass(frozen=True, eq=False)
class Seen(PhotoTask):
    """A photograph seen through any chain."""

    name = "seen"
    stages: tuple[str, ...] = param(help="The chain.")

    def degradation(self) -> Degradation:
        return chain(self.stages)


# -- chains -----------------------------------------------------------------------------------------------------------


def test_a_chain_applies_its_stages_first_stage_first() -> None:
    image = picture(1, 3, 8, 8)
    both = Gray() >> Downsample(scale=2)
    assert torch.equal(both(image), Downsample(scale=2)(Gray()(image)))
    veiled = Veil(strength=2.0) >> Veil(strength=-1.0)
    light = torch.full((1, 1, 1, 1), 0.1)
    assert torch.allclose(veiled(image, **{"0.light": light, "1.light": 3 * light}), image - 0.1)


def test_chains_of_chains_are_flat_and_equal_to_one_another() -> None:
    a, b, c = Gray(), Downsample(scale=2), GaussianNoise(sigma=3)
    flat = Chain(stages=(a, b, c))
    assert (a >> b) >> c == a >> (b >> c) == flat
    assert [stage.name for stage in ((a >> b) >> (b >> c)).stages] == ["gray", "downsample", "downsample", "noise"]


def test_each_stage_guesses_from_the_observation_at_the_size_and_channels_it_puts_out() -> None:
    blind = Reduced() >> Gray() >> Reduced()
    found = blind.unknowns(picture(2, 1, 4, 6), blind.clean_shape((1, 4, 6)))
    assert set(found) == {"0.light", "2.light"}


def test_a_chain_is_linear_where_every_stage_is() -> None:
    assert (Gray() >> Downsample(scale=2)).linear
    assert not (Gray() >> Veil()).linear


def test_unknowns_of_a_chain_carry_the_number_of_their_stage() -> None:
    blind = Veil() >> Downsample(scale=2) >> Gray() >> Veil(strength=2)
    observed = picture(2, 1, 4, 6)
    found = blind.unknowns(observed, (3, 8, 12))
    assert {name: u.shape for name, u in found.items()} == {"0.light": (2, 1, 1, 1), "3.light": (2, 1, 1, 1)}
    possible = blind.constrain(**{"0.light": -found["0.light"], "3.light": found["3.light"]})
    assert torch.equal(possible["0.light"], torch.zeros(2, 1, 1, 1))
    assert torch.equal(possible["3.light"], found["3.light"])
    wanted = sum(u.flatten().square() for u in found.values())
    assert torch.allclose(torch.as_tensor(blind.penalty(**found)), torch.as_tensor(wanted))
    assert blind(picture(2, 3, 8, 12), **found).shape == observed.shape


@pytest.mark.parametrize(
    "whole",
    [
        Gray(weights="bt601") >> Downsample(scale=2, kernel="bicubic") >> GaussianNoise(sigma=4),
        Downsample(scale=2) >> Veil() >> Gray(),
    ],
    ids=["linear", "blind"],
)
def test_a_chain_keeps_the_contract_of_a_degradation(whole: Chain) -> None:
    check_degradation(whole)


@pytest.mark.parametrize(
    ("stages", "sigma"),
    [
        (("noise:sigma=10",), 10.0),
        (("noise:sigma=10", "downsample:scale=4"), 2.5),
        (("noise:sigma=10", "gray"), 10 / math.sqrt(3)),
        (("noise:sigma=8", "downsample:scale=2", "noise:sigma=3"), 5.0),
        (("downsample:scale=2", "gray"), 0.0),
    ],
)
def test_noise_is_carried_through_the_stages_behind_it(stages: tuple[str, ...], sigma: float) -> None:
    whole = chain(stages)
    assert whole.noise_sigma == pytest.approx(sigma)
    flat = torch.full((1, 3, 128, 128), 0.5)
    recorded = whole.simulate(flat, SeededNoise(0, [b""])) - whole(flat)
    assert 255 * float(recorded.square().mean().sqrt()) == pytest.approx(sigma, rel=0.06)


def test_the_clean_shape_is_found_back_through_every_stage() -> None:
    assert chain(["downsample:scale=2", "gray", "downsample:scale=3"]).clean_shape((1, 5, 7)) == (3, 30, 42)
    with pytest.raises(GdpkitError, match="has one, not 3"):
        chain(["downsample:scale=2", "gray"]).clean_shape((3, 5, 7))


def test_a_colour_picture_is_reduced_by_the_weights_of_the_stage_that_reduces() -> None:
    colour = picture(1, 3, 6, 6)
    bt601 = chain(["downsample:scale=2", "gray:weights=bt601", "noise"])
    assert torch.equal(bt601.accept(colour), Gray(weights="bt601")(colour))
    assert torch.equal(chain(["downsample:scale=2"]).accept(colour), colour)


def test_at_scale_needs_every_stage_to_have_one() -> None:
    assert (Scalable() >> Scalable(width=4)).at_scale(2) == Scalable(width=4) >> Scalable(width=2)
    assert (Scalable() >> Gray()).at_scale(2) is None


# -- observations and problems ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("sigma", [0.0, -1.0, float("nan")])
def test_an_observation_without_noise_is_an_error(sigma: float) -> None:
    with pytest.raises(GdpkitError, match="rounding is noise too"):
        Observation(picture(1, 3, 8, 8), Gray(), sigma)


def test_observations_of_one_problem_show_one_image() -> None:
    small = Observation(picture(1, 3, 8, 12), Downsample(scale=2), 1.0)
    Problem((small, Observation(picture(1, 1, 16, 24), Gray(), 1.0)))
    with pytest.raises(GdpkitError, match="these show 12x8 and 24x16"):
        Problem((small, Observation(picture(1, 1, 8, 12), Gray(), 1.0)))


def observed(seed: int, weight: Tensor | None = None, scale: int = 2, sigma: float = 1.0, side: int = 8) -> Problem:
    return Problem((Observation(picture(1, 3, side, 8, seed=seed), Downsample(scale=scale), sigma, weight),))


def test_problems_stack_into_a_batch() -> None:
    one_row = torch.ones(1, 1, 8, 1)
    stacked = Problem.stack([observed(0, one_row), observed(1, 2 * one_row)])
    (o,) = stacked.observations
    assert torch.equal(o.image, torch.cat([picture(1, 3, 8, 8, seed=0), picture(1, 3, 8, 8, seed=1)]))
    assert o.weight is not None
    assert torch.equal(o.weight[:, 0, 0, 0], torch.tensor([1.0, 2.0]))


@pytest.mark.parametrize(
    "other",
    [observed(1, scale=4), observed(1, sigma=2.0), observed(1, side=12), observed(1, torch.ones(1, 1, 1, 1))],
    ids=["degradation", "sigma", "shape", "weight"],
)
def test_problems_that_differ_cannot_be_stacked(other: Problem) -> None:
    with pytest.raises(GdpkitError, match="can be stacked"):
        Problem.stack([observed(0), other])


def test_problems_with_other_losses_cannot_be_stacked() -> None:
    weighed = [Problem(observed(i).observations, (TotalVariation(weight=i),)) for i in range(2)]
    with pytest.raises(GdpkitError, match="equal losses"):
        Problem.stack(weighed)


# -- tasks about one photograph ---------------------------------------------------------------------------------------


def array(channels: int, side: int = 20) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    pixels = (255 * picture(1, channels, side, side)[0]).round().byte().permute(1, 2, 0).numpy()
    return pixels[..., 0] if channels == 1 else pixels


def finished(task: Seen) -> Tensor:
    problem = task.problem()
    _, height, width = problem.observations[0].clean_shape
    return task.finish(Result(picture(1, 3, height, width), {}, problem))


@pytest.mark.parametrize(
    ("channels", "stages", "wanted"),
    [
        (1, ("downsample:scale=2",), 1),
        (3, ("downsample:scale=2",), 3),
        (1, ("downsample:scale=2", "gray"), 3),
        (3, ("gray", "noise"), 3),
    ],
)
def test_grey_stays_grey_unless_the_chain_took_the_colour(channels: int, stages: tuple[str, ...], wanted: int) -> None:
    assert finished(Seen(image=array(channels), stages=stages)).shape[1] == wanted  # type: ignore[arg-type]


def test_a_grey_photograph_is_seen_in_three_equal_channels() -> None:
    (o,) = Seen(image=array(1), stages=("downsample:scale=2",)).problem().observations  # type: ignore[arg-type]
    assert o.image.shape == (1, 3, 20, 20)
    assert torch.equal(o.image[:, :1].expand_as(o.image), o.image)


def test_a_grey_photograph_whose_noise_is_felt_is_seen_with_white_noise() -> None:
    """Of the same mean, and sqrt(3) times as strong: so much of it is on the axis of grey as there was."""
    seen = array(1, side=64)
    (o,) = Seen(image=seen, stages=("noise:sigma=10",)).problem().observations  # type: ignore[arg-type]
    assert o.coloured
    assert torch.allclose(o.image.mean(1)[0], torch.from_numpy(seen / 255).float(), atol=1e-5)
    assert 255 * float((o.image - o.image.mean(1, keepdim=True)).std()) == pytest.approx(10 * 2**0.5, rel=0.05)
    assert o.sigma == pytest.approx(10 * 3**0.5, rel=0.01)


def test_a_photograph_of_which_nothing_is_measured_is_an_error() -> None:
    nothing = Seen(image=array(3), stages=("mask:missing=1",))  # type: ignore[arg-type]
    with pytest.raises(ImageError, match="nothing of it is measured"):
        nothing.problem()


def test_a_colour_photograph_of_a_gray_chain_is_reduced_by_its_weights(tmp_path: Path) -> None:
    Image.fromarray(array(3)).save(tmp_path / "photo.png")
    task = Seen(image=tmp_path / "photo.png", stages=("gray:weights=bt601",))
    (o,) = task.problem().observations
    assert torch.allclose(o.image, Gray(weights="bt601")(torch.tensor(array(3)).permute(2, 0, 1)[None] / 255))


@pytest.mark.parametrize(
    ("dtype", "stages", "sigma"),
    [
        ("uint8", ("downsample:scale=2",), 12**-0.5),
        ("uint8", ("noise:sigma=25",), math.hypot(25, 12**-0.5)),
        ("uint8", ("noise:sigma=0.1",), math.hypot(0.1, 12**-0.5)),
        ("uint16", ("downsample:scale=2",), 12**-0.5 / 257),
        ("float32", ("downsample:scale=2",), 1e-3),
    ],
)
def test_the_rounding_of_the_file_is_noise_too(dtype: str, stages: tuple[str, ...], sigma: float) -> None:
    pixels = (
        array(3) if dtype == "uint8" else array(3).astype(dtype) * 257 if dtype == "uint16" else picture(1, 3, 20, 20)
    )
    if dtype == "uint16":
        pixels[0, 0, 0] += 1  # not all of them multiples of 257
    (o,) = Seen(image=pixels, stages=stages).problem().observations
    assert o.sigma == pytest.approx(sigma)


def test_a_photograph_that_is_too_small_is_an_error_with_both_sizes() -> None:
    pixels = array(3)[:15, :18]
    with pytest.raises(ImageError, match=r"^the array is 18x15 pixels; seen needs at least 16x16$"):
        Seen(image=pixels, stages=("gray",)).problem()  # type: ignore[arg-type]
