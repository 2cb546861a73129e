"""Outline things in 2-D medical and microscopy pictures with U-Nets."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bioseg.inference.predictor import Predictor
    from bioseg.recipes import get as recipe

__all__ = ["Predictor", "recipe"]
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    """The public names, imported when they are first used: PyTorch is not loaded before."""
    if name == "Predictor":
        from bioseg.inference.predictor import Predictor

        return Predictor
    if name == "recipe":
        from bioseg.recipes import get

        return get
    raise AttributeError(f"module 'bioseg' has no attribute {name!r}")
