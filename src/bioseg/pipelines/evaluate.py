"""Score a model on a folder of cases."""

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bioseg import files
from bioseg.datasets.folders import FolderScan, read_dataset
from bioseg.datasets.identity import content_hashes
from bioseg.inference import pretrained
from bioseg.inference.predictor import Predictor
from bioseg.outputs.names import printable
from bioseg.pipelines.known_images import PARTS, image_hashes, unknown
from bioseg.pipelines.model_files import read_model_record
from bioseg.pipelines.open import fold_folders, open_predictor, open_translator
from bioseg.pipelines.output_folder import refuse_inputs, refuse_unless_evaluation
from bioseg.pipelines.scoring import evaluate_cases
from bioseg.record import RECORD, read_record
from bioseg.reports.page import write_report
from bioseg.types import SILENT, BiosegError, Callbacks, Case, Problem

OMITTED = ("parts", "fold_parts", "images", "image_hashes", "weights_sha256")
"""Fields of a model's record that the record of an evaluation leaves out."""


@dataclass(frozen=True)
class EvaluateJob:
    """A model and what it is scored on.

    Attributes:
        model: A run folder, a model file, or the name of a pretrained model.
        data: Folder of images and masks.
        out: Folder to write.
        translator: Run folder of a CycleGAN: images are translated to its target domain first.
        adapt: Re-estimate batch-norm statistics from these images first, see :func:`bioseg.pipelines.adapt.adapted`.
        unseen_only: Leave out cases that trained or chose the model.
        device: ``auto``, ``cpu``, ``cuda`` …
        allow_code: Run the author's own code if the model was made with some.
        backend: See :func:`bioseg.pipelines.open.open_predictor`.
        channel: The channels of the images that are used, see :meth:`Predictor.with_channels`; empty: the model's.
        plane: Of files with several images, see :func:`bioseg.datasets.planes.choose`.
    """

    model: Path | str
    data: Path
    out: Path
    translator: Path | None = None
    adapt: bool = False
    unseen_only: bool = False
    device: str = "auto"
    allow_code: bool = False
    backend: str = "auto"
    channel: tuple[str, ...] = ()
    plane: str = ""


def evaluate(job: EvaluateJob, callbacks: Callbacks = SILENT) -> tuple[dict[str, Any], list[Problem]]:
    """Write ``scores.csv``, ``summary.json``, ``figures/`` and ``report.html`` for a model on a folder.

    An evaluation may be repeated into its own folder, by the same model on the same data in the same way.

    Returns:
        The summary, and the cases that could not be evaluated. The summary's ``seen`` counts the evaluated cases whose images
        trained the model (``train``) or chose its weights and settings (``validation``); it is None where that is unknown.

    Raises:
        BiosegError: ``out`` holds something else, or ``data`` no image with a mask.
    """
    folder = pretrained.find(job.model)
    refuse_inputs(job.out, job.data, folder)
    predictor = open_predictor(job.model, job.device, allow_code=job.allow_code, backend=job.backend)
    if job.channel:
        predictor = predictor.with_channels(*job.channel)
    how = _description(job, predictor)
    refuse_unless_evaluation(job.out, {key: value for key, value in how.items() if key != "model"})
    if job.translator:
        from bioseg.pipelines.translate import translating

        predictor = translating(predictor, open_translator(job.translator, job.device))
    data = read_dataset(job.data, predictor.recipe.layout, predictor.recipe.reader, job.plane)
    with files.lock(job.out):
        seen = seen_cases(folder, data, callbacks)
        cases = _to_evaluate(job, data, seen)
        counts = None if seen is None else count_parts(seen, cases)
        record = {key: value for key, value in _record_of(folder).items() if key not in OMITTED}
        files.write_json(job.out / RECORD, record | {key: value for key, value in how.items() if value is not None})
        if job.adapt:
            from bioseg.pipelines.adapt import adapted

            predictor, _ = adapted(predictor, cases)
        summary, problems = evaluate_cases(
            lambda case: predictor, cases, job.out, about={"seen": counts}, progress=callbacks.counter("evaluating")
        )
        callbacks.log(seen_line(counts, len(cases)))
        write_report([job.out])
    return summary, problems


def _description(job: EvaluateJob, predictor: Predictor) -> dict[str, Any]:
    """What the record says of an evaluation: the same for the same model, data and options."""
    data = job.data.resolve()
    how = {
        "evaluated_on": data.name,
        "evaluated_folder": hashlib.sha256(os.fsencode(data)).hexdigest()[:12],
        "model": printable(Path(job.model)),
        "model_fingerprint": predictor.fingerprint,
    }
    options = {
        "adapted": job.adapt,
        "unseen_only": job.unseen_only,
        "translator": job.translator and str(job.translator),
        "channel": ",".join(job.channel),
        "plane": job.plane,
    }
    return how | {key: value or None for key, value in options.items()}


def _to_evaluate(job: EvaluateJob, data: FolderScan, seen: Mapping[str, str] | None) -> list[Case]:
    if not job.unseen_only:
        return list(data.cases)
    if seen is None:
        raise BiosegError(f"{job.model}: does not say which images trained it; leave out --unseen-only")
    cases = [case for case in data.cases if case.id not in seen]
    if not cases:
        raise BiosegError(f"{job.data}: all {len(data.cases)} images trained or chose this model; give others")
    return cases


def count_parts(seen: Mapping[str, str], cases: Sequence[Case]) -> dict[str, int]:
    """How many of the cases trained the model, and how many chose its weights."""
    parts = [seen.get(case.id, "") for case in cases]
    return {part: parts.count(part) for part in PARTS}


def seen_line(counts: Mapping[str, int] | None, total: int) -> str:
    """What a person should know beside the scores."""
    if counts is None:
        return "warning: it is unknown which images trained this model; the scores may be optimistically biased"
    count = sum(counts.values())
    if not count:
        return f"none of {total} images trained or chose this model"
    return f"warning: {count} of {total} images trained or chose this model: optimistically biased; --unseen-only leaves them out"


def seen_cases(folder: Path, data: FolderScan, callbacks: Callbacks = SILENT) -> dict[str, str] | None:
    """Which cases of a folder trained a model or chose its weights and settings: their ids, and ``train`` or ``validation``.

    A case is known by the content of its image. Records that hold no hashes know it by its id, and only in the data set that
    the model was trained on, since other sets use the same ids.

    Returns:
        None where the record says neither.
    """
    record = _record_of(folder)
    if unknown(record):
        return None
    own = [record] if folder.is_file() else [read_record(place) for place in fold_folders(folder, record)]
    ids = {name: part for part in PARTS for one in own for name in one.get("parts", {}).get(part, ())}
    if hashes := image_hashes({"image_hashes": record.get("image_hashes", {})}, *own):
        found = content_hashes(data.cases, callbacks.counter("hashing"))
        return {case.id: hashes[found[case.id]] for case in data.cases if found.get(case.id) in hashes}
    if ids:
        same = record.get("data") == data.folder.resolve().name
        return {case.id: ids[case.id] for case in data.cases if same and case.id in ids}
    return None


def _record_of(model: Path) -> dict[str, Any]:
    """The record of a run folder or a model file."""
    return read_model_record(model) if model.is_file() else read_record(model)
