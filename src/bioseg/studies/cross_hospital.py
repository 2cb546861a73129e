"""The cross-hospital benchmark: nine trials of lungs in chest X-rays, from one command, in as many sessions as it takes."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import reduce
from pathlib import Path
from typing import Any

from bioseg import files, recipes
from bioseg.evaluation.summary import Row, read_csv, summarise
from bioseg.pipelines.evaluate import EvaluateJob, evaluate
from bioseg.recipe import Recipe, SegmentationRecipe
from bioseg.record import encode, read_record
from bioseg.reports import table
from bioseg.settings import override
from bioseg.studies.sessions import Clock, Model, TimeUp, ensure_trained, is_trained, minutes_trained
from bioseg.types import SILENT, BiosegError, Callbacks

SCORE, FOLDS = "cxr_dice", 5
HOME, SOURCE = "Montgomery", "JSRT"
SETS = (HOME, SOURCE, "Shenzhen", "Belarus")
RECIPES = {
    "unet": "cxr-unet-reference",
    "enhanced": "cxr-enhanced-reference",
    "enhanced-clahe": "cxr-enhanced-clahe-reference",
    "cyclegan-unet": "cxr-cyclegan-unet",
    "cyclegan-resnet": "cxr-cyclegan-resnet",
}
"""What is trained, by the name of its folder; segmenters with :data:`FOLDS` folds on Montgomery."""
_SMALL = ("preparation.size_px=[128,128]",)
_LITE = (
    *_SMALL, "network.encoder=lite0", "network.imagenet=true", "training.bfloat16=true", "training.batch_size=4",
    "training.learning_rate=0.001", "training.epochs=12",
)  # fmt: skip
BUDGETS: dict[str, dict[str, tuple[str, ...]]] = {
    "full": {},
    "laptop": {
        "unet": (*_SMALL, "training.bfloat16=true", "training.batch_size=4", "training.epochs=15"),
        "enhanced": _LITE,
        "enhanced-clahe": _LITE,
        "cyclegan-unet": (*_SMALL, "generator.width=16", "discriminator.width=16", "training.epochs=16"),
        "cyclegan-resnet": (*_SMALL, "generator.width=8", "discriminator.width=16", "training.epochs=12"),
    },
}
"""Settings that differ from the published ones, by the model; about an hour and a half on two cores for ``laptop``."""


@dataclass(frozen=True)
class Trial:
    """One line of the study's table.

    Attributes:
        name: The study's number.
        what: In words.
        published: Mean and SD of Dice by set, as published; an SD of None was not.
        model: A key of :data:`RECIPES`; empty: published only.
        translator: A key of :data:`RECIPES`: the images of :data:`SOURCE`, which alone is evaluated, are translated first.
    """

    name: str
    what: str
    published: Mapping[str, tuple[float, float | None]]
    model: str = ""
    translator: str = ""


_B7 = {HOME: (0.98161, 0.007), SOURCE: (0.9665, 0.013), "Shenzhen": (0.9610, 0.018), "Belarus": (0.9505, 0.021)}
_B7_CLAHE = {HOME: (0.9797, 0.007), SOURCE: (0.9688, 0.009), "Shenzhen": (0.9596, 0.019), "Belarus": (0.9506, 0.018)}
TRIALS = (
    Trial("0", "SupportNet benchmark, published", {HOME: (0.956, None), SOURCE: (0.964, None)}),
    Trial("1", "base U-Net, 5 folds", {HOME: (0.97427, 0.009), SOURCE: (0.8879, 0.047)}, "unet"),
    Trial("2", "CycleGAN (U-Net), then base U-Net", {SOURCE: (0.93599, 0.107)}, "unet", "cyclegan-unet"),
    Trial("3", "CycleGAN (ResNet), then base U-Net", {SOURCE: (0.93839, 0.081)}, "unet", "cyclegan-resnet"),
    Trial("4 = 7", "enhanced U-Net, 5 folds", _B7, "enhanced"),
    Trial("5", "CycleGAN (U-Net), then enhanced U-Net", {SOURCE: (0.9634, 0.012)}, "enhanced", "cyclegan-unet"),
    Trial("6", "CycleGAN (ResNet), then enhanced U-Net", {SOURCE: (0.9626, 0.011)}, "enhanced", "cyclegan-resnet"),
    Trial("8", "enhanced U-Net with CLAHE, 5 folds", _B7_CLAHE, "enhanced-clahe"),
)


@dataclass(frozen=True)
class Benchmark:
    """What ``bioseg study cross-hospital`` was asked for.

    Attributes:
        sets: Folder of each set by its name of :data:`SETS`; Montgomery, which is trained on, is needed.
        out: Folder to write, or to go on with.
        settings: For each model, ``path=value`` each; a value of :data:`BUDGETS` or one like it.
        minutes: End the session after so many; None: go on to the end.
        only: Names of trials; empty: all.
        device: ``auto``, ``cpu``, ``cuda`` …
    """

    sets: dict[str, Path]
    out: Path
    settings: dict[str, tuple[str, ...]]
    minutes: float | None = None
    only: tuple[str, ...] = ()
    device: str = "auto"

    def __post_init__(self) -> None:
        """Refuse what cannot be carried out."""
        if HOME not in self.sets:
            raise BiosegError(
                "cross-hospital: Montgomery is what all of them are trained on; give its folder with --montgomery"
            )
        for name, folder in self.sets.items():
            if not folder.is_dir():
                raise BiosegError(f"{folder}: no such folder; give the unpacked {name} set with --{name.lower()}")
        known = {number for trial in TRIALS for number in trial.name.split(" = ")}
        if wrong := set(self.only) - known:
            raise BiosegError(f"--only {', '.join(sorted(wrong))}: no such trial; there are {', '.join(sorted(known))}")

    def wants(self, trial: Trial) -> bool:
        """Whether the trial is among those asked for."""
        return not self.only or bool(set(self.only) & set(trial.name.split(" = ")))


def run_benchmark(benchmark: Benchmark, callbacks: Callbacks = SILENT) -> tuple[list[Path], bool]:
    """Train and evaluate what is not done yet, and write ``cross-hospital.md``, ``.csv``, ``.html`` and ``.json``.

    Args:
        benchmark: What to do.
        callbacks: Hears how far it is.

    Returns:
        The files of the table, and whether the whole benchmark was carried out in this session.

    Raises:
        BiosegError: ``benchmark.out`` holds runs of other settings, or data cannot be used.
    """
    clock, done = Clock(benchmark.minutes), True
    try:
        for trial in TRIALS:
            if not trial.model or not benchmark.wants(trial) or (trial.translator and SOURCE not in benchmark.sets):
                continue
            for name in filter(None, (trial.model, trial.translator)):
                ensure_trained(
                    _model(benchmark, name),
                    benchmark.out / "models" / name,
                    device=benchmark.device,
                    clock=clock,
                    callbacks=callbacks,
                )
            for name in _evaluated_on(benchmark, trial):
                _evaluate(benchmark, trial, name, clock, callbacks)
            _write(benchmark)
            callbacks.log(f"trial {trial.name}: {_line(benchmark, trial)}")
    except TimeUp:
        done = False
    return _write(benchmark), done


def _model(benchmark: Benchmark, name: str) -> Model:
    recipe = _recipe(benchmark, name)
    if isinstance(recipe, SegmentationRecipe):
        return Model(name, recipe, benchmark.sets[HOME], folds=FOLDS)
    return Model(name, recipe, benchmark.sets[SOURCE], target=benchmark.sets[HOME])


def _recipe(benchmark: Benchmark, name: str) -> Recipe:
    return reduce(override, benchmark.settings.get(name, ()), recipes.get(RECIPES[name]))


def _evaluated_on(benchmark: Benchmark, trial: Trial) -> list[str]:
    """Sets that are not yet part of the run itself: Montgomery's test part is."""
    return [name for name in SETS[1:] if name in benchmark.sets and (not trial.translator or name == SOURCE)]


