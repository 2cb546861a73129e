"""Segment 2-D medical and microscopy images with U-Nets.

The names below are imported when they are first used, so that ``import bioseg`` is quick and loads no PyTorch.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bioseg.api import Measurements, evaluate, load, measure, predict_many, train
    from bioseg.inference.predictor import Predictor
    from bioseg.postprocess.masks import Prediction
    from bioseg.recipe import SegmentationRecipe, Training, TranslationRecipe
    from bioseg.recipes import get as get_recipe
    from bioseg.specs import call
    from bioseg.types import BiosegError, Callbacks, Case, Problem

__version__ = "0.2.0"
_PLACES = {
    "BiosegError": "bioseg.types:BiosegError",
    "Callbacks": "bioseg.types:Callbacks",
    "Case": "bioseg.types:Case",
    "Measurements": "bioseg.api:Measurements",
    "Prediction": "bioseg.postprocess.masks:Prediction",
    "Predictor": "bioseg.inference.predictor:Predictor",
    "Problem": "bioseg.types:Problem",
    "SegmentationRecipe": "bioseg.recipe:SegmentationRecipe",
    "Training": "bioseg.recipe:Training",
    "TranslationRecipe": "bioseg.recipe:TranslationRecipe",
    "call": "bioseg.specs:call",
    "evaluate": "bioseg.api:evaluate",
    "get_recipe": "bioseg.recipes:get",
    "load": "bioseg.api:load",
    "measure": "bioseg.api:measure",
    "predict_many": "bioseg.api:predict_many",
    "train": "bioseg.api:train",
}
__all__ = [
    "BiosegError", "Callbacks", "Case", "Measurements", "Prediction", "Predictor", "Problem", "SegmentationRecipe", "Training",
    "TranslationRecipe", "call", "evaluate", "get_recipe", "load", "measure", "predict_many", "train",
]  # fmt: skip
_PACKAGES = ("datasets", "evaluation", "models", "tracking")
"""What can be used alone, as ``bioseg.evaluation.dice``."""


def __getattr__(name: str) -> Any:
    """A public name, or a package of functions that can be used alone, imported now."""
    if name in _PACKAGES:
        return importlib.import_module(f"bioseg.{name}")
    if name not in _PLACES:
        raise AttributeError(f"module 'bioseg' has no attribute {name!r}")
    module, _, attribute = _PLACES[name].partition(":")
    return getattr(importlib.import_module(module), attribute)
