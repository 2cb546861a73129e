"""Scores of masks, objects and boxes, from NumPy arrays alone; the main ones are names of this package too.

They are imported when they are first used.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bioseg.evaluation.instances import instance_scores
    from bioseg.evaluation.overlap import confusion, dice, iou
    from bioseg.evaluation.summary import Row, summarise
    from bioseg.evaluation.surface import hausdorff95, surface_dice

_PLACES = {
    "Row": "summary", "confusion": "overlap", "dice": "overlap", "hausdorff95": "surface", "instance_scores": "instances",
    "iou": "overlap", "summarise": "summary", "surface_dice": "surface",
}  # fmt: skip
__all__ = ["Row", "confusion", "dice", "hausdorff95", "instance_scores", "iou", "summarise", "surface_dice"]


def __getattr__(name: str) -> Any:
    """A public name, imported now."""
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_PLACES[name]}"), name)
