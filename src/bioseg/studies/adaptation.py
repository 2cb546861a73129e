"""The domain adaptation study: networks trained on one hospital, and what improves them on others, one change at a time.

Every variant is the baseline with one change: to training, or to images or networks at prediction. All are trained on the same
folds with the same seed. No ground truth of another hospital is used for training or for any choice.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from bioseg import files
from bioseg.datasets import cases as reading
from bioseg.datasets import folders, splits
from bioseg.datasets.augment import Augmentation, strong_intensity
from bioseg.datasets.samples import Samples, load
from bioseg.evaluation.overlap import confusion, dice
from bioseg.evaluation.summary import Row, compare, read_csv, summarise, write_csv
from bioseg.images import prepare
from bioseg.images.prepare import Preparation, prepare_image
from bioseg.inference.adaptation import match_histogram, mean_quantiles, reestimated
from bioseg.inference.predictor import Predictor
from bioseg.inference.translator import Translator
from bioseg.pipelines.open import fold_folders, open_predictor, open_translator
from bioseg.postprocess.masks import Postprocess
from bioseg.recipe import TTA, SegmentationRecipe
from bioseg.recipes import cxr_lungs
from bioseg.record import read_record
from bioseg.reports import table
from bioseg.specs import call
from bioseg.studies.sessions import Clock, Model, ensure_trained, is_finished, minutes_trained, run_session
from bioseg.training.defaults import PRETRAINED
from bioseg.types import SILENT, BiosegError, Callbacks, Case

FOLDS, BATCH = 3, 8
HOME, TRANSLATED = "Montgomery", "JSRT"
GEOMETRY = Augmentation(rotation_deg=10.0, shift=0.1, zoom=(0.8, 1.2), flip_cols=0.5)
BASE = replace(
    cxr_lungs.RECIPE,
    name="cxr-adaptation-baseline",
    purpose="the baseline of the adaptation study: geometric augmentation alone",
    split=call(splits.random, test=0.2, seed=999, validation=0.0),
    fold=call(splits.k_fold, seed=999),
    preparation=replace(cxr_lungs.RECIPE.preparation, size_px=(192, 192), intensity=(call(prepare.min_max),)),
    training=replace(PRETRAINED, epochs=24),
    augmentation=GEOMETRY,
    postprocess=Postprocess(),
    tta="none",
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
"""Recipes by the name of the run's folder."""


@dataclass(frozen=True)
class Variant:
    """One row of the table.

    Attributes:
        name: As in the table.
        training: A key of :data:`TRAININGS`.
        histogram: Images are matched to the mean histogram of the training images.
        statistics: Batch-norm statistics are re-estimated on the set that is evaluated.
        tta: Test-time augmentation.
        ensemble: The mean of the folds' networks is evaluated; otherwise each alone, and their scores are averaged.
        translator: Folder name of a CycleGAN's run; only its translation of :data:`TRANSLATED` is evaluated.
    """

    name: str
    training: str = "base"
    histogram: bool = False
    statistics: bool = False
    tta: TTA = "none"
    ensemble: bool = False
    translator: str = ""

    @property
    def passes(self) -> int:
        """Forward passes per image."""
        return (FOLDS if self.ensemble else 1) * (2 if self.tta == "flip" else 1)


# The best combination is chosen by the validation column alone: the training option that is highest there, and every change
# at prediction that raises it; the ensemble, which cannot be evaluated there, is added.
VARIANTS = (
    Variant("none"),
    Variant("percentile normalisation", "percentiles"),
    Variant("histogram matching", histogram=True),
    Variant("strong intensity augmentation", "strong"),
    Variant("random convolution", "convolution"),
    Variant("Fourier amplitude mixing", "fourier"),
    Variant("batch-norm re-estimation", statistics=True),
    Variant("test-time augmentation", tta="flip"),
    Variant("fold ensemble", ensemble=True),
    Variant("CycleGAN U-Net", translator="cyclegan-unet"),
    Variant("CycleGAN ResNet", translator="cyclegan-resnet"),
    Variant("all training options", "together"),
    Variant("best combination", "fourier", statistics=True, tta="flip", ensemble=True),
)


