"""One page that explains a run, or compares several; everything it shows is embedded in it."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jinja2
import numpy as np

from bioseg import files
from bioseg.evaluation.summary import compare, summarise
from bioseg.reports.figures import best_epoch, score_name
from bioseg.reports.run_folder import Run, read_run
from bioseg.reports.sentences import UNKNOWN, bias, fault, headline, learning
from bioseg.reports.trust import TRUST, trust
from bioseg.types import BiosegError

FIGURES = {
    "curves": "Training dashed, validation solid; a dot marks the epoch whose weights are kept. Training scores are measured "
    "while the weights change, on augmented images.",
    "classes": "Dice of each class.",
    "distribution": "One dot per image; the bar is the median, the band holds the middle half.",
    "best-median-worst": "The image, the ground truth, the prediction.",
    "worst": "The lowest Dice: prediction filled, contour of the ground truth as a line, red frame below 0.8.",
    "overlays": "Drawn at random, not chosen by score.",
    "confusion": "Cyan: true positive. Magenta: false positive. Yellow: false negative. Dark: true negative.",
    "objects": "Contour of the ground truth in blue; beside it every predicted object in a colour of its own.",
    "boxes": "True boxes blue, predicted ones red with their confidence; images drawn at random.",
    "training": "What the network is trained on: four prepared images, each with its mask.",
    "rows": "Image, ground truth and prediction: one image of each IoU band (.85, .9, .95) that has any, the rest at random.",
    "confusion-matrix": "Shares of all pixels, averaged over images; of several classes, shares of each true class's pixels.",
    "trust": "What remains when the images of the lowest estimated quality are set aside.",
}
MEANINGS = {
    "dice": ("Dice", "twice the overlap, divided by the sum of both areas"),
    "iou": ("IoU", "intersection over union"),
    "precision": ("Precision", "share of the prediction that is foreground"),
    "recall": ("Recall", "share of the foreground that is predicted"),
    "surface_dice": ("Surface Dice", "share of both contours within a tolerance of the other"),
    "hd95_mm": ("HD95, mm", "95th percentile of the distance between the contours; lower is better"),
    "hd95_px": ("HD95, px", "95th percentile of the distance between the contours; lower is better"),
    "ap": ("AP", "objects: TP / (TP + FP + FN), mean over IoU .50 to .95"),
    "ap50": ("AP at .50", "the same at IoU .50"),
    "ap75": ("AP at .75", "the same at IoU .75"),
    "rsna_score": ("RSNA score", "boxes: TP / (TP + FP + FN), mean over IoU .40 to .75"),
    "accuracy": ("Accuracy", "share of all pixels that are right, background included"),
}
PARTS = {"train": "training"}
"""Parts of a split that are called otherwise in running text."""
TICKS = 300
"""At most this many cases are drawn in the strip under the headline."""


def write_report(folders: Sequence[Path], out: Path | None = None) -> Path:
    """Write the page of one run or evaluation, or one that compares several.

    Args:
        folders: Each with what :class:`Run` lists; parts that are missing are left out of the page.
        out: The file; by default ``report.html`` in the only folder, ``comparison.html`` beside the first of several.

    Returns:
        Where it is.

    Raises:
        BiosegError: A folder holds neither record nor summary, or one that is damaged.
    """
    runs = [read_run(folder) for folder in folders]
    default = folders[0] / "report.html" if len(runs) == 1 else folders[0].resolve().parent / "comparison.html"
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("bioseg", "reports"), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {"number": _number, "interval": _interval, "short": _short, "patient": _patient}
    tools = (best_epoch, bias, headline, learning, fault, score_rows, source_rows, strip, settings, origins, trust)
    page = environment.get_template("report.html").render(
        runs=runs,
        run=runs[0],
        captions=FIGURES,
        pairs=[pair_sentence(runs[0], run) for run in runs[1:]],
        comparison=comparison(runs),
        **{tool.__name__: tool for tool in tools},
    )
    files.write(out or default, page)
    return out or default


def score_rows(run: Run, which: str = "summary") -> list[tuple[str, str, dict[str, Any]]]:
    """(name, meaning, summary) of every score, the main ones first."""
    scores = {name: value for name, value in getattr(run, which).items() if isinstance(value, dict) and "mean" in value}
    order = [name for name in MEANINGS if name in scores]
    order += [name for name in scores if name not in (*MEANINGS, *TRUST) and not name.startswith("share_")]
    return [(*MEANINGS.get(name, (score_name(name), "")), scores[name]) for name in order]


def source_rows(run: Run) -> list[tuple[str, dict[str, Any]]]:
    """(source, summary of its cases) where there are several."""
    sources = sorted({row.source for row in run.table})
    if len(sources) < 2:
        return []
    return [
        (source or "no source", summarise([row for row in run.table if row.source == source])) for source in sources
    ]


def strip(run: Run) -> dict[str, Any]:
    """Places in [0, 1000] along a line from ``low`` to 1: every case's Dice (or some, evenly), the interval."""
    values = [row.scores["dice"] for row in run.ranked]
    if not values:
        return {}
    low = min(0.9, math.floor(10 * values[0]) / 10)
    chosen = np.unique(np.linspace(0, len(values) - 1, min(TICKS, len(values))).round().astype(int))
    ends = [end for end in run.dice.get("ci95", []) if end is not None]
    place = [round(1000 * (value - low) / (1 - low), 1) for value in [*ends, *(values[k] for k in chosen)]]
    return {"low": low, "interval": place[: len(ends)], "cases": place[len(ends) :]}


