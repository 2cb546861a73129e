"""One page that explains a run, or puts several side by side; all that it shows is inside it."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jinja2
import numpy as np

from bioseg import files
from bioseg.evaluation.summary import Row, compare, summarise
from bioseg.reports.figures import best_epoch, score_name
from bioseg.reports.run_folder import Run, read_run
from bioseg.reports.trust import TRUST, trust
from bioseg.types import BiosegError

FIGURES = {
    "curves": "Training dashed, validation solid, a dot at the epoch whose weights are kept. Training is measured "
    "while the network learns, on images as they were augmented.",
    "distribution": "Every image a dot; the bar is the median, the band holds the middle half.",
    "best-median-worst": "The image, then the truth in blue, then the prediction in red.",
    "worst": "The lowest Dice: prediction filled in red, contour of the truth in blue, framed in red below 0.8.",
    "overlays": "Drawn by lot, not chosen by score.",
    "confusion": "Cyan: found. Magenta: marked, but outside the truth. Yellow: missed. Dark: rightly left out.",
    "objects": "The truth's contour in blue; beside it every object that was told apart, in a colour of its own.",
    "boxes": "True boxes blue, predicted ones red with their confidence; drawn by lot.",
    "training": "What the network learns from: four prepared images, each with its mask.",
    "rows": "ImageArray, truth and prediction side by side: one of each band of IoU (.85, .9, .95) that has any, the rest by lot.",
    "confusion-matrix": "Shares of all pixels, averaged over images.",
    "trust": "What is left when the images of the lowest quality are put aside.",
}
MEANINGS = {
    "dice": ("Dice", "twice the overlap, divided by both areas together"),
    "iou": ("IoU", "overlap divided by the area that either covers"),
    "precision": ("Precision", "share of the prediction that is right"),
    "recall": ("Recall", "share of the truth that was found"),
    "surface_dice": ("Surface Dice", "share of both contours that lies close to the other"),
    "hd95_mm": ("Distance, mm", "between the contours, 95th percentile; less is better"),
    "hd95_px": ("Distance, px", "between the contours, 95th percentile; less is better"),
    "ap": ("AP", "objects told apart: hits over hits, extras and misses, mean over IoU .50 to .95"),
    "ap50": ("AP at .5", "the same at IoU .50"),
    "ap75": ("AP at .75", "the same at IoU .75"),
    "rsna_score": ("Box score", "of the RSNA challenge: hits over hits, extras and misses, mean over IoU .40 to .75"),
    "accuracy": ("Accuracy", "share of all pixels that is right, background too"),
}
TICKS = 300
"""At most so many cases are drawn in the strip under the headline."""


def write_report(folders: Sequence[Path], out: Path | None = None) -> Path:
    """Write the page of one run or evaluation, or of several side by side.

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
    environment.filters |= {"number": _number, "interval": _interval, "short": _short}
    tools = (best_epoch, headline, learning, fault, score_rows, source_rows, strip, settings, origins, trust)
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


def headline(run: Run) -> list[str]:
    """The main number in plain words, a sentence an item."""
    dice = run.dice
    if dice.get("mean") is None:
        return ["No image was evaluated, or none has a Dice."]
    cases, patients = run.summary["cases"], run.summary.get("patients")
    whom = f"{cases} images" + (f" of {patients} patients" if patients and patients != cases else "")
    if "evaluated_on" in run.record:
        where = f"{whom} in {run.record['evaluated_on']}"
    elif run.record.get("folds"):
        where = f"{whom}, each segmented by the fold's network that never learned from its patient"
    else:
        where = f"{whom} that the network never learned from"
    words = [f"On average the contours match the truth with a Dice of {dice['mean']:.3f}, on {where}."]
    low, high = dice["ci95"]
    if low is None:
        words.append("All images come from one patient, so there is no telling how it would do on others.")
    else:
        words.append(
            f"With other patients of the same kind, expect that average from {low:.3f} to {high:.3f} (95 % interval)."
        )
    words.append(
        f"Half of the images reach {dice['median']:.3f} or more, one in twenty falls below {dice['p5']:.3f}, "
        f"the worst has {dice['worst']:.3f}."
    )
    test = run.test.get("dice", {})
    if test.get("mean") is not None:
        words.append(
            f"These images also chose the epoch kept. On {run.test['cases']} test images, which chose nothing, the "
            f"average is {test['mean']:.3f}."
        )
    if dice["undefined"]:
        words.append(
            f"{dice['undefined']} more have nothing to contour and nothing segmented: right, but without a Dice."
        )
    return words


def learning(run: Run) -> str:
    """What the curves log: whether it overfits, and whether it was done."""
    if not run.journals:
        return ""
    kept = [best_epoch(journal) for journal in run.journals]
    last = [journal[-1] for journal in run.journals]
    epochs = sorted({row["epoch"] for row in kept})
    words = f"Best after epoch {' to '.join(map(str, sorted({epochs[0], epochs[-1]})))}."
    if min(len(journal) for journal in run.journals) < 3:
        return words + " Too few epochs to say whether it overfits."
    if max(row.get("dice", 1.0) for row in kept) < 0.1:
        return words + " It has hardly learned anything yet: more epochs or images, or a look at the masks, may help."
    gaps = [row["training_dice"] - row["dice"] for row in kept if {"training_dice", "dice"} <= set(row)]
    gap = sum(gaps) / len(gaps) if gaps else 0.0
    pairs = list(zip(kept, last, strict=True))
    rising = sum(
        end["validation_loss"] > 1.1 * best["validation_loss"] and end["loss"] < best["loss"] for best, end in pairs
    )
    where = f" in {rising} of {len(kept)} folds" if len(kept) > 1 else ""
    beside = (
        f"Dice {abs(gap):.3f} {'higher' if gap > 0 else 'lower'} on training than on validation images" if gaps else ""
    )
    if gap > 0.05:
        words += f" It overfits: {beside}. More images or stronger augmentation would help."
    elif not rising:
        words += " No sign of overfitting" + (f": {beside}." if beside else ".")
    if rising:
        words += f" Later{where} validation loss rose while training loss still fell, the mark of overfitting; "
        words += "the weights kept are from before."
    if all(best["epoch"] == end["epoch"] for best, end in pairs) and not rising:
        words += " It was still improving when it stopped; more epochs may help."
    return words


