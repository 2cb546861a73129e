"""The nine trials of lungs in chest X-rays across hospitals, from one command, in as many slices as it takes."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import reduce
from pathlib import Path
from typing import Any

from bioseg import files, recipes
from bioseg.evaluation.summary import Row, read_csv, summarise
from bioseg.inference.predictor import read_record
from bioseg.recipe import Recipe, SegmentationRecipe, encode, override
from bioseg.reports import table
from bioseg.types import BiosegError
from bioseg.workflows.evaluate import evaluate
from bioseg.workflows.slices import Clock, Model, TimeUp, ensure_trained, is_trained, minutes_learned
from bioseg.workflows.train import Tell

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
    *_SMALL, "network.encoder=lite0", "network.imagenet=true", "training.bfloat16=true", "training.batch=4",
    "training.rate=0.001", "training.epochs=12",
)  # fmt: skip
BUDGETS: dict[str, dict[str, tuple[str, ...]]] = {
    "full": {},
    "laptop": {
        "unet": (*_SMALL, "training.bfloat16=true", "training.batch=4", "training.epochs=15"),
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
        translator: A key of :data:`RECIPES`: the pictures of :data:`SOURCE`, which alone is judged, are translated first.
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
class Order:
    """What ``bioseg trials`` was asked for.

    Attributes:
        sets: Folder of each set by its name of :data:`SETS`; Montgomery, which is learned from, is needed.
        out: Folder to write, or to go on with.
        settings: For each model, ``path=value`` each; a value of :data:`BUDGETS` or one like it.
        minutes: End the slice after so many; None: go on to the end.
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
            raise BiosegError("trials: Montgomery is what all of them learn from; give its folder with --montgomery")
        for name, folder in self.sets.items():
            if not folder.is_dir():
                raise BiosegError(f"{folder}: no such folder; give the unpacked {name} set with --{name.lower()}")
        known = {number for trial in TRIALS for number in trial.name.split(" = ")}
        if wrong := set(self.only) - known:
            raise BiosegError(f"--only {', '.join(sorted(wrong))}: no such trial; there are {', '.join(sorted(known))}")

    def wants(self, trial: Trial) -> bool:
        """Whether the trial is among those asked for."""
        return not self.only or bool(set(self.only) & set(trial.name.split(" = ")))


def run_trials(order: Order, *, tell: Tell, say: Callable[[str], None]) -> tuple[list[Path], bool]:
    """Train what is not trained, judge what is not judged, and write ``trials.md``, ``.csv``, ``.html`` and ``.json``.

    Args:
        order: What to do.
        tell: Hears how each long part of the work stands.
        say: Hears the lines a person should read.

    Returns:
        The files of the table, and whether the whole order was carried out in this slice.

    Raises:
        BiosegError: ``order.out`` holds runs of other settings, or data cannot be used.
    """
    clock, done = Clock(order.minutes), True
    try:
        for trial in TRIALS:
            if not trial.model or not order.wants(trial) or (trial.translator and SOURCE not in order.sets):
                continue
            for name in filter(None, (trial.model, trial.translator)):
                ensure_trained(
                    _model(order, name),
                    order.out / "models" / name,
                    device=order.device,
                    clock=clock,
                    tell=tell,
                    say=say,
                )
            for name in _judged_on(order, trial):
                _judge(order, trial, name, clock, tell, say)
            _write(order)
            say(f"trial {trial.name}: {_line(order, trial)}")
    except TimeUp:
        done = False
    return _write(order), done


def _model(order: Order, name: str) -> Model:
    recipe = _recipe(order, name)
    if isinstance(recipe, SegmentationRecipe):
        return Model(name, recipe, order.sets[HOME], folds=FOLDS)
    return Model(name, recipe, order.sets[SOURCE], target=order.sets[HOME])


def _recipe(order: Order, name: str) -> Recipe:
    return reduce(override, order.settings.get(name, ()), recipes.get(RECIPES[name]))


def _judged_on(order: Order, trial: Trial) -> list[str]:
    """Sets that are not yet part of the run itself: Montgomery's test part is."""
    return [name for name in SETS[1:] if name in order.sets and (not trial.translator or name == SOURCE)]


def _scores(order: Order, trial: Trial, name: str) -> Path:
    """Folder of ``scores.csv``."""
    if name == HOME:
        return order.out / "models" / trial.model / "test"
    return order.out / "scores" / trial.name.replace(" = ", "-") / name


def _judge(order: Order, trial: Trial, name: str, clock: Clock, tell: Tell, say: Callable[[str], None]) -> None:
    folder = _scores(order, trial, name)
    if (folder / "report.html").exists():
        return
    clock.check()
    models = order.out / "models"
    _, problems = evaluate(
        models / trial.model, order.sets[name], folder, device=order.device, tell=tell,
        translator=models / trial.translator if trial.translator else None,
    )  # fmt: skip
    if problems:
        files.write(folder / "left-out.txt", "".join(f"{problem.reason}\n" for problem in problems))
        say(f"{name}: {len(problems)} pictures left out, the reasons in {folder / 'left-out.txt'}")