def settings(run: Run) -> list[tuple[str, str]]:
    """What was trained on what, (term, text)."""
    recipe, record = run.recipe, run.record
    training, preparation = recipe.get("training", {}), recipe.get("preparation", {})
    parts = record.get("parts", {}) if len(run.folds) == 1 else {}
    sizes = ", ".join(f"{len(ids)} for {PARTS.get(part, part)}" for part, ids in parts.items() if ids)
    size = " × ".join(map(str, preparation.get("size_px", ())))
    pairs = {
        "Recipe": " · ".join(filter(None, (record.get("name"), recipe.get("purpose")))),
        "Trained on": " · ".join(filter(None, (record.get("data"), sizes))),
        "Patients": _patients(record),
        "Evaluated on": record.get("evaluated_on"),
        "Split": _split(record, recipe),
        "Network": _words(recipe.get("network")),
        "Input": size and f"{size} px, {_channels(preparation)}",
        "Training": ", ".join(
            f"{words} {_words(training[name])}"
            for name, words in (
                ("loss", "loss"), ("optimiser", "optimiser"), ("learning_rate", "learning rate"),
                ("batch_size", "batch size"), ("epochs", "epochs"),
            )
            if name in training
        ),
        "Scores": {"original": "on each image's own grid", "prepared": "on the resized grid, as in the study"}.get(
            recipe.get("evaluated_on", ""), ""
        ),
    }  # fmt: skip
    return [(term, text) for term, text in pairs.items() if text]


def _channels(preparation: dict[str, Any]) -> str:
    """Grey, colour, or measured channels."""
    if chosen := preparation.get("select"):
        return f"channel{'s' if len(chosen) > 1 else ''} {', '.join(map(str, chosen))}"
    number = preparation.get("channels")
    return {1: "grey", 3: "colour"}.get(number, f"{number} channels") if isinstance(number, int) else "colour"


def _patients(record: dict[str, Any]) -> str:
    """Of the data that the model was trained on."""
    count, unknown = record.get("patients"), record.get("patients_unknown", 0)
    if not count:
        return ""
    if unknown:
        known = "" if unknown == count else f" for {unknown} images; {count - unknown} others known"
        return f"unknown{known}: each image counts as its own patient"
    source = record.get("patients_from")
    return f"{count}" + (f", known from {source}" if source else "")


def _split(record: dict[str, Any], recipe: dict[str, Any]) -> str:
    """Who decided which case is in which part, and how."""
    source, folds = record.get("split_from", ""), record.get("folds", 0)
    how = _words(recipe.get("fold" if folds else "split"))
    if folds:
        return f"{folds} folds, {how}" + (f"; test set: {source}" if source else "")
    return how if not source else f"the recipe's: {how}" if source.startswith("the recipe's") else source


