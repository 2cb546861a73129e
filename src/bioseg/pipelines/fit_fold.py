"""Fit one fold: a job that can be pickled, sent to another machine, stopped and resumed, and knows of no other fold."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bioseg import files, user_code
from bioseg.datasets.samples import Samples, load
from bioseg.inference import device as devices
from bioseg.models.transfer import Start
from bioseg.recipe import SegmentationRecipe
from bioseg.training.fit_segmenter import fit_segmenter
from bioseg.training.run import Run
from bioseg.types import SILENT, BiosegError, Callbacks, Case


@dataclass(frozen=True)
class FoldJob:
    """One network to train.

    Attributes:
        folder: Run folder to write, or to continue.
        recipe: How.
        train: Cases to train on.
        validation: Cases that decide which weights are best.
        record: What the folder's ``record.json`` says.
        name: What progress is reported under.
        resume: Continue the run that lies in ``folder``.
        device: ``auto``, ``cpu``, ``cuda`` …
        init: Weights to start from.
    """

    folder: Path
    recipe: SegmentationRecipe
    train: tuple[Case, ...]
    validation: tuple[Case, ...]
    record: dict[str, Any]
    name: str = "training"
    resume: bool = False
    device: str = "auto"
    init: Start | None = None


def fit_fold(job: FoldJob, callbacks: Callbacks = SILENT, *, samples: Samples | None = None) -> Path:
    """Carry out ``job``.

    Args:
        job: What to train on what.
        callbacks: Hears of every step and epoch.
        samples: The job's cases, among others, where they are prepared already; else they are read here.

    Returns:
        The run folder, whose ``best.safetensors`` holds the weights.

    Raises:
        BiosegError: Too few cases can be read, another process writes to the folder, or it holds another run.
    """
    if samples is None:
        samples = load((*job.train, *job.validation), job.recipe.preparation, progress=callbacks.counter("reading"))
    places = {case.id: index for index, case in enumerate(samples.cases)}
    train, validation = (
        [places[case.id] for case in part if case.id in places] for part in (job.train, job.validation)
    )
    if not train or not validation:
        raise BiosegError(
            f"{job.folder}: {len(train)} usable cases to train on and {len(validation)} to validate on; at least one of "
            "each is needed: add images with masks"
        )
    with (
        files.lock(job.folder),
        Run(
            job.folder, job.record, seed=job.recipe.training.seed, device=devices.choose(job.device), resume=job.resume,
            name=job.name,
        ) as run,
    ):  # fmt: skip
        user_code.keep(job.record.get("code", {}), job.folder)
        if "init" in job.record and not job.init and not run.history:
            model = job.record["init"].get("model", "MODEL")
            raise BiosegError(f"{job.folder}: no epoch is finished; give --init {model} again")
        fit_segmenter(run, job.recipe, samples.select(train), samples.select(validation), callbacks, init=job.init)
    return job.folder
