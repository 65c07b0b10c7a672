"""Recipes: files of what differs from gdpkit's own, with errors that say what would be right."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import pytest

from gdpkit.errors import GdpkitError
from gdpkit.training.recipe import EMBEDDED, FINE_TUNE, RECIPES, Recipe


def test_the_recipe_of_the_embedded_prior_is_whole_and_the_ground_of_all_others(tmp_path: Path) -> None:
    own = Recipe.read()
    assert own == Recipe.read(EMBEDDED)
    assert (own.widths, own.batch) == ((64, 128, 192), 16)
    file = tmp_path / "recipe.toml"
    file.write_text("batch = 8\nwidths = [8, 12]\ndepths = [1, 1]\n")
    changed = Recipe.read(file, steps=7)
    assert (changed.batch, changed.widths, changed.steps, changed.crop) == (8, (8, 12), 7, own.crop)


@pytest.mark.parametrize("file", sorted(RECIPES.glob("*.toml")), ids=lambda f: f.name)
def test_every_recipe_in_the_package_can_be_read(file: Path) -> None:
    assert Recipe.read(file).minutes > 0


def test_further_training_takes_smaller_steps() -> None:
    assert Recipe.read(FINE_TUNE).learning_rate < Recipe.read().learning_rate / 2


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("bach = 8", "no parameter 'bach'. Did you mean 'batch'"),
        ("batch = 0", "batch must be at least 1"),
        ("batch = 1.5", "batch must be a whole number"),
        ('batch = "many"', "batch must be a number, not 'many'"),
        ("batch = [8]", "batch must be a number"),
        ("batch = true", "batch must be a number"),
        ("learning_rate = inf", "finite"),
        ("widths = 8", "widths must be a list of whole numbers"),
        ('widths = ["8"]', "widths must be a list of whole numbers"),
        ("widths = [8, 12]", "2 widths but 3 depths"),
        ("widths = [8, 12.5, 16]", "whole number"),
        ("crop = 60", "crop must be a multiple of 8"),
        ("crop = 1024", "short_side must be at least crop"),
        ("sigma_least = 90.0", "sigma_least must be less"),
        ("minutes = 0", "minutes or steps"),
        ("[table]\nbatch = 8", "no parameter 'table'"),
        ("widht = [8]", "no parameter 'widht'. Did you mean 'widths'"),
        ("batch 8", "is not TOML"),
    ],
)
def test_a_wrong_recipe_is_an_error_that_names_the_file(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "wrong.toml"
    file.write_text(text)
    with pytest.raises(GdpkitError, match=message) as caught:
        Recipe.read(file)
    assert str(caught.value).startswith(str(file))


def test_a_missing_recipe(tmp_path: Path) -> None:
    with pytest.raises(GdpkitError, match=r"cannot read the recipe .*none\.toml"):
        Recipe.read(tmp_path / "none.toml")


def test_recipes_differ_in_what_is_not_their_length() -> None:
    kept = json.loads(json.dumps(asdict(Recipe.read(minutes=3.0))))
    assert Recipe.read(steps=9).differences(kept) == []
    assert Recipe.read(batch=4, widths=(4, 4, 4)).differences(kept) == [
        "widths is [4, 4, 4], was [64, 128, 192]",
        "batch is 4, was 16",
    ]


def test_the_learning_rate_rises_stays_and_falls() -> None:
    recipe = Recipe.read(warmup_steps=10, decay=0.25)
    assert recipe.rate(0, 0) == pytest.approx(recipe.learning_rate / 10)
    assert recipe.rate(50, 0.5) == recipe.learning_rate
    assert recipe.rate(90, 0.875) == pytest.approx(recipe.learning_rate / 2)
    assert recipe.rate(100, 1) == pytest.approx(recipe.learning_rate / 100)
