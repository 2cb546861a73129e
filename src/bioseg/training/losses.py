"""Losses: (logits [N, K, rows, cols], truth of the same shape, 0 or 1) → scalar to minimise.

All are computed in float32 whatever the network's precision. A loss "over the batch" sums over all pixels of the batch before it
divides, as the reference systems do. All but :func:`exclusive_cross_entropy_and_dice` treat every plane as a question of its own.
"""

import torch
from torch import Tensor
from torch.nn import functional

from bioseg.specs import Count, NonNegative, Positive
from bioseg.types import BiosegError


def binary_cross_entropy(logits: Tensor, truth: Tensor) -> Tensor:
    """Mean over pixels of −log p(truth)."""
    return functional.binary_cross_entropy_with_logits(logits.float(), truth)


def soft_dice(logits: Tensor, truth: Tensor, *, smoothing: NonNegative = 1.0) -> Tensor:
    """1 − Dice over the batch, (2 Σpt + s) / (Σp + Σt + s), for each plane, then the mean."""
    return 1 - _dice(logits, truth, smoothing)


def soft_iou(logits: Tensor, truth: Tensor, *, smoothing: NonNegative = 1.0) -> Tensor:
    """1 − IoU over the batch: 1 − (Σpt + s) / (Σp + Σt − Σpt + s)."""
    probability = logits.float().sigmoid()
    overlap = (probability * truth).sum()
    return 1 - (overlap + smoothing) / (probability.sum() + truth.sum() - overlap + smoothing)


def cross_entropy_and_dice(logits: Tensor, truth: Tensor, *, smoothing: NonNegative = 1.0) -> Tensor:
    """Binary cross-entropy + (1 − Dice)."""
    return binary_cross_entropy(logits, truth) + soft_dice(logits, truth, smoothing=smoothing)


def cross_entropy_and_image_dice(logits: Tensor, truth: Tensor, *, smoothing: NonNegative = 1.0) -> Tensor:
    """Binary cross-entropy + 1 − the mean of each image's own Dice, so that small objects count as much as large ones."""
    probability = logits.float().sigmoid()
    overlap, areas = (probability * truth).sum((2, 3)), (probability + truth).sum((2, 3))
    return binary_cross_entropy(logits, truth) + 1 - ((2 * overlap + smoothing) / (areas + smoothing)).mean()


def cross_entropy_and_log_dice(logits: Tensor, truth: Tensor, *, smoothing: NonNegative = 1.0) -> Tensor:
    """Binary cross-entropy − log(Dice)."""
    return binary_cross_entropy(logits, truth) - _dice(logits, truth, smoothing).log()


def weighted_cross_entropy_and_dice(
    logits: Tensor, truth: Tensor, *, weights: tuple[Positive, ...], smoothing: NonNegative = 1.0
) -> Tensor:
    """As :func:`cross_entropy_and_dice`, the mean over planes weighted by ``weights``, one for each of the K planes."""
    share = _weights(weights, logits.shape[1], logits)
    entropy = functional.binary_cross_entropy_with_logits(logits.float(), truth, reduction="none").mean((0, 2, 3))
    return (share * (entropy + 1 - _class_dice(logits.float().sigmoid(), truth, smoothing))).sum()


def exclusive_cross_entropy_and_dice(
    logits: Tensor, truth: Tensor, *, classes: Count, weights: tuple[Positive, ...] = (), smoothing: NonNegative = 1.0
) -> Tensor:
    """Cross-entropy of the softmax over background and classes + (1 − mean Dice of the classes).

    The background's logit is 0, as in :func:`bioseg.classes.probabilities`.

    Args:
        logits: [N, K, rows, cols]; planes after those of the classes have :func:`cross_entropy_and_dice`, which is added.
        truth: The same shape; at most one class in a pixel.
        classes: How many planes are classes.
        weights: Of the classes, in cross-entropy (where the background has the mean of them) and Dice; by default all equal.
        smoothing: Of Dice.
    """
    own = torch.cat([torch.zeros_like(logits[:, :1]), logits[:, :classes]], dim=1).float()
    target = truth[:, :classes]
    target = torch.cat([1 - target.sum(1, keepdim=True), target], dim=1)
    share = _weights(weights or (1.0,) * classes, classes, own)
    per_pixel = torch.cat([share.mean().reshape(1), share]).reshape(1, -1, 1, 1) * target
    entropy = -(per_pixel * own.log_softmax(1)).sum() / per_pixel.sum()
    loss = entropy + 1 - (share * _class_dice(own.softmax(1)[:, 1:], target[:, 1:], smoothing)).sum()
    if logits.shape[1] > classes:
        loss = loss + cross_entropy_and_dice(logits[:, classes:], truth[:, classes:], smoothing=smoothing)
    return loss


def half_cross_entropy_half_iou(logits: Tensor, truth: Tensor, *, smoothing: NonNegative = 1.0) -> Tensor:
    """½ binary cross-entropy + ½ (1 − IoU), as for the pneumonia boxes."""
    return (binary_cross_entropy(logits, truth) + soft_iou(logits, truth, smoothing=smoothing)) / 2


def least_squares(scores: Tensor, *, real: bool) -> Tensor:
    """Least-squares GAN loss (Mao et al. 2017): mean squared distance of a discriminator's scores from 1 (real) or 0 (generated).

    Args:
        scores: Any shape.
        real: Whether the scores should be 1.
    """
    return (scores.float() - float(real)).square().mean()


def _dice(logits: Tensor, truth: Tensor, smoothing: float) -> Tensor:
    return _class_dice(logits.float().sigmoid(), truth, smoothing).mean()


def _class_dice(probability: Tensor, truth: Tensor, smoothing: float) -> Tensor:
    """Of each plane, [K]."""
    overlap, areas = _sums(probability * truth), _sums(probability) + _sums(truth)
    return (2 * overlap + smoothing) / (areas + smoothing)


def _weights(weights: tuple[float, ...], count: int, like: Tensor) -> Tensor:
    """Weights that sum to 1, [count]."""
    if len(weights) != count:
        raise BiosegError(f"training.loss.weights: {len(weights)} of them; give one for each of {count} classes")
    share = torch.tensor(weights, dtype=torch.float32, device=like.device)
    return share / share.sum()


def _sums(values: Tensor) -> Tensor:
    """[N, K, rows, cols] → [K]."""
    return values.sum((0, 2, 3))
