"""Folders, cases, splits, preparation and augmentation; what is used alone most is a name of this package too.

They are imported when they are first used.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bioseg.datasets.folders import list_cases
    from bioseg.datasets.torch_dataset import SegmentationDataset

_PLACES = {"SegmentationDataset": "torch_dataset", "list_cases": "folders"}
__all__ = ["SegmentationDataset", "list_cases"]


def __getattr__(name: str) -> Any:
    """A public name, imported now."""
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_PLACES[name]}"), name)
