"""The cross-hospital benchmark: nine trials of lung segmentation in chest X-rays, from one command, in as many sessions as
needed."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import reduce
from pathlib import Path
from typing import Any

from bioseg import files, recipes
from bioseg.evaluation.summary import Row, read_csv, summarise
from bioseg.pipelines.evaluate import EvaluateJob, evaluate
from bioseg.recipe import Recipe, SegmentationRecipe
from bioseg.record import differences, read_record
from bioseg.reports import table
from bioseg.settings import override
from bioseg.studies.sessions import Clock, Model, ensure_trained, is_trained, log_problems, minutes_trained, run_session
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
"""Recipes by the name of the run's folder; segmentation models are trained with :data:`FOLDS` folds on Montgomery."""
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
"""Settings of each model that differ from the published ones; ``laptop`` takes about an hour and a half on two cores."""


@dataclass(frozen=True)
class Trial:
    """One row of the table.

    Attributes:
        name: Its number in the published study.
        what: In words.
        published: Published mean and SD of Dice by set; an SD of None was not published.
        model: A key of :data:`RECIPES`; empty: published only.
        translator: A key of :data:`RECIPES`: only :data:`SOURCE` is evaluated, after translation by this model.
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
    """Arguments of ``bioseg study cross-hospital``.

    Attributes:
        sets: Folders by their names in :data:`SETS`; Montgomery, the training set, is required.
        out: Folder to write, or to continue.
        settings: ``path=value`` settings of each model, as in :data:`BUDGETS`.
        minutes: Length of the session; None: until the benchmark is done.
        only: Numbers of trials; empty: all.
        device: ``auto``, ``cpu``, ``cuda`` …
    """

    sets: dict[str, Path]
    out: Path
    settings: dict[str, tuple[str, ...]]
    minutes: float | None = None
    only: tuple[str, ...] = ()
    device: str = "auto"

    def __post_init__(self) -> None:
        """Refuse arguments that contradict each other."""
        if HOME not in self.sets:
            raise BiosegError("cross-hospital: all models are trained on Montgomery; give its folder with --montgomery")
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
    """Train and evaluate what is not finished yet, and write ``cross-hospital.md``, ``.csv``, ``.html`` and ``.json``.

    Args:
        benchmark: What to do.
        callbacks: Hears how far it is.

    Returns:
        The files of the table, and whether the whole benchmark was carried out in this session.

    Raises:
        BiosegError: ``benchmark.out`` holds runs of other settings, or data cannot be used.
    """
    clock = Clock(benchmark.minutes)

    def work() -> None:
        for trial in TRIALS:
            if trial.model and benchmark.wants(trial) and (not trial.translator or SOURCE in benchmark.sets):
                _carry_out(benchmark, trial, clock, callbacks)

    inputs = tuple(benchmark.sets.values())
    return run_session(benchmark.out, inputs, work, lambda: _write(benchmark), callbacks)


def _carry_out(benchmark: Benchmark, trial: Trial, clock: Clock, callbacks: Callbacks) -> None:
    for name in filter(None, (trial.model, trial.translator)):
        folder = benchmark.out / "models" / name
        model = _model(benchmark, name)
        ensure_trained(model, folder, device=benchmark.device, clock=clock, callbacks=callbacks)
    for name in _evaluated_on(benchmark, trial):
        _evaluate(benchmark, trial, name, clock, callbacks)
    _write(benchmark)
    callbacks.log(f"trial {trial.name}: {_line(benchmark, trial)}")


def _model(benchmark: Benchmark, name: str) -> Model:
    recipe = _recipe(benchmark, name)
    if isinstance(recipe, SegmentationRecipe):
        return Model(name, recipe, benchmark.sets[HOME], folds=FOLDS)
    return Model(name, recipe, benchmark.sets[SOURCE], target=benchmark.sets[HOME])


def _recipe(benchmark: Benchmark, name: str) -> Recipe:
    return reduce(override, benchmark.settings.get(name, ()), recipes.get(RECIPES[name]))


def _evaluated_on(benchmark: Benchmark, trial: Trial) -> list[str]:
    """Sets to evaluate besides Montgomery, whose test part the run itself evaluates."""
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
    log_problems(name, problems, folder, callbacks)


def results(benchmark: Benchmark) -> list[dict[str, Any]]:
    """The results so far, a row for each trial and set.

    Returns:
        ``trial``, ``what``, ``set``, ``published`` (mean and SD, or None), and for sets that were evaluated ``n``, ``mean``,
        ``sd``, ``ci95``; for :data:`SOURCE` also ``unseen``, the same over images that no translation model was trained on.
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
    """Cases of :data:`SOURCE` that a translation model was trained on."""
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
        "A cell: our mean ± standard deviation, number of images, 95 % interval of the mean over patients; last, the "
        "published value. Dice with smoothing 1 on the prepared grid, five folds averaged, components and holes below 2 % "
        "removed.",
        "Montgomery: the 28 test images. JSRT: all images, and those that no translation model was trained on.",
        *(_note(benchmark, name) for name in RECIPES),
    ]
    return table.write(
        table.Table(
            "Lungs in chest X-rays across hospitals: nine trials",
            "Trained on 110 Montgomery X-rays, evaluated on Montgomery test images and on hospitals not used in training. "
            "Differences from the published study are listed below the table.",
            ["trial", *SETS], lines, notes,
        ),
        benchmark.out / "cross-hospital",
    )  # fmt: skip


def _cell(row: dict[str, Any], benchmark: Benchmark, trial: Trial) -> str:
    lines = []
    if row.get("n"):
        lines.append(_numbers(row))
        if row.get("unseen", {}).get("n"):
            lines.append(f"not used by translation models:\n{_numbers(row['unseen'])}")
    elif trial.model and not (trial.translator and row["set"] != SOURCE):
        given = row["set"] in benchmark.sets
        lines.append("set not given" if not given else "not run yet" if benchmark.wants(trial) else "not requested")
    if row["published"]:
        mean, deviation = row["published"]
        lines.append(f"published {mean:.4f}" + ("" if deviation is None else f" ± {deviation:.3f}"))
    return "\n".join(lines) or "n/a"


def _numbers(row: dict[str, Any]) -> str:
    low, high = row["ci95"]
    interval = "" if low != low else f"\n{low:.4f} … {high:.4f}"
    return f"{row['mean']:.4f} ± {row['sd']:.3f}, n = {row['n']}{interval}"


def _note(benchmark: Benchmark, name: str) -> str:
    """State of a model, its training time, and settings that differ from the published ones."""
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