def _scores(benchmark: Benchmark, trial: Trial, name: str) -> Path:
    """Folder of ``scores.csv``."""
    if name == HOME:
        return benchmark.out / "models" / trial.model / "test"
    return benchmark.out / "scores" / trial.name.replace(" = ", "-") / name


def _evaluate(benchmark: Benchmark, trial: Trial, name: str, clock: Clock, callbacks: Callbacks) -> None:
    folder = _scores(benchmark, trial, name)
    if (folder / "report.html").exists():
        return
    clock.check()
    models = benchmark.out / "models"
    translator = models / trial.translator if trial.translator else None
    job = EvaluateJob(models / trial.model, benchmark.sets[name], folder, translator, device=benchmark.device)
    _, problems = evaluate(job, callbacks)
    if problems:
        files.write(folder / "left-out.txt", "".join(f"{problem.reason}\n" for problem in problems))
        callbacks.log(f"{name}: {len(problems)} images left out, the reasons in {folder / 'left-out.txt'}")


def results(benchmark: Benchmark) -> list[dict[str, Any]]:
    """What is known so far, a row for each trial and set.

    Returns:
        ``trial``, ``what``, ``set``, ``published`` (mean and SD, or None), and where it is evaluated ``n``, ``mean``, ``sd``,
        ``ci95``; of the translators' source ``unseen`` too: the same of the images none of them was trained on.
    """
    rows, trained_on = [], _trained_on(benchmark)
    for trial in TRIALS:
        for name in SETS:
            row: dict[str, Any] = {"trial": trial.name, "what": trial.what, "set": name}
            row["published"] = trial.published.get(name)
            place = _scores(benchmark, trial, name) if trial.model else None
            if place and (place / "scores.csv").exists() and not (trial.translator and name != SOURCE):
                scores = read_csv(place / "scores.csv")
                row |= _mean(scores)
                if name == SOURCE and trained_on:
                    row["unseen"] = _mean([one for one in scores if one.case not in trained_on])
            rows.append(row)
    return rows


