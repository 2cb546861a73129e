import json

import pytest

from bioseg import recipes
from bioseg.datasets.augment import Augmentation
from bioseg.record import decode, encode, fingerprint
from bioseg.settings import override
from bioseg.specs import Call, call
from bioseg.training import losses
from bioseg.types import BiosegError

NAMES = recipes.names()


def test_the_recipes_are_there() -> None:
    assert {"auto", "nuclei-reference"} <= set(NAMES)
    with pytest.raises(BiosegError, match="nuclei-refrence"):
        recipes.get("nuclei-refrence")


@pytest.mark.parametrize("name", NAMES)
def test_a_recipe_survives_json(name: str) -> None:
    recipe = recipes.get(name)
    assert recipe.name == name
    again = decode(json.loads(json.dumps(encode(recipe))))
    assert again == recipe
    assert fingerprint(again) == fingerprint(recipe)


def test_every_change_changes_the_fingerprint() -> None:
    recipe = recipes.get("nuclei-reference")
    changed = [
        override(recipe, setting)
        for setting in (
            "training.batch_size=8",
            "training.learning_rate=1",
            "preparation.size_px=[64,64]",
            "split.validation=0.2",
            "training.patience=null",
            "postprocess.threshold=0.4",
        )
    ]
    assert len({fingerprint(one) for one in [recipe, *changed]}) == 7
    assert changed[1].training.learning_rate == 1.0 and isinstance(changed[1].training.learning_rate, float)
    assert changed[2].preparation.size_px == (64, 64)
    assert isinstance(changed[3].split, Call) and dict(changed[3].split.arguments)["validation"] == 0.2


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("training.batch_size", "no '='"),
        ("training.bach=8", "there is no 'bach'"),
        ("training.batch_size=many", "the value now is 16"),
        ("training.batch_size.size=8", "has no parts"),
        ("training.loss=dice", "soft_dice"),
    ],
)
def test_a_wrong_setting_is_refused_with_its_reason(setting: str, said: str) -> None:
    with pytest.raises(BiosegError, match=said):
        override(recipes.get("nuclei-reference"), setting)


def test_a_record_of_a_later_version_is_refused_in_words() -> None:
    later = {"$type": "bioseg.datasets.augment:Augmentation", "elastic_px": 3.0}
    with pytest.raises(BiosegError, match=r"elastic_px.*install the version that wrote it"):
        decode(later)


@pytest.mark.parametrize("name", ["os:system", "builtins:eval", "biosegx.evil:run", "bioseg.models.unet:no_such"])
def test_foreign_names_are_not_resolved(name: str) -> None:
    with pytest.raises(BiosegError, match="record names"):
        decode({"$call": name})


def test_a_function_is_replaced_by_another_of_its_module_and_a_part_by_its_default() -> None:
    recipe = recipes.get("cardiac-lv")
    changed = override(recipe, "training.loss=soft_dice")
    assert changed.training.loss == call(losses.soft_dice)
    assert decode(encode(changed)) == changed
    assert override(recipe, "augmentation=null").augmentation == Augmentation()
    with pytest.raises(BiosegError, match="no such function"):
        override(recipe, "training.loss=_sums")


def test_a_setting_at_its_default_is_not_in_the_fingerprint() -> None:
    recipe = recipes.get("nuclei-reference")
    sparse = json.dumps(encode(recipe, sparse=True))
    assert "distractors" not in sparse and "distractors" in json.dumps(encode(recipe))
    assert decode(json.loads(sparse)) == recipe
    assert fingerprint(override(recipe, "augmentation.distractors=1")) != fingerprint(recipe)
