"""A small untrained predictor, and a run folder of one, in no time."""

from pathlib import Path

import torch

from bioseg import files, recipes
from bioseg.inference.backends.torch import torch_backend
from bioseg.inference.predictor import Predictor
from bioseg.migration import FORMAT
from bioseg.models import weights
from bioseg.recipe import SegmentationRecipe
from bioseg.record import encode, fingerprint
from bioseg.settings import override


def small_recipe(*settings: str, name: str = "nuclei-reference") -> SegmentationRecipe:
    """A recipe on a 32 px grid, one epoch."""
    recipe = recipes.get(name)
    assert isinstance(recipe, SegmentationRecipe)
    for setting in ("preparation.size_px=[32,32]", "training.epochs=1", *settings):
        recipe = override(recipe, setting)
    return recipe


def small_predictor(seed: int = 0) -> Predictor:
    """Random weights."""
    recipe = small_recipe()
    torch.manual_seed(seed)
    return Predictor(recipe, (torch_backend(recipe.network(), torch.device("cpu")),), fingerprint=f"seed-{seed}")


def write_run(folder: Path, *, seed: int = 0, **more: object) -> Path:
    """What opening a run needs: a record, with ``more`` in it, and random weights."""
    recipe = small_recipe()
    torch.manual_seed(seed)
    record = {"format": FORMAT, "recipe": encode(recipe), "name": recipe.name, "fingerprint": fingerprint(recipe)}
    files.write_json(folder / "record.json", {**record, "folds": 0, "split": "", "data": "", **more})
    files.write(folder / "best.safetensors", weights.dump(recipe.network()))
    return folder
