"""Fine-tuning on 5, 10 and 20 images of a new hospital and of a new stain, against ImageNet weights and against no training.

Hospital: JSRT from ``cxr-lungs``, which was trained on Montgomery. Stain: images in colour of the nuclei set, from a model that
was trained for this on the others. Both have a fixed test set; the 20 images hold the 10, these the 5; a fifth of them
validates. ``--settings`` compares settings of fine-tuning on a third hospital, Shenzhen, so that neither test set chose them.

What is there already is not trained again, and a training that was stopped goes on.
"""

import argparse
import csv
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

import bioseg
from bioseg import files, recipes
from bioseg.datasets import cases as reading
from bioseg.datasets.folders import read_dataset
from bioseg.pipelines.scoring import evaluate_cases
from bioseg.recipe import SegmentationRecipe
from bioseg.types import Callbacks, Case

COUNTS = (5, 10, 20)
VISITS = 800
"""Images that a training from ImageNet is shown at least."""
COLOUR = 10.0
"""An image is stained if its strongest and weakest channel differ by more than this on average, of 255."""


@dataclass(frozen=True)
class Task:
    """A model and the images it is to learn.

    Attributes:
        name: Folder of its results.
        data: Folder of images and masks.
        recipe: Of the model, for training from ImageNet.
        base: The model.
        pool: Ids that may be drawn.
        test: How many of them test.
        settings: Of trainings from ImageNet, as the base has them.
    """

    name: str
    data: Path
    recipe: str
    base: str
    pool: tuple[str, ...]
    test: int
    settings: tuple[str, ...] = ()


def draw(task: Task, count: int) -> dict[str, list[str]]:
    """Ids by part, seed 0: the test set first, then the images to train on, of which the first fifth validates."""
    order = np.random.default_rng(0).permutation(sorted(task.pool)).tolist()
    few = order[task.test : task.test + count]
    held = max(1, count // 5)
    return {"train": few[held:], "validation": few[:held], "test": order[: task.test]}


def write_split(parts: dict[str, Sequence[str]], path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("id", "part"), *((name, part) for part, ids in parts.items() for name in ids)])
    return path


def once(out: Path, work: Callable[[bool], dict[str, Any]]) -> dict[str, Any]:
    """The result of ``work``, which hears whether it goes on with what is there; from ``out`` where it was done before."""
    done = out / "result.json"
    if not done.exists():
        started = time.process_time()
        summary = work((out / "record.json").exists())
        result = {name: summary[name] for name in ("cases", "dice", "ap") if name in summary}
        files.write_json(done, result | {"cpu_minutes": (time.process_time() - started) / 60})
    print(out.name, " ".join(done.read_text().split())[:400], flush=True)
    result = json.loads(done.read_text())
    assert isinstance(result, dict)
    return result


def tuned(task: Task, count: int, out: Path, *settings: str, init: str | None = None) -> dict[str, Any]:
    """``bioseg train --init BASE``."""
    split = write_split(draw(task, count), out.with_suffix(".csv"))

    def work(resume: bool) -> dict[str, Any]:
        result = bioseg.train(
            None, task.data, out, init=init or task.base, split=split, settings=settings, resume=resume, callbacks=SAY
        )
        assert result.test
        return result.test

    return once(out, work)


