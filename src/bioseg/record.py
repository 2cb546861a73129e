"""Recipes and other specifications as JSON, and the record of a run.

What a record may name is listed here: a record is data, and opening one runs nothing but constructors of our own frozen
specifications. Functions are only looked up, in rooms without functions that write.
"""

import dataclasses
import hashlib
import importlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from bioseg import files
from bioseg.migration import FORMAT, migrated, migrated_value
from bioseg.recipe import Recipe, SegmentationRecipe, TranslationRecipe
from bioseg.specs import Call
from bioseg.types import BiosegError

RECORD, POSTPROCESS, QUALITY = "record.json", "postprocess.json", "quality_model.json"

TYPE_MODULES = (
    "bioseg.recipe", "bioseg.images.prepare", "bioseg.datasets.augment", "bioseg.postprocess.masks",
    "bioseg.postprocess.instances", "bioseg.postprocess.boxes", "bioseg.quality.model",
)  # fmt: skip
"""Modules whose frozen dataclasses a record may hold."""

CALL_MODULES = (
    "bioseg.images.prepare", "bioseg.datasets.layouts", "bioseg.datasets.folders", "bioseg.datasets.splits",
    "bioseg.models", "bioseg.training.losses", "bioseg.training.optimisers", "bioseg.training.schedules",
    "bioseg.evaluation.overlap", "bioseg.postprocess.choose", "bioseg.quality.fit",
)  # fmt: skip
"""Modules, or packages of modules, whose public functions a record may name."""


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


def decode(value: Any, where: str, *, code: tuple[str, ...] = ()) -> Any:
    """The inverse of :func:`encode`; lists become tuples.

    Args:
        value: JSON values.
        where: File and field, for messages.
        code: Modules of the user's that may be named too.

    Raises:
        BiosegError: A name is not on the lists above or not in this version, or a value does not fit its field.
    """
    if isinstance(value, list):
        return tuple(decode(item, f"{where}[{index}]", code=code) for index, item in enumerate(value))
    if not isinstance(value, Mapping):
        return value
    kinds = [key for key in value if key.startswith("$")]
    if len(kinds) > 1 or not {"$call", "$type", "$function"}.issuperset(kinds):
        raise BiosegError(f"{where}: holds {', '.join(kinds)}; expected one of $call, $type, $function")
    rest = {key: decode(item, f"{where}.{key}", code=code) for key, item in value.items() if key not in kinds}
    if not kinds:
        return rest
    try:
        if kinds == ["$type"]:
            return _constructed(value["$type"], rest)
        function = _function(value[kinds[0]], code)
        return function if kinds == ["$function"] else Call(function, tuple(rest.items()))
    except BiosegError as fault:
        raise BiosegError(f"{where}: {fault}") from None


def differences(old: Any, new: Any) -> list[str]:
    """``training.epochs 80 → 15`` for every value in which two recipes, or parts of them, differ."""
    first, second = (dict(_flat(encode(spec))) for spec in (old, new))
    return [
        f"{name} {_words(first.get(name))} → {_words(second.get(name))}"
        for name in dict.fromkeys([*first, *second])
        if first.get(name) != second.get(name)
    ]


