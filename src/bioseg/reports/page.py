"""One page that explains a run, or puts several side by side; everything it needs is inside it."""

import base64
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jinja2

from bioseg import files
from bioseg.evaluation.summary import compare, read_csv
from bioseg.types import BiosegError

FIGURES = (
    ("curves.png", "Learning", "Loss and Dice after every epoch, on training batches as they were augmented, and on the held-out pictures."),
    ("distribution.png", "Spread", "How the held-out pictures scored, one by one."),
    ("best-median-worst.png", "Best, median, worst", "By Dice: the picture, the truth in blue, the prediction in red."),
    ("worst.png", "Where it fails", "The six lowest Dice, prediction filled, truth outlined; below .8 framed in red."),
    ("overlays.png", "A random few", "Not chosen by score."),
    ("confusion.png", "", "The same pictures: found, too much, missed."),
    ("rows.png", "", "Picture, truth, prediction."),
    ("confusion-matrix.png", "All pixels together", "Shares of all pixels, averaged over pictures."),
)


def write_report(folders: Sequence[Path], out: Path | None = None) -> Path:
    """Write the page of the runs (or evaluations) in ``folders``.

    Args:
        folders: Each with ``summary.json`` and ``record.json``; figures and journal are shown where they are.
        out: The file; by default ``report.html`` in the first folder.

    Returns:
        Where it is.

    Raises:
        BiosegError: A folder lacks its summary or record.
    """
    runs = [_run(folder) for folder in folders]
    environment = jinja2.Environment(loader=jinja2.PackageLoader("bioseg", "reports"), autoescape=True)
    environment.filters |= {"score": _score, "interval": _interval}
    first = runs[0]
    title = f"{first['record']['name']} on {first['data']}" if len(runs) == 1 else f"{len(runs)} runs side by side"
    lead = first["task"] if len(runs) == 1 else ", ".join(run["name"] for run in runs)
    page = environment.get_template("report.html").render(
        title=title, lead=lead, runs=runs, comparisons=_comparisons(folders, runs)
    )
    path = out or folders[0] / "report.html"
    files.write(path, page)
    return path


def _run(folder: Path) -> dict[str, Any]:
    """All that the template shows of one run."""
    hint = "give a folder that train or evaluate wrote"
    summary, record = files.read_json(folder / "summary.json", hint), files.read_json(folder / "record.json", hint)
    journals = [] if "judged_on" in record else _journals(folder, record)
    scores = [(name, value) for name, value in summary.items() if isinstance(value, dict) and not name.startswith("share_")]
    return {
        "name": folder.resolve().name,
        "record": record,
        "data": record.get("judged_on") or record["data"],
        "task": record["recipe"]["task"],
        "summary": summary,
        "scores": scores,
        "cards": _cards(summary),
        "sentences": _sentences(summary, record),
        "figures": _figures(folder, journals),
        "folds": [_fold(journal) for journal in journals] if len(journals) > 1 else [],
        "facts": _facts(record, journals),
        "recipe": json.dumps(record["recipe"], indent=2),
    }


def _journals(folder: Path, record: dict[str, Any]) -> list[list[dict[str, Any]]]:
    places = [folder / f"fold-{k}" for k in range(record.get("folds", 0))] or [folder]
    paths = [place / "journal.jsonl" for place in places]
    return [[json.loads(line) for line in path.read_text().splitlines()] for path in paths if path.exists()]


def _cards(summary: dict[str, Any]) -> list[dict[str, str]]:
    dice, iou = summary["dice"], summary["iou"]
    distance, unit = next(((summary[f"hd95_{unit}"], unit) for unit in ("mm", "px") if f"hd95_{unit}" in summary), (None, ""))
    cards = [
        {"value": _score(dice["mean"]), "text": f"mean Dice, {_interval(dice['ci95'])} with 95 % confidence"},
        {"value": _score(iou["mean"]), "text": "mean IoU"},
        {"value": _score(dice["worst"]), "text": f"worst Dice; one in twenty is below {_score(dice['p5'])}"},
    ]
    if distance and distance["median"] is not None:
        cards.append({"value": f"{distance['median']:.1f} {unit}", "text": "median distance of outlines (95th percentile)"})
    return cards


