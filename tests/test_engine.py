"""`restore`: from a name and a picture to a run of the right components. What it gives back: test_restoration.py."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from PIL import Image

from gdpkit import Restoration, builtin, chain, choices, hookimpl, images, param, registry, restore
from gdpkit.components import Degradation, Noise, Objective, PhotoTask, Prior, Sampler, Step, Task
from gdpkit.errors import GdpkitError, ImageError, UnknownNameError
from gdpkit.losses.tv import TotalVariation
from gdpkit.priors import checkpoint
from gdpkit.priors.tv import TotalVariationPrior
from gdpkit.priors.unet import UNet
from gdpkit.samplers.gdp import Gdp
from gdpkit.testing import picture

QUICK: Mapping[str, Any] = {"prior": "tv", "sampler": "gdp", "steps": 8, "device": "cpu"}


@dataclass(frozen=True, eq=False)
class Undo(PhotoTask):
    """Undo a chain."""

    name = "undo"
    presets: ClassVar[Mapping[str, Mapping[str, str]]] = {
        "paper": {"sampler": "gdp:steps=5,scale=2000", "prior": "tv"},
        "grey-world": {"sampler": "hqs:steps=3", "prior": "tv", "loss": "color-constancy:weight=200"},
    }
    stages: tuple[str, ...] = param(("downsample:scale=2",), help="The chain.")

    def degradation(self) -> Degradation:
        return chain(self.stages)


@dataclass(frozen=True)
class Lazy(Sampler):
    """Takes no step."""

    name = "lazy"
    evaluations = 0

    def sample(self, prior: Prior, objective: Objective, noise: Noise) -> Iterator[Step]:
        return iter(())


@dataclass(frozen=True)
class Tired(Sampler):
    """Stops before its last step."""

    name = "tired"
    evaluations = 0

    def sample(self, prior: Prior, objective: Objective, noise: Noise) -> Iterator[Step]:
        yield Step(1, 3, noise.normal(objective.shape, objective.device))


class Ours:
    """What the tests add to the built-in components."""

    @hookimpl
    def gdpkit_tasks(self) -> list[type[Task]]:
        return [Undo]

    @hookimpl
    def gdpkit_samplers(self) -> list[type[Sampler]]:
        return [Tired, Lazy]


@pytest.fixture(autouse=True)
def table(monkeypatch: pytest.MonkeyPatch) -> None:
    """The registry of the built-in components and the above, whatever else is installed."""
    table = registry.Registry()
    table.add(registry.Plugin("builtin"), builtin)
    table.add(registry.Plugin("ours"), Ours())
    monkeypatch.setattr(registry, "load", lambda: table)


def colour(height: int = 16, width: int = 20) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    return (255 * picture(1, 3, height, width)[0]).round().byte().permute(1, 2, 0).numpy()


def undo(image: Any = None, **settings: Any) -> Restoration:
    return restore("undo", image=colour() if image is None else image, **{**QUICK, **settings})


# -- what goes in -----------------------------------------------------------------------------------------------------


def test_a_picture_in_any_form_gives_the_same_result(tmp_path: Path) -> None:
    array = colour()
    Image.fromarray(array).save(tmp_path / "photo.png")
    wanted = undo(array).image
    assert wanted.shape == (32, 40, 3) and wanted.dtype == np.float32
    forms: list[Any] = [
        tmp_path / "photo.png",
        str(tmp_path / "photo.png"),
        array.astype(np.float32) / 255,
        torch.from_numpy(array).permute(2, 0, 1),
        images.load(tmp_path / "photo.png"),
    ]
    for form in forms:
        assert np.array_equal(undo(form).image, wanted)


def test_a_batch_is_restored_together_each_as_alone() -> None:
    batch = picture(3, 3, 16, 16)
    together = undo(batch)
    assert together.tensor.shape == (3, 3, 32, 32)
    for i in range(3):
        assert torch.equal(undo(batch[i]).tensor[0], together.tensor[i])


def test_tasks_samplers_priors_and_losses_may_be_given_as_objects() -> None:
    task = Undo(image=colour())  # type: ignore[arg-type]
    by_name = undo(losses=["tv:weight=0.5"])
    found = restore(task, prior=TotalVariationPrior(), sampler=Gdp(steps=8), losses=[TotalVariation(weight=0.5)])
    assert np.array_equal(found.image, by_name.image)
    assert not np.array_equal(undo().image, by_name.image)
    with pytest.raises(GdpkitError, match="takes no further parameters here, but stages was given"):
        restore(task, stages=("gray",))


def test_texts_are_converted_as_on_the_command_line() -> None:
    assert undo(stages="gray downsample:scale=2").image.shape == (32, 40, 3)


# -- determinism ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sampler", [cls.name for cls in builtin.gdpkit_samplers()])
def test_the_same_seed_gives_the_same_bytes(sampler: str) -> None:
    first, again = (undo(prior="gaussian", sampler=sampler, seed=3).tensor for _ in range(2))
    assert torch.equal(first, again)


@pytest.mark.parametrize("sampler", ["gdp", "gdp-xt"])
def test_another_seed_gives_another_picture(sampler: str) -> None:
    first, other = (undo(prior="gaussian", sampler=sampler, seed=seed).tensor for seed in (0, 1))
    assert float((first - other).abs().max()) > 2 / 255


def test_the_noise_follows_the_picture() -> None:
    """Of two pictures with one seed, noise and all differ; so a folder's pictures share no pattern."""
    flat = [np.full((16, 16, 3), level, np.uint8) for level in (127, 128)]
    first, second = (undo(image, prior="gaussian").tensor for image in flat)
    assert float((first - second).abs().max()) > 10 / 255


