"""Give a run what it needs to say how far to trust its predictions."""

from collections.abc import Callable
from pathlib import Path

from bioseg import files
from bioseg.data.dataset import Samples, load
from bioseg.inference.predictor import QUALITY, Predictor, fold_folders, read_record
from bioseg.inference.quality import Quality
from bioseg.recipe import encode, read_cases
from bioseg.training.fit_quality import fit_quality
from bioseg.types import Call, call

Progress = Callable[[int, int], None]


def renew_quality(run: Path, data: Path, *, how: Call[Quality] | None = None, device: str = "auto") -> None:
    """Write ``quality.json`` of a finished run anew, or for the first time.

    Args:
        run: As ``bioseg train`` wrote it.
        data: The folder it was trained on.
        how: As :attr:`bioseg.recipe.SegmentationRecipe.quality`; by default the recipe's, else the usual.
        device: Where to compute.

    Raises:
        BiosegError: ``run`` is no run, or ``data`` holds no case at all.
    """
    recipe = Predictor.open(run, device).recipe
    parts = [read_record(fold)["parts"] for fold in fold_folders(run, read_record(run))]
    used = {name for part in parts for name in (*part["train"], *part["validation"])}
    samples = load([case for case in read_cases(recipe, data) if case.id in used], recipe.preparation)
    add_quality(run, how or recipe.quality or call(fit_quality), samples, device=device)


def add_quality(
    run: Path, how: Call[Quality], samples: Samples, *, device: str, progress: Progress = lambda done, total: None
) -> None:
    """Learn it from the run's own training and validation cases and write ``quality.json``.

    Each fold learns from its own parts, so that its own cases are judged as new ones would be. The ensemble learns from the
    first fold's: no picture is new to all folds, but those are to the network whose features are compared.

    Args:
        run: A run folder with its weights.
        how: (predictor, training samples, validation samples) → quality.
        samples: At least its training and validation cases that could be read.
        device: Where to compute.
        progress: Told (done, total).
    """
    places = {case.id: index for index, case in enumerate(samples.cases)}
    folds = fold_folders(run, read_record(run))
    learned = {run: folds[0]} | {fold: fold for fold in folds}
    for done, (folder, fold) in enumerate(learned.items(), 1):
        parts = read_record(fold)["parts"]
        train, validation = (
            samples.select([places[name] for name in parts[part] if name in places]) for part in ("train", "validation")
        )
        files.write_json(folder / QUALITY, encode(how(Predictor.open(folder, device), train, validation)))
        progress(done, len(learned))