def fault(row: Row) -> str:
    """What is wrong with an contour, in words, from its precision and recall."""
    precision, recall = row.scores.get("precision", math.nan), row.scores.get("recall", math.nan)
    if math.isnan(recall):
        return "marks something where there is nothing"
    if math.isnan(precision):
        return "finds nothing"
    if min(precision, recall) >= 0.95:
        return "close to the truth"
    missed, extra = f"misses {1 - recall:.0%} of the truth", f"{1 - precision:.0%} of what it marks is outside"
    if abs(precision - recall) < 0.1:
        return f"{missed}, {extra}"
    return missed if recall < precision else extra


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
    sizes = ", ".join(f"{len(ids)} for {part}" for part, ids in parts.items() if ids)
    size = " × ".join(map(str, preparation.get("size_px", ())))
    pairs = {
        "Recipe": " · ".join(filter(None, (record.get("name"), recipe.get("purpose")))),
        "Trained on": " · ".join(filter(None, (record.get("data"), sizes, _count(record.get("patients"), "patients")))),
        "Judged on": record.get("evaluated_on"),
        "Split": _words(recipe.get("fold" if record.get("folds") else "split")),
        "Network": _words(recipe.get("network")),
        "Input": size and f"{size} px, {'grey' if preparation.get('channels') == 1 else 'colour'}",
        "Learning": ", ".join(
            f"{name} {_words(training[name])}"
            for name in ("loss", "optimiser", "rate", "batch", "epochs")
            if name in training
        ),
        "Scores": {"image": "on each image's own grid", "prepared": "on the resized grid, as the study did"}.get(
            recipe.get("evaluated_on", ""), ""
        ),
    }
    return [(term, text) for term, text in pairs.items() if text]


def origins(run: Run) -> list[tuple[str, str]]:
    """How it was made, so that it can be made again, (term, text)."""
    record = run.record
    pairs = {
        "Command": record.get("command"),
        "Started": record.get("started"),
        "Training time": f"{run.minutes:.1f} minutes" if run.minutes else None,
        "Prediction": f"{ms:.0f} ms an image, median" if (ms := run.summary.get("prediction_ms")) else None,
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
    """(term, a text a run), for the table that puts runs side by side."""
    distance = next((name for run in runs for name in ("hd95_mm", "hd95_px") if name in run.summary), "hd95_px")

    def line(name: str, part: str) -> list[str]:
        return [_number(run.summary.get(name, {}).get(part)) for run in runs]

    lines = {
        "Recipe": [str(run.record.get("name", "–")) for run in runs],
        "Judged on": [str(run.record.get("evaluated_on") or run.record.get("data", "–")) for run in runs],
        "Images": [str(run.summary.get("cases", "–")) for run in runs],
        "Mean Dice": line("dice", "mean"),
        "95 % interval": [_interval(run.dice.get("ci95")) for run in runs],
        "SD": line("dice", "sd"),
        "Median Dice": line("dice", "median"),
        "5th percentile": line("dice", "p5"),
        "Worst Dice": line("dice", "worst"),
        "Undefined": [str(run.dice.get("undefined", "–")) for run in runs],
        "Mean IoU": line("iou", "mean"),
        f"Median {MEANINGS[distance][0].lower()}": line(distance, "median"),
        "Test part, Dice": [_number(run.test.get("dice", {}).get("mean")) for run in runs],
        "Epochs": [", ".join(str(len(journal)) for journal in run.journals) or "–" for run in runs],
        "Minutes": [f"{run.minutes:.1f}" if run.minutes else "–" for run in runs],
        "Prediction, ms an image": [_number(run.summary.get("prediction_ms")) for run in runs],
        "Fingerprint": [str(run.record.get("fingerprint", "–")) for run in runs],
    }
    return [(term, texts) for term, texts in lines.items() if set(texts) != {"–"}]


def pair_sentence(first: Run, second: Run) -> str:
    """The second run against the first, image by image."""
    try:
        pair = compare(first.table, second.table)
    except BiosegError as reason:
        return f"{second.name} against {first.name}: {reason}."
    low, high = pair["ci95"]
    clear = {True: "no clear difference", False: "a clear difference"}[low != low or low <= 0 <= high]
    return (
        f"{second.name} against {first.name}, image by image: Dice {pair['difference']:+.4f} on average "
        f"({_interval(pair['ci95'], '+.4f')}): {clear}. Better in {pair['better']}, worse in {pair['worse']}, "
        f"equal in {pair['equal']} of {pair['cases']} images that both evaluated."
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


def _short(name: str) -> str:
    return name if len(name) <= 24 else f"{name[:11]}…{name[-11:]}"