def fresh(task: Task, count: int, out: Path) -> dict[str, Any]:
    """The model's recipe from ImageNet weights, at its own learning rates and for its epochs, or more for :data:`VISITS`."""
    parts = draw(task, count)
    split = write_split(parts, out.with_suffix(".csv"))
    size = max(1, min(8, len(parts["train"]) // 2))
    own = recipes.get(task.recipe).training.epochs
    settings = (
        f"training.epochs={max(own, VISITS // len(parts['train']))}", f"training.batch_size={size}",
        f"training.validation_batch_size={size}", "quality=null", "choose=null", *task.settings,
    )  # fmt: skip

    def work(resume: bool) -> dict[str, Any]:
        result = bioseg.train(task.recipe, task.data, out, split=split, settings=settings, resume=resume, callbacks=SAY)
        assert result.test
        return result.test

    return once(out, work)


def untrained(task: Task, out: Path) -> dict[str, Any]:
    """The model as it is."""
    predictor = bioseg.load(task.base)

    def work(resume: bool) -> dict[str, Any]:
        test = set(draw(task, 0)["test"])
        cases = [case for case in listed(task.data, predictor.recipe) if case.id in test]
        return evaluate_cases(lambda case: predictor, cases, out)[0]

    return once(out, work)


def listed(data: Path, recipe: SegmentationRecipe) -> tuple[Case, ...]:
    return read_dataset(data, recipe.layout).cases


def stained(case: Case) -> bool:
    """See :data:`COLOUR`."""
    pixels = reading.read_image(case).pixels
    if pixels.ndim < 3:
        return False
    channels = pixels[..., :3].astype(np.float32)
    return bool((channels.max(-1) - channels.min(-1)).mean() > COLOUR)


def train_base(data: Path, grey: Sequence[str], out: Path) -> None:
    """A model of nuclei that has seen no stain: six epochs of ``nuclei`` on the images without colour."""
    order = np.random.default_rng(0).permutation(sorted(grey)).tolist()
    held = len(order) // 10
    split = write_split({"train": order[held:], "validation": order[:held]}, out.with_suffix(".csv"))
    settings = ("training.epochs=6", "tta=none")

    def work(resume: bool) -> dict[str, Any]:
        return bioseg.train("nuclei", data, out, split=split, settings=settings, resume=resume, callbacks=SAY).summary

    once(out, work)


def measure(task: Task, out: Path) -> dict[str, Any]:
    rows: dict[str, Any] = {"none": untrained(task, out / task.name / "none")}
    for count in COUNTS:
        place = out / task.name
        rows[f"{count} tuned"] = tuned(task, count, place / f"tuned-{count}")
        rows[f"{count} fresh"] = fresh(task, count, place / f"fresh-{count}")
    return rows


def settings(folder: Path, out: Path) -> dict[str, Any]:
    """Learning rates and frozen epochs on ten Shenzhen images, scored on forty others."""
    recipe = bioseg.load("cxr-lungs").recipe
    ids = tuple(case.id for case in listed(folder, recipe))
    task = Task("shenzhen", folder, "cxr-lungs", "cxr-lungs", ids, 40)
    tried = {
        "rate": (3e-3, 3e-4, 0), "third": (1e-3, 1e-4, 0), "tenth": (3e-4, 3e-5, 0), "third-frozen": (1e-3, 1e-4, 15),
        "rate-frozen": (3e-3, 3e-4, 15),
    }  # fmt: skip
    return {
        name: tuned(
            task, 10, out / "shenzhen" / name, f"training.learning_rate={rate}",
            f"training.encoder_learning_rate={encoder}", f"training.freeze_epochs={frozen}",
        )
        for name, (rate, encoder, frozen) in tried.items()
    }  # fmt: skip


SAY = Callbacks(log=lambda line: print("  ", line, flush=True))


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.finetune", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("--out", type=Path, required=True, help="folder of the trainings")
    parser.add_argument("--jsrt", type=Path, help="JSRT as unpacked")
    parser.add_argument("--nuclei", type=Path, help="stage1_train as unpacked")
    parser.add_argument("--settings", type=Path, metavar="SHENZHEN", help="Shenzhen as unpacked")
    given = parser.parse_args()
    print(f"PyTorch {torch.__version__}, {torch.get_num_threads()} threads")
    results: dict[str, Any] = {}
    if given.settings:
        results["settings"] = settings(given.settings, given.out)
    if given.jsrt:
        ids = tuple(case.id for case in listed(given.jsrt, bioseg.load("cxr-lungs").recipe))
        results["hospital"] = measure(Task("jsrt", given.jsrt, "cxr-lungs", "cxr-lungs", ids, 60), given.out)
    if given.nuclei:
        colour = {case.id: stained(case) for case in listed(given.nuclei, bioseg.load("nuclei").recipe)}
        pool, grey = (tuple(name for name, own in colour.items() if own is wanted) for wanted in (True, False))
        print(f"{len(pool)} stained images, {len(grey)} others")
        base = given.out / "stain" / "base"
        train_base(given.nuclei, grey, base)
        test = min(40, len(pool) - max(COUNTS))
        results["stain"] = measure(
            Task("stain", given.nuclei, "nuclei", str(base), pool, test, ("tta=none",)), given.out
        )
    print(table(results))
    files.write_json(given.out / f"{'-'.join(results)}.json", results)


def table(results: dict[str, Any]) -> str:
    lines = []
    for task, rows in results.items():
        lines += [f"| {task} | Dice | 95 % interval | minutes |", "|---|---|---|---|"]
        for name, row in rows.items():
            low, high = row["dice"]["ci95"]
            lines.append(f"| {name} | {row['dice']['mean']:.4f} | {low:.4f} … {high:.4f} | {row['cpu_minutes']:.1f} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
