"""Fit the quality model of a trained model to validation images, degraded copies of them, and out-of-distribution images.

Validation images alone are too few and too well segmented to show what failures look like. Degraded copies are augmented far
beyond what training did, with their ground truth. Out-of-distribution images are the same images with their tiles shuffled: the
same intensities, but not the same kind of image.
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
from bioseg.types import BiosegError, Mask

Pair = tuple[Tensor, Tensor]
"""Images [N, channels, rows, cols] in [0, 1] and ground truth [N, K, rows, cols], 0 or 1."""

DEGRADED = (
    Augmentation(rotation_deg=180.0, shear_deg=20.0),
    Augmentation(shift=0.4, zoom=(0.4, 2.0), fill="zero"),
    Augmentation(gamma=2.2, contrast=0.9, offset=0.5, curve_chance=0.5, bias_field=0.6, bias_chance=0.8),
    Augmentation(noise=0.6, noise_chance=0.8, blur_px=8.0, convolution_chance=0.5, inversion_chance=0.3),
    Augmentation(
        rotation_deg=40.0, shift=0.2, zoom=(0.6, 1.6), fill="zero", gamma=1.3, contrast=0.7, offset=0.3, noise=0.2,
        bias_field=0.3, distractors=4,
    ),
)  # fmt: skip
"""Augmentation of degraded copies: rotated, out of frame, badly exposed, noisy and blurred, all together."""

TRAINING_IMAGES, VALIDATION_IMAGES, COPIES = 200, 60, 150
"""At most this many training and validation images are used, and about this many degraded copies are made."""

AXES = 32
"""This many principal axes of a covariance are kept; the rest is taken as isotropic."""

OUT_OF_DISTRIBUTION = 0.01
"""Prior share of out-of-distribution images in daily use."""


def fit_quality(
    predictor: Predictor, train: Samples, validation: Samples, *, flag_below: Fraction = 0.9, seed: Seed = 0
) -> QualityModel:
    """Fit a quality model.

    Args:
        predictor: The trained model.
        train: Its training set, which gives the distributions of images and contours.
        validation: Its validation set, which gives the relation of measures to Dice, and the limits.
        flag_below: Scores below it are flagged.
        seed: Of the augmentation and the shuffling.

    Raises:
        BiosegError: No image of a set can be read, or a prediction is not finite.
    """
    rng = np.random.default_rng(seed)
    features, shapes = [], []
    for batch in train.batches(_evenly(len(train.cases), TRAINING_IMAGES), 16):
        own = (batch.images, batch.masks)
        for images, truths in (own, _augmented(own, predictor.recipe.augmentation, rng)):
            features += [predictor.features(image) for image in images.numpy()]
            shapes += [describe(truth > 0.5) for truth in truths[:, 0].numpy()]
    if not features:
        raise BiosegError("quality: no training image can be read any more; restore the files, then --resume")
    distributions = _distribution(np.array(shapes)), _distribution(np.array(features))

    def measures(images: Tensor) -> tuple[Numbers, list[Mask]]:
        found = [predictor.with_evidence(image[None])[0][1] for image in images.numpy()]
        return np.array([measure(one, *distributions) for one in found]), [one.mask for one in found]

    order = _evenly(len(validation.cases), VALIDATION_IMAGES)
    whole = next(validation.batches(order, len(order)), None)
    if whole is None:
        raise BiosegError("quality: no validation image can be read any more; restore the files, then --resume")
    held_out = (whole.images, whole.masks)
    rounds = max(1, round(COPIES / len(DEGRADED) / len(order)))
    usual = [held_out, *(_augmented(held_out, predictor.recipe.augmentation, rng) for _ in range(3))]
    degraded = (_augmented(held_out, how, rng) for how in DEGRADED for _ in range(rounds))
    measured: list[Numbers] = []
    dice: list[float] = []
    for images, truths in chain(usual, degraded):
        numbers, masks = measures(images)
        measured.append(numbers)
        dice += [
            overlap.dice(overlap.confusion(mask, truth > 0.5))
            for mask, truth in zip(masks, truths[:, 0].numpy(), strict=True)
        ]
    good = np.concatenate(measured[: len(usual)])
    well_segmented = np.array(dice[: len(good)]) >= flag_below
    good = good[well_segmented] if well_segmented.sum() > 1 else good
    shuffled = np.concatenate([measures(_shuffled(held_out[0], cuts, rng))[0] for cuts in (2, 4)])
    return QualityModel(
        shapes=distributions[0],
        images=distributions[1],
        dice=_regression(np.concatenate(measured), np.array(dice)),
        in_distribution=tuple(_separation(good, shuffled, list(MEASURES).index(name)) for name in ("shape", "image")),
        limits=_rounded(np.percentile(good, 99, axis=0)),
        flag_below=flag_below,
    )


def _evenly(count: int, most: int) -> list[int]:
    """At most ``most`` of ``count`` indices, evenly spread."""
    return list(range(0, count, -(-count // most)))


def _augmented(pair: Pair, how: Augmentation, rng: np.random.Generator) -> Pair:
    images = pair[0]
    return augment.apply(*pair, augment.draw(how, rng, len(images), (images.shape[-2], images.shape[-1])))


def _shuffled(images: Tensor, cuts: int, rng: np.random.Generator) -> Tensor:
    """Each image with its ``cuts`` × ``cuts`` tiles in random order; rows and columns that do not divide are cut off."""
    count, channels, rows, cols = images.shape
    high, wide = rows // cuts, cols // cuts
    tiles = images[..., : high * cuts, : wide * cuts].reshape(count, channels, cuts, high, cuts, wide)
    tiles = tiles.permute(0, 2, 4, 1, 3, 5).flatten(1, 2)
    tiles = torch.stack([own[torch.from_numpy(rng.permutation(cuts**2))] for own in tiles])
    tiles = tiles.reshape(count, cuts, cuts, channels, high, wide).permute(0, 3, 1, 4, 2, 5)
    return tiles.reshape(count, channels, high * cuts, wide * cuts)


def _distribution(vectors: Numbers) -> Distribution:
    """Mean and covariance of vectors [N, D], the covariance shrunken towards an isotropic one (Ledoit & Wolf 2004)."""
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
    """Ridge regression (1, on standardised measures) of the log odds of Dice, clipped to .01 … .995, with weights of 0 or more."""
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


def _separation(usual: Numbers, shuffled: Numbers, index: int) -> Logistic:
    """The probability of being in distribution by one measure alone: linear discriminant with prior ``OUT_OF_DISTRIBUTION``."""
    near, far = usual[:, index], shuffled[:, index]
    slope = max(0.0, far.mean() - near.mean()) / max((near.var() + far.var()) / 2, 1e-6)
    base = slope * (near.mean() + far.mean()) / 2 + np.log(1 / OUT_OF_DISTRIBUTION - 1)
    return Logistic(_short(base), _rounded(slope * np.eye(usual.shape[1])[index]))


def _rounded(values: Numbers) -> tuple[float, ...]:
    return tuple(_short(value) for value in values)


def _short(value: float) -> float:
    """Four significant digits are enough, and keep the file small."""
    return float(f"{value:.4g}")
