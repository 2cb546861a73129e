"""One small module a recipe, each holding ``RECIPE``; a recipe's name is its module's, with hyphens.

Most make a segmenter; those of the CycleGAN make a translator, which :func:`get` tells by their type.
"""

import importlib
import pkgutil
from typing import TYPE_CHECKING

from bioseg.types import BiosegError

if TYPE_CHECKING:
    from bioseg.recipe import Recipe


def names() -> list[str]:
    """All recipes' names, sorted."""
    return sorted(module.name.replace("_", "-") for module in pkgutil.iter_modules(__path__))


def get(name: str) -> "Recipe":
    """The recipe called ``name``.

    Raises:
        BiosegError: There is none.
    """
    if name not in names():
        raise BiosegError(f"{name}: no such recipe; there are: {', '.join(names())}")
    recipe: Recipe = importlib.import_module(f"{__name__}.{name.replace('-', '_')}").RECIPE
    return recipe