def evaluate(
    variant: Variant, predictor: Predictor, cases: Sequence[Case], *, like: Sequence[Case] = (),
    translator: Translator | None = None,
) -> list[Row]:  # fmt: skip
    """Dice of every case on the prepared grid, at threshold .5 without other postprocessing.

    Args:
        variant: Changes to images and networks.
        predictor: The networks of the variant's training.
        cases: Cases of one data set, with ground truth.
        like: The training cases, for ``variant.histogram``.
        translator: For ``variant.translator``.

    Returns:
        A row per case with the score ``dice``; cases that cannot be read are left out.

    Raises:
        BiosegError: No case can be read.
    """
    how = predictor.recipe.preparation
    samples = _load(cases, how)
    images, truth = _all(samples)
    if translator:
        translated = [translator.translate(reading.read_image(case)) for case in samples.cases]
        images = np.stack([prepare_image(raw_image, how)[0] for raw_image in translated])
    if variant.histogram:
        wanted = mean_quantiles(_all(_load(like, how))[0])
        images = np.stack([match_histogram(image, wanted) for image in images])
    batches = [images[start : start + BATCH] for start in range(0, len(images), BATCH)]
    backends = predictor.backends
    if variant.statistics:
        backends = reestimated(backends, [torch.from_numpy(batch) for batch in batches])
    groups = [backends] if variant.ensemble else [(backend,) for backend in backends]
    recipe = replace(predictor.recipe, tta=variant.tta)
    scores = [_dice(replace(predictor, recipe=recipe, backends=group), batches, truth) for group in groups]
    return [
        Row(case.id, case.group, case.source, {"dice": float(score)})
        for case, score in zip(samples.cases, np.mean(scores, axis=0), strict=True)
    ]


def evaluate_held_out(variant: Variant, model: Path, cases: Sequence[Case], device: str = "auto") -> list[Row]:
    """The same for the training cases, each predicted by the fold that was not trained on it; without ensemble.

    Args:
        variant: One without a translator.
        model: Run folder with folds.
        cases: All cases that the run was trained on.
        device: Where to compute.
    """
    known, rows = {case.id: case for case in cases}, []
    for folder in fold_folders(model, read_record(model)):
        parts = read_record(folder)["parts"]
        held_out, trained_on = ([known[name] for name in parts[part]] for part in ("validation", "train"))
        rows += evaluate(variant, open_predictor(folder, device), held_out, like=trained_on)
    return rows


@dataclass(frozen=True)
class Study:
    """Arguments of ``bioseg study adaptation``.

    Attributes:
        montgomery: Folder to train on; its test part is evaluated too.
        others: Folders of hospitals that are only evaluated, by their names.
        out: Folder to write, or to continue. If ``bioseg study cross-hospital`` wrote to it too, its translation models are
            evaluated.
        minutes: Length of the session; None: until the study is done.
        device: ``auto``, ``cpu``, ``cuda`` …
    """

    montgomery: Path
    others: dict[str, Path]
    out: Path
    minutes: float | None = None
    device: str = "auto"


def run_study(study: Study, callbacks: Callbacks = SILENT) -> tuple[list[Path], bool]:
    """Train and evaluate what is not finished yet, and write ``adaptation.md``, ``.csv``, ``.html`` and ``.json``.

    Args:
        study: What to do.
        callbacks: Hears how far it is.

    Returns:
        The files of the table, and whether the whole study was carried out in this session.

    Raises:
        BiosegError: A folder does not hold what it should.
    """
    known = BASE.layout(study.montgomery)
    split = BASE.split(known)
    sets = {"validation": list(split.train), HOME: list(split.test)}
    sets |= {
        name: [case for case in folders.list_cases(place) if case.has_truth] for name, place in study.others.items()
    }
    clock = Clock(study.minutes)

    def work() -> None:
        for name, recipe in TRAININGS.items():
            model = Model(f"adaptation-{name}", recipe, study.montgomery, folds=FOLDS)
            folder = study.out / "models" / model.name
            ensure_trained(model, folder, device=study.device, clock=clock, callbacks=callbacks)
        for index, variant in enumerate(VARIANTS):
            callbacks.progress("evaluating", index, len(VARIANTS), variant.name)
            for name in _evaluated_on(variant, study, sets):
                if not _scores(study, variant, name).exists():
                    clock.check()
                    rows = _evaluate(variant, name, study, sets)
                    if left_out := len(sets[name]) - len(rows):
                        callbacks.log(f"{variant.name}, {name}: {left_out} images cannot be read and are left out")
                    write_csv(rows, _scores(study, variant, name))
        callbacks.progress("evaluating", len(VARIANTS), len(VARIANTS), "")

    inputs = (study.montgomery, *study.others.values())
    return run_session(study.out, inputs, work, lambda: _write(study, list(sets)), callbacks)


def _evaluated_on(variant: Variant, study: Study, sets: dict[str, list[Case]]) -> list[str]:
    if not variant.translator:
        return [name for name in sets if not (name == "validation" and variant.ensemble)]
    run = study.out / "models" / variant.translator
    return [TRANSLATED] if TRANSLATED in sets and (run / "record.json").exists() and is_finished(run) else []


