"""Train a recipe on a folder: read, split, fit every fold, assemble."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import reduce
from pathlib import Path
from typing import Any

from bioseg import files, user_code
from bioseg.datasets import splits
from bioseg.datasets.folders import FolderScan, read_dataset
from bioseg.datasets.identity import content_hashes
from bioseg.datasets.samples import InMemory, Samples, load
from bioseg.datasets.splits import Split
from bioseg.inference import device as devices
from bioseg.migration import FORMAT
from bioseg.pipelines.assemble import TrainResult, assemble
from bioseg.pipelines.checks import check_network, merged_classes
from bioseg.pipelines.extend import extended
from bioseg.pipelines.fit_fold import FoldJob, fit_fold
from bioseg.pipelines.initial import Initial
from bioseg.pipelines.known_images import warn_of_seen
from bioseg.pipelines.open import open_recipe
from bioseg.pipelines.output_folder import refuse_inputs, refuse_unless_run
from bioseg.pipelines.provenance import provenance
from bioseg.recipe import SegmentationRecipe
from bioseg.record import RECORD, encode, fingerprint, read_record
from bioseg.settings import override
from bioseg.specs import Call
from bioseg.training import fine_tuning
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
        allow_code: The recipe may name functions that are not bioseg's, see :mod:`bioseg.user_code`.
        init: Model whose weights are started from, see :func:`bioseg.pipelines.initial.open_initial`.
        config: Content of the config file, for the record.
        plane: Of files with several images, see :func:`bioseg.datasets.planes.choose`.
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
    allow_code: bool = False
    init: Initial | None = None
    config: str = ""
    plane: str = ""

    def __post_init__(self) -> None:
        """Refuse a number of folds that is none."""
        if self.folds == 1 or self.folds < 0:
            raise BiosegError(f"--folds {self.folds}: give 2 or more, or leave it out for one split")


def train(job: TrainJob, callbacks: Callbacks = SILENT) -> TrainResult:
    """Carry out ``job``.

    A run that is resumed keeps the split and the settings of its record. An image that is gone or damaged since is left out
    and named in the result; everything else is written.

    Args:
        job: What to train on what.
        callbacks: Hears how far it is.

    Raises:
        BiosegError: There is too little data, the run folder is taken, or the job contradicts itself.
    """
    devices.choose(job.device)
    asked = reduce(override, job.settings, job.recipe)
    code = user_code.collect(asked)
    if code and not job.allow_code:
        raise BiosegError(f"{job.recipe.name}: names code that is not bioseg's ({', '.join(code)}); give --allow-code")
    refuse_inputs(job.out, job.data)
    refuse_unless_run(job.out, resume=job.resume)
    data = read_dataset(job.data, asked.layout, asked.reader, job.plane)
    for line in data.warnings:
        callbacks.log(f"warning: {line}")
    with files.lock(job.out):
        earlier = recorded(job, data)
        if earlier:
            user_code.refuse_changed(code, earlier, job.out)
        recipe, samples, record = (
            _resumed(job, data, earlier, callbacks) if earlier else _begun(job, data, code, callbacks)
        )
        if job.folds:
            claim(job.out, record, resume=job.resume)
            user_code.keep(code, job.out)
        callbacks.started(record)
        jobs = [fold_job(job, recipe, record, data.cases, index, callbacks) for index in range(job.folds or 1)]
        _check_foreground(samples, job.data)
        for one in jobs:
            fit_fold(one, callbacks, samples=samples)
        return assemble(
            job.out, data.cases, samples=samples, device=job.device, callbacks=callbacks, allow_code=job.allow_code
        )


def _begun(
    job: TrainJob, data: FolderScan, code: dict[str, Any], callbacks: Callbacks
) -> tuple[SegmentationRecipe, Samples, dict[str, Any]]:
    """Recipe, cases and record of a new run."""
    whole, split_from = whole_split(job, reduce(override, job.settings, job.recipe), data)
    recipe, reasons = configured(job.recipe, whole.train, job.settings, job.init)
    check_network(recipe)
    for line in (
        *reasons,
        *merged_classes(recipe, whole.train),
        *(f"as asked: {setting}" for setting in job.settings),
        f"split: {split_from}",
    ):
        callbacks.log(line)
    pool = (*whole.train, *whole.validation)
    samples = load(pool, recipe.preparation, progress=callbacks.counter("reading"))
    record = _record(job, recipe, data, fold_splits(job, recipe, whole, samples), whole)
    record |= {"reasons": reasons, "split_from": split_from} | ({"code": code} if code else {})
    record |= {"images": content_hashes(pool, callbacks.counter("hashing"))}
    if job.init:
        record = job.init.noted(record)
        warn_of_seen(record, {"validation": whole.validation, "test": whole.test}, callbacks.log)
    return recipe, samples, record


def _resumed(
    job: TrainJob, data: FolderScan, record: dict[str, Any], callbacks: Callbacks
) -> tuple[SegmentationRecipe, Samples, dict[str, Any]]:
    """Recipe, cases and record of the run that lies in the folder."""
    recipe = job.recipe
    if recipe.configure and record["name"] == recipe.name:
        _, stored = open_recipe(job.out, allow_code=job.allow_code)
        assert isinstance(stored, SegmentationRecipe)
        recipe = stored
    recipe = reduce(override, job.settings, recipe)
    wanted = {"folds": job.folds} | ({"init": job.init.about} if job.init else {})
    claim(job.out, record | wanted, resume=True)
    record = extended(job.out, recipe, callbacks.log, allow_code=job.allow_code)
    found = ",".join(splits.checksum_of(parts) for parts in record.get("fold_parts") or [record["parts"]])
    if record.get("split") != found:
        raise BiosegError(
            f"{job.out / RECORD}: was made with split {record.get('split')}, its parts are {found}; restore the file, or "
            "choose another --out"
        )
    known = {case.id: case for case in data.cases}
    trained_on = record["parts"]["train"]
    missing = [name for name in trained_on if name not in known]
    if 2 * len(missing) > len(trained_on):
        raise BiosegError(
            f"{job.data}: {len(missing)} of {len(trained_on)} images that {job.out} is trained on are not there; give the "
            "data it was started with"
        )
    if job.split:
        part_of = {name: part for part, names in splits.ids(job.split(data.cases)).items() for name in names}
        for part, names in record["parts"].items():
            if other := next((name for name in names if part_of.get(name, part) != part), ""):
                raise BiosegError(
                    f"--split: has {other} in {part_of[other]}, {job.out} in {part}; choose another --out"
                )
    callbacks.log(f"resuming {job.out} with the split of its record")
    pool = [known[name] for part in ("train", "validation") for name in record["parts"][part] if name in known]
    return recipe, load(pool, recipe.preparation, progress=callbacks.counter("reading")), record


def recorded(job: TrainJob, data: FolderScan) -> dict[str, Any] | None:
    """The record of the run to resume; None for a new one, and for records that do not say what is in each fold."""
    if not job.resume or not (job.out / RECORD).exists():
        return None
    record = read_record(job.out)
    parts = record.get("parts", {})
    whole = set(parts) >= {"train", "validation", "test"} and (not record.get("folds") or "fold_parts" in record)
    return record if whole else None


def configured(
    recipe: SegmentationRecipe, cases: Sequence[Case], settings: Sequence[str], init: Initial | None = None
) -> tuple[SegmentationRecipe, list[str]]:
    """The recipe after it has configured itself from training cases and taken the settings, and its reasons.

    What it chooses itself is chosen anew where it starts from another model, see :mod:`bioseg.training.fine_tuning`.
    """
    reasons: list[str] = []
    if recipe.configure:
        recipe, reasons = recipe.configure(recipe, list(cases))
        if init and init.recipe:
            recipe, reasons = fine_tuning.adapted(recipe, init.recipe, len(cases), tuned=init.tuned)
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


def fold_job(
    job: TrainJob, recipe: SegmentationRecipe, record: dict[str, Any], cases: Sequence[Case], index: int,
    callbacks: Callbacks = SILENT,
) -> FoldJob:  # fmt: skip
    """The job of one fold, from the run's record.

    A recipe that configures itself does so from the fold's own training cases; the preparation alone is common to all folds,
    since their ensemble shares it.
    """
    ids = record["fold_parts"][index] if job.folds else record["parts"]
    known = {case.id: case for case in cases}
    train, validation = (tuple(known[name] for name in ids[part] if name in known) for part in ("train", "validation"))
    folder = job.out / f"fold-{index}" if job.folds else job.out
    if job.folds and job.resume and (folder / RECORD).exists():
        _, stored = open_recipe(folder, allow_code=job.allow_code)
        assert isinstance(stored, SegmentationRecipe)
        recipe = reduce(override, job.settings, stored)
        own = extended(folder, recipe, callbacks.log, allow_code=job.allow_code)
    else:
        if job.folds and job.recipe.configure:
            recipe = replace(configured(job.recipe, train, job.settings, job.init)[0], preparation=recipe.preparation)
        names = {*ids["train"], *ids["validation"]}
        own = {key: value for key, value in record.items() if key != "fold_parts"} | {
            "recipe": encode(recipe),
            "fingerprint": fingerprint(recipe),
            "folds": 0,
            "split": record["split"].split(",")[index],
            "parts": ids,
            "images": {name: digest for name, digest in record.get("images", {}).items() if name in names},
        }
        own = job.init.noted(own, index) if job.init and job.folds else own
    name = f"fold {index + 1}/{job.folds}" if job.folds else "training"
    init = job.init.of_fold(index) if job.init else None
    return FoldJob(folder, recipe, train, validation, own, name, job.resume, job.device, init)


def _record(
    job: TrainJob, recipe: SegmentationRecipe, data: FolderScan, parts: Sequence[Split], whole: Split
) -> dict[str, Any]:
    """All that made the run, for people and for opening it again."""
    pool = (*whole.train, *whole.validation)
    return {
        "format": FORMAT,
        "recipe": encode(recipe),
        "name": recipe.name,
        "fingerprint": fingerprint(recipe),
        "folds": job.folds,
        "split": ",".join(splits.checksum(split) for split in parts),
        "parts": splits.ids(whole if job.folds else parts[0]),
        **({"fold_parts": [splits.ids(split) for split in parts]} if job.folds else {}),
        "patients": len({case.group for case in pool}),
        "patients_from": data.patients_from,
        "patients_unknown": sum(not case.patient for case in pool),
        "data": job.data.resolve().name,
        "seed": recipe.training.seed,
        **({"config": job.config} if job.config else {}),
        **provenance(devices.choose(job.device), job.command),
    }
