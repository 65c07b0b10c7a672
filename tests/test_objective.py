"""The objective against its formula: energy, gradient, prox, projection, discrepancy. The unknowns: test_fit.py."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import pytest
import torch
from torch import Tensor

from gdpkit import param, testing
from gdpkit.components import Chain, Degradation, Observation, Problem, QualityLoss
from gdpkit.degradations.downsample import KERNELS, Downsample
from gdpkit.degradations.gray import Gray
from gdpkit.degradations.noise import GaussianNoise
from gdpkit.distances import DISTANCES
from gdpkit.errors import GdpkitError, UnknownNameError
from gdpkit.losses.color import ColorConstancy
from gdpkit.losses.tv import TotalVariation
from gdpkit.objective import EnergyObjective

ROUNDING = 12**-0.5


@dataclass(frozen=True)
class Gamma(Degradation):
    """A tone curve: not linear."""

    name = "gamma"
    exponent: float = param(2.2, help="The exponent.")

    def __call__(self, image: Tensor) -> Tensor:  # type: ignore[override]
        return image.clamp_min(1e-4) ** self.exponent


@dataclass(frozen=True)
class WrongSize(Degradation):
    """Says another size than it gives."""

    name = "wrong-size"
    linear: ClassVar[bool] = False

    def __call__(self, image: Tensor) -> Tensor:  # type: ignore[override]
        return image[..., 1:, :]


LINEAR = {
    **{f"{k}-{s}": Downsample(scale=s, kernel=k) for k in KERNELS for s in (2, 4)},
    "gray": Gray(),
    "chain": Downsample(scale=2) >> Gray(weights="bt601"),
    "identity": GaussianNoise(),
}


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def seen(d: Degradation, batch: int = 1, sigma: float = ROUNDING, weight: Tensor | None = None) -> Observation:
    mean = d(testing.picture(batch, 3, 16, 16))
    return Observation(mean + sigma / 255 * noise(*mean.shape), d, sigma, weight)


def several(batch: int = 1) -> Problem:
    """A small view of the colours, and a grey one of which a part is lost."""
    weight = torch.ones(batch, 1, 16, 16)
    weight[..., 4:9, 5:12] = 0
    weight[..., 12:] = 0.3
    colour = seen(Downsample(scale=4, kernel="bicubic"), batch, 2.0)
    return Problem((colour, seen(Gray(weights="bt601"), batch, 5.0, weight)))


def nearby(batch: int = 1) -> Tensor:
    """A starting point for prox and project: the picture, and noise of 0.1."""
    return testing.picture(batch, 3, 16, 16) + 0.1 * noise(batch, 3, 16, 16, seed=1)


def dense_prox(problem: Problem, x: Tensor, sigma: float) -> Tensor:
    """The minimiser of E(z) + |z - x|^2 / sigma^2 of one image, from the normal equations in float64."""
    flat = x.double().flatten()
    matrix = torch.eye(len(flat), dtype=torch.float64) / sigma**2
    rhs = flat / sigma**2
    for o in problem.observations:
        a = testing.matrix(o.degradation, (3, 16, 16))
        weight = torch.ones_like(o.image) if o.weight is None else o.weight.expand_as(o.image)
        precision = weight.double().flatten() / (o.sigma / 255) ** 2
        matrix = matrix + a.T @ (precision[:, None] * a)
        rhs = rhs + a.T @ (precision * o.image.double().flatten())
    return torch.linalg.solve(matrix, rhs).reshape(x.shape)


def test_energy_of_known_residuals() -> None:
    """0.02 off on 10 of 16 pixels of weight 1, 0.5 on the rest: by hand."""
    weight = torch.ones(1, 1, 4, 4)
    weight[..., :1, :] = 0.5
    weight[..., 3:, :2] = 0
    o = Observation(torch.full((2, 3, 4, 4), 0.5), GaussianNoise(), 5.1, weight)
    x = torch.full((2, 3, 4, 4), 0.5)
    x[1] += 0.02
    objective = EnergyObjective(Problem((o,), (ColorConstancy(weight=2.0),)))
    x[0, 0] += 0.1  # a red cast: (0.1)^2 twice in colour constancy, and an error of 5 sigma
    counted = 4 * 0.5 + 10
    wanted = [counted * (0.1 / 0.02) ** 2 + 48 * 2 * 0.02, 3 * counted]
    assert torch.allclose(objective.energy(x), torch.tensor(wanted), rtol=1e-4)
    assert torch.allclose(objective.discrepancy(x), torch.tensor([25 / 3, 1.0]), rtol=1e-4)
    assert torch.allclose(objective.consistency(x), torch.tensor([25.5**2 / 3, 5.1**2]), rtol=1e-4)


PROBLEMS: dict[str, Callable[[], Problem]] = {
    "linear": lambda: Problem((seen(Downsample(scale=2, kernel="gaussian"), 2, 5.0),)),
    "several": lambda: several(2),
    "gamma": lambda: Problem((seen(Gamma(), 2, 5.0),)),
    "losses": lambda: Problem((seen(Gray(), 2, 5.0),), (TotalVariation(weight=3), ColorConstancy(weight=5))),
}


@pytest.mark.parametrize("distance", DISTANCES)
@pytest.mark.parametrize("name", PROBLEMS)
def test_gradients_are_those_of_the_energy(name: str, distance: str) -> None:
    objective = EnergyObjective(PROBLEMS[name](), distance)
    x, direction = nearby(2).double(), noise(2, 3, 16, 16, seed=2).double()
    step = 1e-6
    found = (objective.gradient(x) * direction).flatten(1).sum(1)
    wanted = (objective.energy(x + step * direction) - objective.energy(x - step * direction)) / (2 * step)
    assert torch.allclose(found, wanted, rtol=1e-5)


def test_the_mean_gradient_is_that_of_the_published_loss() -> None:
    """grad of mean over pixels of (D(x) - y)^2 plus lambda Q, whatever the noise is said to be."""
    x = nearby(2)
    o = seen(Gray(), 2, 5.0)
    loss = TotalVariation(weight=0.1)
    found = EnergyObjective(Problem((o,), (loss,))).gradient(x, reduction="mean")
    leaf = x.clone().requires_grad_()
    published = (Gray()(leaf) - o.image).square().mean(dim=(1, 2, 3)) + 0.1 * loss(leaf, None)
    (wanted,) = torch.autograd.grad(published.sum(), leaf)
    assert torch.allclose(found, wanted, rtol=1e-4, atol=1e-8)


def test_gradients_do_not_depend_on_the_mode_they_are_asked_in() -> None:
    objective = EnergyObjective(several())
    wanted = objective.gradient(nearby())
    with torch.no_grad():
        found = objective.gradient(nearby())
    assert torch.equal(found, wanted)
    assert not found.requires_grad


@pytest.mark.parametrize("sigma", [1.0, 0.1, 0.005])
@pytest.mark.parametrize("noise_sigma", [ROUNDING, 5.0])
@pytest.mark.parametrize("name", LINEAR)
def test_prox_is_the_dense_solution(name: str, noise_sigma: float, sigma: float) -> None:
    """Within a quarter of an 8-bit level at every pixel; conjugate gradients stop at 1e-4 of their right-hand side."""
    problem = Problem((seen(LINEAR[name], sigma=noise_sigma),))
    found = EnergyObjective(problem).prox(nearby(), sigma)
    assert float((found - dense_prox(problem, nearby(), sigma)).abs().max()) < 0.25 / 255


@pytest.mark.parametrize("sigma", [0.3, 0.1, 0.005])
def test_prox_of_several_observations_with_weights_is_the_dense_solution(sigma: float) -> None:
    """Within half a level, also where the grey view is lost and only the small one, which says less, is left."""
    found = EnergyObjective(several()).prox(nearby(), sigma)
    assert float((found - dense_prox(several(), nearby(), sigma)).abs().max()) < 0.5 / 255


def test_prox_takes_a_noise_level_an_image_and_does_not_depend_on_the_batch() -> None:
    sigmas = torch.tensor([0.5, 0.05, 0.005])
    for d in (Downsample(scale=2), Downsample(scale=2, kernel="lanczos"), Gamma()):
        o, x = seen(d, 3), nearby(3)
        together = EnergyObjective(Problem((o,))).prox(x, sigmas)
        for i, sigma in enumerate(sigmas.tolist()):
            one = EnergyObjective(Problem((Observation(o.image[i : i + 1], d, o.sigma),)))
            assert torch.equal(one.prox(x[i : i + 1], sigma)[0], together[i])


def test_prox_of_a_curve_is_the_minimum_found_by_search() -> None:
    """Pixels are independent here, so a fine grid finds each one's minimum."""
    x = torch.linspace(0.05, 0.95, 48).reshape(1, 3, 4, 4)
    y = (x + 0.1 * noise(1, 3, 4, 4)).clamp(0.05, 0.95) ** 2.2
    sigma, noise_sigma = 0.05, 5.0
    found = EnergyObjective(Problem((Observation(y, Gamma(), noise_sigma),))).prox(x, sigma)
    grid = torch.linspace(0, 1.2, 12001, dtype=torch.float64).view(-1, 1, 1, 1)
    energy = ((grid.clamp_min(1e-4) ** 2.2 - y) * 255 / noise_sigma).square() + ((grid - x) / sigma).square()
    assert float((found - grid.flatten()[energy.argmin(0)]).abs().max()) < 0.25 / 255


