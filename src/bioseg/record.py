"""Recipes and other specifications as JSON, and the record of a run.

What a record may name is listed here: a record is data, and opening one runs nothing but constructors of our own frozen
specifications. Functions are only looked up, in rooms without functions that write, and each must fit its field: take what
the field is called with and return what its annotation says. Functions of the user's own come in by ``resolve`` alone, see
:mod:`bioseg.user_code`.
"""

import dataclasses
import hashlib
import importlib
import inspect
import json
import math
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from bioseg import files
from bioseg.migration import FORMAT, OLD_FILES, migrated, migrated_row, migrated_value
from bioseg.recipe import Recipe, SegmentationRecipe, Training, TranslationRecipe, not_in_a_model_file
from bioseg.specs import Call, Range, mismatch, shown
from bioseg.types import BiosegError

RECORD, POSTPROCESS = "record.json", "postprocess.json"
QUALITY, APPLICABILITY = "quality_model.json", "applicability.json"

TYPE_MODULES = (
    "bioseg.recipe", "bioseg.classes", "bioseg.images.prepare", "bioseg.datasets.augment", "bioseg.postprocess.masks",
    "bioseg.postprocess.instances", "bioseg.postprocess.boxes", "bioseg.quality.model", "bioseg.quality.applicability",
)  # fmt: skip
"""Modules whose frozen dataclasses a record may hold."""

CALL_MODULES = (
    "bioseg.images.prepare", "bioseg.datasets.layouts", "bioseg.datasets.folders", "bioseg.datasets.splits",
    "bioseg.models.unet", "bioseg.models.pretrained_unet", "bioseg.models.enhanced_unet", "bioseg.models.residual_fcn",
    "bioseg.models.cyclegan", "bioseg.training.losses", "bioseg.training.optimisers", "bioseg.training.schedules",
    "bioseg.evaluation.overlap", "bioseg.postprocess.choose", "bioseg.quality.fit",
)  # fmt: skip
"""Modules, or packages of modules, whose public functions a record may name."""

PREDICTING = (
    "name", "task", "purpose", "layout", "split", "fold", "preparation", "postprocess", "tta", "evaluated_on",
    "reference_scores",
)  # fmt: skip
"""Fields of a recipe that :func:`decode_predicting` reads."""

Number = Annotated[int, Range(0)]
Ids = list[str]
FIELDS: dict[str, Any] = {
    "name": str, "fingerprint": str, "folds": Annotated[int, Range(0, 1000)], "seed": Number, "reasons": Ids,
    "split": str, "split_from": str, "parts": dict[str, Ids] | dict[str, dict[str, Ids]], "images": dict[str, str],
    "image_hashes": dict[str, Literal["train", "validation"]], "patients": Number, "patients_from": str,
    "patients_unknown": Number, "data": str, "target": str, "command": str, "started": str, "device": str,
    "threads": Number, "versions": dict[str, str], "git_commit": str | None, "weights_sha256": str, "applicability_sha256": str,
    "evaluated_on": str, "evaluated_folder": str, "model": str, "model_fingerprint": str, "adapted": bool, "unseen_only": bool,
    "translator": str, "channel": str, "config": str, "fold_parts": list[dict[str, Ids]], "code": dict[str, dict[str, str]],
    "init": dict[str, str], "extended": list[dict[str, int]],
}  # fmt: skip
"""What the fields of a record hold; the recipe is decoded by itself, and fields that are not listed are not read."""

Resolve = Callable[[str], Callable[..., Any] | None]
"""(``module:name``) → the user's own function; None where it is none."""


def nobody(name: str) -> None:
    """The ``resolve`` of records without code of the user's."""


def encode(value: Any, *, sparse: bool = False) -> Any:
    """A recipe, or a part of one, as JSON values: functions become ``module:name``, arguments are spelled out.

    Args:
        value: What to encode.
        sparse: Leave out what has its default.
    """
    if isinstance(value, Call):
        arguments = {key: encode(argument, sparse=sparse) for key, argument in value.arguments}
        return {"$call": _name(value.function), **arguments}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {
            field.name: encode(getattr(value, field.name), sparse=sparse)
            for field in dataclasses.fields(value)
            if not sparse or getattr(value, field.name) != field.default
        }
        return {"$type": _name(type(value)), **fields}
    if isinstance(value, tuple | list):
        return [encode(item, sparse=sparse) for item in value]
    if callable(value):
        return {"$function": _name(value)}
    return value


