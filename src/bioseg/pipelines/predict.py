"""Segment files and folders: a mask per image, and tables of measurements."""

from collections.abc import Mapping, Sequence, Set
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path

from bioseg import files
from bioseg.inference.predictor import Predictor
from bioseg.outputs import dicom_sr, saving
from bioseg.outputs import volumes as volume_files
from bioseg.outputs.anatomy import divided, measure_image
from bioseg.outputs.anatomy_tables import read_anatomy
from bioseg.outputs.class_tables import read_class_tables
from bioseg.outputs.dicom_seg import Algorithm, Segmentations
from bioseg.outputs.identifiers import identify
from bioseg.outputs.measure import measure
from bioseg.outputs.names import MASK, REPORT, SEG, files_in, printable
from bioseg.outputs.place import place_of
from bioseg.outputs.segmented import Segmented
from bioseg.outputs.structures import segment_names, structure_of
from bioseg.outputs.tables import MEASUREMENTS, Tables, read_tables
from bioseg.outputs.volumes import Volumes
from bioseg.pipelines.inputs import LEDGER, find_images
from bioseg.pipelines.ledger import claim_names
from bioseg.pipelines.output_folder import refuse_inputs, refuse_run
from bioseg.pipelines.stream import Predicted, stream
from bioseg.types import SILENT, BiosegError, Callbacks, Case, Problem

__all__ = ["LEDGER", "find_images", "predict"]

MOST_FLAGS = 5
"""At most this many kinds of flags are told; the table has all."""