@pytest.mark.parametrize("losses", [(TotalVariation(weight=1.0),), (ColorConstancy(weight=10.0),)])
def test_prox_counts_the_losses(losses: tuple[QualityLoss, ...]) -> None:
    """With them its point has a lower E + |z - x|^2 / sigma^2 than without."""
    o, x, sigma = seen(Gray(), sigma=5.0), nearby(), 0.1
    objective = EnergyObjective(Problem((o,), losses))

    def total(z: Tensor) -> float:
        return float(objective.energy(z) + (z - x).square().sum() / sigma**2)

    assert total(objective.prox(x, sigma)) < 0.99 * total(EnergyObjective(Problem((o,))).prox(x, sigma))


@pytest.mark.parametrize("name", LINEAR)
def test_projection_is_the_nearest_image_that_explains_the_observation(name: str) -> None:
    d, x = LINEAR[name], nearby()
    o = seen(d)
    found = EnergyObjective(Problem((o,))).project(x)
    a = testing.matrix(d, (3, 16, 16))
    wanted = x.flatten() + torch.linalg.pinv(a) @ (o.image.double() - d(x).double()).flatten()
    assert float((found.flatten() - wanted).abs().max()) < 1e-3
    assert float((d(found) - o.image).abs().max()) < 2e-4


