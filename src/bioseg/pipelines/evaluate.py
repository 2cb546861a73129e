"""Score a model on a folder of cases."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bioseg import files
from bioseg.datasets.folders import read_dataset
from bioseg.datasets.identity import content_hashes
from bioseg.inference import pretrained
from bioseg.pipelines.adapt import adapted
from bioseg.pipelines.open import fold_folders, open_predictor, open_translator
from bioseg.pipelines.output_folder import refuse_foreign, refuse_other_run
from bioseg.pipelines.scoring import evaluate_cases
from bioseg.record import read_record
from bioseg.reports.page import write_report
from bioseg.types import SILENT, BiosegError, Callbacks, Case, Problem


@dataclass(frozen=True)
class EvaluateJob:
    """A model and what it is scored on.

    Attributes:
        model: A run folder, or the name of a pretrained model.
        data: Folder of images and masks.
        out: Folder to write.
        translator: Run folder of a CycleGAN: images are translated to its target domain first.
        adapt: Re-estimate batch-norm statistics from these images first, see :func:`bioseg.pipelines.adapt.adapted`.
        unseen_only: Leave out cases that trained or chose the model.
        device: ``auto``, ``cpu``, ``cuda`` …
        allow_code: Run the author's own code if the model was made with some.
    """

    model: Path | str
    data: Path
    out: Path
    translator: Path | None = None
    adapt: bool = False
    unseen_only: bool = False
    device: str = "auto"
    allow_code: bool = False


def evaluate(job: EvaluateJob, callbacks: Callbacks = SILENT) -> tuple[dict[str, Any], list[Problem]]:
    """Write ``scores.csv``, ``summary.json``, ``figures/`` and ``report.html`` for a model on a folder.

    Returns:
        The summary, whose ``seen`` counts the cases that trained or chose the model, and the cases that could not be
        evaluated.

    Raises:
        BiosegError: ``out`` holds something else, or ``data`` no image with a mask.
    """
    folder = pretrained.find(job.model)
    refuse_foreign(job.out, job.data, folder)
    refuse_other_run(job.out, evaluated_on=job.data.resolve().name, model=str(job.model))
    predictor = open_predictor(job.model, job.device, allow_code=job.allow_code)
    if job.translator:
        predictor = replace(predictor, transform=open_translator(job.translator, job.device).translate)
    data = read_dataset(job.data, predictor.recipe.layout)
    seen = seen_cases(folder, data.cases, callbacks)
    cases = [case for case in data.cases if not (job.unseen_only and case.id in seen)]
    if not cases:
        raise BiosegError(
            f"{job.data}: all {len(seen)} cases trained or chose the model; give others, or leave out --unseen-only"
        )
    with files.lock(job.out):
        if job.adapt:
            predictor, _ = adapted(predictor, cases)
        about = {
            "seen": {
                part: sum(case.id in seen and seen[case.id] == part for case in cases)
                for part in ("train", "validation")
            }
        }
        summary, problems = evaluate_cases(
            lambda case: predictor, cases, job.out, about=about, progress=callbacks.counter("evaluating")
        )
        how: dict[str, Any] = {"evaluated_on": job.data.resolve().name, "model": str(job.model)}
        how |= {"adapted": True} if job.adapt else {}
        how |= {"translator": str(job.translator)} if job.translator else {}
        record = {key: value for key, value in read_record(folder).items() if key not in ("parts", "images")}
        files.write_json(job.out / "record.json", {**record, **how})
        write_report([job.out])
    return summary, problems


def seen_cases(folder: Path, cases: Sequence[Case], callbacks: Callbacks = SILENT) -> dict[str, str]:
    """Which of the cases trained the model or chose its weights and settings: their ids, and ``train`` or ``validation``.

    A case is known by the content of its image; by its id only where the record has no hash of the image, and the data set
    is the one the model was trained on.
    """
    record = read_record(folder)
    known: dict[str, str] = {}
    ids: dict[str, str] = {}
    for place in fold_folders(folder, record):
        own = read_record(place)
        hashes = own.get("images", {})
        for part in ("validation", "train"):
            for name in own.get("parts", {}).get(part, ()):
                ids[name] = part
                if name in hashes:
                    known[hashes[name]] = part
    known |= record.get("image_hashes", {})
    if not known and not ids:
        return {}
    digests = content_hashes(cases, callbacks.counter("hashing")) if known else {}
    found = {case.id: known[digest] for case in cases if (digest := digests.get(case.id)) in known}
    return found if known else {case.id: ids[case.id] for case in cases if case.id in ids}
