"""One small module per recipe, each holding ``RECIPE``; a recipe is called as its module is, with hyphens.

Most train a segmentation model; those of the CycleGAN train a translation model and have a type of their own.
"""

import importlib
import pkgutil
from typing import TYPE_CHECKING

from bioseg.types import BiosegError

if TYPE_CHECKING:
    from bioseg.recipe import Recipe


def names() -> list[str]:
    """The names of all recipes, sorted."""
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