CHAINS = [
    Gray() >> Downsample(scale=2) >> GaussianNoise(sigma=4),
    Gray(weights="bt601") >> Downsample(scale=2, kernel="bicubic"),
    GaussianNoise(sigma=4) >> Downsample(scale=2, kernel="lanczos"),
]


@pytest.mark.parametrize("chain", CHAINS, ids=lambda c: " ".join(stage.name for stage in c.stages))
def test_a_chain_has_the_singular_system_of_its_matrix(chain: Chain) -> None:
    testing.check_degradation(chain, (3, 16, 16))
    system = chain.spectral((3, 16, 16))
    assert system is not None
    measured = system.values.expand(seen(chain).image.shape[1:]).flatten().sort().values
    wanted = torch.linalg.svdvals(testing.matrix(chain, (3, 16, 16))).sort().values
    assert torch.allclose(measured.double(), wanted, atol=1e-6)


def test_lost_pixels_leave_a_pixelwise_singular_system_and_its_data_step_exact() -> None:
    d, x = Gray() >> Downsample(scale=2), nearby()
    o = seen(d)
    weight = (torch.rand(o.image.shape, generator=torch.Generator().manual_seed(3)) < 0.7).float()
    objective = EnergyObjective(Problem((dataclasses.replace(o, weight=weight),)))
    assert objective.supports("spectral")
    a = testing.matrix(d, (3, 16, 16)) * weight.flatten()[:, None].double()
    y = (weight * o.image).flatten().double()
    noise, variance = (o.sigma / 255) ** 2, 0.1**2
    normal = torch.eye(a.shape[1], dtype=torch.float64) / variance + a.T @ a / noise
    wanted = torch.linalg.solve(normal, x.flatten().double() / variance + a.T @ y / noise)
    assert float((objective.prox(x, 0.1).flatten() - wanted).abs().max()) < 1e-4
    projected = objective.project(x)
    assert float((weight * (d(projected) - o.image)).abs().max()) < 1e-5
    nearest = x.flatten() + torch.linalg.pinv(a) @ (y - a @ x.flatten().double())
    assert float((projected.flatten() - nearest).abs().max()) < 1e-4