def _evaluate(variant: Variant, name: str, study: Study, sets: dict[str, list[Case]]) -> list[Row]:
    model = study.out / "models" / f"adaptation-{variant.training}"
    if name == "validation":
        return evaluate_held_out(variant, model, sets[name], study.device)
    predictor = open_predictor(model, study.device)
    translator = (
        open_translator(study.out / "models" / variant.translator, study.device) if variant.translator else None
    )
    return evaluate(variant, predictor, sets[name], like=sets["validation"], translator=translator)


def _scores(study: Study, variant: Variant, name: str) -> Path:
    words = "".join(letter if letter.isalnum() else "-" for letter in variant.name.lower())
    return study.out / "adaptation" / words / f"{name}.csv"


def results(study: Study, sets: Sequence[str]) -> list[dict[str, Any]]:
    """The results so far, a row per variant.

    Returns:
        ``variant``, ``passes``, ``minutes`` (training of all its networks), and under the name of each evaluated set ``n``,
        ``mean``, ``sd``, ``p5``, ``ci95``, and from the second variant on ``difference`` and ``difference_ci95`` to the first.
    """
    rows: list[dict[str, Any]] = []
    for variant in VARIANTS:
        minutes = minutes_trained(study.out / "models" / f"adaptation-{variant.training}", FOLDS)
        if variant.translator:
            minutes += minutes_trained(study.out / "models" / variant.translator, 0)
        row: dict[str, Any] = {"variant": variant.name, "passes": variant.passes, "minutes": minutes}
        for name in sets:
            if not _scores(study, variant, name).exists():
                continue
            scores = read_csv(_scores(study, variant, name))
            one = summarise(scores)["dice"]
            row[name] = {"n": len(scores), **{key: one[key] for key in ("mean", "sd", "p5", "ci95")}}
            if rows and _scores(study, VARIANTS[0], name).exists():
                pair = compare(read_csv(_scores(study, VARIANTS[0], name)), scores)
                row[name] |= {"difference": pair["difference"], "difference_ci95": pair["ci95"]}
        rows.append(row)
    return rows


def _write(study: Study, sets: list[str]) -> list[Path]:
    rows = results(study, sets)
    files.write_json(study.out / "adaptation.json", rows)
    lines = [
        [row["variant"], f"{row['minutes']:.1f}", str(row["passes"]), *(_cell(row.get(name)) for name in sets)]
        for row in rows
    ]
    counts = next((row for row in rows if all(name in row for name in sets)), {})
    head = [f"{name}, n = {counts[name]['n']}" if name in counts else name for name in sets]
    notes = [
        "A cell: mean Dice ± standard deviation, 5th percentile; then the paired difference to the baseline with its 95 % "
        "interval over patients. On the prepared grid, at threshold .5, without other postprocessing.",
        f"An image's score is the mean over {FOLDS} networks, each trained on other folds; of an ensemble, that of its output.",
        "Validation: Montgomery images, each predicted by the network that was not trained on it. Only this column may be "
        "used to choose.",
        f"Translation models were trained for {TRANSLATED} only.",
        f"Minutes: training of all {FOLDS} networks, and of the translation model. Passes: forward passes per image.",
    ]
    made = table.Table(
        "Domain adaptation study: lungs in chest X-rays of hospitals not used in training",
        "A baseline trained on 110 Montgomery X-rays, and one change per variant. No ground truth of other hospitals was used.",
        ["variant", "minutes", "passes", *head], lines, notes,
    )  # fmt: skip
    return table.write(made, study.out / "adaptation")


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
    if not samples.cases:
        raise BiosegError(f"none of {len(cases)} images can be read; the first: {samples.problems[0].reason}")
    return samples


def _all(samples: Samples) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Images [N, 1, rows, cols] and ground truth [N, rows, cols]."""
    batches = list(samples.batches(range(len(samples.cases)), BATCH))
    truth = torch.cat([batch.masks[:, 0] for batch in batches]).numpy() > 0.5
    return torch.cat([batch.images for batch in batches]).numpy(), truth


def _dice(
    predictor: Predictor, batches: Sequence[NDArray[np.float32]], truth: NDArray[np.bool_]
) -> NDArray[np.float64]:
    found = [outputs["foreground"] > 0.5 for batch in batches for outputs in predictor.outputs(batch)]
    return np.array([dice(confusion(mask, true)) for mask, true in zip(found, truth, strict=True)])
