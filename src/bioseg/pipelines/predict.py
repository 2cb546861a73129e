"""Segment files and folders: a mask per image, and tables of measurements."""

from collections.abc import Iterable, Sequence
from contextlib import closing
from pathlib import Path

from bioseg import files
from bioseg.datasets import folders
from bioseg.images import formats, png
from bioseg.inference.predictor import Predictor
from bioseg.outputs.measure import measure, measure_objects
from bioseg.outputs.names import SUFFIXES, printable
from bioseg.outputs.tables import MEASUREMENTS, Tables, read_tables
from bioseg.pipelines.ledger import claim_names
from bioseg.pipelines.output_folder import refuse_inputs, refuse_run
from bioseg.pipelines.stream import Predicted, stream
from bioseg.postprocess.masks import Prediction
from bioseg.types import SILENT, BiosegError, Callbacks, Case, Problem

LEDGER = "prediction.json"


def find_images(paths: Iterable[Path]) -> list[Case]:
    """The files among ``paths`` and, sorted, the images in the folders among them, without masks that lie there too.

    Raises:
        BiosegError: A path does not exist, or none holds an image.
    """
    found: dict[Path, Case] = {}
    for path in paths:
        if path.is_dir():
            for case in folders.list_images(path):
                found.setdefault(case.path, case)
        elif path.exists():
            found.setdefault(path, folders.case_of(path))
        else:
            raise BiosegError(f"{path}: no such file or folder")
    if not found:
        raise BiosegError(
            f"{', '.join(map(str, paths))}: no image found; bioseg reads {' '.join(sorted(formats.SUFFIXES))}"
        )
    return list(found.values())


def predict(
    predictor: Predictor, cases: Sequence[Case], out: Path, *, probabilities: bool = False,
    callbacks: Callbacks = SILENT,
) -> tuple[int, list[Problem]]:  # fmt: skip
    """Write ``<stem>.png`` (0/255) for every image and ``measurements.csv``; one bad image stops no other.

    A model that separates objects writes ``<stem>.labels.png`` (16 bit, one number per object) and ``objects.csv`` too, one
    that draws boxes ``submission.csv``, as the RSNA challenge wants it.

    The tables cover exactly the masks that lie in ``out``, also if this is interrupted; the same call then does the rest. The
    same model may add to an earlier prediction: its rows stay as long as their masks do. ``prediction.json`` says which model
    it was and which name each image got.

    Args:
        predictor: The model.
        cases: See :func:`find_images`.
        out: Folder; images of the same stem get their folder's name in front.
        probabilities: Write ``<stem>.probability.png`` too, 16 bit, 65535 for 1.
        callbacks: Hears how far it is, and how many are flagged where the model can tell.

    Returns:
        How many were segmented, and the others with the reason; tables that could not be written are among them.

    Raises:
        BiosegError: ``out`` is a file, may not be written, is written by another process, holds a run or the masks of another
            model; or a mask would overwrite an image or a file that is not this model's.
    """
    refuse_inputs(out)
    refuse_run(out)
    with files.lock(out):
        if (out / MEASUREMENTS).exists() and not (out / LEDGER).exists():
            raise BiosegError(
                f"--out {out}: holds {MEASUREMENTS} and no {LEDGER}, of another program; choose another --out"
            )
        names = claim_names(out / LEDGER, predictor.recipe.name, predictor.fingerprint, [case.path for case in cases])
        wanted = {printable(case.path) for case in cases}
        tables = read_tables(out, names, wanted, predictor.recipe.postprocess)
        return _predict(predictor, cases, out, names, tables, probabilities, callbacks)


def _predict(
    predictor: Predictor, cases: Sequence[Case], out: Path, names: dict[str, str], tables: Tables, probabilities: bool,
    callbacks: Callbacks,
) -> tuple[int, list[Problem]]:  # fmt: skip
    count, flagged, problems = 0, 0, list[Problem]()

    def write(found: Predicted) -> bool:
        """Write the files of one image, then its rows; says whether it is flagged. Runs in a worker thread."""
        path, prediction = found.prepared.case.path, found.prediction
        stem = out / names[printable(path)]
        try:
            _write_images(stem, prediction, probabilities)
        except BiosegError:
            for suffix in SUFFIXES:
                stem.with_name(stem.name + suffix).unlink(missing_ok=True)
            raise
        raw_image = found.prepared.raw_image
        objects = [] if prediction.labels is None else measure_objects(prediction.labels, raw_image)
        tables.add(printable(path), stem.name, measure(prediction, raw_image.spacing_mm), objects, prediction.boxes)
        return prediction.quality is not None and prediction.quality.flagged

    try:
        with closing(stream(predictor, cases, write)) as results:
            for done, result in enumerate(results, 1):
                if isinstance(result, Problem):
                    problems.append(result)
                else:
                    count, flagged = count + 1, flagged + result
                callbacks.progress("predicting", done, len(cases), "")
    except BaseException:  # Ctrl-C above all
        for problem in tables.write(out):
            callbacks.log(problem.reason)
        callbacks.log(f"stopped after {count} of {len(cases)} images, which are in {out}; give the same command again")
        raise
    problems += tables.write(out)
    if predictor.quality:
        callbacks.log(f"{flagged} of {count} flagged for review; the reasons stand in {out / MEASUREMENTS}")
    return count, problems


def _write_images(stem: Path, prediction: Prediction, probabilities: bool) -> None:
    """Mask, labels and probabilities; a map that is there already is written anew, to belong to its mask."""
    png.write_mask(stem.with_name(f"{stem.name}.png"), prediction.mask)
    if prediction.labels is not None:
        png.write_labels(stem.with_name(f"{stem.name}.labels.png"), prediction.labels)
    probability = stem.with_name(f"{stem.name}.probability.png")
    if probabilities or probability.exists():
        png.write_probability(probability, prediction.probability)
