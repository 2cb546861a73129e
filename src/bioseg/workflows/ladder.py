"""The adaptation ladder: one network learned from one hospital, and what helps it on others, rung by rung.

Every rung is the base with one thing more: an option of training, or something done to pictures or networks afterwards.
All learn from the same folds with the same seed. No truth of another hospital is used, to learn or to choose.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from bioseg import files
from bioseg.data import cases as reading
from bioseg.data import folders, prepare, splits
from bioseg.data.augment import Augmentation, strong_intensity
from bioseg.data.dataset import Samples, load
from bioseg.data.prepare import Preparation, prepare_picture
from bioseg.evaluation.overlap import confusion, dice
from bioseg.evaluation.summary import Row, compare, read_csv, summarise, write_csv
from bioseg.inference import ensemble
from bioseg.inference.adaptation import match_histogram, mean_quantiles, reestimate_statistics
from bioseg.inference.postprocess import Postprocess
from bioseg.inference.predictor import Predictor, fold_folders, read_record
from bioseg.inference.translator import Translator
from bioseg.recipe import SegmentationRecipe, read_cases
from bioseg.recipes import cxr_lungs
from bioseg.reports import table
from bioseg.training.defaults import PRETRAINED
from bioseg.types import BiosegError, Case, call
from bioseg.workflows.slices import Clock, Model, TimeUp, ensure_trained, is_finished, minutes_learned
from bioseg.workflows.train import Tell

FOLDS, BATCH = 3, 8
HOME, TRANSLATED = "Montgomery", "JSRT"
GEOMETRY = Augmentation(rotation_deg=10.0, shift=0.1, zoom=(0.8, 1.2), flip_cols=0.5)
BASE = replace(
    cxr_lungs.RECIPE,
    name="cxr-ladder",
    purpose="the base of the adaptation ladder: geometry alone, no care for other hospitals",
    split=call(splits.random, test=0.2, seed=999, validation=0.0),
    fold=call(splits.k_fold, seed=999),
    preparation=replace(cxr_lungs.RECIPE.preparation, size_px=(192, 192), intensity=(call(prepare.min_max),)),
    training=replace(PRETRAINED, epochs=24),
    augmentation=GEOMETRY,
    postprocess=Postprocess(),
    flips=False,
    quality=None,
)
PERCENTILES = replace(
    BASE, preparation=replace(BASE.preparation, intensity=(call(prepare.percentile_window, low=1.0, high=99.0),))
)
TRAININGS: dict[str, SegmentationRecipe] = {
    "base": BASE,
    "percentiles": PERCENTILES,
    "strong": replace(BASE, augmentation=strong_intensity(GEOMETRY)),
    "convolution": replace(BASE, augmentation=replace(GEOMETRY, convolution_chance=0.5)),
    "fourier": replace(BASE, augmentation=replace(GEOMETRY, fourier_chance=0.5)),
    "together": replace(
        PERCENTILES,
        augmentation=replace(strong_intensity(GEOMETRY), convolution_chance=0.5, fourier_chance=0.5),
    ),
}
"""What is trained, by the name of its folder."""


@dataclass(frozen=True)
class Rung:
    """One line of the table.

    Attributes:
        name: As the table says it.
        training: A key of :data:`TRAININGS`.
        histogram: Pictures get the mean histogram of the training pictures.
        statistics: Batch-norm statistics are those of the set that is judged.
        flips: The mean with the mirrored picture.
        together: The mean of the folds' networks is judged; else each alone, and their scores are averaged.
        translator: Run of a CycleGAN, its folder's name; what is judged is its translation of :data:`TRANSLATED`.
    """

    name: str
    training: str = "base"
    histogram: bool = False
    statistics: bool = False
    flips: bool = False
    together: bool = False
    translator: str = ""

    @property
    def passes(self) -> int:
        """So often a network looks at a picture."""
        return (FOLDS if self.together else 1) * (2 if self.flips else 1)


# The best combination is chosen by the validation column alone: the training option that is highest there, and every remedy
# at prediction that raises it; the ensemble, which cannot be judged there, comes with them.
RUNGS = (
    Rung("none"),
    Rung("percentile normalisation", "percentiles"),
    Rung("histogram matching", histogram=True),
    Rung("strong intensity augmentation", "strong"),
    Rung("random convolution", "convolution"),
    Rung("Fourier amplitude mixing", "fourier"),
    Rung("batch-norm re-estimation", statistics=True),
    Rung("test-time augmentation", flips=True),
    Rung("fold ensemble", together=True),
    Rung("CycleGAN U-Net", translator="cyclegan-unet"),
    Rung("CycleGAN ResNet", translator="cyclegan-resnet"),
    Rung("all training options", "together"),
    Rung("best combination", "fourier", statistics=True, flips=True, together=True),
)


def judge(
    rung: Rung, networks: Sequence[nn.Module], cases: Sequence[Case], how: Preparation, *,
    like: Sequence[Case] = (), translator: Translator | None = None,
) -> list[Row]:  # fmt: skip
    """Dice of every case on the prepared grid, at .5 without clean-up.

    Args:
        rung: What is done to pictures and networks.
        networks: Of the rung's training.
        cases: Of one set, with truth.
        how: The networks' preparation.
        like: Where ``rung.histogram``: the cases that were learned from.
        translator: Where ``rung.translator``.

    Returns:
        A row a case with the score ``dice``.

    Raises:
        BiosegError: A file cannot be read.
    """
    samples = _load(cases, how)
    pictures, truth = _all(samples)
    if translator:
        seen = [translator.translate(reading.read_picture(case)) for case in samples.cases]
        pictures = torch.from_numpy(np.stack([prepare_picture(stored, how)[0] for stored in seen]))
    if rung.histogram:
        wanted = mean_quantiles(_all(_load(like, how))[0].numpy())
        pictures = torch.from_numpy(np.stack([match_histogram(picture, wanted) for picture in pictures.numpy()]))
    device = next(networks[0].parameters()).device
    batches = pictures.to(device).split(BATCH)
    if rung.statistics:
        networks = [reestimate_statistics(network, batches) for network in networks]
    groups = [list(networks)] if rung.together else [[network] for network in networks]
    scores = np.mean([_dice(group, batches, truth, flips=rung.flips) for group in groups], axis=0)
    return [
        Row(case.id, case.patient, case.source, {"dice": float(score)})
        for case, score in zip(samples.cases, scores, strict=True)
    ]


def judge_held_out(rung: Rung, model: Path, cases: Sequence[Case], device: str = "auto") -> list[Row]:
    """The same of the training cases, each by the fold that has not seen it; what ``together`` means is left out.

    Args:
        rung: Without a translator.
        model: Run folder with folds.
        cases: All the run knew.
        device: Where to compute.
    """
    known, rows = {case.id: case for case in cases}, []
    for folder in fold_folders(model, read_record(model)):
        predictor, parts = Predictor.open(folder, device), read_record(folder)["parts"]
        held_out, learned = ([known[name] for name in parts[part]] for part in ("validation", "train"))
        rows += judge(rung, predictor.networks, held_out, predictor.recipe.preparation, like=learned)
    return rows


@dataclass(frozen=True)
class Order:
    """What ``bioseg ladder`` was asked for.

    Attributes:
        montgomery: Folder to learn from; its test part is judged too.
        others: Folders of hospitals that are only judged, by their names.
        out: Folder to write, or to go on with. Where ``bioseg trials`` wrote there too, its translators are used.
        minutes: End the slice after so many; None: go on to the end.
        device: ``auto``, ``cpu``, ``cuda`` …
    """

    montgomery: Path
    others: dict[str, Path]
    out: Path
    minutes: float | None = None
    device: str = "auto"


def climb(order: Order, *, tell: Tell, say: Callable[[str], None]) -> tuple[list[Path], bool]:
    """Train what is not trained, judge what is not judged, and write ``ladder.md``, ``.csv``, ``.html`` and ``.json``.

    Args:
        order: What to do.
        tell: Hears how each long part of the work stands.
        say: Hears the lines a person should read.

    Returns:
        The files of the table, and whether the whole order was carried out in this slice.

    Raises:
        BiosegError: A folder does not hold what it should.
    """
    known = read_cases(BASE, order.montgomery)
    split = BASE.split(known)
    sets = {"validation": list(split.train), HOME: list(split.test)}
    sets |= {
        name: [case for case in folders.list_cases(place) if case.has_truth] for name, place in order.others.items()
    }
    clock, done = Clock(order.minutes), True
    try:
        for name, recipe in TRAININGS.items():
            model = Model(f"ladder-{name}", recipe, order.montgomery, folds=FOLDS)
            ensure_trained(
                model, order.out / "models" / model.name, device=order.device, clock=clock, tell=tell, say=say
            )
        for index, rung in enumerate(RUNGS):
            tell("judging", index, len(RUNGS), rung.name)
            for name in _judged_on(rung, order, sets):
                if not _scores(order, rung, name).exists():
                    clock.check()
                    write_csv(_judge(rung, name, order, sets), _scores(order, rung, name))
        tell("judging", len(RUNGS), len(RUNGS), "")
    except TimeUp:
        done = False
    return _write(order, list(sets)), done


def _judged_on(rung: Rung, order: Order, sets: dict[str, list[Case]]) -> list[str]:
    if not rung.translator:
        return [name for name in sets if not (name == "validation" and rung.together)]
    run = order.out / "models" / rung.translator
    return [TRANSLATED] if TRANSLATED in sets and (run / "record.json").exists() and is_finished(run) else []


def _judge(rung: Rung, name: str, order: Order, sets: dict[str, list[Case]]) -> list[Row]:
    model = order.out / "models" / f"ladder-{rung.training}"
    if name == "validation":
        return judge_held_out(rung, model, sets[name], order.device)
    predictor = Predictor.open(model, order.device)
    translator = Translator.open(order.out / "models" / rung.translator, order.device) if rung.translator else None
    how, learned = predictor.recipe.preparation, sets["validation"]
    return judge(rung, predictor.networks, sets[name], how, like=learned, translator=translator)


def _scores(order: Order, rung: Rung, name: str) -> Path:
    words = "".join(letter if letter.isalnum() else "-" for letter in rung.name.lower())
    return order.out / "ladder" / words / f"{name}.csv"


def results(order: Order, sets: Sequence[str]) -> list[dict[str, Any]]:
    """What is known so far, a row a rung.

    Returns:
        ``rung``, ``passes``, ``minutes`` (training of all its networks), and under the name of each set that is judged ``n``,
        ``mean``, ``sd``, ``p5``, ``ci95``, and from the second rung on ``difference`` and ``difference_ci95`` to the first.
    """
    rows: list[dict[str, Any]] = []
    for rung in RUNGS:
        minutes = minutes_learned(order.out / "models" / f"ladder-{rung.training}", FOLDS)
        if rung.translator:
            minutes += minutes_learned(order.out / "models" / rung.translator, 0)
        row: dict[str, Any] = {"rung": rung.name, "passes": rung.passes, "minutes": minutes}
        for name in sets:
            if not _scores(order, rung, name).exists():
                continue
            scores = read_csv(_scores(order, rung, name))
            one = summarise(scores)["dice"]
            row[name] = {"n": len(scores), **{key: one[key] for key in ("mean", "sd", "p5", "ci95")}}
            if rows and _scores(order, RUNGS[0], name).exists():
                pair = compare(read_csv(_scores(order, RUNGS[0], name)), scores)
                row[name] |= {"difference": pair["difference"], "difference_ci95": pair["ci95"]}
        rows.append(row)
    return rows


def _write(order: Order, sets: list[str]) -> list[Path]:
    rows = results(order, sets)
    files.write_json(order.out / "ladder.json", rows)
    lines = [
        [row["rung"], f"{row['minutes']:.1f}", str(row["passes"]), *(_cell(row.get(name)) for name in sets)]
        for row in rows
    ]
    counts = next((row for row in rows if all(name in row for name in sets)), {})
    head = [f"{name}, n = {counts[name]['n']}" if name in counts else name for name in sets]
    notes = [
        "A cell: mean Dice ± standard deviation, 5th percentile; then the difference to the first rung, picture by picture, "
        "with its 95 % interval over patients. On the prepared grid, at .5, no clean-up.",
        f"The mean over the own scores of {FOLDS} networks, each learned from its own part of the folds; of an ensemble its one.",
        "Validation: Montgomery pictures that a network has not learned from. Choices may rest on it alone.",
        f"Translators know {TRANSLATED} only.",
        f"Minutes of training: all {FOLDS} networks, and the translator. Passes: so often a network looks at each picture.",
    ]
    made = table.Table(
        "The adaptation ladder: lungs in chest X-rays of hospitals that were not seen",
        "One base learned from 110 Montgomery X-rays, and one thing more on every rung. No truth of another hospital was used.",
        ["rung", "minutes", "passes", *head], lines, notes,
    )  # fmt: skip
    return table.write(made, order.out / "ladder")


def _cell(one: dict[str, Any] | None) -> str:
    if one is None:
        return "–"
    text = f"{one['mean']:.4f} ± {one['sd']:.3f}, p5 {one['p5']:.3f}"
    if "difference" in one:
        low, high = one["difference_ci95"]
        text += f"\n{one['difference']:+.4f} ({low:+.4f} … {high:+.4f})"
    return text


def _load(cases: Sequence[Case], how: Preparation) -> Samples:
    samples = load(cases, how)
    if samples.problems:
        raise BiosegError(samples.problems[0].reason)
    return samples


def _all(samples: Samples) -> tuple[Tensor, NDArray[np.bool_]]:
    """Pictures [N, 1, rows, cols] and truth [N, rows, cols]."""
    batches = list(samples.batches(range(len(samples.cases)), BATCH))
    truth = torch.cat([batch.masks[:, 0] for batch in batches]).numpy() > 0.5
    return torch.cat([batch.pictures for batch in batches]), truth


def _dice(
    networks: Sequence[nn.Module], batches: Sequence[Tensor], truth: NDArray[np.bool_], *, flips: bool
) -> NDArray[np.float64]:
    found = torch.cat([ensemble.mean_probability(networks, batch, flips=flips)[:, 0].cpu() for batch in batches])
    return np.array([dice(confusion(mask, true)) for mask, true in zip(found.numpy() > 0.5, truth, strict=True)])
