"""The functions of ``import bioseg``: the pipelines with plain arguments.

Each imports its pipeline when it is called: predicting from a model file needs no PyTorch.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bioseg.inference.predictor import Predictor
from bioseg.pipelines.open import open_predictor
from bioseg.recipe import SegmentationRecipe
from bioseg.specs import call
from bioseg.types import SILENT, BiosegError, Callbacks, Problem

if TYPE_CHECKING:
    from bioseg.pipelines.assemble import TrainResult


def load(model: Path | str, device: str = "auto", *, allow_code: bool = False, backend: str = "auto") -> Predictor:
    """Open a run folder, a model file, or a pretrained model by its name; see :func:`bioseg.pipelines.open.open_predictor`.

    A run that was made with its author's own code runs that only with ``allow_code``.

    Example: ``bioseg.load("nuclei").predict("image.png").mask``.

    Raises:
        BiosegError: There is no such model, or it is damaged.
    """
    return open_predictor(model, device, allow_code=allow_code, backend=backend)


def train(
    recipe: SegmentationRecipe | str, data: Path | str, out: Path | str, *, folds: int = 0, split: Path | str | None = None,
    settings: Sequence[str] = (), resume: bool = False, device: str = "auto", allow_code: bool = False, plane: str = "",
    callbacks: Callbacks = SILENT,
) -> "TrainResult":  # fmt: skip
    """Train on a folder of images and masks, evaluate, and write a report.

    Args:
        recipe: Its name, or a recipe of your own: a value, ``my_recipe.py``, or ``package.module:NAME``.
        data: Folder of images and masks.
        out: Run folder to write.
        folds: Cross-validate with this many folds, patients kept apart; 0: one split.
        split: A table with the columns ``id`` and ``part`` (train, validation, test) instead of the recipe's split.
        settings: ``path=value`` each, as ``--set`` takes them.
        resume: Continue the run that lies in ``out``.
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:1`` …
        allow_code: The recipe may name functions that are not bioseg's.
        plane: Of files with several images, see :func:`bioseg.datasets.planes.choose`.
        callbacks: Hears how far it is.

    Raises:
        BiosegError: There is too little data, ``out`` holds something else, or an argument is invalid.
    """
    from bioseg import user_code
    from bioseg.datasets.splits import from_csv
    from bioseg.pipelines.train import TrainJob
    from bioseg.pipelines.train import train as run_training

    how = user_code.get_recipe(recipe, allow=allow_code) if isinstance(recipe, str) else recipe
    if not isinstance(how, SegmentationRecipe):
        raise BiosegError(f"{how.name}: is a translation recipe; use bioseg.pipelines.train_translator")
    chosen = call(from_csv, path=str(split)) if split else None
    job = TrainJob(how, Path(data), Path(out), folds, chosen, tuple(settings), resume, device, "", allow_code, plane)
    return run_training(job, callbacks)


def evaluate(
    model: Path | str, data: Path | str, out: Path | str, *, adapt: bool = False, unseen_only: bool = False,
    device: str = "auto", allow_code: bool = False, plane: str = "", callbacks: Callbacks = SILENT,
) -> tuple[dict[str, Any], list[Problem]]:  # fmt: skip
    """Score a model on a folder of images and masks; see :func:`bioseg.pipelines.evaluate.evaluate`.

    Returns:
        The summary, and the cases that could not be evaluated.

    Raises:
        BiosegError: ``out`` holds something else, or ``data`` no image with a mask.
    """
    from bioseg.pipelines.evaluate import EvaluateJob
    from bioseg.pipelines.evaluate import evaluate as run_evaluation

    job = EvaluateJob(
        model, Path(data), Path(out), adapt=adapt, unseen_only=unseen_only, device=device, allow_code=allow_code,
        plane=plane,
    )  # fmt: skip
    return run_evaluation(job, callbacks)