def results(order: Order) -> list[dict[str, Any]]:
    """What is known so far, a row for each trial and set.

    Returns:
        ``trial``, ``what``, ``set``, ``published`` (mean and SD, or None), and where it is judged ``n``, ``mean``, ``sd``,
        ``ci95``; of the translators' source ``unseen`` too: the same of the pictures none of them learned from.
    """
    rows, learned = [], _learned(order)
    for trial in TRIALS:
        for name in SETS:
            row: dict[str, Any] = {"trial": trial.name, "what": trial.what, "set": name}
            row["published"] = trial.published.get(name)
            place = _scores(order, trial, name) if trial.model else None
            if place and (place / "scores.csv").exists() and not (trial.translator and name != SOURCE):
                scores = read_csv(place / "scores.csv")
                row |= _mean(scores)
                if name == SOURCE and learned:
                    row["unseen"] = _mean([one for one in scores if one.case not in learned])
            rows.append(row)
    return rows


def _learned(order: Order) -> set[str]:
    """Cases of :data:`SOURCE` that a translator learned from."""
    folders = [order.out / "models" / name for name in RECIPES if name.startswith("cyclegan")]
    records = [read_record(folder) for folder in folders if (folder / "record.json").exists()]
    return {case for record in records for case in record["parts"]["source"]["train"]}


def _mean(rows: list[Row]) -> dict[str, Any]:
    if not rows:
        return {"n": 0}
    one = summarise([replace(row, scores={SCORE: row.scores[SCORE]}) for row in rows])[SCORE]
    return {"n": len(rows) - one["undefined"], "mean": one["mean"], "sd": one["sd"], "ci95": one["ci95"]}


def _write(order: Order) -> list[Path]:
    rows = results(order)
    files.write_json(order.out / "trials.json", rows)
    lines = [
        [f"{trial.name} · {trial.what}", *(_cell(row, order, trial) for row in rows if row["trial"] == trial.name)]
        for trial in TRIALS
    ]
    notes = [
        "A cell: ours, mean ± standard deviation, pictures, 95 % interval of the mean over patients; last, what was "
        "published. Dice with smoothing 1 on the prepared grid, five folds averaged, parts and holes below 2 % cleaned up.",
        "Montgomery: the 28 test pictures. JSRT: all, and those that no translator learned from.",
        *(_note(order, name) for name in RECIPES),
    ]
    return table.write(
        table.Table(
            "Lungs in chest X-rays across hospitals: the nine trials",
            "Learned from 110 Montgomery X-rays, judged there and at hospitals none of which was seen. What differs from "
            "the published study is said below the table.",
            ["trial", *SETS], lines, notes,
        ),
        order.out / "trials",
    )  # fmt: skip


def _cell(row: dict[str, Any], order: Order, trial: Trial) -> str:
    lines = []
    if row.get("n"):
        lines.append(_numbers(row))
        if row.get("unseen", {}).get("n"):
            lines.append(f"unseen by translators:\n{_numbers(row['unseen'])}")
    elif trial.model and not (trial.translator and row["set"] != SOURCE):
        given = row["set"] in order.sets
        lines.append("set not given" if not given else "not run yet" if order.wants(trial) else "not asked for")
    if row["published"]:
        mean, deviation = row["published"]
        lines.append(f"published {mean:.4f}" + ("" if deviation is None else f" ± {deviation:.3f}"))
    return "\n".join(lines) or "n/a"


def _numbers(row: dict[str, Any]) -> str:
    low, high = row["ci95"]
    interval = "" if low != low else f"\n{low:.4f} … {high:.4f}"
    return f"{row['mean']:.4f} ± {row['sd']:.3f}, n = {row['n']}{interval}"


def _note(order: Order, name: str) -> str:
    """How far a model is, what it cost, and what of it was scaled."""
    folder = order.out / "models" / name
    if name.startswith("cyclegan") and SOURCE not in order.sets:
        return f"{name}: needs --jsrt"
    scaled = differences(recipes.get(RECIPES[name]), _recipe(order, name))
    how = "scaled: " + ", ".join(scaled) if scaled else "as published"
    model = _model(order, name)
    if not is_trained(model, folder):
        return f"{name}: not finished yet; {how}"
    record = read_record(folder)
    return (
        f"{name}: {minutes_learned(folder, model.folds):.0f} minutes of training on {record['device']}, PyTorch "
        f"{record['versions']['torch']}, seed {record['seed']}, {record['started'][:10]}, fingerprint "
        f"{record['fingerprint']}; {how}"
    )


def _line(order: Order, trial: Trial) -> str:
    return " · ".join(
        f"{row['set']} {row['mean']:.4f}" for row in results(order) if row["trial"] == trial.name and row.get("n")
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
