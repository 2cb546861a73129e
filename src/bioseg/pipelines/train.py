"""Train a recipe on a folder: read, split, fit every fold, assemble."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import reduce
from pathlib import Path
from typing import Any

from bioseg import files
from bioseg.datasets import splits
from bioseg.datasets.folders import FolderScan, read_dataset
from bioseg.datasets.identity import content_hashes
from bioseg.datasets.samples import InMemory, Samples, load
from bioseg.datasets.splits import Split
from bioseg.inference import device as devices
from bioseg.migration import FORMAT
from bioseg.pipelines.assemble import TrainResult, assemble
from bioseg.pipelines.fit_fold import FoldJob, fit_fold
from bioseg.pipelines.output_folder import refuse_foreign
from bioseg.pipelines.provenance import provenance
from bioseg.recipe import SegmentationRecipe
from bioseg.record import encode, fingerprint
from bioseg.settings import override
from bioseg.specs import Call
from bioseg.training.run import claim
from bioseg.types import SILENT, BiosegError, Callbacks, Case


@dataclass(frozen=True)
class TrainJob:
    """A training with all that follows it.

    Attributes:
        recipe: Before it configures itself from the data.
        data: Folder of images and masks.
        out: Run folder to write.
        folds: 0: one split.
        split: Instead of the recipe's own; see :func:`bioseg.datasets.splits.from_csv`.
        settings: ``path=value`` each; they win over what a recipe chooses from the data.
        resume: Continue the run that lies in ``out``.
        device: ``auto``, ``cpu``, ``cuda`` …
        command: As it was typed, for the record.
    """

    recipe: SegmentationRecipe
    data: Path
    out: Path
    folds: int = 0
    split: Call[Split] | None = None
    settings: tuple[str, ...] = ()
    resume: bool = False
    device: str = "auto"
    command: str = ""

    def __post_init__(self) -> None:
        """Refuse a number of folds that is none."""
        if self.folds == 1 or self.folds < 0:
            raise BiosegError(f"--folds {self.folds}: give 2 or more, or leave it out for one split")


def train(job: TrainJob, callbacks: Callbacks = SILENT) -> TrainResult:
    """Carry out ``job``.

    Args:
        job: What to train on what.
        callbacks: Hears how far it is.

    Raises:
        BiosegError: There is too little data, the run folder is taken, or the job contradicts itself.
    """
    devices.choose(job.device)
    refuse_foreign(job.out, job.data)
    data = read_dataset(job.data, job.recipe.layout)
    whole, split_from = whole_split(job, reduce(override, job.settings, job.recipe), data)
    recipe, reasons = configured(job.recipe, whole.train, job.settings)
    for line in (*reasons, *(f"as asked: {setting}" for setting in job.settings), f"split: {split_from}"):
        callbacks.log(line)
    for line in data.warnings:
        callbacks.log(f"warning: {line}")

    with files.lock(job.out):
        pool = (*whole.train, *whole.validation)
        samples = load(pool, recipe.preparation, progress=callbacks.counter("reading"))
        parts = fold_splits(job, recipe, whole, samples)
        record = _record(job, recipe, data, parts, whole, reasons, split_from)
        record["images"] = content_hashes(pool, callbacks.counter("hashing"))
        if job.folds:
            claim(job.out, record, resume=job.resume)
        jobs = [_fold_job(job, record, index, split, recipe) for index, split in enumerate(parts)]
        _check_foreground(samples, job.data)
        for one in jobs:
            fit_fold(one, callbacks, samples=samples)
        return assemble(job.out, data.cases, samples=samples, device=job.device, callbacks=callbacks)


def configured(
    recipe: SegmentationRecipe, cases: Sequence[Case], settings: Sequence[str]
) -> tuple[SegmentationRecipe, list[str]]:
    """The recipe after it has configured itself from training cases and taken the settings, and its reasons."""
    reasons: list[str] = []
    if recipe.configure:
        recipe, reasons = recipe.configure(recipe, list(cases))
    return reduce(override, settings, recipe), reasons


def whole_split(job: TrainJob, recipe: SegmentationRecipe, data: FolderScan) -> tuple[Split, str]:
    """The split asked for, else the folder's own, else the recipe's.

    With folds, the folder's own test part stays the test set, and the folds are made of the rest.

    Returns:
        The split, and in words which it is and whether a patient is in two parts.
    """
    if job.split:
        split, source = job.split(data.cases), "as asked"
    elif data.split and not job.folds:
        split, source = data.split, "the folder's own parts"
    elif data.split and data.split.test:
        split = Split((*data.split.train, *data.split.validation), (), data.split.test)
        source = "folds of all but the folder's own test part"
    else:
        split, source = recipe.split(data.cases), f"the recipe's, {recipe.split.name}"
    return split, "; ".join((source, *splits.straddling(split)))


def fold_splits(job: TrainJob, recipe: SegmentationRecipe, whole: Split, samples: Samples) -> list[Split]:
    """The split of each fold, or the whole one, without cases that could not be read."""
    if job.folds:
        parts = recipe.fold(list(samples.cases), folds=job.folds)
    else:
        usable = {case.id for case in samples.cases}
        train, validation = (
            tuple(case for case in part if case.id in usable) for part in (whole.train, whole.validation)
        )
        parts = [replace(whole, train=train, validation=validation)]
    for split in parts:
        if split.train and not split.validation:  # the chest X-ray study has no single validation part
            raise BiosegError(f"{job.data}: this recipe validates in folds only, or there is one case; give --folds 5")
        if not split.train or not split.validation:
            raise BiosegError(
                f"{job.data}: {len(split.train)} usable cases to train on and {len(split.validation)} to validate on; "
                "at least one of each is needed: add images with masks"
            )
    return parts


def _check_foreground(samples: Samples, data: Path) -> None:
    if isinstance(samples, InMemory) and not any(b.masks.any() for b in samples.batches(range(len(samples.cases)), 64)):
        raise BiosegError(f"{data}: no mask has any foreground; are these the right files, and is foreground not 0?")


def _fold_job(job: TrainJob, record: dict[str, Any], index: int, split: Split, recipe: SegmentationRecipe) -> FoldJob:
    """The job of one fold; what its postprocessing takes from masks, it takes from those of its own training cases."""
    if not job.folds:
        folder, name = job.out, "training"
    else:
        folder, name = job.out / f"fold-{index}", f"fold {index + 1}/{job.folds}"
        if job.recipe.configure:
            own, _ = configured(job.recipe, split.train, job.settings)
            recipe = replace(recipe, postprocess=own.postprocess)
    ids = {case.id for case in (*split.train, *split.validation)}
    record = record | {
        "recipe": encode(recipe),
        "fingerprint": fingerprint(recipe),
        "folds": 0,
        "split": splits.checksum(split),
        "parts": splits.ids(split),
        "images": {key: digest for key, digest in record["images"].items() if key in ids},
    }
    return FoldJob(folder, recipe, split.train, split.validation, record, name, job.resume, job.device)


def _record(
    job: TrainJob, recipe: SegmentationRecipe, data: FolderScan, parts: Sequence[Split], whole: Split,
    reasons: list[str], split_from: str,
) -> dict[str, Any]:  # fmt: skip
    """All that made the run, for people and for opening it again."""
    pool = (*whole.train, *whole.validation)
    return {
        "format": FORMAT,
        "recipe": encode(recipe),
        "name": recipe.name,
        "fingerprint": fingerprint(recipe),
        "reasons": reasons,
        "folds": job.folds,
        "split": ",".join(splits.checksum(split) for split in parts),
        "split_from": split_from,
        "parts": splits.ids(parts[0] if len(parts) == 1 else Split(pool, (), whole.test)),
        "patients": len({case.group for case in pool}),
        "patients_from": data.patients_from,
        "patients_unknown": sum(not case.patient for case in pool),
        "data": job.data.resolve().name,
        "seed": recipe.training.seed,
        **provenance(devices.choose(job.device), job.command),
    }
