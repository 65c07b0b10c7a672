"""The stage `expose`: curves and their inverses, clipping, and the gain, the stray light and the gamma that it fits."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from gdpkit import GdpkitError, chain, degrade, exposure, restore
from gdpkit.components import Observation, Problem
from gdpkit.degradations.expose import Expose
from gdpkit.objective import EnergyObjective
from gdpkit.testing import check_degradation, picture
from gdpkit.testing.common import check_derivative
from gdpkit.testing.slopes import check_slopes

SIGMA = 2.0
TONES = [
    ("srgb", 8.0),
    ("linear", 8.0),
    ("shoulder", 0.01),
    ("shoulder", 1.0),
    ("shoulder", 6.0),
    ("log", 4.0),
    ("log", 14.0),
]


def objective(seen_by: Expose, clean: Tensor, believed: Expose, **truth: Tensor) -> EnergyObjective:
    """What `seen_by` records with noise and 8 bits, for fitting another one."""
    noise = torch.randn(clean.shape, generator=torch.Generator().manual_seed(0))
    mean = seen_by(clean, **truth)
    seen = (255 * (mean + SIGMA / 255 * noise).clamp(0, 1)).round() / 255
    return EnergyObjective(Problem((Observation(seen, believed, SIGMA, exposure.well_exposed(seen)),)))


def gain(fitted: EnergyObjective) -> Tensor:
    return fitted.unknowns["log_gain"].exp().flatten(1)


@pytest.mark.parametrize(("tone", "stops"), TONES)
def test_a_tone_curve_is_inverted_within_and_beyond_the_range_and_keeps_black_and_white(
    tone: str, stops: float
) -> None:
    x = torch.linspace(-0.3, 1.3, 65, dtype=torch.float64)
    radiance = exposure.to_radiance(x, tone, stops)
    assert torch.allclose(exposure.from_radiance(radiance, tone, stops), x, atol=1e-6)
    ends = exposure.to_radiance(torch.tensor([0.0, 1.0]), tone, stops)
    white = 2**stops if tone == "shoulder" else 1.0
    assert torch.allclose(ends, torch.tensor([0.0, white]), rtol=1e-4, atol=1e-6)
    check_derivative(lambda t: exposure.to_radiance(t, tone, stops), x, tone)


@pytest.mark.parametrize("response", ["srgb", "linear", "gamma", "fitted"])
@pytest.mark.parametrize(("tone", "stops"), TONES)
def test_its_slopes_are_its_derivatives(tone: str, stops: float, response: str) -> None:
    clean = picture(2, 3, 16, 16)
    one = Expose(start=0.7, map="smooth", response=response, tone=tone, stops=stops)
    check_slopes(one, clean, {n: u + 0.01 for n, u in one.unknowns(clean, (3, 16, 16)).items()})
    each = Expose(start=1.4, per_channel=True, response=response, tone=tone, stops=stops)
    check_slopes(each, clean, each.unknowns(clean, (3, 16, 16)))
    check_slopes(Expose(gain=0.6, response=response, tone=tone, stops=stops), clean, {})


@pytest.mark.parametrize("response", ["srgb", "linear", "gamma"])
def test_a_response_is_inverted(response: str) -> None:
    y = torch.linspace(0, 1, 33, dtype=torch.float64)
    light = exposure.light_of(y, response, math.log(1.8))
    assert torch.allclose(exposure.recorded(light, response, math.log(1.8)), y, atol=1e-6)
    check_derivative(lambda t: exposure.recorded(t, response, math.log(1.8)), light, response)


def test_the_shoulder_changes_nothing_below_its_knee_and_never_turns() -> None:
    light = torch.linspace(0, 16, 2001)
    rolled = exposure.rolled_off(light, 4.0)
    assert torch.equal(rolled[light < exposure.KNEE], light[light < exposure.KNEE])
    assert bool((rolled.diff() > 0).all())
    assert float(rolled[-1]) == pytest.approx(1, abs=1e-6)


def test_the_log_curve_is_the_mu_law() -> None:
    radiance = torch.linspace(0, 1, 9)
    mu_law = torch.log1p(5000 * radiance) / math.log(5001)
    assert torch.allclose(exposure.from_radiance(radiance, "log", math.log2(5001)), mu_law, atol=1e-6)


def test_a_known_gain_is_a_product_of_light() -> None:
    """sRGB 0.5 is 0.2140 of white; a quarter of it is 0.0535, which is sRGB 0.2555."""
    grey = torch.full((1, 3, 8, 8), 0.5)
    assert torch.allclose(degrade(grey, ["expose:gain=0.25"]).pixels, torch.tensor(0.2555), atol=0.003)
    assert torch.equal(degrade(grey, ["expose:gain=16"]).pixels, torch.ones_like(grey))
    assert torch.allclose(Expose(gain=1.0)(grey), grey, atol=1e-6)


@pytest.mark.parametrize("values", [
    {"gain": 4.0}, {"per_channel": True, "map": "smooth"}, {"response": "fitted"}, {"tone": "log", "start": 30.0},
])  # fmt: skip
@pytest.mark.parametrize("shape", [(3, 32, 32), (1, 17, 23)])
def test_other_parameters_keep_the_contract_too(values: dict[str, object], shape: tuple[int, int, int]) -> None:
    check_degradation(Expose(**values), shape)  # type: ignore[arg-type]
    check_degradation(chain(["gray"]) >> Expose(**values), shape)  # type: ignore[arg-type]


@pytest.mark.parametrize("truth", [0.05, 0.3, 2.5])
@pytest.mark.parametrize("map_", ["none", "smooth"])
def test_the_gain_is_found_within_a_hundredth(truth: float, map_: str) -> None:
    clean = picture(2, 3, 48, 64)
    fitted = objective(Expose(gain=truth), clean, Expose(map=map_, start=4 * truth))
    for _ in range(6):
        fitted.fit(clean)
    assert torch.allclose(gain(fitted), torch.tensor(truth), rtol=0.01)


def test_how_soon_the_gain_is_found_does_not_depend_on_the_size() -> None:
    found = []
    for side in (32, 256):
        clean = picture(1, 3, side, side)
        fitted = objective(Expose(gain=0.2), clean, Expose(start=1.0, map="smooth"))
        for _ in range(3):
            fitted.fit(clean)
        found.append(float(gain(fitted)))
    assert found[0] == pytest.approx(found[1], rel=0.01)
    assert found[1] == pytest.approx(0.2, rel=0.01)


def test_channels_may_have_gains_of_their_own() -> None:
    clean, truth = picture(1, 3, 48, 48), torch.tensor([0.5, 0.3, 0.15]).log().view(1, 3, 1, 1)
    fitted = objective(Expose(per_channel=True), clean, Expose(per_channel=True), log_gain=truth)
    for _ in range(4):
        fitted.fit(clean)
    assert torch.allclose(gain(fitted), truth.exp().flatten(1), rtol=0.01)


def test_a_smooth_stray_light_is_found_beside_the_gain() -> None:
    clean = picture(1, 3, 64, 64)
    cells = 0.05 + 0.03 * torch.linspace(-1, 1, 6).expand(1, 1, 6, 6)
    truth = Expose(start=0.3, map="smooth")
    fitted = objective(
        truth, clean, Expose(map="smooth"), light=cells, log_gain=torch.full((1, 1, 1, 1), math.log(0.3))
    )
    for _ in range(8):
        fitted.fit(clean)
    assert torch.allclose(gain(fitted), torch.tensor(0.3), rtol=0.02)
    assert float((fitted.unknowns["light"] - cells).abs().max()) < 0.01


def test_an_unknown_gamma_is_found_beside_the_gain() -> None:
    clean = picture(1, 3, 64, 64)
    seen_by = Expose(gain=0.4, response="gamma", gamma=1.7)
    fitted = objective(seen_by, clean, Expose(map="none", response="fitted", start=1.0))
    for _ in range(8):
        fitted.fit(clean)
    assert torch.allclose(gain(fitted), torch.tensor(0.4), rtol=0.02)
    assert fitted.unknowns["log_gamma"].exp().item() == pytest.approx(1.7, rel=0.02)


def test_the_first_guess_makes_the_picture_as_bright_as_the_target() -> None:
    dark = degrade(picture(2, 3, 32, 32), ["expose:gain=0.03"]).pixels
    found = Expose(target=0.45)
    first = found.unknowns(dark, (3, 32, 32))["log_gain"].exp()
    bright = exposure.encoded(exposure.decoded(dark) / first).clamp(0, 1)
    assert torch.allclose(bright.mean(dim=(1, 2, 3)), torch.tensor(0.45), atol=1e-3)


@pytest.mark.parametrize("target", [0.3, 0.97])
def test_the_first_guess_reaches_any_target_where_white_is_beyond_the_shoulder(target: float) -> None:
    seen = 0.2 * picture(2, 3, 32, 32)
    believed = Expose(target=target, tone="shoulder", stops=6.0)
    clean = believed.inverse(seen, **believed.unknowns(seen, (3, 32, 32))).clamp(0, 1)
    assert torch.allclose(clean.mean(dim=(1, 2, 3)), torch.tensor(target), atol=1e-3)


@pytest.mark.parametrize("gain", [0.1, 1.0, 4.0, 64.0])
@pytest.mark.parametrize("tone", ["srgb", "log"])
def test_noise_before_an_exposure_is_what_it_becomes_at_middle_grey(gain: float, tone: str) -> None:
    model = Expose(gain=gain, tone=tone)
    middle = model.inverse(torch.full((1, 1, 64, 64), 0.5)).clamp_max(0.5)
    noise = torch.randn(middle.shape, generator=torch.Generator().manual_seed(0))
    measured = 1e3 * float((model(middle + 1e-3 * middle * noise) / middle).std())
    assert model.propagate(7.0) == pytest.approx(7 * measured, rel=0.05)


def test_nothing_but_black_has_a_gain_too() -> None:
    assert torch.isfinite(Expose().unknowns(torch.zeros(1, 3, 16, 16), (3, 16, 16))["log_gain"]).all()


def test_a_clipped_value_says_at_least_white() -> None:
    """What is brighter than a clipped observation explains it; what is darker does not, and is told so."""
    seen = torch.ones(1, 3, 16, 16)
    model = Expose(gain=4.0)
    found = EnergyObjective(Problem((Observation(seen, model, 1.0),)))
    bright, dark = torch.full_like(seen, 0.9), torch.full_like(seen, 0.4)
    assert torch.equal(found.prox(bright, 0.1), bright)
    assert float(found.prox(dark, 0.1).min()) > 0.52  # sRGB 0.537 is a quarter of the light of white


def test_a_result_is_no_darker_than_clipped_values_say() -> None:
    """Whatever a prior made of it: white where others beside it are clipped, within twice the noise where none is."""
    seen = torch.full((1, 3, 9, 12), 0.4)
    seen[..., 1:3, 1:3] = 1.0
    seen[..., 6, 6] = 1.0
    seen[..., 8, 11] = 1.0
    weight = torch.ones_like(seen)
    weight[..., 8, 11] = 0
    model = Expose(gain=0.5, tone="shoulder", stops=1.0)
    believed = EnergyObjective(Problem((Observation(seen, model, SIGMA, weight),)))
    dark = torch.full_like(seen, 0.3)
    found = believed.bounded(dark)
    torch.testing.assert_close(found[..., 1:3, 1:3], torch.ones(1, 3, 2, 2))
    within = model.inverse(torch.tensor(1 - 2 * SIGMA / 255))
    torch.testing.assert_close(found[..., 6, 6], within.expand(1, 3))
    found[..., 1:3, 1:3] = found[..., 6, 6] = 0.3
    torch.testing.assert_close(found, dark)


def test_a_data_step_by_structural_similarity_gets_as_far_where_values_are_solved_one_by_one() -> None:
    """Windows of SSIM join values whose slopes differ a hundredfold, from black to a lamp."""
    clean = picture(1, 3, 48, 48)
    clean[..., 20:30, 20:30], clean[..., :10, :10] = 0.98, 0.0
    noise = torch.randn(2, *clean.shape, generator=torch.Generator().manual_seed(0))
    clean = (clean + 0.05 * noise[0]).clamp(0, 1)
    model = Expose(gain=0.05)
    found = EnergyObjective(Problem((Observation(degrade(clean, [model]).pixels, model, 1.0),)), distance="ssim")
    start = clean + 0.1 * noise[1]
    moved = found.prox(start, 0.1)
    cost = float(found.energy(moved)) + float(((moved - start) / 0.1).square().sum())
    assert cost < 0.06 * float(found.energy(start))


def test_a_bracket_is_merged_into_one_image_and_its_gains_are_found() -> None:
    """Three exposures two stops apart; one gain is known, for a product of gain and image has one freedom too many."""
    scene = exposure.from_radiance(exposure.to_radiance(picture(1, 3, 48, 48), "srgb", 0.0), "log", 8.0)
    views = []
    for truth, believed in ((1.0, None), (4.0, 4.0), (16.0, None)):
        seen = degrade(scene, [Expose(gain=truth, tone="log")]).pixels
        model = Expose(gain=believed, start=None if believed else 1.5 * truth, tone="log")
        views.append(Observation(seen, model, 1.0, exposure.well_exposed(seen)))
    fitted = EnergyObjective(Problem(tuple(views)))
    x = torch.full_like(scene, 0.5)
    for _ in range(14):
        x = fitted.prox(x, 0.1)
        fitted.fit(x)
    assert fitted.unknowns["0.log_gain"].exp().item() == pytest.approx(1.0, rel=0.02)
    assert fitted.unknowns["2.log_gain"].exp().item() == pytest.approx(16.0, rel=0.02)
    assert float((x - scene).abs().mean()) < 0.005


def test_what_one_of_several_exposures_clips_is_told_by_the_others() -> None:
    """Without any weights: what is 1 in the brightest is a bound, and no measurement of white."""
    scene = picture(1, 3, 32, 32)
    models = [Expose(gain=g) for g in (0.25, 1.0, 8.0)]
    seen = [degrade(scene, [model]).pixels for model in models]
    assert (seen[2] == 1).float().mean() > 0.2
    views = tuple(Observation(y, model, 1.0) for y, model in zip(seen, models, strict=True))
    found = EnergyObjective(Problem(views))
    for start in (scene, torch.full_like(scene, 0.5)):
        moved = found.prox(start, 0.1)
        assert float((moved - scene).abs().max()) < 0.02
        assert float(found.energy(moved)) < scene.numel()


def test_a_dark_photograph_is_restored_through_the_stage() -> None:
    truth = picture(1, 3, 32, 32)
    dark = degrade(truth, ["expose:gain=0.1"]).pixels
    result = restore("restore", image=dark, stages=["expose:gain=0.1"], prior="tv", steps=4, device="cpu")
    assert float((result.tensor - truth).abs().max()) < 0.01


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"gain": 0.0}, "gain must be at least"),
        ({"gain": 2.0, "start": 1.0}, "not both"),
        ({"gain": 2.0, "per_channel": True}, "says that f is known"),
        ({"response": "log"}, "response"),
    ],
)
def test_bad_parameters_are_errors(values: dict[str, object], reason: str) -> None:
    with pytest.raises(GdpkitError, match=reason):
        Expose(**values)  # type: ignore[arg-type]