# -- the run ----------------------------------------------------------------------------------------------------------


def test_every_step_is_shown_and_any_may_cancel() -> None:
    steps: list[Step] = []
    undo(on_step=steps.append)
    assert [(s.index, s.total) for s in steps] == [(k + 1, 8) for k in range(8)]
    seen: list[int] = []

    def cancel(step: Step) -> None:
        seen.append(step.index)
        if step.index == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        undo(on_step=cancel)
    assert seen == [1, 2, 3]


def test_presets_are_the_tasks() -> None:
    paper = restore("undo", image=colour(), preset="paper", device="cpu").record
    assert (paper["sampler"], paper["network_evaluations"], paper["prior"]) == ("gdp", 5, "tv")
    overridden = restore("undo", image=colour(), preset="paper", steps=3, prior="gaussian", device="cpu").record
    assert (overridden["network_evaluations"], overridden["prior"]) == (3, "gaussian")


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({}, ()),
        ({"preset": "paper"}, ()),
        ({"sampler": "gdp", "steps": 3}, ()),
        ({"preset": "paper", "seed": 1, "losses": ("tv",)}, ()),
        ({"preset": "paper", "steps": 3}, ("with --steps this is no longer the preset paper",)),
        ({"preset": "paper", "sampler": "gdp"}, ("with --sampler this is no longer the preset paper",)),
        ({"preset": "paper", "prior": "tv", "fidelity": 1.0},
         ("with --prior and --fidelity this is no longer the preset paper",)),
    ],
)  # fmt: skip
def test_what_departs_from_a_preset_is_said(settings: dict[str, Any], said: tuple[str, ...]) -> None:
    assert choices.departure(Undo(image=colour()), choices.Settings(**settings)) == said


def test_a_preset_may_bring_a_loss_and_further_ones_add_to_it() -> None:
    """Its wish for equal channels moves a red picture; the same wish against it does not undo it."""
    red = np.full((16, 16, 3), (0.8, 0.3, 0.3), np.float32)
    settings = {"image": red, "stages": ("noise:sigma=40",), "preset": "grey-world", "device": "cpu"}
    casts = [
        float(np.ptp(restore("undo", **{**settings, **more}).image.mean(axis=(0, 1))))
        for more in (
            {"preset": "default", "sampler": "hqs:steps=3", "prior": "tv"},
            {},
            {"losses": ["color-constancy:weight=2000"]},
        )
    ]
    assert casts[0] > 1.1 * casts[1] > 1.1 * 1.1 * casts[2]