def origins(run: Run) -> list[tuple[str, str]]:
    """All that is needed to reproduce it, (term, text)."""
    record = run.record
    pairs = {
        "Command": record.get("command"),
        "Started": record.get("started"),
        "Training time": f"{run.minutes:.1f} minutes" if run.minutes else None,
        "Prediction": f"{ms:.0f} ms per image, median" if (ms := run.summary.get("prediction_ms")) else None,
        "Machine": ", ".join(filter(None, (record.get("device"), _count(record.get("threads"), "threads")))),
        "Seed": record.get("seed"),
        "Recipe fingerprint": record.get("fingerprint"),
        "Split checksum": record.get("split"),
        "Versions": ", ".join(f"{name} {version}" for name, version in record.get("versions", {}).items()),
        "Git commit": record.get("git_commit"),
        "Model": record.get("model"),
    }
    return [(term, str(text)) for term, text in pairs.items() if text not in (None, "")]


def comparison(runs: Sequence[Run]) -> list[tuple[str, list[str]]]:
    """(term, one text per run), for the table that compares runs."""
    distance = next((name for run in runs for name in ("hd95_mm", "hd95_px") if name in run.summary), "hd95_px")

    def line(name: str, part: str) -> list[str]:
        return [_number(run.summary.get(name, {}).get(part)) for run in runs]

    lines = {
        "Recipe": [str(run.record.get("name", "–")) for run in runs],
        "Evaluated on": [str(run.record.get("evaluated_on") or run.record.get("data", "–")) for run in runs],
        "Images": [str(run.summary.get("cases", "–")) for run in runs],
        "Mean Dice": line("dice", "mean"),
        "95 % interval": [_interval(run.dice.get("ci95")) for run in runs],
        "SD": line("dice", "sd"),
        "Median Dice": line("dice", "median"),
        "5th percentile": line("dice", "p5"),
        "Worst Dice": line("dice", "worst"),
        "Undefined": [str(run.dice.get("undefined", "–")) for run in runs],
        "Mean IoU": line("iou", "mean"),
        f"Median {MEANINGS[distance][0]}": line(distance, "median"),
        "Test set, Dice": [_number(run.test.get("dice", {}).get("mean")) for run in runs],
        "Epochs": [", ".join(str(len(journal)) for journal in run.journals) or "–" for run in runs],
        "Minutes": [f"{run.minutes:.1f}" if run.minutes else "–" for run in runs],
        "Prediction, ms per image": [_number(run.summary.get("prediction_ms")) for run in runs],
        "Fingerprint": [str(run.record.get("fingerprint", "–")) for run in runs],
    }
    return [(term, texts) for term, texts in lines.items() if set(texts) != {"–"}]


def pair_sentence(first: Run, second: Run) -> str:
    """The second run compared with the first, paired by image."""
    try:
        pair = compare(first.table, second.table)
    except BiosegError as reason:
        return f"{second.name} compared with {first.name}: {reason}."
    low, high = pair["ci95"]
    if math.isnan(low):
        meaning = "one patient only, so no interval"
    else:
        clear = "no clear difference" if low <= 0 <= high else "a clear difference"
        meaning = f"{_interval(pair['ci95'], '+.4f')}: {clear}"
    return (
        f"{second.name} compared with {first.name}, paired by image: mean difference in Dice {pair['difference']:+.4f} "
        f"({meaning}). Better in {pair['better']}, worse in {pair['worse']}, equal in {pair['equal']} of {pair['cases']} "
        "images that both evaluated."
    )


def _words(value: Any) -> str:
    """A recipe's value: calls as ``name(argument=value)`` without their module."""
    if not isinstance(value, dict):
        return "" if value is None else str(value)
    arguments = ", ".join(f"{name}={_words(part)}" for name, part in value.items() if name != "$call")
    return str(value.get("$call", "")).rpartition(":")[2] + (f"({arguments})" if arguments else "")


def _count(number: Any, what: str) -> str:
    return f"{number} {what}" if number else ""


def _number(value: float | None, pattern: str = ".4f") -> str:
    return "–" if value is None or math.isnan(value) else format(value, pattern if abs(value) < 10 else ".1f")


def _interval(bounds: Sequence[float | None] | None, pattern: str = ".4f") -> str:
    low, high = bounds or (None, None)
    return "–" if low is None or math.isnan(low) else f"{_number(low, pattern)} to {_number(high, pattern)}"


def _patient(name: str) -> str:
    return "" if name.startswith(UNKNOWN) else f"patient {_short(name)} "


def _short(name: str) -> str:
    return name if len(name) <= 24 else f"{name[:11]}…{name[-11:]}"