@pytest.mark.parametrize(
    ("problem", "linear", "project", "spectral"),
    [
        (lambda: Problem((seen(Downsample(scale=2)),)), True, True, True),
        (lambda: Problem((seen(Downsample(scale=2, kernel="bicubic") >> Gray()),)), True, True, False),
        (several, True, False, False),
        (lambda: Problem((seen(Gamma()),)), False, False, False),
    ],
    ids=["one", "a chain without a singular system", "several", "gamma"],
)
def test_what_is_supported_is_told_and_the_rest_refused(
    problem: Callable[[], Problem], linear: bool, project: bool, spectral: bool
) -> None:
    objective = EnergyObjective(problem())
    assert (objective.supports("linear"), objective.supports("project")) == (linear, project)
    assert objective.supports("spectral") == spectral
    if not spectral:
        with pytest.raises(GdpkitError, match="has no singular system"):
            objective.spectral()
    if not project:
        with pytest.raises(GdpkitError, match="can be projected on"):
            objective.project(nearby())


def test_a_singular_system_is_offered_for_squared_error_only() -> None:
    """It says nothing of other distances, and a sampler that used it would ignore --distance."""
    objective = EnergyObjective(Problem((seen(Downsample(scale=2)),)), "huber")
    assert objective.supports("linear")
    assert not objective.supports("spectral")
    with pytest.raises(GdpkitError, match="with --distance mse only, so downsample has no singular system here"):
        objective.spectral()


def test_nothing_depends_on_the_size_of_the_image() -> None:
    """A picture twice side by side: the same gradient and prox at every pixel, and twice the energy."""

    def twice(image: Tensor) -> Tensor:
        return torch.cat([image, image], dim=3)

    o, x = seen(Downsample(scale=2), sigma=5.0), nearby()
    losses = (ColorConstancy(weight=0.5),)
    one = EnergyObjective(Problem((o,), losses))
    two = EnergyObjective(Problem((Observation(twice(o.image), o.degradation, o.sigma),), losses))
    assert torch.allclose(two.energy(twice(x)), 2 * one.energy(x), rtol=1e-4)
    assert torch.allclose(two.discrepancy(twice(x)), one.discrepancy(x), rtol=1e-4)
    assert torch.allclose(two.gradient(twice(x)), twice(one.gradient(x)), rtol=1e-3, atol=1e-2)
    assert torch.allclose(two.prox(twice(x), 0.1), twice(one.prox(x, 0.1)), atol=1e-4)


@pytest.mark.parametrize(("distance", "factor"), [("l1", 1.0), ("huber", 1.345)])
def test_an_outlier_pulls_no_further_than_its_distance_lets_it(distance: str, factor: float) -> None:
    """A pixel 100 sigma off moves z to x + factor sigma_z^2 / sigma; squared error lets it move half the way."""
    noise_sigma = 1 / 255
    x = torch.full((1, 3, 4, 4), 0.4)
    y = x.clone()
    y[..., 0, 0] = 0.8
    o = Observation(y, GaussianNoise(), 255 * noise_sigma)
    found = EnergyObjective(Problem((o,)), "mse").prox(x, noise_sigma)
    assert torch.allclose(found[..., 0, 0], torch.full((1, 3), 0.6), atol=1e-4)
    found = EnergyObjective(Problem((o,)), distance).prox(x, noise_sigma)
    assert torch.allclose(found[..., 0, 0], torch.full((1, 3), 0.4 + factor * noise_sigma), atol=0.2 * noise_sigma)
    assert torch.allclose(found[..., 1:, 1:], x[..., 1:, 1:], atol=1e-5)


def test_an_observation_of_another_size_than_its_degradation_gives_is_an_error_with_both() -> None:
    objective = EnergyObjective(Problem((Observation(nearby(), WrongSize(), 1.0),)))
    with pytest.raises(GdpkitError, match=r"wrong-size gives \(3, 15, 16\) where \(3, 16, 16\) was observed"):
        objective.energy(nearby())


def test_an_unknown_distance_is_an_error() -> None:
    with pytest.raises(UnknownNameError, match=r"unknown distance 'hubert'\. Did you mean 'huber'\?"):
        EnergyObjective(several(), "hubert")
