"""Config files: what options and ``--set`` can say, as TOML.

``[options]`` holds options of the command by their names; every other section or value is a setting of the recipe, by the path
that ``--set`` takes: ``epochs = 30`` in ``[training]`` is ``--set training.epochs=30``. The text ``"null"`` is null, which TOML has
not; with ``function``, a section replaces a function and all its arguments, without it only the arguments that it has.
"""

import dataclasses
import json
import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from typing import Any, TypeVar

from bioseg import files
from bioseg.record import encode
from bioseg.settings import override
from bioseg.specs import Call
from bioseg.types import BiosegError

R = TypeVar("R")
OPTIONS, FUNCTION, NULL = "options", "function", "null"
ABOUT = ("name", "task", "purpose")
BARE = re.compile(r"[A-Za-z0-9_-]+")


@dataclass(frozen=True)
class ConfigFile:
    """What a config file says.

    Attributes:
        path: The file.
        text: Its content.
        options: Values by the names of options.
        settings: ``path=value`` each, as ``--set`` takes them.
    """

    path: Path
    text: str
    options: dict[str, Any]
    settings: tuple[str, ...]

    def applied(self, recipe: R) -> R:
        """``recipe`` with the settings.

        Raises:
            BiosegError: There is no such value, or it is of another type or out of its range; the message names the file.
        """
        return reduce(lambda changed, setting: override(changed, setting, where=f"{self.path}:"), self.settings, recipe)


def read(path: Path) -> ConfigFile:
    """Read a config file; whether a recipe has what it sets is not known yet.

    Raises:
        BiosegError: It is missing, or no TOML.
    """
    text = files.read_text(path, "give a TOML file; `bioseg recipes NAME` prints one")
    try:
        content = tomllib.loads(text)
        options = content.pop(OPTIONS, {})
        if not isinstance(options, dict):
            raise BiosegError(f"{path}: {OPTIONS} is no section; write [{OPTIONS}] and below it one option per line")
        return ConfigFile(path, text, options, tuple(_settings(content)))
    except (tomllib.TOMLDecodeError, RecursionError) as fault:
        raise BiosegError(f"{path}: no TOML: {str(fault) or 'nested too deep'}; mend the line") from None
    except TypeError as fault:  # a date
        raise BiosegError(f"{path}: {fault}; give a number, a text or a list") from None


def write(recipe: Any) -> str:
    """A recipe as a config file to start from; read and applied to the same recipe it changes nothing.

    What is null is a comment, and so is what a setting cannot replace.
    """
    head = [f"# {recipe.name}: {recipe.task}; {recipe.purpose}".replace("\n", " ")]
    options = [f"[{OPTIONS}]", f"recipe = {_toml(recipe.name)}", '# data = "my-images"', '# out = "runs/mine"']
    lines = _section("", {field.name: getattr(recipe, field.name) for field in dataclasses.fields(recipe)})
    if getattr(recipe, "configure", None):
        lines = [
            "# What is set here, the recipe does not choose from the data.",
            *(f"# {line}".rstrip() for line in lines),
        ]
    first = next((index for index, line in enumerate(lines) if line.startswith("[")), len(lines))
    return "\n".join([*head, *lines[:first], *options, "", *lines[first:]]).rstrip() + "\n"


def _settings(content: dict[str, Any], path: str = "") -> Iterator[str]:
    for key, value in content.items():
        whole = f"{path}.{key}".lstrip(".")
        if isinstance(value, dict) and not any(name == FUNCTION or name.startswith("$") for name in value):
            yield from _settings(value, whole)
        else:
            yield f"{whole}={json.dumps(None if value == NULL else value)}"


def _section(path: str, values: dict[str, Any]) -> list[str]:
    """The lines of one section, simple values first, and of the sections in it."""
    own, inner = list[str](), list[str]()
    for key, value in values.items():
        deeper = f"{path}.{key}".lstrip(".")
        if isinstance(value, Call) and value.arguments:
            inner += _section(deeper, {FUNCTION: value.name, **{name: encode(one) for name, one in value.arguments}})
        elif dataclasses.is_dataclass(value) and not isinstance(value, type | Call):
            inner += _section(deeper, {field.name: getattr(value, field.name) for field in dataclasses.fields(value)})
        elif value is None:
            own.append(f"# {key} = {_toml(NULL)}")
        elif path or key not in ABOUT:
            own += _line(key, value)
    return [*([f"[{path}]"] if path else []), *own, "", *inner]


def _line(key: str, value: Any) -> list[str]:
    if isinstance(value, Call):
        return [f"{key} = {_toml(value.name)}"]
    return [] if callable(value) else [f"{key} = {_toml(encode(value))}"]


def _toml(value: Any) -> str:
    """A JSON value as TOML on one line."""
    if isinstance(value, dict):
        pairs = (f"{key if BARE.fullmatch(key) else json.dumps(key)} = {_toml(one)}" for key, one in value.items())
        return f"{{ {', '.join(pairs)} }}"
    if isinstance(value, list):
        return f"[{', '.join(map(_toml, value))}]"
    return repr(value) if isinstance(value, float) else json.dumps(value, ensure_ascii=False)
