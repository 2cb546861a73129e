"""Segment 2-D medical and microscopy images with U-Nets.

The names below are imported when they are first used, so that ``import bioseg`` is quick and loads no PyTorch.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bioseg.api import evaluate, load, train
    from bioseg.inference.predictor import Predictor
    from bioseg.recipe import SegmentationRecipe, Training, TranslationRecipe
    from bioseg.recipes import get as get_recipe
    from bioseg.specs import call
    from bioseg.types import BiosegError, Callbacks, Case

__version__ = "0.2.0"
_PLACES = {
    "BiosegError": "bioseg.types:BiosegError",
    "Callbacks": "bioseg.types:Callbacks",
    "Case": "bioseg.types:Case",
    "Predictor": "bioseg.inference.predictor:Predictor",
    "SegmentationRecipe": "bioseg.recipe:SegmentationRecipe",
    "Training": "bioseg.recipe:Training",
    "TranslationRecipe": "bioseg.recipe:TranslationRecipe",
    "call": "bioseg.specs:call",
    "evaluate": "bioseg.api:evaluate",
    "get_recipe": "bioseg.recipes:get",
    "load": "bioseg.api:load",
    "train": "bioseg.api:train",
}
__all__ = [
    "BiosegError", "Callbacks", "Case", "Predictor", "SegmentationRecipe", "Training",
    "TranslationRecipe", "call", "evaluate", "get_recipe", "load", "train",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    """A public name, imported now."""
    if name not in _PLACES:
        raise AttributeError(f"module 'bioseg' has no attribute {name!r}")
    module, _, attribute = _PLACES[name].partition(":")
    return getattr(importlib.import_module(module), attribute)