def _sentences(summary: dict[str, Any], record: dict[str, Any]) -> list[str]:
    dice, patients = summary["dice"], summary.get("patients", summary["cases"])
    how = f"by {record['folds']} folds, each picture by the network that had not seen its patient" if record.get("folds") else "none of them learned from"
    where = f"on {record['judged_on']}" if "judged_on" in record else how
    sentences = [f"Judged on {summary['cases']} pictures of {patients} patients, {where}."]
    low, high = dice["ci95"]
    if low is not None:
        sentences.append(
            f"Were other patients of the same kind drawn, the mean Dice would lie between {_score(low)} and {_score(high)} in 95 of 100 draws."
        )
    if dice["undefined"]:
        sentences.append(f"{dice['undefined']} pictures have neither a mask nor a prediction; they have no Dice and are not in the mean.")
    return sentences + list(record.get("reasons", []))


def _figures(folder: Path, journals: list[list[dict[str, Any]]]) -> list[dict[str, str]]:
    shown = []
    for name, head, caption in FIGURES:
        path = folder / "figures" / name
        if path.exists():
            sentence = _overfitting(journals) if name == "curves.png" and journals else ""
            data = base64.b64encode(path.read_bytes()).decode()
            shown.append({"head": head, "caption": caption, "data": data, "sentence": sentence})
    return shown


def _overfitting(journals: list[list[dict[str, Any]]]) -> str:
    """What the curves say, in words: the gap at the best epoch, and whether validation got worse after it."""
    best = [min(journal, key=lambda row: row["validation_loss"]) for journal in journals]
    gap = sum(row.get("training_dice", row["dice"]) - row["dice"] for row in best) / len(best)
    later = sum(journal[-1]["validation_loss"] > 1.1 * row["validation_loss"] for journal, row in zip(journals, best, strict=True))
    words = f"At the best epoch the training Dice is {abs(gap):.3f} {'above' if gap > 0 else 'below'} the validation Dice: "
    words += "it overfits; more pictures or stronger augmentation would help." if gap > 0.05 else "no sign of overfitting."
    return words + (" After it the validation loss rose again; the weights kept are those of the best epoch." if later else "")


def _fold(journal: list[dict[str, Any]]) -> dict[str, Any]:
    best = min(journal, key=lambda row: row["validation_loss"])
    return {"epochs": len(journal), "best": best["epoch"], "dice": best["dice"], "minutes": _minutes([journal])}


def _minutes(journals: list[list[dict[str, Any]]]) -> float:
    return sum(float(row["seconds"]) for journal in journals for row in journal) / 60


def _facts(record: dict[str, Any], journals: list[list[dict[str, Any]]]) -> list[tuple[str, str]]:
    parts = record.get("parts", {})
    facts = {
        "command": record.get("command"),
        "data": record.get("data"),
        "cases": ", ".join(f"{len(ids)} {part}" for part, ids in parts.items() if ids) or None,
        "epochs": ", ".join(str(len(journal)) for journal in journals) or None,
        "training time": f"{_minutes(journals):.1f} minutes" if journals else None,
        "machine": f"{record.get('device')}, {record.get('threads')} threads",
        "seed": record.get("seed"),
        "recipe fingerprint": record.get("fingerprint"),
        "split checksum": record.get("split"),
        "versions": ", ".join(f"{name} {version}" for name, version in record.get("versions", {}).items()),
        "git commit": record.get("git_commit"),
        "started": record.get("started"),
        "model": record.get("model"),
    }
    return [(name, str(value)) for name, value in facts.items() if value is not None]


def _comparisons(folders: Sequence[Path], runs: Sequence[dict[str, Any]]) -> list[str]:
    """A sentence for every run against the first, where they share cases."""
    texts = []
    for folder, run in zip(folders[1:], runs[1:], strict=True):
        try:
            pair = compare(read_csv(folders[0] / "scores.csv"), read_csv(folder / "scores.csv"))
        except BiosegError as fault:
            texts.append(f"{run['name']} against {runs[0]['name']}: {fault}.")
            continue
        texts.append(
            f"{run['name']} against {runs[0]['name']}, picture by picture: Dice {pair['difference']:+.4f} "
            f"({_interval(pair['ci95'])}), better in {pair['better']} of {pair['cases']}, worse in {pair['worse']}."
        )
    return texts


def _score(value: float | None) -> str:
    return "–" if value is None or math.isnan(value) else f"{value:.4f}" if abs(value) < 10 else f"{value:.1f}"


def _interval(bounds: Sequence[float | None]) -> str:
    return "one patient only" if bounds[0] is None or math.isnan(bounds[0]) else f"{_score(bounds[0])} … {_score(bounds[1])}"
