"""Long work in slices: what is finished is kept and not done again, and a clock that ends a slice."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from bioseg.inference.predictor import read_record
from bioseg.recipe import Recipe, TranslationRecipe, fingerprint
from bioseg.reports.run_folder import read_journal
from bioseg.types import BiosegError
from bioseg.workflows import train, train_translator


class TimeUp(Exception):
    """The slice is over; what was finished lies in the folder."""


@dataclass(frozen=True)
class Clock:
    """Ends a slice.

    Attributes:
        minutes: Length of the slice; None: as long as it takes.
        started: Of :func:`time.monotonic`.
    """

    minutes: float | None = None
    started: float = field(default_factory=time.monotonic)

    def check(self) -> None:
        """Called where stopping loses nothing.

        Raises:
            TimeUp: The slice is over.
        """
        if self.minutes is not None and time.monotonic() - self.started >= 60 * self.minutes:
            raise TimeUp


@dataclass(frozen=True)
class Model:
    """One training of a study.

    Attributes:
        name: Of its folder.
        recipe: With every setting it is to have.
        data: What it learns from; a translator's source.
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


def ensure_trained(
    model: Model, folder: Path, *, device: str, clock: Clock, tell: train.Tell, say: Callable[[str], None]
) -> None:
    """Train ``model``, or go on with it; nothing where it is finished.

    Raises:
        TimeUp: After the epoch in which the slice ended.
        BiosegError: As :func:`is_trained`, or the data cannot be used.
    """
    if is_trained(model, folder):
        return
    clock.check()
    say(f"training {model.name}")

    def said(line: str) -> None:
        say(line)
        clock.check()  # a line is said when an epoch is on disk, or between parts of the work

    resume = folder.exists()
    if isinstance(model.recipe, TranslationRecipe):
        assert model.target is not None
        train_translator.train_translator(
            train_translator.Order(model.recipe, model.data, model.target, folder, resume=resume, device=device),
            tell=tell,
            say=said,
        )
    else:
        order = train.Order(model.recipe, model.data, folder, folds=model.folds, resume=resume, device=device)
        train.train(order, tell=tell, say=said)


def minutes_learned(folder: Path, folds: int) -> float:
    """Of all epochs in the journals of a run."""
    journals = [folder / f"fold-{k}" / "journal.jsonl" for k in range(folds)] or [folder / "journal.jsonl"]
    return sum(float(row["seconds"]) for path in journals for row in read_journal(path)) / 60
