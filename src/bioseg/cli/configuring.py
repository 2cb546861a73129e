"""``--config file.toml`` in front of a command's own options, and the names that a shell completes."""

from pathlib import Path
from typing import Annotated, Any

import typer

from bioseg.types import BiosegError

ONLY_TYPED = ("allow_code", "config", "help", "settings")
"""Parameters that a file may not give: code is allowed by the person at the keyboard, settings have sections of their own."""


def use_config(context: typer.Context, path: Path | None) -> Path | None:
    """Let the options of a config file be this command's defaults; what is typed wins.

    Raises:
        BiosegError: The file cannot be read, or gives what the command does not take.
    """
    if path is None or context.resilient_parsing:
        return path
    from bioseg import config_file
    from bioseg.settings import near

    config = config_file.read(path)
    parameters = {one.name: one for one in context.command.params if one.name}
    by_word = {max(one.opts, key=len).lstrip("-"): one for one in parameters.values()}
    known = sorted(word for word, one in by_word.items() if one.name not in ONLY_TYPED)
    if config.settings and "settings" not in parameters:
        raise BiosegError(f"{path}: {config.settings[0]}: `{context.info_name}` has no settings; keep [options] alone")
    defaults: dict[str, Any] = {}
    for key, value in config.options.items():
        found = by_word.get(key.replace("_", "-"))
        if found is not None and found.name == "allow_code":
            raise BiosegError(f"{path}: options.{key}: a file cannot allow code; give --allow-code if you trust it")
        if found is None or found.name in ONLY_TYPED:
            raise BiosegError(
                f"{path}: options.{key}: `{context.info_name}` has no such option; {near(key, known)}there are: {', '.join(known)}"
            )
        several = getattr(found, "multiple", False) or found.nargs != 1
        defaults[found.name or ""] = value if isinstance(value, list) or not several else [value]
    context.default_map = {**(context.default_map or {}), **defaults}
    return path


Config = Annotated[
    Path | None,
    typer.Option(
        "--config",
        callback=use_config,
        is_eager=True,
        help="TOML file with [options] and settings; what is typed wins.",
    ),
]


def recipes_like(incomplete: str) -> list[str]:
    """Names of recipes, and the user's own files, that begin like this."""
    from bioseg import recipes

    return [
        *_beginning(recipes.names(), incomplete),
        *(name for name in _paths(incomplete) if name.endswith((".py", "/"))),
    ]


def models_like(incomplete: str) -> list[str]:
    """Names of pretrained models, and run folders and model files, that begin like this."""
    from bioseg.inference import pretrained

    return [
        *_beginning(pretrained.names(), incomplete),
        *(name for name in _paths(incomplete) if name.endswith((".bioseg", "/"))),
    ]


def _beginning(names: list[str], incomplete: str) -> list[str]:
    return [name for name in names if name.startswith(incomplete)]


def _paths(incomplete: str) -> list[str]:
    """Files, and folders with a slash at the end, that a shell would complete."""
    folder, _, start = incomplete.rpartition("/")
    place = Path(folder or ("/" if incomplete.startswith("/") else "."))
    before = f"{folder}/" if "/" in incomplete else ""
    found = sorted(place.iterdir()) if place.is_dir() else []
    return [
        f"{before}{path.name}{'/' if path.is_dir() else ''}"
        for path in found
        if path.name.startswith(start) and not path.name.startswith(".")
    ]
