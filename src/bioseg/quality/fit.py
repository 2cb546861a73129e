"""Learning, after training, how far to trust a model: from held out images, spoiled copies of them, and nonsense.

Held out images alone are too few and too well segmented to show what a mistake looks like. Spoiled copies, changed far
beyond what training did, come with their truth, which moves along. Nonsense is made of the same images: their tiles,
shuffled, are of the same greys, but no image of the kind.
"""

from itertools import chain

import numpy as np
import torch
from scipy.optimize import lsq_linear
from sklearn.covariance import ledoit_wolf
from torch import Tensor

from bioseg.datasets import augment
from bioseg.datasets.augment import Augmentation
from bioseg.datasets.samples import Samples
from bioseg.evaluation import overlap
from bioseg.inference.predictor import Predictor
from bioseg.quality.model import MEASURES, Distribution, Logistic, Numbers, QualityModel, describe, measure
from bioseg.specs import Fraction, Seed
from bioseg.types import Mask

Shown = tuple[Tensor, Tensor]
"""Images [N, channels, rows, cols] in [0, 1] and truths [N, K, rows, cols], 0 or 1."""

SPOILED = (
    Augmentation(rotation_deg=180.0, shear_deg=20.0),
    Augmentation(shift=0.4, zoom=(0.4, 2.0), fill="zero"),
    Augmentation(gamma=2.2, contrast=0.9, offset=0.5, curve_chance=0.5, bias_field=0.6, bias_chance=0.8),
    Augmentation(noise=0.6, noise_chance=0.8, blur_px=8.0, convolution_chance=0.5, inversion_chance=0.3),
    Augmentation(
        rotation_deg=40.0, shift=0.2, zoom=(0.6, 1.6), fill="zero", gamma=1.3, contrast=0.7, offset=0.3, noise=0.2,
        bias_field=0.3, distractors=4,
    ),
)  # fmt: skip
"""Changes of kind and of strength that training does not make: turned, out of frame, badly lit, grainy, all together."""

TAUGHT, HELD_OUT, COPIES = 200, 60, 150
"""At most so many training and validation images are looked at, and about so many spoiled copies are made."""

AXES = 32
"""So many main axes of features are kept; the rest counts as round."""

FOREIGN = 0.01
"""The share of images in daily use that are taken not to be of the kind at all."""


def fit_quality(
    predictor: Predictor, train: Samples, validation: Samples, *, flag_below: Fraction = 0.9, seed: Seed = 0
) -> QualityModel:
    """Learn what tells good predictions of a model from bad ones.

    Args:
        predictor: The trained model.
        train: What it learned from; gives the statistics of images and contours.
        validation: What it has not learned from; gives the relation of measures to Dice, and every limit.
        flag_below: Scores below it are flagged.
        seed: Of the changes.
    """
    rng = np.random.default_rng(seed)
    features, shapes = [], []
    for batch in train.batches(_evenly(len(train.cases), TAUGHT), 16):
        own = (batch.images, batch.masks)
        for images, truths in (own, _changed(own, predictor.recipe.augmentation, rng)):
            features += [predictor.features(image) for image in images.numpy()]
            shapes += [describe(truth > 0.5) for truth in truths[:, 0].numpy()]
    kinds = _distribution(np.array(shapes)), _distribution(np.array(features))

    def measures(images: Tensor) -> tuple[Numbers, list[Mask]]:
        seen = [predictor.with_evidence(image[None])[0][1] for image in images.numpy()]
        return np.array([measure(one, *kinds) for one in seen]), [one.mask for one in seen]

    order = _evenly(len(validation.cases), HELD_OUT)
    whole = next(validation.batches(order, len(order)))
    held_out = (whole.images, whole.masks)
    rounds = max(1, round(COPIES / len(SPOILED) / len(order)))
    taught = [held_out, *(_changed(held_out, predictor.recipe.augmentation, rng) for _ in range(3))]
    spoiled = (_changed(held_out, change, rng) for change in SPOILED for _ in range(rounds))
    found: list[Numbers] = []
    dice: list[float] = []
    for images, truths in chain(taught, spoiled):
        numbers, masks = measures(images)
        found.append(numbers)
        dice += [
            overlap.dice(overlap.confusion(mask, truth > 0.5))
            for mask, truth in zip(masks, truths[:, 0].numpy(), strict=True)
        ]
    proper = np.concatenate(found[: len(taught)])
    well = np.array(dice[: len(proper)]) >= flag_below
    proper = proper[well] if well.sum() > 1 else proper
    nonsense = np.concatenate([measures(_shuffled(held_out[0], cuts, rng))[0] for cuts in (2, 4)])
    return QualityModel(
        shapes=kinds[0],
        images=kinds[1],
        dice=_regression(np.concatenate(found), np.array(dice)),
        in_distribution=tuple(_separation(proper, nonsense, list(MEASURES).index(name)) for name in ("shape", "image")),
        limits=_rounded(np.percentile(proper, 99, axis=0)),
        flag_below=flag_below,
    )


