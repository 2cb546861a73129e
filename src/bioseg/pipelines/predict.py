"""Segment files and folders: a mask per image, and tables of measurements."""

import os
from collections.abc import Iterable, Mapping, Sequence, Set
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from bioseg import files
from bioseg.datasets import folders, planes
from bioseg.images import formats
from bioseg.inference.predictor import Predictor
from bioseg.outputs import saving
from bioseg.outputs import volumes as volume_files
from bioseg.outputs.dicom_seg import Algorithm, Segmentations
from bioseg.outputs.measure import measure
from bioseg.outputs.names import MASK, SEG, printable
from bioseg.outputs.segmented import Segmented
from bioseg.outputs.structures import structure_of
from bioseg.outputs.tables import MEASUREMENTS, Tables, read_tables
from bioseg.outputs.volumes import Volumes
from bioseg.pipelines.ledger import claim_names, claimed
from bioseg.pipelines.output_folder import refuse_inputs, refuse_run
from bioseg.pipelines.stream import Predicted, stream
from bioseg.types import SILENT, BiosegError, Callbacks, Case, Problem

LEDGER = "prediction.json"


def find_images(paths: Iterable[Path], plane: str = "") -> list[Case]:
    """The files among ``paths`` and, sorted, the images in the folders among them; a file of several is a case for each.

    Masks that lie there too, and what an earlier prediction wrote there, are left out.

    Args:
        paths: Files and folders.
        plane: Of files with several images, see :func:`bioseg.datasets.planes.choose`.

    Raises:
        BiosegError: A path does not exist, none holds an image, or ``plane`` is not valid.
    """
    found: dict[Path, Case] = {}
    for path in paths:
        if path.is_dir():
            written = claimed(path / LEDGER)
            for case in folders.list_images(path, plane):
                if case.path not in written:
                    found.setdefault(case.place, case)
        elif path.exists():
            for case in planes.each([folders.case_of(path)], plane):
                found.setdefault(case.place, case)
        else:
            raise BiosegError(f"{path}: no such file or folder")
    if not found:
        raise BiosegError(
            f"{', '.join(map(str, paths))}: no image found; bioseg reads {' '.join(sorted(formats.SUFFIXES))}"
        )
    return list(found.values())


def predict(
    predictor: Predictor, cases: Sequence[Case], out: Path, *, save: str | Sequence[str] = (), probabilities: bool = False,
    callbacks: Callbacks = SILENT,
) -> tuple[int, list[Problem]]:  # fmt: skip
    """Write the files of every image, by default ``<stem>.png`` (0/255), and tables; one bad image stops no other.

    A model that separates objects writes ``<stem>.labels.png`` (16 bit, one number per object) and ``objects.csv`` too, one
    that draws boxes ``submission.csv``, as the RSNA challenge wants it.

    The tables cover exactly the masks that lie in ``out``, also if this is interrupted; the same call then does the rest. The
    same model may add to an earlier prediction: its rows stay as long as their masks do, and where no mask was asked for, for
    good. ``prediction.json`` says which model it was and which name each image got.

    Args:
        predictor: The model.
        cases: See :func:`find_images`.
        out: Folder; images of the same stem get their folder's name in front.
        save: What to write, see :func:`bioseg.outputs.saving.choose`; a DICOM SEG is written for each series.
        probabilities: Write ``<stem>.probability.png`` too, 16 bit, 65535 for 1.
        callbacks: Hears how far it is, and how many are flagged where the model can tell.

    Returns:
        How many were segmented, and the others with the reason; tables that could not be written are among them.

    Raises:
        BiosegError: ``out`` is a file, may not be written, is written by another process, holds a run or the masks of another
            model; a file would overwrite an image or a file that is not this model's; or ``save`` is not valid.
    """
    classes = predictor.recipe.preparation.classes
    chosen = saving.choose(
        save,
        instances=predictor.recipe.postprocess.instances is not None,
        overlapping=classes.several and not classes.exclusive,
    )
    if probabilities:
        chosen |= {"probability"}
    refuse_inputs(out)
    refuse_run(out)
    with files.lock(out):
        if (out / MEASUREMENTS).exists() and not (out / LEDGER).exists():
            raise BiosegError(
                f"--out {out}: holds {MEASUREMENTS} and no {LEDGER}, of another program; choose another --out"
            )
        whole = {case.path: replace(case, plane=None) for case in cases if case.plane is not None}
        named = [*cases, *whole.values()]
        names = claim_names(out / LEDGER, predictor.recipe.name, predictor.fingerprint, named)
        wanted = {printable(case.place) for case in named}
        if (out / MEASUREMENTS).exists():
            chosen |= {saving.CSV}
        tables = read_tables(out, names, wanted, predictor.recipe.postprocess, complete=saving.CSV in chosen)
        return _predict(predictor, cases, out, names, tables, chosen, callbacks)


