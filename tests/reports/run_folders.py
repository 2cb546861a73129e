"""Run folders as training writes them, made up: phantom images, masks a little off, journals of a given shape."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from scipy import ndimage

from bioseg import files
from bioseg.datasets import phantoms
from bioseg.evaluation import summary
from bioseg.reports import figures

RECIPE = {
    "$type": "bioseg.recipe:SegmentationRecipe",
    "name": "nuclei-reference",
    "task": "cell nuclei in microscopy",
    "purpose": "reproduces a published dropout U-Net",
    "split": {"$call": "bioseg.datasets.splits:ordered_tail", "test": 2, "validation": 0.1},
    "fold": {"$call": "bioseg.datasets.splits:grouped_k_fold", "seed": 0},
    "preparation": {"$type": "bioseg.images.prepare:Preparation", "size_px": [128, 128], "channels": 3},
    "network": {"$call": "bioseg.models.unet:nuclei_unet", "in_channels": 3},
    "training": {
        "loss": {"$call": "bioseg.training.losses:soft_dice"},
        "optimiser": {"$call": "bioseg.training.optimisers:adam"},
        "learning_rate": 0.001,
        "batch_size": 16,
        "epochs": 30,
    },
    "evaluated_on": "original",
}


def shown(count: int, *, seed: int = 0, size_px: int = 64) -> list[figures.Shown]:
    """Phantom nuclei with predictions that miss some, grow some and add some."""
    rng = np.random.default_rng(seed)
    cases = []
    for index in range(count):
        image, labels = phantoms.nuclei(rng, size_px)
        kept = np.isin(labels, rng.permutation(labels.max() + 1)[: int(labels.max() * rng.uniform(0.7, 1.3))])
        predicted = ndimage.shift((labels > 0) & kept, rng.integers(-2, 3, 2), order=0)
        if rng.random() < 0.3:
            predicted = ndimage.binary_dilation(predicted, iterations=3)
        truth = labels > 0
        scores = summary.score_case(predicted, truth)
        cases.append(
            figures.Shown(f"case-{index:03}", image.astype(np.float32) / 255, truth, predicted, scores["dice"])
        )
    return cases


def journal(epochs: int, *, overfits: bool = False, seed: int = 0) -> list[dict[str, Any]]:
    """Falling losses; if it overfits, the validation loss rises in the second half and the gap grows."""
    rng, rows = np.random.default_rng(seed), []
    for epoch in range(1, epochs + 1):
        loss = 0.6 * 0.85**epoch + 0.03 + 0.002 * float(rng.normal())
        late = max(0, epoch - epochs / 2) if overfits else 0
        validation = loss + 0.02 + 0.02 * late
        rows.append(
            {
                "epoch": epoch, "learning_rate": 1e-3, "loss": loss, "training_dice": 0.97 - loss / 2, "training_accuracy": 0.97,
                "validation_loss": validation, "dice": 0.96 - validation / 2 - (0.1 if overfits else 0), "iou": 0.8,
                "accuracy": 0.96, "seconds": 12.0,
            }
        )  # fmt: skip
    best = min(rows, key=lambda row: row["validation_loss"])
    return [{**row, "best": row is best} for row in rows]


def rows_of(cases: list[figures.Shown], *, sources: tuple[str, ...] = ("",), per_patient: int = 2) -> list[summary.Row]:
    return [
        summary.Row(
            case.name, f"p{k // per_patient}", sources[k % len(sources)], summary.score_case(case.predicted, case.truth)
        )
        for k, case in enumerate(cases)
    ]


def write_run(
    folder: Path, *, count: int = 8, size_px: int = 64, folds: int = 0, seed: int = 0, draw: bool = True,
    sources: tuple[str, ...] = ("",), overfits: bool = False, epochs: int = 12,
) -> Path:  # fmt: skip
    """A whole run folder; ``draw`` its figures too."""
    cases = shown(count, seed=seed, size_px=size_px)
    table = rows_of(cases, sources=sources)
    summary.write_csv(table, folder / "scores.csv")
    files.write_json(folder / "summary.json", summary.summarise(table))
    ids = [case.name for case in cases]
    record = {
        "format": 2, "recipe": RECIPE, "name": "nuclei-reference", "fingerprint": "79770b4056f5", "folds": folds,
        "reasons": ["128 × 128 px, because the median image has 256 × 320 px and nuclei of 20 px"],
        "split": "0123456789ab", "split_from": "the recipe's, ordered_tail",
        "parts": {"train": ids, "validation": ids, "test": []},
        "patients": len({row.patient for row in table}), "patients_from": "patients.csv", "patients_unknown": 0,
        "data": "stage1_train",
        "command": "bioseg train nuclei-reference --data stage1_train --out runs/nuclei",
        "started": "2025-03-01T10:00:00+00:00", "device": "x86_64 CPU, 2 cores", "threads": 2, "seed": 0,
        "versions": {"bioseg": "0.1.0", "torch": "2.11.0", "python": "3.11.9"}, "git_commit": "f" * 40,
    }  # fmt: skip
    files.write_json(folder / "record.json", record)
    places = [folder / f"fold-{k}" for k in range(folds)] or [folder]
    journals = [journal(epochs + k, overfits=overfits, seed=k) for k in range(len(places))]
    for place, lines in zip(places, journals, strict=True):
        if folds:
            files.write_json(place / "record.json", {**record, "folds": 0})
        files.write(place / "journal.jsonl", "".join(json.dumps(line) + "\n" for line in lines))
    if draw:
        ranked = sorted(cases, key=lambda case: case.dice)
        drawn = {
            "curves": figures.learning_curves(journals),
            "distribution": figures.distribution(table),
            "best-median-worst": figures.best_median_worst([ranked[-1], ranked[len(ranked) // 2], ranked[0]]),
            "worst": figures.overlays(ranked[:6]),
            "overlays": figures.overlays(cases[:6]),
            "confusion": figures.confusion_overlay(cases[:6]),
            "rows": figures.rows(cases[:3]),
            "confusion-matrix": figures.confusion_matrix({"tp": 0.14, "fp": 0.01, "fn": 0.02, "tn": 0.83}),
        }
        for name, figure in drawn.items():
            figures.save(figure, folder / "figures" / f"{name}.png")
    return folder
