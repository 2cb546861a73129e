"""The functions of ``import bioseg``: the pipelines with plain arguments.

Each imports its pipeline when it is called: predicting from a model file needs no PyTorch.
"""

from collections.abc import Generator, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bioseg.images.formats import RawImage, to_raw_image
from bioseg.inference.predictor import Predictor, Source
from bioseg.outputs.class_tables import OF_CLASS, of_class
from bioseg.outputs.measure import MEASURED, OBJECT_COLUMNS
from bioseg.outputs.measure import measure as measure_image
from bioseg.outputs.segmented import Segmented
from bioseg.outputs.structures import OTHER
from bioseg.pipelines.open import open_predictor
from bioseg.postprocess.masks import Prediction
from bioseg.recipe import SegmentationRecipe
from bioseg.specs import call
from bioseg.types import SILENT, BiosegError, Callbacks, Problem

if TYPE_CHECKING:
    from bioseg.pipelines.assemble import TrainResult
    from bioseg.recipe import Recipe


def load(model: Path | str, device: str = "auto", *, allow_code: bool = False, backend: str = "auto") -> Predictor:
    """Open a run folder, a model file, or a pretrained model by its name; see :func:`bioseg.pipelines.open.open_predictor`.

    A run that was made with its author's own code runs that only with ``allow_code``.

    Example: ``bioseg.load("nuclei").predict("image.png").mask``.

    Raises:
        BiosegError: There is no such model, or it is damaged.
    """
    return open_predictor(model, device, allow_code=allow_code, backend=backend)


def predict_many(
    model: Predictor, sources: Iterable[Source], *, batch_size: int = 1, workers: int | None = None
) -> Generator[Prediction | Problem, None, None]:
    """Predict images as they come, in order, with bounded look-ahead; see :func:`bioseg.pipelines.stream.predict_many`.

    An image that cannot be used costs no other: a :class:`bioseg.types.Problem` is in its place.
    """
    from bioseg.pipelines.stream import predict_many as run_stream

    return run_stream(model, sources, batch_size=batch_size, workers=workers)


@dataclass(frozen=True)
class Measurements:
    """What ``bioseg predict`` writes into its tables, of one prediction; None where a value is unknown.

    Attributes:
        image: Value by column of ``measurements.csv``.
        classes: For each class by its name, area, components and mean probability under the same names.
        objects: For each object, value by column of ``objects.csv`` and, of several classes, its ``class``; without a model that
            separates objects, an object is an 8-connected component.
    """

    image: dict[str, Any]
    classes: dict[str, dict[str, Any]]
    objects: list[dict[str, Any]]


def measure(prediction: Prediction, image: Source) -> Measurements:
    """Measure a prediction: areas in px and, where the file says its spacing, mm²; objects with position and intensity.

    Args:
        prediction: Of ``image``, on its own grid.
        image: As it was predicted: a path, bytes, an array, or what :func:`bioseg.images.formats.read` returned; of a file that a
            recipe's own reader reads, what that returned.

    Raises:
        BiosegError: The image cannot be read, or is of another size.
    """
    raw_image = to_raw_image(image)
    found, given = prediction.mask.shape, raw_image.pixels.shape[:2]
    if found != given:
        raise BiosegError(f"measure: the prediction is {found}, the image {given}; give the image it was made from")
    segmented = Segmented(prediction, raw_image, b"", OTHER)
    return Measurements(
        _of_image(prediction, raw_image),
        {name: _named(OF_CLASS, of_class(one, raw_image)) for name, one in prediction.classes.items()},
        [_of_object(row, segmented) for row in segmented.measured],
    )


def _of_image(prediction: Prediction, raw_image: RawImage) -> dict[str, Any]:
    return _named(MEASURED, measure_image(prediction, raw_image))


def _of_object(row: Sequence[Any], segmented: Segmented) -> dict[str, Any]:
    of_class = {"class": segmented.class_of[row[0]]} if segmented.several else {}
    return _named(OBJECT_COLUMNS[1:], row) | of_class


def _named(columns: Sequence[str], values: Sequence[object]) -> dict[str, Any]:
    return {name: None if value == "" else value for name, value in zip(columns, values, strict=True)}


def train(
    recipe: SegmentationRecipe | str | None, data: Path | str, out: Path | str, *, folds: int = 0,
    split: Path | str | None = None, settings: Sequence[str] = (), channels: Sequence[str | int] = (), resume: bool = False,
    device: str = "auto", allow_code: bool = False, plane: str = "", callbacks: Callbacks = SILENT,
    init: Path | str | None = None, init_part: str = "all",
) -> "TrainResult":  # fmt: skip
    """Train on a folder of images and masks, evaluate, and write a report.

    Args:
        recipe: Its name, or a recipe of your own: a value, ``my_recipe.py``, or ``package.module:NAME``; None: that of ``init``.
        data: Folder of images and masks.
        out: Run folder to write.
        folds: Cross-validate with this many folds, patients kept apart; 0: one split.
        split: A table with the columns ``id`` and ``part`` (train, validation, test) instead of the recipe's split.
        settings: ``path=value`` each, as ``--set`` takes them.
        channels: The channels of the images to use, by number from 1 or by name; empty: all.
        resume: Continue the run that lies in ``out``.
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:1`` …
        allow_code: The recipe may name functions that are not bioseg's.
        plane: Of files with several images, see :func:`bioseg.datasets.planes.choose`.
        callbacks: Hears how far it is.
        init: Model whose weights to start from: a run folder, the name of a pretrained model, or a safetensors file.
        init_part: ``all`` of it that fits, or its ``encoder``.

    Raises:
        BiosegError: There is too little data, ``out`` holds something else, or an argument is invalid.
    """
    from bioseg import user_code
    from bioseg.datasets.splits import from_csv
    from bioseg.pipelines.initial import open_initial, recipe_to_go_on_with
    from bioseg.pipelines.train import TrainJob
    from bioseg.pipelines.train import train as run_training
    from bioseg.settings import channel_settings

    start = open_initial(init, init_part, folds=folds, allow_code=allow_code) if init else None
    how: Recipe
    if recipe is None:
        how = recipe_to_go_on_with(start, Path(out), resume=resume, allow_code=allow_code)
    else:
        how = user_code.get_recipe(recipe, allow=allow_code) if isinstance(recipe, str) else recipe
    if not isinstance(how, SegmentationRecipe):
        raise BiosegError(f"{how.name}: is a translation recipe; use bioseg.pipelines.train_translator")
    chosen = call(from_csv, path=str(split)) if split else None
    asked = (*channel_settings(how, channels), *settings)
    job = TrainJob(
        how, Path(data), Path(out), folds, chosen, asked, resume, device, allow_code=allow_code, init=start, plane=plane
    )
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