def _predict(
    predictor: Predictor, cases: Sequence[Case], out: Path, names: dict[str, str], tables: Tables, chosen: Set[str],
    callbacks: Callbacks,
) -> tuple[int, list[Problem]]:  # fmt: skip
    count, flagged, problems = 0, 0, list[Problem]()
    structure = structure_of(predictor.recipe.task)
    segmentations = Segmentations(Algorithm(predictor.recipe.name, predictor.fingerprint, structure))
    as_series = saving.DICOM_SEG in chosen or _earlier(out, SEG, names, cases, "highdicom")
    volumes = Volumes()
    as_volumes = saving.NIFTI in chosen or _earlier(out, volume_files.SUFFIX, names, cases, "nibabel")

    def write(found: Predicted) -> bool:
        """Write the files of one image, then its rows; says whether it is flagged. Runs in a worker thread."""
        case, raw_image, prediction = found.prepared.case, found.prepared.raw_image, found.prediction
        stem = out / names[printable(case.place)]
        segmented = Segmented(prediction, raw_image, case.image, structure)
        saving.write_files(stem, segmented, chosen if case.plane is None else chosen - {saving.NIFTI})
        if as_volumes and case.plane is not None:
            volumes.add(case, segmented)
        if as_series:
            segmentations.add(case, prediction.mask)
        objects = [] if prediction.labels is None else segmented.measured
        measured, mask = measure(prediction, raw_image.spacing_mm), stem.with_name(f"{stem.name}{MASK}").exists()
        tables.add(printable(case.place), stem.name, measured, objects, prediction.boxes, mask=mask)
        return prediction.quality is not None and prediction.quality.flagged

    def write_together() -> list[Problem]:
        """What belongs to several images: DICOM SEG of series, volumes, tables."""
        if saving.DICOM_SEG not in chosen:
            segmentations.foreign.clear()  # nobody asked for theirs
        together = segmentations.write(out, names) + volumes.write(out, names)
        return together + (tables.write(out) if saving.CSV in chosen else [])

    try:
        with closing(stream(predictor, cases, write)) as results:
            for done, result in enumerate(results, 1):
                if isinstance(result, Problem):
                    problems.append(result)
                else:
                    count, flagged = count + 1, flagged + result
                callbacks.progress("predicting", done, len(cases), "")
    except BaseException:  # Ctrl-C above all
        for problem in write_together():
            callbacks.log(problem.reason)
        callbacks.log(f"stopped after {count} of {len(cases)} images, which are in {out}; give the same command again")
        raise
    problems += write_together()
    if predictor.quality:
        callbacks.log(f"{flagged} of {count} flagged for review; the reasons stand in {out / MEASUREMENTS}")
    return count, problems


def _earlier(out: Path, suffix: str, names: Mapping[str, str], cases: Sequence[Case], package: str) -> bool:
    """Whether an earlier prediction left a file for several of these images, to be written anew with their masks."""
    there, own = set(os.listdir(out)), {printable(path) for case in cases for path in (case.place, case.path)}
    return any(f"{names[path]}{suffix}" in there for path in own if path in names) and saving.installed(package)
