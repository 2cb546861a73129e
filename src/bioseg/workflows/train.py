"""Train a recipe on a folder: split, fit (each fold), judge what was held out, report."""

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bioseg import files
from bioseg.data import cases as reading
from bioseg.data import splits
from bioseg.data.dataset import InMemory, load
from bioseg.inference import device as devices
from bioseg.inference.predictor import CHOSEN, Predictor
from bioseg.recipe import SegmentationRecipe, encode, fingerprint, override, read_cases
from bioseg.reports import figures
from bioseg.reports.page import write_report
from bioseg.reports.run_folder import read_journal
from bioseg.training.choose import Example
from bioseg.training.fit_segmenter import Watch, fit_segmenter
from bioseg.training.run import Run, claim
from bioseg.types import BiosegError, Case, Problem
from bioseg.workflows.judge import judge, true_boxes
from bioseg.workflows.quality import add_quality
from bioseg.workflows.record import origin

CHOOSE_ON, CHOOSE_BYTES = 200, 800_000_000
"""At most so many held out cases, and bytes of them, evenly spread, are enough to choose thresholds on."""

Tell = Callable[[str, int, int, str], None]
"""(what is being done, so many done, of so many, how it stands)."""


@dataclass(frozen=True)
class Order:
    """What ``bioseg train`` was asked for.

    Attributes:
        recipe: Before it looked at the data.
        data: Folder of pictures and masks.
        out: Run folder to write.
        folds: 0: the recipe's one split.
        settings: ``path=value`` each; they win over what a recipe chooses from the data.
        resume: Go on with the run that lies in ``out``.
        device: ``auto``, ``cpu``, ``cuda`` …
        command: As it was typed, for the record.
    """

    recipe: SegmentationRecipe
    data: Path
    out: Path
    folds: int = 0
    settings: tuple[str, ...] = ()
    resume: bool = False
    device: str = "auto"
    command: str = ""


@dataclass(frozen=True)
class Outcome:
    """What came of it.

    Attributes:
        summary: Scores of the held out cases; with folds, each scored by the fold that had not seen it.
        test: Scores of the recipe's test part by the run (all folds together); None where it has none.
        problems: Cases that were left out.
        report: The page to read.
    """

    summary: dict[str, Any]
    test: dict[str, Any] | None
    report: Path
    problems: list[Problem] = field(default_factory=list)


def train(order: Order, *, tell: Tell, say: Callable[[str], None]) -> Outcome:
    """Carry out ``order``.

    Args:
        order: What to train on what.
        tell: Hears how each long part of the work stands.
        say: Hears the lines a person should read.

    Raises:
        BiosegError: There is too little data, the run folder is taken, or the order contradicts itself.
    """
    device = devices.choose(order.device)
    cases = [case for case in read_cases(order.recipe, order.data) if case.has_truth]
    recipe = order.recipe
    reasons: list[str] = []
    if recipe.adapt:
        recipe, reasons = recipe.adapt(recipe, cases)
    for setting in order.settings:
        recipe = override(recipe, setting)
    for line in (*reasons, *(f"as asked: {setting}" for setting in order.settings)):
        say(line)

    whole = recipe.split(cases)
    pool = (*whole.train, *whole.validation)
    samples = load(pool, recipe.preparation, progress=lambda done, total: tell("reading", done, total, ""))
    usable = {case.id: index for index, case in enumerate(samples.cases)}
    parts = recipe.fold(list(samples.cases), folds=order.folds) if order.folds else [_keep(whole, usable)]
    for split in parts:
        _check_size(split, order.data)
    if isinstance(samples, InMemory) and not any(b.masks.any() for b in samples.batches(range(len(samples.cases)), 64)):
        raise BiosegError(f"{order.data}: no mask has any foreground; are these the right files, and is inside not 0?")

    record = _record(order, recipe, parts, whole.test, device, reasons)
    if order.folds:
        claim(order.out, record, resume=order.resume)
    held_out: dict[str, Path] = {}
    for index, split in enumerate(parts):
        folder = order.out / f"fold-{index}" if order.folds else order.out
        own = {**record, "folds": 0, "split": splits.checksum(split), "parts": _ids(split)}
        run = Run(folder, own, seed=recipe.training.seed, device=device, resume=order.resume)
        name = f"fold {index + 1}/{order.folds}" if order.folds else "training"
        subset = [samples.select([usable[case.id] for case in part]) for part in (split.train, split.validation)]
        fit_segmenter(run, recipe, subset[0], subset[1], _watch(name, recipe, tell, say))
        held_out |= {case.id: folder for case in split.validation}

    opened = {folder: Predictor.open(folder, str(device)) for folder in dict.fromkeys(held_out.values())}
    validation = [case for case in pool if case.id in held_out]
    if recipe.choose:
        by_folder = {folder: [case for case in validation if held_out[case.id] == folder] for folder in opened}
        for line in _choose(order.out, recipe, opened, by_folder, tell):
            say(line)
        opened = {folder: Predictor.open(folder, str(device)) for folder in opened}
    if recipe.quality:
        add_quality(
            order.out, recipe.quality, samples, device=str(device),
            progress=lambda d, n: tell("quality", d, n, "how far to trust it"),
        )  # fmt: skip
        opened = {folder: Predictor.open(folder, str(device)) for folder in opened}
    result, faults = judge(
        lambda case: opened[held_out[case.id]], validation, order.out, progress=lambda d, n: tell("judging", d, n, "")
    )
    problems = [*samples.problems, *faults]
    test = None
    if whole.test:
        ensemble = Predictor.open(order.out, str(device))
        test, faults = judge(
            lambda case: ensemble, whole.test, order.out / "test", progress=lambda d, n: tell("testing", d, n, "")
        )
        problems += faults
    problems = list({problem.path: problem for problem in problems}.values())
    journals = [read_journal(place / "journal.jsonl") for place in opened]
    figures.save(figures.learning_curves(journals), order.out / "figures" / "curves.png")
    batch = next(samples.batches(range(min(4, len(samples.cases))), 4))
    shown = batch.pictures.permute(0, 2, 3, 1).squeeze(-1).numpy()
    figures.save(
        figures.pairs(list(shown), list(batch.masks[:, 0].numpy() > 0.5)), order.out / "figures" / "training.png"
    )
    return Outcome(result, test, write_report([order.out]), problems)


