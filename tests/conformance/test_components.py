"""Every registered component keeps its contract. A new one joins by being registered."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from gdpkit import params, registry, testing
from gdpkit.components import Component
from gdpkit.errors import GdpkitError

REGISTRY = registry.load()


def components(kind: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("name", REGISTRY.names(kind))


def made(kind: str, name: str, folder: Path) -> Any:
    return testing.example(REGISTRY.get(kind, name), folder)


def test_something_of_every_kind_is_registered() -> None:
    """Without this, an installation that lost its entry points would pass by having nothing to check."""
    assert [kind for kind in registry.KINDS if not REGISTRY.names(kind)] == []


@components("degradations")
def test_degradation(name: str, tmp_path: Path) -> None:
    testing.check_degradation(made("degradations", name, tmp_path))


@components("losses")
def test_loss(name: str, tmp_path: Path) -> None:
    testing.check_loss(made("losses", name, tmp_path))


@components("metrics")
def test_metric(name: str, tmp_path: Path) -> None:
    cls = REGISTRY.get("metrics", name)
    if any(d.required and d.name not in cls.example_params for d in params.declared(cls)):
        pytest.skip(f"{name} needs files that are not in the repository; its own tests check it")
    testing.check_metric(made("metrics", name, tmp_path))


@components("priors")
def test_prior(name: str, tmp_path: Path) -> None:
    cls = REGISTRY.get("priors", name)
    if any(d.required and d.name not in cls.example_params for d in params.declared(cls)):
        pytest.skip(f"{name} needs weights that are not in the repository; its own tests check it")
    testing.check_prior(made("priors", name, tmp_path))


@components("samplers")
def test_sampler(name: str, tmp_path: Path) -> None:
    testing.check_sampler(made("samplers", name, tmp_path))


@pytest.mark.parametrize("degradation", REGISTRY.names("degradations"))
@components("samplers")
def test_sampler_on_degradation(name: str, degradation: str, tmp_path: Path) -> None:
    """It explains what it observes through it, or says before starting that it cannot."""
    testing.check_sampler_on(made("samplers", name, tmp_path), made("degradations", degradation, tmp_path))


@components("tasks")
def test_task(name: str, tmp_path: Path) -> None:
    testing.check_task(made("tasks", name, tmp_path))


@pytest.mark.parametrize(("kind", "name"), [(kind, name) for kind in registry.KINDS for name in REGISTRY.names(kind)])
def test_defaults_are_within_their_own_limits_and_survive_a_round_trip_as_text(kind: str, name: str) -> None:
    cls: type[Component] = REGISTRY.get(kind, name)
    given = {d.name: cls.example_params[d.name] for d in params.declared(cls) if d.name in cls.example_params}
    if any(d.required and d.name not in given for d in params.declared(cls)):
        pytest.skip("needs a file")
    component = params.build(cls, given)
    plain = {f.name: getattr(component, f.name) for f in dataclasses.fields(component) if f.init}
    texts = {key: str(value) for key, value in plain.items() if isinstance(value, (bool, int, float, str, Path))}
    again = params.build(cls, {**plain, **texts})
    assert {key: getattr(again, key) for key in plain} == plain
    with pytest.raises(GdpkitError, match="no parameter"):
        params.build(cls, {**plain, "no-such-parameter": "1"})
