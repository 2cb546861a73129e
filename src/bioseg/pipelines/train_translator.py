"""Train a CycleGAN on two folders of images: split, fit, show what becomes of images it was not trained on."""

from dataclasses import dataclass, replace
from functools import reduce
from pathlib import Path
from typing import Any

from bioseg import files, user_code
from bioseg.datasets import cases as reading
from bioseg.datasets import splits
from bioseg.datasets.samples import Samples, load
from bioseg.inference import device as devices
from bioseg.inference.translator import Translator
from bioseg.migration import FORMAT
from bioseg.pipelines.open import open_translator
from bioseg.pipelines.output_folder import refuse_inputs, refuse_unless_run
from bioseg.pipelines.provenance import provenance
from bioseg.recipe import TranslationRecipe
from bioseg.record import encode, fingerprint
from bioseg.reports import figures, translation_figures
from bioseg.reports.run_folder import read_journal
from bioseg.settings import override
from bioseg.specs import Call
from bioseg.training.fit_translator import Domains, fit_translator
from bioseg.training.run import Run
from bioseg.types import SILENT, BiosegError, Callbacks, Case, Problem

MONITORED = 5
"""This many images of each domain, not trained on, are translated after every epoch."""


@dataclass(frozen=True)
class TranslatorJob:
    """A training of a translation model.

    Attributes:
        recipe: Before the settings.
        source: Folder of images to translate.
        target: Folder of images they shall look like.
        out: Run folder to write.
        settings: ``path=value`` each.
        resume: Continue the run that lies in ``out``.
        device: ``auto``, ``cpu``, ``cuda`` …
        command: As it was typed, for the record.
        config: Content of the config file, for the record.
    """

    recipe: TranslationRecipe
    source: Path
    target: Path
    out: Path
    settings: tuple[str, ...] = ()
    resume: bool = False
    device: str = "auto"
    command: str = ""
    config: str = ""


def train_translator(job: TranslatorJob, callbacks: Callbacks = SILENT) -> list[Problem]:
    """Carry out ``job``; figures are written to ``figures/`` of the run.

    Returns:
        Images that were left out.

    Raises:
        BiosegError: A domain has too few images, or the run folder is taken.
    """
    device = devices.choose(job.device)
    refuse_inputs(job.out, job.source, job.target)
    refuse_unless_run(job.out, resume=job.resume)
    recipe = reduce(override, job.settings, job.recipe)
    if code := user_code.collect(recipe):
        raise BiosegError(
            f"{recipe.name}: names code that is not bioseg's ({', '.join(code)}); a translation recipe may not"
        )
    for setting in job.settings:
        callbacks.log(f"as asked: {setting}")
    parts = [
        _split(recipe, job.source, recipe.split_source, "--data"),
        _split(recipe, job.target, recipe.split_target, "--target"),
    ]
    problems: list[Problem] = []
    domains: list[Domains] = []
    for which in ("train", "validation"):
        samples = [_load(recipe, getattr(part, which), callbacks) for part in parts]
        problems += [problem for one in samples for problem in one.problems]
        for one, folder in zip(samples, (job.source, job.target), strict=True):
            if not one.cases:
                reason = f"; the first: {one.problems[0].reason}" if one.problems else ""
                raise BiosegError(f"{folder}: no usable image for {which}; add some{reason}")
        domains.append(Domains(*samples))
    train, monitored = domains

    record = _record(job, recipe, parts) | provenance(device, job.command)
    record |= {"config": job.config} if job.config else {}
    with (
        files.lock(job.out),
        Run(job.out, record, seed=recipe.training.seed, device=device, resume=job.resume) as run,
    ):
        callbacks.started(record)
        fit_translator(run, recipe, train, monitored, callbacks)
        _draw(job.out, open_translator(job.out, str(device)), monitored)
    callbacks.finished({})
    return list({problem.path: problem for problem in problems}.values())


def _draw(out: Path, translator: Translator, monitored: Domains) -> None:
    """The monitored images both ways, and the curves."""
    for name, samples, backwards in (
        ("source-to-target", monitored.source, False),
        ("target-to-source", monitored.target, True),
    ):
        triples = [
            (case.id, *translator.cycle(reading.read_image(case), backwards=backwards)) for case in samples.cases
        ]
        figures.save(translation_figures.triples(triples), out / "figures" / f"{name}.png")
    figures.save(translation_figures.curves(read_journal(out / "journal.jsonl")), out / "figures" / "curves.png")


def _split(recipe: TranslationRecipe, folder: Path, how: Call[splits.Split], option: str) -> splits.Split:
    """The images to train on, and as ``validation`` those that are monitored."""
    if not folder.is_dir():
        raise BiosegError(f"{folder}: no such folder; give the folder that holds the images with {option}")
    cases = recipe.layout(folder)
    if not cases:
        raise BiosegError(f"{folder}: no image found; `bioseg data check {folder}` says what lies there")
    split = how(cases)
    return splits.Split(split.train, (*split.validation, *split.test)[:MONITORED])


def _load(recipe: TranslationRecipe, cases: tuple[Case, ...], callbacks: Callbacks) -> Samples:
    """Images alone: masks that lie beside them are not opened."""
    bare = [replace(case, masks=(), boxes=()) for case in cases]
    return load(bare, recipe.preparation, progress=callbacks.counter("reading"))


def _record(job: TranslatorJob, recipe: TranslationRecipe, parts: list[splits.Split]) -> dict[str, Any]:
    names = dict(zip(("source", "target"), parts, strict=True))
    return {
        "format": FORMAT,
        "recipe": encode(recipe),
        "name": recipe.name,
        "fingerprint": fingerprint(recipe),
        "folds": 0,
        "split": ",".join(splits.checksum(part) for part in parts),
        "parts": {
            side: {"train": [case.id for case in part.train], "monitored": [case.id for case in part.validation]}
            for side, part in names.items()
        },
        "data": job.source.resolve().name,
        "target": job.target.resolve().name,
        "seed": recipe.training.seed,
    }
