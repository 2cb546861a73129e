"""Train a CycleGAN on two folders of pictures: split, fit, show what becomes of pictures it has not seen."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bioseg.data import cases as reading
from bioseg.data import splits
from bioseg.data.dataset import Samples, load
from bioseg.inference import device as devices
from bioseg.inference.translator import Translator
from bioseg.recipe import TranslationRecipe, encode, fingerprint, override, read_cases
from bioseg.reports import figures, translation_figures
from bioseg.reports.run_folder import read_journal
from bioseg.training.fit_segmenter import Watch
from bioseg.training.fit_translator import Sides, fit_translator
from bioseg.training.run import Run
from bioseg.types import BiosegError, Call, Case, Problem
from bioseg.workflows.record import origin
from bioseg.workflows.train import Tell

WATCHED = 5
"""So many pictures of each side, not learned from, are translated after every epoch."""


@dataclass(frozen=True)
class Order:
    """What ``bioseg train`` was asked for.

    Attributes:
        recipe: Before it is changed.
        source: Folder of pictures to translate.
        target: Folder of pictures they shall look like.
        out: Run folder to write.
        settings: ``path=value`` each.
        resume: Go on with the run that lies in ``out``.
        device: ``auto``, ``cpu``, ``cuda`` …
        command: As it was typed, for the record.
    """

    recipe: TranslationRecipe
    source: Path
    target: Path
    out: Path
    settings: tuple[str, ...] = ()
    resume: bool = False
    device: str = "auto"
    command: str = ""


def train_translator(order: Order, *, tell: Tell, say: Callable[[str], None]) -> list[Problem]:
    """Carry out ``order``; figures are written to ``figures/`` of the run.

    Args:
        order: What to train on what.
        tell: Hears how each long part of the work stands.
        say: Hears the lines a person should read.

    Returns:
        Pictures that were left out.

    Raises:
        BiosegError: A side has too few pictures, or the run folder is taken.
    """
    device = devices.choose(order.device)
    recipe = order.recipe
    for setting in order.settings:
        recipe = override(recipe, setting)
        say(f"as asked: {setting}")
    parts = [
        _split(recipe, order.source, recipe.split_source, "--data"),
        _split(recipe, order.target, recipe.split_target, "--target"),
    ]
    sides: list[Sides] = []
    problems: list[Problem] = []
    for which in ("train", "validation"):
        samples = [_load(recipe, getattr(part, which), tell) for part in parts]
        problems += [problem for side in samples for problem in side.problems]
        for side, folder in zip(samples, (order.source, order.target), strict=True):
            if not side.cases:
                reason = f"; the first: {side.problems[0].reason}" if side.problems else ""
                raise BiosegError(f"{folder}: no usable picture for {which}; add some{reason}")
        sides.append(Sides(*samples))
    train, watched = sides

    record = _record(order, recipe, parts) | origin(device, order.command)
    run = Run(order.out, record, seed=recipe.training.seed, device=device, resume=order.resume)
    fit_translator(run, recipe, train, watched, _watch(recipe, tell, say))
    translator = Translator.open(order.out, str(device))
    for name, side, backwards in (
        ("source-to-target", watched.source, False),
        ("target-to-source", watched.target, True),
    ):
        views = [(case.id, *translator.views(reading.read_picture(case), backwards=backwards)) for case in side.cases]
        figures.save(translation_figures.triples(views), order.out / "figures" / f"{name}.png")
    journal = read_journal(order.out / "journal.jsonl")
    figures.save(translation_figures.curves(journal), order.out / "figures" / "curves.png")
    return list({problem.path: problem for problem in problems}.values())


def _split(recipe: TranslationRecipe, folder: Path, how: "Call[splits.Split]", option: str) -> splits.Split:
    """The pictures to learn from, and as ``validation`` those that are watched."""
    if not folder.is_dir():
        raise BiosegError(f"{folder}: no such folder; give the folder that holds the pictures with {option}")
    cases = read_cases(recipe, folder)
    try:
        split = how(cases)
    except ValueError as fault:  # scikit-learn's, of a part without any
        raise BiosegError(f"{folder}: {len(cases)} pictures cannot be split ({fault}); add some") from None
    return splits.Split(split.train, (*split.validation, *split.test)[:WATCHED])


def _load(recipe: TranslationRecipe, cases: tuple[Case, ...], tell: Tell) -> Samples:
    """Pictures alone: masks that lie beside them are not opened."""
    bare = [replace(case, masks=(), boxes=()) for case in cases]
    return load(bare, recipe.preparation, progress=lambda done, total: tell("reading", done, total, ""))


def _record(order: Order, recipe: TranslationRecipe, parts: list[splits.Split]) -> dict[str, Any]:
    names = dict(zip(("source", "target"), parts, strict=True))
    return {
        "format": 1,
        "recipe": encode(recipe),
        "name": recipe.name,
        "fingerprint": fingerprint(recipe),
        "folds": 0,
        "split": ",".join(splits.checksum(part) for part in parts),
        "parts": {
            side: {"train": [case.id for case in part.train], "watched": [case.id for case in part.validation]}
            for side, part in names.items()
        },
        "data": order.source.resolve().name,
        "target": order.target.resolve().name,
        "seed": recipe.training.seed,
    }


def _watch(recipe: TranslationRecipe, tell: Tell, say: Callable[[str], None]) -> Watch:
    epochs = recipe.training.epochs

    def step(epoch: int, done: int, total: int, loss: float) -> None:
        tell("training", epoch * total + done, epochs * total, f"epoch {epoch + 1}/{epochs} · loss {loss:.4f}")

    def finished(row: dict[str, Any]) -> None:
        say(
            f"training: epoch {row['epoch']:>3}/{epochs} · loss {row['loss']:.4f} · cycle {row['cycle']:.4f} "
            f"identity {row['identity']:.4f} adversarial {row['adversarial']:.4f} · discriminators "
            f"{row['discriminators']:.4f} · watched cycle {row['watched_cycle']:.4f} · {row['seconds']:.1f} s"
        )

    return Watch(step, finished)
