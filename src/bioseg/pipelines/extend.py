"""Train a run for more epochs than it was started with."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from bioseg import files
from bioseg.pipelines.open import open_recipe
from bioseg.recipe import SegmentationRecipe
from bioseg.record import RECORD, differences, encode, fingerprint
from bioseg.reports.run_folder import read_journal
from bioseg.training.schedules import TrainState, patience_exhausted
from bioseg.types import BiosegError


def extended(
    folder: Path, asked: SegmentationRecipe, log: Callable[[str], None], *, allow_code: bool = False
) -> dict[str, Any]:
    """Make sure that a run is resumed as it was started, or with more epochs; these are written to its record.

    Args:
        folder: Run folder, or that of a fold.
        asked: The recipe to go on with.
        log: Hears from which epoch on, and how the learning rate goes on.
        allow_code: Run the author's own code if the run was made with some.

    Returns:
        The record, as it is now in the folder.

    Raises:
        BiosegError: Anything but the number of epochs differs, or there are fewer.
    """
    record, stored = open_recipe(folder, allow_code=allow_code)
    if record["fingerprint"] == fingerprint(asked):
        return record
    assert isinstance(stored, SegmentationRecipe)
    before, now = stored.training.epochs, asked.training.epochs
    if fingerprint(_lasting(stored, now)) != fingerprint(asked) or now <= before:
        what = "; ".join(differences(stored, asked)[:3]) or "its record was changed"
        raise BiosegError(
            f"{folder}: was made with fingerprint {record['fingerprint']}, this is {fingerprint(asked)} ({what}); resume it "
            "with the settings it was started with, of which only training.epochs may grow, or choose another --out"
        )
    done = len(read_journal(folder / "journal.jsonl"))
    log(_sentence(folder, asked, before, done))
    record |= {
        "recipe": encode(_lasting(stored, now)),
        "fingerprint": fingerprint(asked),
        "extended": [*record.get("extended", []), {"epochs": before, "after": done}],
    }
    files.write_json(folder / RECORD, record)
    return record


def _lasting(recipe: SegmentationRecipe, epochs: int) -> SegmentationRecipe:
    return replace(recipe, training=replace(recipe.training, epochs=epochs))


def _sentence(folder: Path, recipe: SegmentationRecipe, before: int, done: int) -> str:
    """From which epoch on, and what the schedule does there."""
    how = recipe.training
    losses = [row["validation_loss"] for row in read_journal(folder / "journal.jsonl")]
    if patience_exhausted(losses, patience=how.patience, min_delta=how.min_delta):
        return f"{folder}: stopped after epoch {done} by patience {how.patience}; more epochs do not change that"
    was, is_now = (how.schedule(TrainState(done, total, losses)) * how.learning_rate for total in (before, how.epochs))
    return (
        f"{folder}: goes on after epoch {done} to {how.epochs} instead of {before}, with its weights and optimiser; "
        f"{how.schedule.name} is taken at epoch {done} of {how.epochs}: learning rate {was:.2g} → {is_now:.2g}"
    )
