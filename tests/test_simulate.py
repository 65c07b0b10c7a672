"""`degrade` and `chain`: the forward model on a clean picture."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from gdpkit import chain, degrade, hookimpl, images, param, registry
from gdpkit.components import Degradation, Shape, Unknowns
from gdpkit.degradations.downsample import Downsample
from gdpkit.degradations.expose import Expose
from gdpkit.degradations.gray import Gray
from gdpkit.degradations.noise import GaussianNoise
from gdpkit.errors import GdpkitError, UnknownNameError
from gdpkit.testing import picture

STEP = 1 / 65535  # a result is rounded to the depth of its picture, 16 bits for floats


@dataclass(frozen=True)
class Veil(Degradation):
    """Mix with an unknown grey."""

    name = "veil"
    share: float = param(0.5, help="Share of the picture that is left.", min=0, max=1)

    def __call__(self, image: Tensor, *, air_light: Tensor) -> Tensor:  # type: ignore[override]
        return self.share * image + (1 - self.share) * air_light

    def unknowns(self, observed: Tensor, shape: Shape) -> Unknowns:
        return {"air_light": observed.amax(dim=(2, 3), keepdim=True)}

    def constrain(self, *, air_light: Tensor) -> Unknowns:  # type: ignore[override]
        return {"air_light": air_light.clamp(0, 1)}


class Ours:
    """A plugin with a blind degradation."""

    @hookimpl
    def gdpkit_degradations(self) -> list[type[Degradation]]:
        return [Veil, Downsample, Gray]


@pytest.fixture
def veil(monkeypatch: pytest.MonkeyPatch) -> None:
    table = registry.Registry()
    table.add(registry.Plugin("ours"), Ours())
    monkeypatch.setattr(registry, "load", lambda: table)


def test_an_unknown_is_nothing_that_a_restoration_is_told(veil: None) -> None:
    for spec in ("veil:air_light=0.5", "veil:share=0.5,air-light=0.5"):
        with pytest.raises(GdpkitError, match=r"veil: air.light is not known when restoring, and is fitted; leave it"):
            chain([spec])
    assert registry.unknowns(Veil) == ("air_light",)
    assert registry.unknowns(Gray) == ()
    assert registry.unknowns(Expose) == ("log_gain", "light", "log_gamma")


def test_a_chain_is_built_of_texts_and_degradations() -> None:
    assert chain(["gray:weights=bt601", Downsample(scale=2)]) == Gray(weights="bt601") >> Downsample(scale=2)
    assert chain([Gray()]) == Gray()


def test_one_stage_needs_no_list() -> None:
    clean = picture(1, 3, 16, 16)
    assert chain("gray") == chain(Gray()) == chain(["gray"])
    assert torch.equal(degrade(clean, "gray").pixels, degrade(clean, ["gray"]).pixels)
    assert torch.equal(degrade(clean, Gray()).pixels, degrade(clean, ["gray"]).pixels)


def test_stages_are_applied_in_order() -> None:
    clean = picture(1, 3, 12, 16)
    found = degrade(clean, ["downsample:scale=2", Gray()])
    assert found.pixels.shape == (1, 1, 6, 8)
    assert torch.allclose(found.pixels, Gray()(Downsample(scale=2)(clean)), atol=STEP)


def test_a_chain_is_the_same_as_its_stages() -> None:
    clean, stages = picture(1, 3, 12, 16), [GaussianNoise(sigma=4), Gray(), Downsample(scale=2), GaussianNoise(sigma=2)]
    assert torch.equal(degrade(clean, [chain(stages)]).pixels, degrade(clean, stages).pixels)


@pytest.mark.parametrize("sigma", [1.0, 10.0])
def test_noise_has_the_level_asked_for(sigma: float) -> None:
    flat = torch.full((3, 96, 96), 0.5)
    added = 255 * (degrade(flat, [f"noise:sigma={sigma}"]).pixels - 0.5)
    assert float(added.std()) == pytest.approx(sigma, rel=0.03)
    assert abs(float(added.mean())) < 0.05 * sigma


def test_noise_depends_on_seed_and_picture_alone() -> None:
    first, second = picture(1, 3, 16, 16, seed=0), picture(1, 3, 16, 16, seed=1)
    stage = ["noise:sigma=5"]
    assert torch.equal(degrade(first, stage).pixels, degrade(first, stage).pixels)
    assert not torch.equal(degrade(first, stage, seed=1).pixels, degrade(first, stage).pixels)
    added = [degrade(image, stage).pixels - image for image in (first, second)]
    assert not torch.allclose(*added, atol=1e-3)


@pytest.mark.parametrize("bits", [8, 16])
def test_it_is_rounded_to_the_depth_of_the_picture(bits: int) -> None:
    levels = 2**bits - 1
    clean = (picture(1, 3, 16, 16) * levels).round() / levels
    found = levels * degrade(clean, ["downsample:scale=2"]).pixels.double()
    assert float((found - found.round()).abs().max()) < 0.01
    assert float((found - levels * Downsample(scale=2)(clean)).abs().max()) < 0.51


def test_what_a_camera_records_lies_between_black_and_white() -> None:
    found = degrade(torch.ones(3, 16, 16), ["noise:sigma=50"]).pixels
    assert (float(found.min()) >= 0, float(found.max())) == (True, 1.0)


@pytest.mark.usefixtures("veil")
@pytest.mark.parametrize("key", ["air_light", "air-light"])
def test_unknowns_are_given_like_parameters(key: str) -> None:
    clean = picture(1, 3, 8, 8)
    found = degrade(clean, [f"veil:share=0.25,{key}=0.8"]).pixels
    assert torch.allclose(found, 0.25 * clean + 0.75 * 0.8, atol=STEP)


@pytest.mark.usefixtures("veil")
def test_an_unknown_that_is_not_given_is_guessed_and_one_that_is_impossible_constrained() -> None:
    clean = picture(1, 3, 8, 8)
    guessed = degrade(clean, ["veil"]).pixels
    assert torch.allclose(guessed, 0.5 * clean + 0.5 * clean.amax(dim=(2, 3), keepdim=True), atol=STEP)
    assert torch.allclose(degrade(clean, ["veil:air_light=7"]).pixels, 0.5 * clean + 0.5, atol=STEP)


@pytest.mark.usefixtures("veil")
@pytest.mark.parametrize(
    ("stages", "error", "reason"),
    [
        ([], GdpkitError, "nothing to do: give at least one stage"),
        (["vail"], UnknownNameError, "unknown degradation 'vail'. Did you mean 'veil'?"),
        (["veil:shore=1"], UnknownNameError, "veil has no parameter 'shore'. Did you mean 'share'?"),
        (["veil:airlight=1"], UnknownNameError, "veil has no parameter 'airlight'. Did you mean 'air_light'?"),
        (["veil:air_light=blue"], GdpkitError, "veil: air_light must be a number, not 'blue'"),
        (["gray:sigma=1"], UnknownNameError, "gray has no parameter 'sigma'."),
    ],
)
def test_what_cannot_be_done_is_told(stages: list[str], error: type[GdpkitError], reason: str) -> None:
    with pytest.raises(error) as caught:
        degrade(picture(1, 3, 8, 8), stages)
    assert reason in str(caught.value)


def test_an_empty_chain_is_an_error() -> None:
    with pytest.raises(GdpkitError, match="at least one stage"):
        chain([])


def test_what_the_file_knew_goes_along_and_alpha_where_it_still_fits(tmp_path: Path) -> None:
    rgba = np.dstack([(255 * picture(1, 3, 16, 16)[0]).byte().permute(1, 2, 0).numpy(), np.full((16, 16), 128)])
    Image.fromarray(rgba.astype(np.uint8)).save(tmp_path / "photo.png")
    same = degrade(tmp_path / "photo.png", ["noise:sigma=2"])
    assert same.alpha is not None and same.source == images.load(tmp_path / "photo.png").source
    assert degrade(tmp_path / "photo.png", ["downsample:scale=2"]).alpha is None
