"""Users' own recipes, and the networks, losses, layouts and splits that these name: run only where that is allowed.

The record of a run that was made with such code lists its modules, each with the SHA-256 of its source, and ``code/`` keeps a
copy of them. Opening the run runs the code again, so it has to be allowed again; code that is not what was recorded is refused.
"""

import hashlib
import importlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from bioseg import files, recipes
from bioseg.recipe import Recipe, SegmentationRecipe, TranslationRecipe
from bioseg.record import RECORD, Resolve, encode
from bioseg.types import BiosegError

FOLDER = "code"
PREFIX = "user_"
"""Before the name of a file's module, so that it hides no other."""

Code = dict[str, dict[str, str]]
"""By module: ``sha256`` of its source, and ``from``: opened from the ``copy`` in the run folder, or from its ``package``."""


def get_recipe(source: str, *, allow: bool) -> Recipe:
    """A recipe of ours by its name, or one in a file or a module of the user's.

    Args:
        source: ``nuclei``, or ``my_recipe.py``, ``package.module:NAME``.
        allow: Whether the user's code may be run.

    Raises:
        BiosegError: It may not, it cannot be run, or holds no such recipe.
    """
    place, _, name = (source, "", "RECIPE") if source.endswith(".py") else source.rpartition(":")
    if not place:
        return recipes.get(source)
    if not allow:
        raise BiosegError(f"{source}: is code, which is run to read the recipe; give --allow-code if you trust it")
    path = Path(source)
    if path.suffix == ".py":
        module = _run(f"{PREFIX}{path.stem}", path, files.read_bytes(path, "give a Python file that defines RECIPE"))
    else:
        module = _imported(place)
    recipe = getattr(module, name, None)
    if not isinstance(recipe, SegmentationRecipe | TranslationRecipe):
        raise BiosegError(f"{source}: defines no recipe called {name}; write {name} = SegmentationRecipe(…) in it")
    return recipe


def collect(recipe: Recipe) -> Code:
    """The user's modules that a recipe names; empty for a recipe of bioseg's own functions.

    Raises:
        BiosegError: One has no source file that could be kept.
    """
    names = {name.partition(":")[0] for name in _names(encode(recipe))}
    return {
        name: {"sha256": _digest(_source(name)), "from": "copy" if name.startswith(PREFIX) else "package"}
        for name in sorted(names)
        if name.partition(".")[0] != "bioseg"
    }


def refuse_changed(code: Code, record: dict[str, Any], folder: Path) -> None:
    """Make sure that a run goes on with the code it was made with.

    Raises:
        BiosegError: A module's source is another.
    """
    for name, entry in record.get("code", {}).items():
        if name in code and code[name].get("sha256") != entry.get("sha256"):
            raise _changed(f"{folder / RECORD}: code.{name}", str(code[name].get("sha256")), entry)


def keep(code: Code, folder: Path) -> None:
    """Copy the source of all modules into the run folder."""
    for name in code:
        files.write(folder / FOLDER / f"{name}.py", _source(name))


def resolver(record: dict[str, Any], folder: Path, *, allow: bool) -> Resolve:
    """What finds the user's functions that the record of a run names.

    Raises:
        BiosegError: The record names code and that may not be run, cannot be run, or is not what was recorded.
    """
    code: Code = record.get("code", {})
    if code and not allow:
        raise BiosegError(
            f"{folder}: runs code of its author's ({', '.join(code)}); read it in {folder / FOLDER}, then give "
            "--allow-code if you trust it"
        )
    modules = {name: _opened(name, entry, folder) for name, entry in code.items()}

    def resolve(name: str) -> Callable[..., Any] | None:
        module, _, attribute = name.partition(":")
        if module in modules and not callable(getattr(modules[module], attribute, None)):
            raise BiosegError(f"names {name!r}, which is not in that code")
        return getattr(modules[module], attribute) if module in modules else None

    return resolve


def unopened(record: dict[str, Any]) -> Resolve:
    """Stands in for the user's functions where a record is only read, and runs nothing."""
    return lambda name: _not_run if name.partition(":")[0] in record.get("code", {}) else None


def _not_run(*values: Any, **arguments: Any) -> Any:
    raise AssertionError("a recipe that is only read is not run")


def _opened(name: str, entry: dict[str, str], folder: Path) -> ModuleType:
    where = f"{folder / RECORD}: code.{name}"
    if name.partition(".")[0] == "bioseg" or not all(part.isidentifier() for part in name.split(".")):
        raise BiosegError(f"{where}: is no module of a user's; the file is foreign or was changed")
    if entry.get("from") == "package":
        module, data = _imported(name), _source(name)
    else:
        path = folder / FOLDER / f"{name}.py"
        module, data = None, files.read_bytes(path, "restore the run folder, or train again")
    if _digest(data) != entry.get("sha256"):
        raise _changed(where, _digest(data), entry)
    return module or _run(name, path, data)


def _changed(where: str, digest: str, entry: dict[str, str]) -> BiosegError:
    return BiosegError(f"{where}: SHA-256 is {digest}, not {entry.get('sha256')}; restore the code it was made with")


def _run(name: str, path: Path, data: bytes) -> ModuleType:
    """The module of a file's content; the same content under the same name is run once."""
    known = sys.modules.get(name)
    if known is not None and getattr(known, "_source", None) == data:
        return known
    module = ModuleType(name)
    vars(module).update(__file__=str(path), _source=data)
    sys.modules[name] = module  # where dataclasses and pickle look for it
    try:
        exec(compile(data, path, "exec"), vars(module))
    except Exception as fault:
        del sys.modules[name]
        raise BiosegError(f"{path}: {_line(fault)}; mend it") from None
    return module


def _imported(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except Exception as fault:
        raise BiosegError(f"{name}: cannot be imported ({_line(fault)}); install the package it is in") from None


def _source(name: str) -> bytes:
    module = sys.modules.get(name)
    known: bytes | None = getattr(module, "_source", None)
    if known is not None:
        return known
    path = Path(getattr(module, "__file__", None) or "")
    if name == "__main__" or path.suffix != ".py":
        raise BiosegError(
            f"{name}: has no source file that a run could keep; put your functions into a .py file of their own"
        )
    return files.read_bytes(path, "restore it")


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _line(fault: Exception) -> str:
    return f"{type(fault).__name__}: {fault}".splitlines()[0]


def _names(value: Any) -> Iterator[str]:
    """Every ``module:name`` in an encoded recipe."""
    if isinstance(value, dict):
        yield from (value[key] for key in ("$type", "$call", "$function") if key in value)
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _names(inner)
