"""Losses: (logits [N, K, rows, cols], truth of the same shape, 0 or 1) → scalar to minimise.

All are computed in float32 whatever the network's precision. A loss "over the batch" sums over all pixels of the batch before it
divides, as the reference systems do.
"""

from torch import Tensor
from torch.nn import functional

from bioseg.specs import NonNegative


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
    probability = logits.float().sigmoid()
    overlap, areas = _sums(probability * truth), _sums(probability) + _sums(truth)
    return ((2 * overlap + smoothing) / (areas + smoothing)).mean()


def _sums(values: Tensor) -> Tensor:
    """[N, K, rows, cols] → [K]."""
    return values.sum((0, 2, 3))