def decode(value: Any, where: str, resolve: Resolve = nobody) -> Any:
    """The inverse of :func:`encode`; lists become tuples.

    Args:
        value: JSON values.
        where: File and field, for messages.
        resolve: Finds functions of the user's own.

    Raises:
        BiosegError: A name is not on the lists above or not in this version, or a value does not fit its field.
    """
    if isinstance(value, list):
        return tuple(decode(item, f"{where}[{index}]", resolve) for index, item in enumerate(value))
    if not isinstance(value, Mapping):
        return value
    kinds = [key for key in value if key.startswith("$")]
    if len(kinds) > 1 or not {"$call", "$type", "$function"}.issuperset(kinds):
        raise BiosegError(f"{where}: holds {', '.join(kinds)}; expected one of $call, $type, $function")
    rest = {key: decode(item, f"{where}.{key}", resolve) for key, item in value.items() if key not in kinds}
    if not kinds:
        return rest
    try:
        if kinds == ["$type"]:
            return _constructed(value["$type"], rest)
        function = _function(value[kinds[0]], resolve)
        if rest and kinds == ["$function"]:
            raise BiosegError(f"$function takes no {', '.join(rest)}; the file is foreign or was changed")
        return function if kinds == ["$function"] else Call(function, tuple(rest.items()))
    except BiosegError as fault:
        raise BiosegError(f"{where}: {fault}") from None


def differences(old: Any, new: Any) -> list[str]:
    """``training.epochs 80 → 15`` for every value in which two recipes, or parts of them, differ."""
    first, second = (dict(flat(encode(spec))) for spec in (old, new))
    return [
        f"{name} {_words(first.get(name))} → {_words(second.get(name))}"
        for name in dict.fromkeys([*first, *second])
        if first.get(name) != second.get(name)
    ]


def fingerprint(recipe: Recipe) -> str:
    """Twelve hexadecimal digits that change whenever anything in the recipe does but its lines for people.

    A setting that a later version adds changes them only where it is used.
    """
    method = {key: value for key, value in encode(recipe, sparse=True).items() if key not in ("task", "purpose")}
    return hashlib.sha256(json.dumps(method, sort_keys=True).encode()).hexdigest()[:12]


def read_record(folder: Path) -> dict[str, Any]:
    """The record of a run folder, brought to today's format, with the fingerprint of today's recipe.

    Raises:
        BiosegError: As :func:`read_fields`, or an older recipe cannot be brought to today's format.
    """
    record = read_fields(folder)
    if record.pop("migrated", False):
        record["fingerprint"] = fingerprint(decode_recipe(record, folder))
    return record


def read_fields(folder: Path) -> dict[str, Any]:
    """The record of a run folder for reading: its fields hold what :data:`FIELDS` says, the recipe is not decoded.

    Raises:
        BiosegError: The folder is not a run, or its record is damaged or of a later version.
    """
    path = folder / RECORD
    return checked_fields(files.read_json(path, "give the folder that `bioseg train … --out` wrote"), path)


def checked_fields(record: Any, path: Path) -> dict[str, Any]:
    """As :func:`read_fields`, for the value of the record ``path``."""
    if not isinstance(record, dict) or not isinstance(record.get("recipe"), dict):
        raise BiosegError(f"{path}: no field 'recipe'; give a folder that `bioseg train` wrote")
    number = record.get("format")
    if type(number) is not int or not 1 <= number <= FORMAT:
        raise BiosegError(
            f"{path}: format {shown(number)}; this version reads 1 to {FORMAT}: install the one that wrote it"
        )
    record = migrated(record)
    if missing := [field for field in ("name", "fingerprint") if field not in record]:
        raise BiosegError(f"{path}: no field {missing[0]!r}; give a folder that `bioseg train` wrote")
    for field, hint in FIELDS.items():
        if field in record and (fault := mismatch(record[field], hint)):
            raise BiosegError(f"{path}: {field}: {shown(record[field])}; {fault}")
    return dict(record) | ({"migrated": True} if number < FORMAT else {})


def decode_recipe(record: dict[str, Any], folder: Path, resolve: Resolve = nobody) -> Recipe:
    """The recipe in the record of a run folder.

    Raises:
        BiosegError: The recipe names what is not allowed or not there, or a value of it is invalid.
    """
    where = f"{folder / RECORD}: recipe"
    recipe = decode(record["recipe"], where, resolve)
    if not isinstance(recipe, SegmentationRecipe | TranslationRecipe):
        raise BiosegError(f"{where}: is a {type(recipe).__name__}; expected a recipe")
    return recipe


def decode_predicting(record: dict[str, Any], where: str) -> SegmentationRecipe:
    """The part of a recipe that predicting and evaluating need; its network and training cannot be run.

    Neither what it was trained with nor its network has to be in this version or installed, and none of it may be the user's.

    Args:
        record: See :func:`checked_fields`.
        where: File and field, for messages.

    Raises:
        BiosegError: It is no segmentation recipe, or names what is not allowed.
    """
    known = record["recipe"]
    if known.get("$type") != _name(SegmentationRecipe):
        raise BiosegError(f"{where}: is {shown(known.get('$type'))}; expected a segmentation recipe")
    values = {key: decode(known[key], f"{where}.{key}") for key in PREDICTING if key in known}
    absent: Call[Any] = Call(not_in_a_model_file)
    values |= {"network": absent, "training": Training(absent, absent, absent)}
    try:
        recipe: SegmentationRecipe = _constructed(known["$type"], values)
    except BiosegError as fault:
        raise BiosegError(f"{where}: {fault}") from None
    return recipe