def test_settings_reach_the_sampler_without_changing_its_other_parameters() -> None:
    assert np.array_equal(undo(sampler="gdp:eta=0,steps=4", steps=8).image, undo(sampler="gdp:eta=0").image)


@pytest.mark.parametrize(
    ("settings", "error", "reason"),
    [
        ({"sampler": "gpd"}, UnknownNameError, "unknown sampler 'gpd'. Did you mean 'gdp'?"),
        ({"prior": "tvv"}, UnknownNameError, "'tvv' is neither a prior nor a checkpoint's file. Did you mean 'tv'?"),
        ({"losses": ["tvv"]}, UnknownNameError, "unknown loss 'tvv'. Did you mean 'tv'?"),
        ({"distance": "mes"}, UnknownNameError, "unknown distance 'mes'. Did you mean 'mse'?"),
        ({"preset": "papers"}, UnknownNameError, "undo has no preset 'papers'. Did you mean 'paper'?"),
        ({"step": 3}, UnknownNameError, "undo has no parameter 'step'. Did you mean 'steps'?"),
        ({"stage": ("gray",)}, UnknownNameError, "undo has no parameter 'stage'. Did you mean 'stages'?"),
        ({"stages": ("grey",)}, UnknownNameError, "unknown degradation 'grey'. Did you mean 'gray'?"),
        ({"steps": 0}, GdpkitError, "steps must be a whole number of at least 1, not 0"),
        ({"steps": 2.5}, GdpkitError, "steps must be a whole number of at least 1, not 2.5"),
        ({"seed": -1}, GdpkitError, "seed must be a whole number of at least 0, not -1"),
        ({"fidelity": 0.5}, GdpkitError, "the sampler gdp has no parameter 'fidelity', so --fidelity cannot set it"),
        ({"device": "tpu"}, GdpkitError, "--device must be auto, cpu, cuda or cuda:N, not 'tpu'"),
        ({"sampler": "lazy", "steps": None}, GdpkitError, "the sampler lazy took no step"),
        ({"sampler": "tired", "steps": None}, GdpkitError, "the sampler tired stopped at step 1 of 3"),
        ({"sampler": ""}, UnknownNameError, "unknown sampler ''. Known: "),
        ({"prior": ""}, UnknownNameError, "the name of the prior is empty. Known: "),
        ({"losses": [""]}, UnknownNameError, "unknown loss ''. Known: "),
        ({"distance": ""}, UnknownNameError, "unknown distance ''. Known: "),
        ({"preset": ""}, UnknownNameError, "undo has no preset ''. Known: "),
        ({"device": ""}, GdpkitError, "--device must be auto, cpu, cuda or cuda:N, not ''"),
        (
            {"sampler": "gdp:respacing=often", "steps": None},
            GdpkitError,
            'gdp: respacing "often" is not understood; write a number of steps',
        ),
        (
            {"sampler": "gdp-xt:respacing=ddim999", "steps": None},
            GdpkitError,
            'gdp-xt: respacing "ddim999": no whole stride through 1000 steps gives 999',
        ),
        ({"image": "no-such.png"}, ImageError, "no-such.png"),
        ({"image": np.zeros((3, 3, 3), np.uint8)}, ImageError, "the array is 3x3 pixels; undo needs at least 16x16"),
    ],
)
def test_what_the_caller_can_mend_is_told(settings: dict[str, Any], error: type[GdpkitError], reason: str) -> None:
    with pytest.raises(error) as caught:
        restore("undo", **{"image": colour(), **QUICK, **settings})
    assert reason in str(caught.value)


def test_an_unknown_task_suggests_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match=r"unknown task 'undoo'\. Did you mean 'undo'\?"):
        restore("undoo", image=colour())


def test_a_checkpoint_restores_and_is_named_by_its_hash(tmp_path: Path) -> None:
    small = tmp_path / "small.safetensors"
    checkpoint.save_unet(small, UNet((4,), (1,)), {})
    record = undo(prior=str(small)).record
    assert record["prior_sha256"] == checkpoint.sha256(small)
