"""A record is data, never code: all that it can reach is listed here, and what it may not reach is refused."""

import importlib
import inspect
import json
import pkgutil
import typing
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bioseg import recipes, record
from bioseg.datasets.splits import from_csv
from bioseg.recipe import Recipe, SegmentationRecipe, Training
from bioseg.record import decode, encode
from bioseg.specs import mismatch
from bioseg.types import BiosegError


def recorded(name: str) -> Recipe:
    """A recipe as a record holds it: after it has configured itself."""
    recipe = recipes.get(name)
    return replace(recipe, configure=None) if isinstance(recipe, SegmentationRecipe) else recipe


def test_a_record_of_a_later_version_is_refused_in_words() -> None:
    later = {"$type": "bioseg.datasets.augment:Augmentation", "elastic_px": 3.0}
    with pytest.raises(BiosegError, match=r"x\.a: Augmentation has no elastic_px.*install the version that wrote it"):
        decode({"a": later}, "x")


FOREIGN = (
    "os:system", "builtins:eval", "biosegx.evil:run", "bioseg.models.unet:no_such", "bioseg.training.run:_write_last",
    "bioseg.inference.shipped:find", "bioseg.inference.pretrained:find", "bioseg.files:write", "bioseg.models.unet:conv",
    "bioseg.datasets.splits:Path", "bioseg.datasets.splits:np.load", "bioseg.images.prepare:_resize", "bioseg.models.unet:",
    "bioseg.models.unet", "", "bioseg.models.weights:load_into", "bioseg.models.efficientnet:load_imagenet",
    "bioseg.datasets.layouts..jsrt:list_cases", "bioseg.datasets.layouts.\0:x", 5, None, ["os:system"], {"a": 1},
    "bioseg.recipe:SegmentationRecipe.__init__", "bioseg.datasets.folders:re", "bioseg.recipes.auto:configure",
)  # fmt: skip


@pytest.mark.parametrize("kind", ["$call", "$type", "$function"])
@pytest.mark.parametrize("name", FOREIGN, ids=repr)
def test_foreign_names_are_not_resolved(name: Any, kind: str) -> None:
    with pytest.raises(BiosegError, match=r"^record: .*(which|is not a)"):
        decode({kind: name}, "record")


def test_the_crafted_record_wrote_no_file(tmp_path: Path) -> None:
    """A record whose decoding once called a function of ours that writes."""
    victim = tmp_path / "victim"
    crafted = {
        "$type": "bioseg.training.run:_write_last",
        "folder": {"$type": "bioseg.inference.pretrained:find", "model": str(tmp_path)},
        "parts": {str(victim): "text"},
        "state": {},
    }
    whole = encode(recorded("nuclei-reference")) | {"purpose": crafted}
    with pytest.raises(BiosegError, match=r"record\.purpose\.folder: names 'bioseg.inference.pretrained:find', which"):
        decode(whole, "record")
    assert not victim.exists() and list(tmp_path.iterdir()) == []


def modules(names: tuple[str, ...]) -> Iterator[Any]:
    """The modules of a list, those inside packages too."""
    for name in names:
        module = importlib.import_module(name)
        yield module
        for inner in pkgutil.iter_modules(getattr(module, "__path__", ())):
            yield importlib.import_module(f"{name}.{inner.name}")


def test_every_type_that_a_record_can_build_is_known() -> None:
    """Frozen values of ours; none does anything when it is built but check itself."""
    reached = set()
    for module in modules(record.TYPE_MODULES):
        for name, thing in vars(module).items():
            try:
                record._constructed(f"{module.__name__}:{name}", {"no such field": 1})
            except BiosegError as fault:
                if "has no no such field" in str(fault):
                    reached.add(thing)
    assert {kind.__name__ for kind in reached} == {
        "Training", "SegmentationRecipe", "AdversarialTraining", "TranslationRecipe", "Preparation", "Placement",
        "Augmentation", "Parameters", "Postprocess", "Prediction", "Instances", "Boxes", "Distribution", "Logistic",
        "QualityModel", "Applicability", "Interval", "Classes", "ClassPostprocess", "ClassPrediction",
    }  # fmt: skip
    for kind in reached:
        own = kind.__dict__.get("__post_init__")
        if own:
            assert set(own.__code__.co_names) <= CHECKING, (kind, own.__code__.co_names)


CHECKING = {
    "check", "BiosegError", "len", "set", "list", "map", "zoom", "targets", "quality", "preparation", "fit", "evaluated_on",
    "postprocess", "boxes", "instances", "channels", "scale", "axes", "mean", "spread", "weights", "MEASURES", "limits",
    "measure", "low", "high", "WORDS", "join", "names", "several", "casefold", "bad_name", "shown", "MOST", "FOREGROUND",
    "classes", "per_class", "sorted",
    "shapes", "DESCRIPTORS", "intensity", "function", "name", "invert", "chest_upright", "clahe", "select",
}  # fmt: skip
"""Names that ``__post_init__`` of a specification may use."""

