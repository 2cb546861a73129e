"""A study in sessions: what is finished is kept and not done again, a clock ends a session, a table says what is known."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from bioseg import files
from bioseg.pipelines.output_folder import refuse_inputs, refuse_run
from bioseg.pipelines.train import TrainJob, train
from bioseg.pipelines.train_translator import TranslatorJob, train_translator
from bioseg.recipe import Recipe, TranslationRecipe
from bioseg.record import fingerprint, read_record
from bioseg.reports.run_folder import read_journal
from bioseg.types import BiosegError, Callbacks, Problem


class TimeUp(Exception):
    """The session is over; what was finished lies in the folder."""


@dataclass(frozen=True)
class Clock:
    """Ends a session.

    Attributes:
        minutes: Length of the session; None: as long as it takes.
        started: Of :func:`time.monotonic`.
    """

    minutes: float | None = None
    started: float = field(default_factory=time.monotonic)

    def check(self) -> None:
        """Called where stopping loses nothing.

        Raises:
            TimeUp: The session is over.
        """
        if self.minutes is not None and time.monotonic() - self.started >= 60 * self.minutes:
            raise TimeUp


@dataclass(frozen=True)
class Model:
    """One training of a study.

    Attributes:
        name: Name of its folder.
        recipe: With all its settings.
        data: Folder it is trained on; of a translation model, the source domain.
        target: Target domain of a translation model.
        folds: 0: one split.
    """

    name: str
    recipe: Recipe
    data: Path
    target: Path | None = None
    folds: int = 0


def run_session(
    out: Path, inputs: Sequence[Path], work: Callable[[], None], write: Callable[[], list[Path]], callbacks: Callbacks
) -> tuple[list[Path], bool]:
    """Carry out ``work`` until it is done, time is up or it is interrupted, and write the tables of what is known then.

    Args:
        out: Folder of the study; no other process may write to it meanwhile.
        inputs: Folders of data.
        work: Raises :class:`TimeUp` when the session is over.
        write: Writes the tables and returns their files.
        callbacks: Hears how to continue after an interruption.

    Returns:
        The files of the tables, and whether ``work`` was done.

    Raises:
        BiosegError: ``out`` is a file, holds a run or the data, or another process writes to it.
    """
    refuse_inputs(out, *inputs)
    refuse_run(out)
    with files.lock(out):
        try:
            work()
        except TimeUp:
            return write(), False
        except KeyboardInterrupt:
            callbacks.log(f"interrupted: {write()[0]} has the results so far; the same command continues")
            raise
        return write(), True


def is_trained(model: Model, folder: Path) -> bool:
    """Whether ``folder`` holds the finished run of ``model``.

    Raises:
        BiosegError: It holds a run of other settings.
    """
    if not (folder / "record.json").exists():
        return False
    record, wanted = read_record(folder), fingerprint(model.recipe)
    if record["fingerprint"] != wanted or record.get("folds", 0) != model.folds:
        raise BiosegError(
            f"{folder}: holds a run with fingerprint {record['fingerprint']} and {record.get('folds', 0)} folds, this study "
            f"needs {wanted} and {model.folds}; choose another --out, or the budget it was started with"
        )
    return is_finished(folder)


def is_finished(folder: Path) -> bool:
    """Whether a run's last file is there: the report of a segmentation model, the curves of a translation model."""
    last = "figures/curves.png" if "target" in read_record(folder) else "report.html"
    return (folder / last).exists()


def ensure_trained(model: Model, folder: Path, *, device: str, clock: Clock, callbacks: Callbacks) -> None:
    """Train ``model``, or continue its training; does nothing if it is finished. Its problems are logged.

    Raises:
        TimeUp: After the epoch in which the session ended.
        BiosegError: As :func:`is_trained`, or the data cannot be used.
    """
    if is_trained(model, folder):
        return
    clock.check()
    callbacks.log(f"training {model.name}")

    def epoch(name: str, row: dict[str, Any]) -> None:
        callbacks.epoch(name, row)
        clock.check()  # the epoch is on disk

    within = replace(callbacks, epoch=epoch)
    resume = (folder / "record.json").exists()
    if isinstance(model.recipe, TranslationRecipe):
        assert model.target is not None
        job = TranslatorJob(model.recipe, model.data, model.target, folder, resume=resume, device=device)
        problems = train_translator(job, within)
    else:
        training = TrainJob(model.recipe, model.data, folder, folds=model.folds, resume=resume, device=device)
        problems = train(training, within).problems
    log_problems(model.name, problems, folder, callbacks)


def log_problems(name: str, problems: Sequence[Problem], folder: Path, callbacks: Callbacks) -> None:
    """Write the reasons of images that were left out to ``left-out.txt``, and log how many there are."""
    if problems:
        files.write(folder / "left-out.txt", "".join(f"{problem.reason}\n" for problem in problems))
        callbacks.log(f"{name}: {len(problems)} images left out; the reasons stand in {folder / 'left-out.txt'}")


def minutes_trained(folder: Path, folds: int) -> float:
    """Minutes of all epochs in the journals of a run."""
    journals = [folder / f"fold-{k}" / "journal.jsonl" for k in range(folds)] or [folder / "journal.jsonl"]
    return sum(float(row["seconds"]) for path in journals for row in read_journal(path)) / 60
