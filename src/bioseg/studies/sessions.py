"""Long work in sessions: what is finished is kept and not done again, and a clock that ends a session."""

import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from bioseg.pipelines.train import TrainJob, train
from bioseg.pipelines.train_translator import TranslatorJob, train_translator
from bioseg.recipe import Recipe, TranslationRecipe
from bioseg.record import fingerprint, read_record
from bioseg.reports.run_folder import read_journal
from bioseg.types import BiosegError, Callbacks


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
        name: Of its folder.
        recipe: With every setting it is to have.
        data: What it is trained on; a translator's source.
        target: A translator's target.
        folds: 0: none.
    """

    name: str
    recipe: Recipe
    data: Path
    target: Path | None = None
    folds: int = 0


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
            f"{folder}: holds a run with fingerprint {record['fingerprint']} and {record.get('folds', 0)} folds, wanted "
            f"are {wanted} and {model.folds}; choose another --out, or the budget it was begun with"
        )
    return is_finished(folder)


def is_finished(folder: Path) -> bool:
    """Whether a run's last file is there: the report of a segmenter, the curves of a translator."""
    last = "figures/curves.png" if "target" in read_record(folder) else "report.html"
    return (folder / last).exists()


def ensure_trained(model: Model, folder: Path, *, device: str, clock: Clock, callbacks: Callbacks) -> None:
    """Train ``model``, or continue training it; nothing where it is finished.

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
        train_translator(
            TranslatorJob(model.recipe, model.data, model.target, folder, resume=resume, device=device), within
        )
    else:
        train(TrainJob(model.recipe, model.data, folder, folds=model.folds, resume=resume, device=device), within)


def minutes_trained(folder: Path, folds: int) -> float:
    """Of all epochs in the journals of a run."""
    journals = [folder / f"fold-{k}" / "journal.jsonl" for k in range(folds)] or [folder / "journal.jsonl"]
    return sum(float(row["seconds"]) for path in journals for row in read_journal(path)) / 60