def _choose(
    run: Path, recipe: SegmentationRecipe, opened: dict[Path, Predictor], held_out: dict[Path, list[Case]], tell: Tell
) -> list[str]:
    """Choose the postprocessing on held out cases and keep it in the run; say what differs from the recipe's.

    A fold gets what is best on the other folds' cases, so that its own remain fit to judge it.
    """
    assert recipe.choose is not None
    total = sum(map(len, held_out.values()))
    first = _example(opened[next(iter(held_out))], next(iter(held_out.values()))[0], recipe)
    size = first.labels.nbytes + sum(plane.nbytes for plane in first.stored.values())
    count = min(total, CHOOSE_ON, max(1, CHOOSE_BYTES // size))
    examples: dict[Path, list[Example]] = {}
    for folder, cases in held_out.items():
        examples[folder] = [_example(opened[folder], case, recipe) for case in cases[:: -(-total // count)]]
        tell("choosing", len(examples), len(held_out), "thresholds on held out pictures")
    whole = [example for part in examples.values() for example in part]
    chosen = recipe.choose(whole, recipe.postprocess)
    files.write_json(run / CHOSEN, encode(chosen))
    for folder in held_out if len(held_out) > 1 else ():
        others = [example for place, part in examples.items() if place != folder for example in part]
        files.write_json(folder / CHOSEN, encode(recipe.choose(others, recipe.postprocess)))
    return [f"chosen on {len(whole)} held out pictures: {line}" for line in _changes(recipe.postprocess, chosen)]


def _example(predictor: Predictor, case: Case, recipe: SegmentationRecipe) -> Example:
    stored = reading.read_picture(case)
    labels = reading.read_labels(case, stored.pixels.shape[:2])
    outputs = {name: plane.astype(np.float16) for name, plane in predictor.outputs(stored).items()}
    return Example(outputs, labels, true_boxes(case, labels > 0) if recipe.postprocess.boxes else ())


def _changes(old: Any, new: Any, name: str = "") -> list[str]:
    """``name 0.5 → 0.4`` for every value that differs."""
    if dataclasses.is_dataclass(old) and type(old) is type(new):
        parts = [(field.name, getattr(old, field.name), getattr(new, field.name)) for field in dataclasses.fields(old)]
        return [line for key, a, b in parts for line in _changes(a, b, f"{name}.{key}".lstrip("."))]
    return [] if old == new else [f"{name} {old} → {new}"]


def _watch(name: str, recipe: SegmentationRecipe, tell: Tell, say: Callable[[str], None]) -> Watch:
    epochs, scores = recipe.training.epochs, [""]

    def step(epoch: int, done: int, total: int, loss: float) -> None:
        tell(name, epoch * total + done, epochs * total, f"epoch {epoch + 1}/{epochs} · loss {loss:.4f}{scores[0]}")

    def finished(row: dict[str, Any]) -> None:
        scores[0] = f" · validation Dice {row['dice']:.4f}"
        best = " · best so far" if row["best"] else ""
        say(
            f"{name}: epoch {row['epoch']:>3}/{epochs} · loss {row['loss']:.4f} · validation loss {row['validation_loss']:.4f}"
            f" Dice {row['dice']:.4f} IoU {row['iou']:.4f} · {row['seconds']:.1f} s{best}"
        )

    return Watch(step, finished)


def _keep(split: splits.Split, usable: dict[str, int]) -> splits.Split:
    """The split without the cases that could not be read."""
    kept = [tuple(case for case in part if case.id in usable) for part in (split.train, split.validation)]
    return splits.Split(kept[0], kept[1], split.test)


def _check_size(split: splits.Split, data: Path) -> None:
    if not split.train or not split.validation:
        if split.train and not split.validation:  # the chest X-ray study has no single validation part
            raise BiosegError(f"{data}: this recipe validates in folds only, or there is one case; give --folds 5")
        raise BiosegError(
            f"{data}: {len(split.train)} usable cases to learn from and {len(split.validation)} to validate on; "
            "at least one of each is needed: add pictures with masks"
        )


def _ids(split: splits.Split) -> dict[str, list[str]]:
    return {name: [case.id for case in getattr(split, name)] for name in ("train", "validation", "test")}


def _record(
    order: Order, recipe: SegmentationRecipe, parts: Sequence[splits.Split], test: Sequence[Case], device: torch.device,
    reasons: list[str],
) -> dict[str, Any]:  # fmt: skip
    """All that made the run, for people and for opening it again."""
    return {
        "format": 1,
        "recipe": encode(recipe),
        "name": recipe.name,
        "fingerprint": fingerprint(recipe),
        "reasons": reasons,
        "folds": order.folds,
        "split": ",".join(splits.checksum(split) for split in parts),
        "parts": _ids(parts[0]) if len(parts) == 1 else {"test": [case.id for case in test]},
        "patients": len({case.patient for split in parts for case in (*split.train, *split.validation)}),
        "data": order.data.resolve().name,
        "seed": recipe.training.seed,
        **origin(device, order.command),
    }
