"""Config files: written from every recipe and read again, one-line errors with near names, and options below what is typed."""

import json
from pathlib import Path
from typing import Any

import pytest

from bioseg import config_file, recipes
from bioseg.recipe import SegmentationRecipe
from bioseg.settings import override
from bioseg.types import BiosegError


def config(path: Path, text: str) -> config_file.ConfigFile:
    path.write_text(text, encoding="utf-8")
    return config_file.read(path)


@pytest.mark.parametrize("name", recipes.names())
def test_a_recipe_written_and_read_again_is_the_same(name: str, tmp_path: Path) -> None:
    recipe: Any = recipes.get(name)
    text = config_file.write(recipe)
    found = config(tmp_path / "a.toml", text)
    assert found.options == {"recipe": name} and found.applied(recipe) == recipe
    assert (not found.settings) == (name == "auto")  # which chooses for itself
    changed = override(override(recipe, "training.seed=9"), "preparation.interpolation=nearest")
    assert (found.applied(changed) == recipe) or name == "auto"


def test_sections_are_settings_by_their_paths(tmp_path: Path) -> None:
    found = config(
        tmp_path / "a.toml",
        'tta = "none"\n[options]\nfolds = 5\n[training]\nepochs = 3\nlearning_rate = 1e-4\npatience = "null"\n'
        '[training.loss]\nsmoothing = 0.5\nfunction = "soft_dice"\n[network]\nwidths = [8, 4]\n',
    )
    recipe = found.applied(recipes.get("nuclei"))
    assert isinstance(recipe, SegmentationRecipe)
    assert (recipe.tta, recipe.training.epochs, recipe.training.learning_rate) == ("none", 3, 1e-4)
    assert (recipe.training.loss.name, dict(recipe.training.loss.arguments)) == ("soft_dice", {"smoothing": 0.5})
    assert dict(recipe.network.arguments)["widths"] == (8, 4) and found.options == {"folds": 5}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[training]\nepoch = 3\n", "training.epoch=3: there is no 'epoch' here; did you mean 'epochs'? there are: "),
        ("[trainning]\nepochs = 3\n", "there is no 'trainning' here; did you mean 'training'? "),
        ("[training]\nepochs = -1\n", "training.epochs=-1: training.epochs: -1; give 1 or more"),
        ('[training]\nloss = "no_loss"\n', "there is no function 'no_loss'; there are: "),
        ("[training\n", "no TOML: Expected ']'"),
        ("training = 2024-01-01\n", "give a number, a text or a list"),
        ("options = 3\n", "options is no section; write [options]"),
    ],
)
def test_what_is_wrong_is_one_line_with_file_and_remedy(text: str, words: str, tmp_path: Path) -> None:
    path = tmp_path / "a.toml"
    with pytest.raises(BiosegError) as caught:
        config(path, text).applied(recipes.get("nuclei"))
    message = str(caught.value)
    assert message.startswith(f"{path}: ") and words in message and "\n" not in message


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(BiosegError, match=r"none\.toml: not there; give a TOML file"):
        config_file.read(tmp_path / "none.toml")


def test_json_values_pass_through(tmp_path: Path) -> None:
    found = config(tmp_path / "a.toml", '[preparation]\nintensity = [{ "$call" = "bioseg.images.prepare:min_max" }]\n')
    assert found.settings == (f"preparation.intensity={json.dumps([{'$call': 'bioseg.images.prepare:min_max'}])}",)
    recipe: Any = found.applied(recipes.get("nuclei"))
    assert [step.name for step in recipe.preparation.intensity] == ["min_max"]