def predict(
    predictor: Predictor, cases: Sequence[Case], out: Path, *, save: str | Sequence[str] = (), probabilities: bool = False,
    identifiers: bool = False, callbacks: Callbacks = SILENT,
) -> tuple[int, list[Problem]]:  # fmt: skip
    """Write the files of every image, by default ``<stem>.png`` (0/255), and tables; one bad image stops no other.

    A model that separates objects writes ``<stem>.labels.png`` (16 bit, one number per object) and ``objects.csv`` too, one
    that draws boxes ``submission.csv``, as the RSNA challenge wants it, one of lungs or of the left ventricle ``anatomy.csv`` and,
    for the slices of a series, ``series.csv``.

    The tables cover exactly the masks that lie in ``out``, also if this is interrupted; the same call then does the rest. The
    same model may add to an earlier prediction: its rows stay as long as their masks do, and where no mask was asked for, for
    good. ``prediction.json`` says which model it was and which name each image got.

    Args:
        predictor: The model.
        cases: See :func:`find_images`.
        out: Folder; see :func:`bioseg.outputs.names.name_outputs` for the names in it.
        save: What to write, see :func:`bioseg.outputs.saving.choose`; a DICOM SEG is written for each series.
        probabilities: Write ``<stem>.probability.png`` too, 16 bit, 65535 for 1.
        identifiers: Write PatientIDs into the tables, not hashes of them.
        callbacks: Hears how far it is, and what is flagged.

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
        complete, several = saving.CSV in chosen, classes.several
        tables = read_tables(out, names, wanted, predictor.recipe.postprocess, complete=complete, several=several)
        return _predict(predictor, cases, out, names, tables, chosen, identifiers, callbacks)


def _predict(
    predictor: Predictor, cases: Sequence[Case], out: Path, names: dict[str, str], tables: Tables, chosen: Set[str],
    identifiers: bool, callbacks: Callbacks,
) -> tuple[int, list[Problem]]:  # fmt: skip
    count, flagged, problems = 0, dict[Path, tuple[str, ...]](), list[Problem]()
    structure = structure_of(predictor.recipe.task)
    here = [names[printable(path)] for case in cases for path in (case.place, case.path)]
    as_report = saving.DICOM_SR in chosen or _earlier(out, here, REPORT, "highdicom")
    as_series = saving.DICOM_SEG in chosen or as_report or _earlier(out, here, SEG, "highdicom")
    algorithm = Algorithm(predictor.recipe.name, predictor.fingerprint, structure)
    segmentations = Segmentations(algorithm, partial(dicom_sr.make, algorithm) if as_report else None)
    volumes = Volumes()
    as_volumes = saving.NIFTI in chosen or _earlier(out, here, volume_files.SUFFIX, "nibabel")
    classes = predictor.recipe.preparation.classes
    several = segment_names(classes.names) if classes.several else ()
    anatomy, by_class = read_anatomy(out, structure, several), read_class_tables(out, classes)

    def write(found: Predicted) -> tuple[Path, tuple[str, ...]]:
        """Write the files of one image, then its rows; says why it is flagged. Runs in a worker thread."""
        case, raw_image = found.prepared.case, found.prepared.raw_image
        prediction = predictor.review(raw_image, found.prepared.image, found.prediction)
        stem = out / names[printable(case.place)]
        segmented = Segmented(prediction, raw_image, case.image, structure)
        saving.write_files(stem, segmented, chosen if case.plane is None else chosen - {saving.NIFTI})
        if as_volumes and case.plane is not None:
            volumes.add(case, segmented)
        place, masks = place_of(case, raw_image), {structure.name: prediction.mask}
        if several:
            masks = {name: prediction.classes[own].mask for name, own in zip(several, classes.names, strict=True)}
        if as_series:
            sides = divided(masks, place)[0] if as_report or saving.SIDES in chosen else masks
            segmentations.add(case, sides)
        if anatomy.columns:
            anatomy.add(printable(case.place), measure_image(structure, masks, place))
        by_class.add(printable(case.place), prediction, raw_image)
        objects = [] if prediction.labels is None else segmented.rows
        measured = (*measure(prediction, raw_image), *identify(case, plain=identifiers).values)
        mask, name = stem.with_name(f"{stem.name}{MASK}").exists(), names[printable(case.place)]
        tables.add(printable(case.place), name, measured, objects, prediction.boxes, mask=mask)
        return case.place, prediction.reasons

    def write_together() -> list[Problem]:
        """What belongs to several images: DICOM SEG of series, volumes, tables."""
        if saving.DICOM_SEG not in chosen:
            segmentations.foreign.clear()  # nobody asked for theirs
        problems = segmentations.write(out, names) + volumes.write(out, names)
        if saving.CSV in chosen:
            order = tables.listed(out)
            problems += tables.write(out) + anatomy.write(out, order) + by_class.write(out, order)
        return problems

    try:
        with closing(stream(predictor, cases, write)) as results:
            for done, result in enumerate(results, 1):
                if isinstance(result, Problem):
                    problems.append(result)
                else:
                    path, reasons = result
                    count, flagged = count + 1, flagged | ({path: reasons} if reasons else {})
                callbacks.progress("predicting", done, len(cases), "")
    except BaseException:  # Ctrl-C above all
        for problem in write_together():
            callbacks.log(problem.reason)
        callbacks.log(f"stopped after {count} of {len(cases)} images, which are in {out}; give the same command again")
        raise
    problems += write_together()
    for line in _flag_lines(flagged):
        callbacks.log(line)
    review = f", {len(flagged)} to review" if flagged or predictor.quality or predictor.applicability else ""
    callbacks.log(f"{count} of {len(cases)} images segmented in {out}{review}")
    return count, problems


def _flag_lines(flagged: Mapping[Path, tuple[str, ...]]) -> list[str]:
    """A line for each reason, with the number of images; the most frequent first."""
    reasons: dict[str, list[Path]] = {}
    for path, why in flagged.items():
        for reason in why:
            reasons.setdefault(reason, []).append(path)
    common = sorted(reasons.items(), key=lambda item: -len(item[1]))[:MOST_FLAGS]
    return [
        f"flag: {reason}: {printable(paths[0])}" + (f" and {len(paths) - 1} more" if len(paths) > 1 else "")
        for reason, paths in common
    ]


def _earlier(out: Path, names: Sequence[str], suffix: str, package: str) -> bool:
    """Whether an earlier prediction left such a file of one or several of these images, to be written anew with their masks."""
    there = files_in(out, names)
    return any(f"{name}{suffix}" in there for name in names) and saving.installed(package)
