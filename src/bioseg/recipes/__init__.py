"""One small module a recipe, each holding ``RECIPE``; a recipe's name is its module's, with hyphens."""

import importlib
import pkgutil
from typing import TYPE_CHECKING

from bioseg.types import BiosegError

if TYPE_CHECKING:
    from bioseg.recipe import SegmentationRecipe


def names() -> list[str]:
    """All recipes' names, sorted."""
    return sorted(module.name.replace("_", "-") for module in pkgutil.iter_modules(__path__))


def get(name: str) -> "SegmentationRecipe":
    """The recipe called ``name``.

    Raises:
        BiosegError: There is none.
    """
    if name not in names():
        raise BiosegError(f"{name}: no such recipe; there are: {', '.join(names())}")
    recipe: SegmentationRecipe = importlib.import_module(f"{__name__}.{name.replace('-', '_')}").RECIPE
    return recipe
