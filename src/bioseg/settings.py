"""``--set path=value``: a recipe with one value replaced."""

import dataclasses
import inspect
import json
import sys
from collections.abc import Callable, Iterable, Sequence
from difflib import get_close_matches
from typing import Any, TypeVar

from bioseg import files
from bioseg.migration import new_name
from bioseg.recipe import SegmentationRecipe
from bioseg.record import decode
from bioseg.specs import Call
from bioseg.types import BiosegError

R = TypeVar("R")


def override(recipe: R, setting: str, *, where: str = "--set") -> R:
    """A new recipe with one value replaced.

    Args:
        recipe: A frozen dataclass.
        setting: ``path=value``, the path's parts joined by dots, the value as JSON or plain text:
            ``training.batch_size=8``, ``preparation.size_px=[256,256]``, ``network.in_channels=3``. A function is replaced by
            another of its module, ``training.loss=soft_dice``, or with arguments ``{"function": "soft_dice", "smoothing": 2}``; a
            part by its default, ``augmentation=null``.
        where: What the user wrote it in, for messages.

    Raises:
        BiosegError: There is no such value, or it is of another type or out of its range.
    """
    path, equals, text = setting.partition("=")
    if not equals:
        raise BiosegError(f"{where} {setting}: no '='; write it as path=value, for example training.batch_size=8")
    try:
        value = decode(files.parse_json(text, finite=False), "--set")
    except ValueError:
        value = text
    try:
        changed: R = _replaced(recipe, path.strip().split("."), value)
    except BiosegError as fault:
        raise BiosegError(f"{where} {setting[:200]}: {fault}") from None
    return changed


def channel_settings(recipe: SegmentationRecipe, names: Sequence[str | int]) -> tuple[str, ...]:
    """The settings with which a recipe uses these channels; none for no names.

    Args:
        recipe: Whose network takes ``in_channels`` where their number matters to it.
        names: Channels by number from 1 or by name.
    """
    if not names:
        return ()
    told = "in_channels" in inspect.signature(recipe.network.function).parameters
    network = (f"network.in_channels={len(names)}",) if told else ()
    return (f"preparation.channels={len(names)}", f"preparation.select={json.dumps(list(names))}", *network)


def _replaced(whole: Any, path: list[str], value: Any) -> Any:
    name, deeper = path[0], path[1:]
    if isinstance(whole, Call):
        return _with_argument(whole, name, deeper, value)
    if not dataclasses.is_dataclass(whole) or isinstance(whole, type):
        raise BiosegError(f"{whole!r} has no parts; leave out '.{'.'.join(path)}'")
    fields = {field.name: field for field in dataclasses.fields(whole)}
    if name not in fields:
        hint = _renamed(type(whole).__name__, name) or f"{near(name, fields)}there are: {', '.join(sorted(fields))}"
        raise BiosegError(f"there is no '{name}' here; {hint}")
    old = getattr(whole, name)
    if deeper:
        new = _replaced(old, deeper, value)
    elif value is None and fields[name].default is None:
        new = None
    else:
        new = _converted(old, value)
    return dataclasses.replace(whole, **{name: new})


def _with_argument(whole: Call[Any], name: str, deeper: list[str], value: Any) -> Call[Any]:
    parts = dict(whole.arguments)
    if hint := _renamed(whole.name, name):
        raise BiosegError(f"{whole.name} has no argument '{name}'; {hint}")
    if deeper and name not in parts:
        raise BiosegError(f"{whole.name} has no argument '{name}' set; there are: {', '.join(parts) or 'none'}")
    new = _replaced(parts[name], deeper, value) if deeper else _converted(parts.get(name), value)
    return Call(whole.function, tuple({**parts, name: new}.items()))


def near(name: str, known: Iterable[str]) -> str:
    """``did you mean 'epochs'? `` if one of the known names is much like ``name``, else nothing."""
    found = get_close_matches(name, list(known), 1)
    return f"did you mean '{found[0]}'? " if found else ""


def _renamed(kind: str, name: str) -> str:
    return f"it is called {new} now" if (new := new_name(kind, name)) else ""


def _converted(old: Any, value: Any) -> Any:
    """``value`` as what replaces ``old``: a function by its name, a part's default for null, a float for a float."""
    if isinstance(old, Call) and isinstance(value, dict) and isinstance(value.get("function"), str):
        arguments = {name: argument for name, argument in value.items() if name != "function"}
        return Call(_beside(old.function, value["function"]), tuple(arguments.items()))
    if isinstance(old, Call) and isinstance(value, str):
        return Call(_beside(old.function, value))
    if value is None and dataclasses.is_dataclass(old) and not isinstance(old, type):
        return type(old)()
    if isinstance(old, float) and isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**53:
        return float(value)
    return value


def _beside(old: Callable[..., Any], name: str) -> Any:
    """The function called ``name`` in the module of ``old``."""
    module = sys.modules[old.__module__]
    names = sorted(one for one, thing in vars(module).items() if _belongs(thing, module.__name__))
    if name not in names:
        raise BiosegError(f"there is no function '{name}'; {near(name, names)}there are: {', '.join(names)}")
    return getattr(module, name)


def _belongs(thing: Any, module: str) -> bool:
    """Whether it is a public function of that module."""
    return callable(thing) and getattr(thing, "__module__", "") == module and not thing.__name__.startswith("_")