def fingerprint(recipe: Recipe) -> str:
    """Twelve hexadecimal digits that change whenever anything in the recipe does.

    A setting that a later version adds changes them only where it is used.
    """
    text = json.dumps(encode(recipe, sparse=True), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def read_record(folder: Path) -> dict[str, Any]:
    """The record of a run folder, brought to today's format.

    Raises:
        BiosegError: The folder is not a run, or its record is damaged or of a later version.
    """
    path = folder / RECORD
    record = files.read_json(path, "give the folder that `bioseg train … --out` wrote")
    if not isinstance(record, dict) or not isinstance(record.get("recipe"), dict):
        raise BiosegError(f"{path}: no field 'recipe'; give a folder that `bioseg train` wrote")
    number = record.get("format")
    if not isinstance(number, int) or not 1 <= number <= FORMAT:
        raise BiosegError(f"{path}: format {number!r}; this version reads 1 to {FORMAT}: install the one that wrote it")
    record, old = migrated(record), record
    for field, kind in (("name", str), ("folds", int), ("fingerprint", str), ("parts", dict)):
        if field in record and not isinstance(record[field], kind):
            raise BiosegError(f"{path}: {field} is {record[field]!r}; expected a {kind.__name__}")
    if not 0 <= record.get("folds", 0) <= 1000:
        raise BiosegError(f"{path}: folds is {record['folds']}; expected 0 to 1000")
    if record is not old:
        record["fingerprint"] = fingerprint(decode(record["recipe"], f"{path}: recipe"))
    return record


def read_recipe(folder: Path, *, code: tuple[str, ...] = ()) -> Recipe:
    """The recipe of a run.

    Raises:
        BiosegError: As :func:`read_record`, or the recipe names what is not allowed or not there.
    """
    recipe = decode(read_record(folder)["recipe"], f"{folder / RECORD}: recipe", code=code)
    if not isinstance(recipe, SegmentationRecipe | TranslationRecipe):
        raise BiosegError(f"{folder / RECORD}: recipe is a {type(recipe).__name__}; expected a recipe")
    return recipe


def read_spec(path: Path, kind: type[Any]) -> Any:
    """A frozen specification from a file of its own, such as ``postprocess.json``, brought to today's format.

    Raises:
        BiosegError: The file is damaged, or holds something else.
    """
    spec = decode(migrated_value(files.read_json(path, "train again")), str(path))
    if not isinstance(spec, kind):
        raise BiosegError(f"{path}: holds a {type(spec).__name__}, not a {kind.__name__}; train again")
    return spec


def _flat(value: Any, name: str = "") -> list[tuple[str, Any]]:
    if isinstance(value, dict):
        return [pair for key, item in value.items() for pair in _flat(item, f"{name}.{key}".lstrip("."))]
    return [(name, value)]


def _words(value: Any) -> str:
    return "×".join(map(str, value)) if isinstance(value, list) else str(value)


def _name(thing: Any) -> str:
    return f"{thing.__module__}:{thing.__qualname__}"


def _constructed(name: Any, values: dict[str, Any]) -> Any:
    kind = _attribute(name, TYPE_MODULES)
    parameters = getattr(kind, "__dataclass_params__", None)
    if not isinstance(kind, type) or parameters is None or not parameters.frozen:
        raise BiosegError(f"{name!r} is not a specification; the file is foreign or was changed")
    known = {field.name: field for field in dataclasses.fields(kind)}
    if unknown := sorted(set(values) - set(known)):
        raise BiosegError(f"{kind.__name__} has no {', '.join(unknown)}; install the version that wrote it")
    if missing := [key for key, field in known.items() if field.default is dataclasses.MISSING and key not in values]:
        raise BiosegError(f"{kind.__name__} lacks {', '.join(missing)}; the file is foreign or was changed")
    return kind(**values)


def _function(name: Any, code: tuple[str, ...]) -> Callable[..., Any]:
    function = _attribute(name, CALL_MODULES + code)
    if not callable(function):
        raise BiosegError(f"{name!r} is not a function; the file is foreign or was changed")
    result: Callable[..., Any] = function
    return result


def _attribute(name: Any, modules: tuple[str, ...]) -> Any:
    """The public attribute ``module:name`` if the module is listed and itself defines it."""
    module, _, attribute = name.partition(":") if isinstance(name, str) else ("", "", "")
    if not any(module == one or module.startswith(f"{one}.") for one in modules) or attribute.startswith("_"):
        raise BiosegError(f"names {name!r}, which a record may not; the file is foreign or was changed")
    try:
        thing = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError):
        raise BiosegError(f"names {name!r}, which this version does not have; install the one that wrote it") from None
    if getattr(thing, "__module__", None) != module:
        raise BiosegError(f"names {name!r}, which is not defined there; the file is foreign or was changed")
    return thing
