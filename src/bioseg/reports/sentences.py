"""What a run's numbers mean, in plain sentences."""

import math

from bioseg.evaluation.summary import Row
from bioseg.reports.figures import best_epoch
from bioseg.reports.run_folder import Run

UNKNOWN = "unknown:"
"""The patient of a case begins so where no patient is known; the image then counts as its own."""


def headline(run: Run) -> list[str]:
    """The main number and what it rests on, one sentence per item."""
    dice = run.dice
    if dice.get("mean") is None:
        return ["No image was evaluated, or none has a Dice."]
    words = [f"The predicted contours match the ground truth with a mean Dice of {dice['mean']:.3f}, on {_where(run)}."]
    words += filter(None, (each_class(run),))
    words += filter(None, (bias(run), unknown_training_images(run), on_test_set(run)))
    low, high = dice["ci95"]
    if low is None:
        words.append("All images are of one patient, so there is no telling how well it does on others.")
    else:
        words.append(
            f"For other patients of the same kind, expect a mean from {low:.3f} to {high:.3f} (95 % interval)."
        )
    words += filter(None, (unknown_patients(run),))
    words.append(
        f"Half of the images reach {dice['median']:.3f} or more, one in twenty falls below {dice['p5']:.3f}, "
        f"the worst has {dice['worst']:.3f}."
    )
    if dice["undefined"]:
        words.append(
            f"{dice['undefined']} more have no foreground, neither true nor predicted: right, but without a Dice."
        )
    return words


def each_class(run: Run) -> str:
    """The mean Dice of each of several classes; empty where there is one."""
    means = {key.removeprefix("dice:"): score["mean"] for key, score in run.summary.items() if key.startswith("dice:")}
    each = ", ".join(f"{name} {'undefined' if mean is None else f'{mean:.3f}'}" for name, mean in means.items())
    return f"It is the mean of {len(means)} classes: {each}." if means else ""


def bias(run: Run) -> str:
    """Why the main number is optimistically biased; empty where nothing says that it is."""
    if "evaluated_on" in run.record:
        seen = {part: count for part, count in (run.summary.get("seen") or {}).items() if count}
        if not seen:
            return ""
        how = {"train": "trained", "validation": "chose"}
        parts = " and ".join(f"{count} {how[part]} the model" for part, count in seen.items() if part in how)
        return f"Optimistically biased: of the {run.summary['cases']} images, {parts}."
    if not run.journals:
        return ""
    if run.record.get("folds"):
        return (
            "Optimistically biased: the validation images of each fold also chose the epoch whose weights it keeps."
            + _known_before(run)
        )
    chosen = "the epoch whose weights are kept" + (" and the postprocessing" if run.recipe.get("choose") else "")
    return f"Optimistically biased: these validation images also chose {chosen}." + _known_before(run)


def _known_before(run: Run) -> str:
    """That the model which the training started from knows some of the images; empty where it does not."""
    if "init" not in run.record:
        return ""
    name, seen = run.record["init"].get("model", "the initial model"), run.summary.get("seen")
    if seen is None:
        return f" {name}, which it started from, does not say which images trained it."
    count = sum(seen.values())
    return f" {count} of them trained or chose {name}, which it started from." if count else ""


def unknown_training_images(run: Run) -> str:
    """That nobody knows whether an evaluation is fair; empty where it is known, or where this is no evaluation."""
    if "evaluated_on" not in run.record or run.summary.get("seen", {}) is not None:
        return ""
    return "The model does not say which images trained it, so some of these may be among them."


def on_test_set(run: Run) -> str:
    """The score of the test set; empty where there is none."""
    test = run.test.get("dice", {})
    if test.get("mean") is None:
        return ""
    mean = f"the mean is {test['mean']:.3f}."
    if "seen" in run.test and (run.test["seen"] is None or any(run.test["seen"].values())):
        return f"On {run.test['cases']} test images, some of which the model that it started from may know, {mean}"
    return f"On {run.test['cases']} test images, which neither trained nor chose anything, {mean}"


def unknown_patients(run: Run) -> str:
    """What it means that patients are unknown; empty where they are known."""
    count = sum(row.patient.startswith(UNKNOWN) for row in run.table)
    if not count:
        return ""
    whose = "" if count == len(run.table) else f" for {count} of {len(run.table)} images"
    words = f"Patients unknown{whose}: each image counts as its own patient. "
    if "evaluated_on" in run.record:
        return words + "Where several images are of one patient, the interval is too narrow."
    return words + (
        "Where several images are of one patient, they may lie in training and validation alike: the scores are then too "
        "high and the interval too narrow."
    )


def learning(run: Run) -> str:
    """What the learning curves show: whether it overfits, and whether training was long enough."""
    if not run.journals:
        return ""
    kept = [best_epoch(journal) for journal in run.journals]
    last = [journal[-1] for journal in run.journals]
    epochs = sorted({row["epoch"] for row in kept})
    words = f"Best after epoch {' to '.join(map(str, sorted({epochs[0], epochs[-1]})))}."
    if min(len(journal) for journal in run.journals) < 3:
        return words + " Too few epochs to tell whether it overfits."
    if max(row.get("dice", 1.0) for row in kept) < 0.1:
        return (
            words + " It has hardly learned anything yet: train for more epochs or on more images, and check the masks."
        )
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
        words += f" Later{where} the validation loss rose while the training loss still fell, a sign of overfitting; "
        words += "the weights that are kept are from before."
    if all(best["epoch"] == end["epoch"] for best, end in pairs) and not rising:
        words += " It was still improving when it stopped; more epochs may help."
    return words


def fault(row: Row) -> str:
    """What is wrong with a prediction, in words, from its precision and recall."""
    precision, recall = row.scores.get("precision", math.nan), row.scores.get("recall", math.nan)
    if math.isnan(recall):
        return "predicts foreground where there is none"
    if math.isnan(precision):
        return "finds nothing"
    if min(precision, recall) >= 0.95:
        return "close to the ground truth"
    missed, extra = f"misses {1 - recall:.0%} of the foreground", f"{1 - precision:.0%} of the prediction is background"
    if abs(precision - recall) < 0.1:
        return f"{missed}, {extra}"
    return missed if recall < precision else extra


def _where(run: Run) -> str:
    """The images that were scored."""
    cases, patients = run.summary["cases"], run.summary.get("patients")
    images = f"{cases} images"
    if patients and patients != cases:
        images += f" of {patients} {'patients' if patients > 1 else 'patient'}"
    if "evaluated_on" in run.record:
        return f"{images} in {run.record['evaluated_on']}"
    if run.record.get("folds"):
        return f"{images}, each segmented by the fold that was not trained on it"
    return f"{images} that the network was not trained on"