def read_spec(folder: Path, name: str, kind: type[Any]) -> Any:
    """A frozen specification from a file of its own, brought to today's format; None where there is no such file.

    Args:
        folder: Run folder.
        name: :data:`POSTPROCESS`, :data:`QUALITY` or :data:`APPLICABILITY`; older runs have the file under another name.
        kind: What it is.

    Raises:
        BiosegError: The file is damaged, or holds something else.
    """
    path = next((folder / one for one in (name, OLD_FILES.get(name, name)) if (folder / one).exists()), None)
    if path is None:
        return None
    return checked_spec(files.read_json(path, "train again"), str(path), kind)


def checked_spec(value: Any, path: str, kind: type[Any]) -> Any:
    """As :func:`read_spec`, for the JSON value of the file ``path``."""
    spec = decode(migrated_value(value), path)
    if not isinstance(spec, kind):
        raise BiosegError(f"{path}: holds a {type(spec).__name__}, not a {kind.__name__}; train again")
    return spec


def journal_rows(rows: Any, where: str) -> list[dict[str, Any]]:
    """Rows of a journal under today's names: a number or a switch under each name, epochs counted from 1.

    Raises:
        BiosegError: They are something else; ``where`` says which file.
    """
    if not isinstance(rows, list):
        raise BiosegError(f"{where}: holds {shown(rows)}, not a list of epochs; restore it from a copy")
    for number, row in enumerate(rows, 1):
        place = f"{where}: epoch {number}"
        if not isinstance(row, dict) or row.get("epoch") != number or type(row.get("best")) is not bool:
            raise BiosegError(f"{place}: {shown(row)}; expected an object with epoch {number} and best true or false")
        for name, value in row.items():
            if not isinstance(value, int | float) or (abs(value) > sys.float_info.max and value != math.inf):
                raise BiosegError(f"{place}: {name}: {shown(value)}; give a number")
        if row.keys() != rows[0].keys():
            raise BiosegError(f"{place}: has {', '.join(row)}, unlike epoch 1; restore the file from a copy")
    return [migrated_row(row) for row in rows]


def flat(value: Any, name: str = "") -> list[tuple[str, Any]]:
    """The values of a record's recipe with their paths, ``training.epochs``; lists are values."""
    if isinstance(value, dict):
        return [pair for key, item in value.items() for pair in flat(item, f"{name}.{key}".lstrip("."))]
    return [(name, value)]


def _words(value: Any) -> str:
    return "×".join(map(str, value)) if isinstance(value, list) else str(value)


def _name(thing: Any) -> str:
    name = f"{thing.__module__}:{getattr(thing, '__qualname__', '')}"
    if not name.rpartition(":")[2].isidentifier():
        raise BiosegError(f"{name}: a record cannot name it; define it as a function at the top of a module")
    return name


def _constructed(name: Any, values: dict[str, Any]) -> Any:
    kind = _attribute(name, TYPE_MODULES)
    parameters = getattr(kind, "__dataclass_params__", None)
    if not isinstance(kind, type) or parameters is None or not parameters.frozen:
        raise BiosegError(f"{shown(name)} is not a specification; the file is foreign or was changed")
    known = {field.name: field for field in dataclasses.fields(kind)}
    if unknown := sorted(set(values) - set(known)):
        raise BiosegError(f"{kind.__name__} has no {', '.join(unknown)}; install the version that wrote it")
    if missing := [key for key, field in known.items() if field.default is dataclasses.MISSING and key not in values]:
        raise BiosegError(f"{kind.__name__} lacks {', '.join(missing)}; the file is foreign or was changed")
    return kind(**values)


def _function(name: Any, resolve: Resolve) -> Callable[..., Any]:
    own = resolve(name) if isinstance(name, str) else None
    if own is not None:
        return own
    function: Callable[..., Any] = _attribute(name, CALL_MODULES)
    if not inspect.isfunction(function):
        raise BiosegError(f"{shown(name)} is not a function; the file is foreign or was changed")
    return function


def _attribute(name: Any, modules: tuple[str, ...]) -> Any:
    """The public attribute ``module:name`` if the module is listed and itself defines it."""
    module, _, attribute = name.partition(":") if isinstance(name, str) else ("", "", "")
    if not any(module == one or module.startswith(f"{one}.") for one in modules) or attribute.startswith("_"):
        raise BiosegError(f"names {shown(name)}, which a record may not; the file is foreign or was changed")
    try:
        thing = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError, ValueError):
        raise BiosegError(
            f"names {shown(name)}, which this version does not have; install the one that wrote it"
        ) from None
    if getattr(thing, "__module__", None) != module:
        raise BiosegError(f"names {shown(name)}, which is not defined there; the file is foreign or was changed")
    return thing
