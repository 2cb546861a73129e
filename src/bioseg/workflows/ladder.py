"""The adaptation ladder: one network learned from one hospital, and what helps it on others, rung by rung.

Every rung is the base with one thing more: an option of training, or something done to pictures or networks afterwards.
All learn from the same folds with the same seed. No truth of another hospital is used, to learn or to choose.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from bioseg.data import cases as reading
from bioseg.data import prepare, splits
from bioseg.data.augment import Augmentation, strong_intensity
from bioseg.data.dataset import Samples, load
from bioseg.data.prepare import Preparation, prepare_picture
from bioseg.evaluation.overlap import confusion, dice
from bioseg.evaluation.summary import Row
from bioseg.inference import ensemble
from bioseg.inference.adaptation import match_histogram, mean_quantiles, reestimate_statistics
from bioseg.inference.postprocess import Postprocess
from bioseg.inference.predictor import Predictor, fold_folders, read_record
from bioseg.inference.translator import Translator
from bioseg.recipe import SegmentationRecipe
from bioseg.recipes import cxr_lungs
from bioseg.training.defaults import PRETRAINED
from bioseg.types import BiosegError, Case, call

FOLDS, BATCH = 3, 8
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
        translator: Folder of a CycleGAN whose translation of the pictures is judged; only of the set it was made for.
    """

    name: str
    training: str = "base"
    histogram: bool = False
    statistics: bool = False
    flips: bool = False
    together: bool = False
    translator: str = ""


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
    Rung("all training options, test-time augmentation, fold ensemble", "together", flips=True, together=True),
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