def _trained_on(benchmark: Benchmark) -> set[str]:
    """Cases of :data:`SOURCE` that a translator was trained on."""
    folders = [benchmark.out / "models" / name for name in RECIPES if name.startswith("cyclegan")]
    records = [read_record(folder) for folder in folders if (folder / "record.json").exists()]
    return {case for record in records for case in record["parts"]["source"]["train"]}


def _mean(rows: list[Row]) -> dict[str, Any]:
    if not rows:
        return {"n": 0}
    one = summarise([replace(row, scores={SCORE: row.scores[SCORE]}) for row in rows])[SCORE]
    return {"n": len(rows) - one["undefined"], "mean": one["mean"], "sd": one["sd"], "ci95": one["ci95"]}


def _write(benchmark: Benchmark) -> list[Path]:
    rows = results(benchmark)
    files.write_json(benchmark.out / "cross-hospital.json", rows)
    lines = [
        [f"{trial.name} · {trial.what}", *(_cell(row, benchmark, trial) for row in rows if row["trial"] == trial.name)]
        for trial in TRIALS
    ]
    notes = [
        "A cell: ours, mean ± standard deviation, images, 95 % interval of the mean over patients; last, what was "
        "published. Dice with smoothing 1 on the prepared grid, five folds averaged, parts and holes below 2 % cleaned up.",
        "Montgomery: the 28 test images. JSRT: all, and those that no translator was trained on.",
        *(_note(benchmark, name) for name in RECIPES),
    ]
    return table.write(
        table.Table(
            "Lungs in chest X-rays across hospitals: nine trials",
            "Trained on 110 Montgomery X-rays, evaluated there and at hospitals that were not seen. What differs from "
            "the published study is said below the table.",
            ["trial", *SETS], lines, notes,
        ),
        benchmark.out / "cross-hospital",
    )  # fmt: skip


def _cell(row: dict[str, Any], benchmark: Benchmark, trial: Trial) -> str:
    lines = []
    if row.get("n"):
        lines.append(_numbers(row))
        if row.get("unseen", {}).get("n"):
            lines.append(f"not seen by translators:\n{_numbers(row['unseen'])}")
    elif trial.model and not (trial.translator and row["set"] != SOURCE):
        given = row["set"] in benchmark.sets
        lines.append("set not given" if not given else "not run yet" if benchmark.wants(trial) else "not asked for")
    if row["published"]:
        mean, deviation = row["published"]
        lines.append(f"published {mean:.4f}" + ("" if deviation is None else f" ± {deviation:.3f}"))
    return "\n".join(lines) or "n/a"


def _numbers(row: dict[str, Any]) -> str:
    low, high = row["ci95"]
    interval = "" if low != low else f"\n{low:.4f} … {high:.4f}"
    return f"{row['mean']:.4f} ± {row['sd']:.3f}, n = {row['n']}{interval}"


def _note(benchmark: Benchmark, name: str) -> str:
    """How far a model is, what it cost, and what of it was scaled."""
    folder = benchmark.out / "models" / name
    if name.startswith("cyclegan") and SOURCE not in benchmark.sets:
        return f"{name}: needs --jsrt"
    scaled = differences(recipes.get(RECIPES[name]), _recipe(benchmark, name))
    how = "scaled: " + ", ".join(scaled) if scaled else "as published"
    model = _model(benchmark, name)
    if not is_trained(model, folder):
        return f"{name}: not finished yet; {how}"
    record = read_record(folder)
    return (
        f"{name}: {minutes_trained(folder, model.folds):.0f} minutes of training on {record['device']}, PyTorch "
        f"{record['versions']['torch']}, seed {record['seed']}, {record['started'][:10]}, fingerprint "
        f"{record['fingerprint']}; {how}"
    )


def _line(benchmark: Benchmark, trial: Trial) -> str:
    return " · ".join(
        f"{row['set']} {row['mean']:.4f}" for row in results(benchmark) if row["trial"] == trial.name and row.get("n")
    )


def differences(published: Recipe, ours: Recipe) -> list[str]:
    """``training.epochs 15 instead of 80`` for every value that differs."""
    first, second = (dict(_flat(encode(recipe))) for recipe in (published, ours))
    return [
        f"{name} {_word(second.get(name))} instead of {_word(first.get(name))}"
        for name in dict.fromkeys([*first, *second])
        if first.get(name) != second.get(name)
    ]


def _flat(value: Any, name: str = "") -> list[tuple[str, Any]]:
    if isinstance(value, dict):
        return [pair for key, item in value.items() for pair in _flat(item, f"{name}.{key}".lstrip("."))]
    return [(name, value)]


def _word(value: Any) -> str:
    return "×".join(map(str, value)) if isinstance(value, list) else str(value)