def _evenly(count: int, most: int) -> list[int]:
    """At most ``most`` of ``count`` places, evenly spread."""
    return list(range(0, count, -(-count // most)))


def _changed(shown: Shown, how: Augmentation, rng: np.random.Generator) -> Shown:
    images = shown[0]
    return augment.apply(*shown, augment.draw(how, rng, len(images), (images.shape[-2], images.shape[-1])))


def _shuffled(images: Tensor, cuts: int, rng: np.random.Generator) -> Tensor:
    """The ``cuts`` × ``cuts`` tiles of each image in another order; what does not divide is cut off."""
    count, channels, rows, cols = images.shape
    high, wide = rows // cuts, cols // cuts
    tiles = images[..., : high * cuts, : wide * cuts].reshape(count, channels, cuts, high, cuts, wide)
    tiles = tiles.permute(0, 2, 4, 1, 3, 5).flatten(1, 2)
    tiles = torch.stack([own[torch.from_numpy(rng.permutation(cuts**2))] for own in tiles])
    tiles = tiles.reshape(count, cuts, cuts, channels, high, wide).permute(0, 3, 1, 4, 2, 5)
    return tiles.reshape(count, channels, high * cuts, wide * cuts)


def _distribution(vectors: Numbers) -> Distribution:
    """Mean and covariance of vectors [N, D]; the covariance shrunken towards a round one (Ledoit & Wolf 2004)."""
    if not vectors.shape[1]:
        return Distribution((), (), (), (), 1.0)
    mean, scale = vectors.mean(0), np.maximum(vectors.std(0), 0.01)
    covariance, _ = ledoit_wolf((vectors - mean) / scale, assume_centered=True)
    values, axes = np.linalg.eigh(covariance + 1e-6 * np.eye(len(mean)))
    kept = min(AXES, len(mean))
    rest = values[: len(mean) - kept]
    return Distribution(
        _rounded(mean),
        _rounded(scale),
        tuple(_rounded(axis) for axis in axes[:, ::-1].T[:kept]),
        _rounded(np.sqrt(values[::-1][:kept])),
        _short(np.sqrt(rest.mean())) if len(rest) else 1.0,
    )


def _regression(measures: Numbers, dice: Numbers) -> Logistic:
    """Least squares on the log odds of Dice (between .01 and .995), measures standardised, ridge 1, no weight below 0."""
    known = ~np.isnan(dice)
    measures, dice = measures[known], np.clip(dice[known], 0.01, 0.995)
    if not len(dice):
        return Logistic(0.0, (0.0,) * measures.shape[1])
    count, width = measures.shape
    mean, scale = measures.mean(0), np.maximum(measures.std(0), 1e-6)
    left = np.block([[np.ones((count, 1)), (mean - measures) / scale], [np.zeros((width, 1)), np.eye(width)]])
    right = np.concatenate([np.log(dice / (1 - dice)), np.zeros(width)])
    solved = lsq_linear(left, right, bounds=([-np.inf] + [0.0] * width, np.inf)).x
    weights = solved[1:] / scale
    return Logistic(_short(solved[0] + weights @ mean), _rounded(weights))


def _separation(proper: Numbers, nonsense: Numbers, index: int) -> Logistic:
    """The chance of being proper by one measure alone: linear discriminant, ``FOREIGN`` of all being nonsense."""
    near, far = proper[:, index], nonsense[:, index]
    slope = max(0.0, far.mean() - near.mean()) / max((near.var() + far.var()) / 2, 1e-6)
    base = slope * (near.mean() + far.mean()) / 2 + np.log(1 / FOREIGN - 1)
    return Logistic(_short(base), _rounded(slope * np.eye(proper.shape[1])[index]))


def _rounded(values: Numbers) -> tuple[float, ...]:
    return tuple(_short(value) for value in values)


def _short(value: float) -> float:
    """Four digits are enough, and make small files."""
    return float(f"{value:.4g}")