ROLES = {
    "layout": {"list_cases", "list_images", "list_organs", "list_cavity_and_myocardium"},
    "split": {"ordered_tail", "by_patient", "from_csv"},
    "fold": {"k_fold", "grouped_k_fold"},
    "network": {
        "unet", "cxr_unet", "ct_unet", "lv_unet", "nuclei_unet", "pretrained_unet", "enhanced_unet", "residual_fcn",
        "resnet_generator", "unet_generator", "discriminator",
    },
    "loss": {
        "binary_cross_entropy", "soft_dice", "soft_iou", "cross_entropy_and_dice", "cross_entropy_and_image_dice",
        "cross_entropy_and_log_dice", "half_cross_entropy_half_iou",
    },
    "optimiser": {"adam", "adamw"},
    "schedule": {"constant", "decay_after", "cosine", "plateau", "one_cycle"},
    "intensity": {"invert", "min_max", "percentile_window", "chest_upright", "clahe", "fixed_window"},
    "choose": {"threshold", "objects", "boxes"},
    "quality": {"fit_quality"},
    "augment": set(),
    "reader": set(),
    "reference_scores": {"ct_scores", "pneumonia_scores", "cxr_scores", "nuclei_scores"},
}  # fmt: skip
"""By field, every function that a record may put there: pure, or readers of a folder that only training and evaluation call."""
NEEDED = {
    "ordered": {"parts": (0.6, 0.2, 0.2)}, "by_source": {"test": "a", "validation": 0.2}, "random": {"test": 0.2, "seed": 0},
    "each_source": {"test": 0.2, "seed": 0}, "ordered_tail": {"validation": 0.1}, "from_csv": {"path": "x.csv"},
    "fixed_window": {"low": 0.0, "high": 1.0},
}  # fmt: skip
"""Arguments without which a function does not fit."""


@pytest.mark.parametrize("field", ROLES)
def test_every_function_that_a_record_can_name_is_known(field: str) -> None:
    kinds = {"loss": Training, "optimiser": Training, "schedule": Training}
    kind = kinds.get(field, SegmentationRecipe)
    hints = typing.get_type_hints(kind, include_extras=True)
    hint = hints[field] if field != "intensity" else importlib.import_module("bioseg.images.prepare").Step
    found = set()
    for module in modules(record.CALL_MODULES):
        for name in vars(module):
            try:
                value = decode({"$call": f"{module.__name__}:{name}", **NEEDED.get(name, {})}, "x")
            except BiosegError:
                continue
            if not mismatch(value.function if field == "reference_scores" else value, hint):
                found.add(name)
    expected = ROLES[field] | ({"ordered", "by_source", "random", "each_source"} if field == "split" else set())
    if field in ("quality", "schedule"):  # other functions of so many values that return a number fit too; all are pure
        assert expected <= found
    else:
        assert found == expected


def test_no_function_that_a_record_can_name_writes_or_executes() -> None:
    """By the names that its module uses at all; readers of folders and of tables are called by training and evaluation only."""
    banned = {
        "exec", "eval", "compile", "__import__", "system", "popen", "Popen", "run", "unlink", "rmtree", "write_text",
        "write_bytes", "write", "rename", "mkdir", "symlink_to", "pickle", "torch.save", "urlopen",
    }  # fmt: skip
    for module in modules(record.CALL_MODULES):
        for name, thing in vars(module).items():
            if inspect.isfunction(thing) and thing.__module__ == module.__name__:
                assert not banned & set(thing.__code__.co_names), (module.__name__, name)
                hints = typing.get_type_hints(thing)
                assert not [key for key in inspect.signature(thing).parameters if hints.get(key, Any) is Any], name


def test_a_network_is_opened_without_the_file_of_weights_that_its_record_names(tmp_path: Path) -> None:
    from bioseg.pipelines.open import blank

    weights = tmp_path / "weights.pth"
    network = decode(
        {
            "$call": "bioseg.models.enhanced_unet:enhanced_unet",
            "encoder": "lite0",
            "imagenet": True,
            "weights": str(weights),
        },
        "x",
    )
    assert blank(network) is not None  # the file is not there: it would be refused if it were read


def test_a_split_table_is_read_when_the_split_is_called_and_not_before() -> None:
    split = decode({"$call": "bioseg.datasets.splits:from_csv", "path": "/no/such/file.csv"}, "x")
    assert split.function is from_csv
    with pytest.raises(BiosegError, match="file"):
        split([])


FAULTY: dict[str, Callable[[dict[str, Any]], Any]] = {
    "excess argument": lambda r: r["network"].update(nothing=3),
    "wrong argument": lambda r: r["network"].update(in_channels="three"),
    "missing argument": lambda r: r["split"].pop("validation"),
    "list for a call": lambda r: r.update(split=[1, 2]),
    "text for a number": lambda r: r["training"].update(epochs="40"),
    "number for a text": lambda r: r.update(task=7),
    "unknown field": lambda r: r.update(nonsense=1),
    "missing field": lambda r: r.pop("training"),
    "two kinds": lambda r: r["network"].update({"$type": "bioseg.recipe:Training"}),
    "unknown kind": lambda r: r.update(network={"$eval": "1"}),
    "another type": lambda r: r.update(training=r["preparation"]),
    "call for a type": lambda r: r.update(training=r["network"]),
    "function with arguments": lambda r: r.update(
        reference_scores={"$function": "bioseg.evaluation.overlap:ct_scores", "a": 1}
    ),
    "function of another kind": lambda r: r.update(reference_scores={"$function": "bioseg.evaluation.overlap:dice"}),
    "huge size": lambda r: r["preparation"].update(size_px=[1_000_000, 1_000_000]),
    "half a pixel": lambda r: r["preparation"].update(size_px=[64.5, 64]),
    "switch for a number": lambda r: r["training"].update(patience=True),
    "huge number": lambda r: r["training"].update(learning_rate=10**400),
    "no windows": lambda r: r["preparation"].update(intensity="min_max"),
}


@pytest.mark.parametrize("name", FAULTY)
def test_a_faulty_recipe_is_refused_in_one_line_that_names_the_field(name: str) -> None:
    changed = json.loads(json.dumps(encode(recorded("nuclei-reference"))))
    FAULTY[name](changed)
    with pytest.raises(BiosegError, match=r"^record\.json: recipe") as caught:
        decode(changed, "record.json: recipe")
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 400
