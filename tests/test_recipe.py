"""Recipes as values: valid once built, JSON out and in, one setting replaced."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bioseg import recipes
from bioseg.datasets import phantom_layouts
from bioseg.datasets.augment import Augmentation
from bioseg.pipelines.train import TrainJob, train
from bioseg.postprocess.masks import Postprocess
from bioseg.recipe import AdversarialTraining, Recipe, SegmentationRecipe, TranslationRecipe
from bioseg.record import decode, encode, fingerprint
from bioseg.settings import override
from bioseg.specs import Call, call
from bioseg.training import losses
from bioseg.types import BiosegError

NAMES = recipes.names()


def recorded(name: str) -> Recipe:
    """A recipe as a record holds it: after it has configured itself."""
    recipe = recipes.get(name)
    return replace(recipe, configure=None) if isinstance(recipe, SegmentationRecipe) else recipe


def test_the_recipes_are_there() -> None:
    assert {"auto", "nuclei-reference"} <= set(NAMES)
    with pytest.raises(BiosegError, match="nuclei-refrence"):
        recipes.get("nuclei-refrence")


@pytest.mark.parametrize("name", NAMES)
def test_a_recipe_survives_json(name: str) -> None:
    recipe = recorded(name)
    assert recipe.name == name
    again = decode(json.loads(json.dumps(encode(recipe))), "record")
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


def test_lines_for_people_are_not_in_the_fingerprint() -> None:
    recipe = recipes.get("nuclei-reference")
    assert fingerprint(replace(recipe, purpose="said otherwise", task="too")) == fingerprint(recipe)


REFUSED = {
    "training.batch_size": "no '='",
    "training.bach=8": "there is no 'bach'",
    "training.batch_size=many": "training.batch_size: 'many'; give a whole number, 1 or more",
    "training.batch_size.size=8": "has no parts",
    "training.batch_size=0": "training.batch_size: 0; give 1 or more",
    "training.batch_size=true": "training.batch_size: True; give a whole number",
    "training.learning_rate=-1": "training.learning_rate: -1.0; give above 0",
    "training.learning_rate=NaN": "give a number",
    "training.learning_rate=1e400": "give a number",
    "training.learning_rate=" + "9" * 400: "give a number",
    "training.learning_rate=" + "9" * 5000: "give a number",
    "training.epochs=null": "training.epochs: null; give a whole number",
    "training.epochs=0": "training.epochs: 0; give 1 or more",
    "training.seed=-1": "from 0 to",
    "training.loss=dice": "soft_dice",
    "training.loss=_sums": "there is no function",
    "training.loss=least_squares": "called with 2 values",
    "training.loss.smoothin=2": "no argument 'smoothin'; it has: none",
    "training.optimiser.beta1=1": "adam.beta1: 1; give from 0 to",
    "postprocess.threshold=7": "postprocess.threshold: 7.0; give from 0 to 1",
    "postprocess=null.threshold": "give a Postprocess",
    "evaluated_on=nonsense": "evaluated_on: 'nonsense'; choose original, prepared",
    "network.nothing=3": "no argument 'nothing'; it has: in_channels",
    "network.in_channels=0": "nuclei_unet.in_channels: 0; give from 1 to",
    "network=soft_dice": "there is no function",
    "network=3": "give a function",
    "split.validation=2": "ordered_tail.validation: 2.0; give from 0 to 1",
    "split=ordered": "missing a required argument: 'parts'",
    "fold=ordered_tail": "give a function that returns list",
    "layout=read_table": "there is no function",
    "preparation.size_px=[64.5,64]": "preparation.size_px: (64.5, 64); give a whole number",
    "preparation.size_px=[1000000,64]": "from 1 to 16384",
    "preparation.size_px=64": "give 2 values in brackets",
    "augmentation.zoom=[2,1]": "give [least, most]",
    "name=5": "name: 5; give a text",
    'network={"$call":"os:system"}': "names 'os:system'",
    'network={"$call":"bioseg.training.losses:soft_dice"}': "give a function that returns Module",
    'preparation={"$type":"bioseg.training.run:_write_last"}': "which a record may not",
    "preparation=" + '{"a":' * 200 + "1" + "}" * 200: "give a Preparation",
    # Old names
    "training.batch=8": "it is called batch_size now",
    "training.rate=1": "it is called learning_rate now",
    "judged_on=picture": "it is called evaluated_on now",
    "flips=true": "it is called tta now",
    "list_cases=list_cases": "it is called layout now",
}


@pytest.mark.parametrize("setting", REFUSED)
def test_a_wrong_setting_is_refused_with_name_value_and_range(setting: str) -> None:
    with pytest.raises(BiosegError) as caught:
        override(recipes.get("nuclei-reference"), setting)
    assert REFUSED[setting] in str(caught.value) and "\n" not in str(caught.value)
    assert len(str(caught.value)) < 1000


@pytest.mark.parametrize(
    "setting",
    [
        "training.batch_size=0", "training.learning_rate=-1", "postprocess.threshold=7", "training.epochs=null",
        "evaluated_on=nonsense", "training.loss.smoothin=2", "network.nothing=3", "preparation.size_px=[64.5,64]",
        "training.epochs=0", "preparation.channels=3", "network.outputs=2", "preparation.targets=[\"foreground\",\"marker\"]",
    ],
)  # fmt: skip
def test_nothing_is_written_before_a_setting_is_refused(setting: str, tmp_path: Path) -> None:
    phantom_layouts.write_images_masks(tmp_path / "data", count=6, size_px=32)
    recipe = recipes.get("cxr-unet-reference" if "channels" in setting else "cardiac-lv")
    settings = ("preparation.size_px=[32,32]", "split.test=0.2", setting) if "channels" in setting else (setting,)
    with pytest.raises(BiosegError) as caught:
        train(TrainJob(recipe, tmp_path / "data", tmp_path / "run", settings=settings))
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "run").exists()


def test_a_recipe_is_valid_once_built() -> None:
    recipe = recipes.get("nuclei-reference")
    assert isinstance(recipe, SegmentationRecipe)
    for wrong in (
        lambda: replace(recipe.training, batch_size=0),
        lambda: replace(recipe, split=call(losses.soft_dice)),
        lambda: replace(recipe, tta="flips"),
        lambda: replace(recipe, network=call(losses.soft_dice)),
        lambda: replace(recipe, reference_scores=losses.soft_dice),
        lambda: replace(recipe, evaluated_on="prepared", postprocess=replace(recipe.postprocess, boxes=boxes())),
        lambda: call(losses.soft_dice, smoothing=-1.0),
        lambda: call(losses.soft_dice, smoothing="1"),
    ):
        with pytest.raises(BiosegError):
            wrong()  # type: ignore[no-untyped-call]


def boxes() -> Any:
    from bioseg.postprocess.boxes import Boxes

    return Boxes()


def test_a_function_is_replaced_by_another_of_its_module_and_a_part_by_its_default() -> None:
    recipe = recipes.get("cardiac-lv")
    changed = override(recipe, "training.loss=soft_dice")
    assert changed.training.loss == call(losses.soft_dice)
    assert decode(encode(changed), "record") == changed
    assert override(recipe, "augmentation=null").augmentation == Augmentation()
    assert override(recipe, "postprocess=null").postprocess == Postprocess()


def test_a_setting_at_its_default_is_not_in_the_fingerprint() -> None:
    recipe = recipes.get("nuclei-reference")
    sparse = json.dumps(encode(recipe, sparse=True))
    assert "distractors" not in sparse and "distractors" in json.dumps(encode(recipe))
    assert decode(json.loads(sparse), "record") == recipe
    assert fingerprint(override(recipe, "augmentation.distractors=1")) != fingerprint(recipe)


def test_what_a_record_cannot_name_is_refused() -> None:
    recipe = recipes.get("nuclei-reference")
    assert isinstance(recipe, SegmentationRecipe)
    nested = replace(recipe, training=replace(recipe.training, loss=call(lambda logits, truth: logits.sum())))
    with pytest.raises(BiosegError, match="a record cannot name it"):
        fingerprint(nested)


def test_translation_recipes_are_checked_too() -> None:
    recipe = recipes.get("cxr-cyclegan-unet")
    assert isinstance(recipe, TranslationRecipe) and isinstance(recipe.training, AdversarialTraining)
    with pytest.raises(BiosegError, match=r"training\.cycle: -1\.0; give 0 or more"):
        override(recipe, "training.cycle=-1")
    with pytest.raises(BiosegError, match="grey"):
        override(recipe, "preparation.channels=3")
