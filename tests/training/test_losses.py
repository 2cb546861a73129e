import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from bioseg.training import losses

LOSSES = [
    losses.binary_cross_entropy,
    losses.soft_dice,
    losses.soft_iou,
    losses.cross_entropy_and_dice,
    losses.cross_entropy_and_image_dice,
    losses.cross_entropy_and_log_dice,
    losses.half_cross_entropy_half_iou,
]


@pytest.mark.parametrize("loss", LOSSES)
def test_a_loss_falls_towards_the_truth_and_pulls_every_pixel(loss: Callable[..., Tensor]) -> None:
    truth = (torch.arange(64).reshape(1, 1, 8, 8) % 3 == 0).float()
    logits = torch.zeros(1, 1, 8, 8, requires_grad=True)
    value = loss(logits, truth)
    value.backward()
    assert logits.grad is not None
    assert (torch.sign(-logits.grad) == torch.sign(truth - 0.5)).all()
    right, wrong = loss((truth - 0.5) * 40, truth), loss((0.5 - truth) * 40, truth)
    assert right < value < wrong
    assert abs(float(right)) < 1e-4


def test_least_squares_by_hand() -> None:
    scores = torch.tensor([[0.0, 0.5], [1.0, 2.0]])
    assert losses.least_squares(scores, real=True).item() == pytest.approx((1 + 0.25 + 0 + 1) / 4)
    assert losses.least_squares(scores, real=False).item() == pytest.approx((0 + 0.25 + 1 + 4) / 4)


def test_by_hand() -> None:
    # p = 1/2 on four pixels, two of them true: Σpt = 1, Σp = 2, Σt = 2.
    logits, truth = torch.zeros(1, 1, 2, 2), torch.tensor([[[[1.0, 1.0], [0.0, 0.0]]]])
    cross, dice, iou = math.log(2), 2 / 4, 1 / 3
    assert losses.binary_cross_entropy(logits, truth).item() == pytest.approx(cross)
    assert losses.soft_dice(logits, truth, smoothing=0).item() == pytest.approx(1 - dice)
    assert losses.soft_dice(logits, truth, smoothing=1).item() == pytest.approx(1 - 3 / 5)
    assert losses.soft_iou(logits, truth, smoothing=1).item() == pytest.approx(1 - 2 / 4)
    assert losses.cross_entropy_and_dice(logits, truth, smoothing=0).item() == pytest.approx(cross + 1 - dice)
    assert losses.cross_entropy_and_log_dice(logits, truth, smoothing=0).item() == pytest.approx(cross - math.log(dice))
    assert losses.half_cross_entropy_half_iou(logits, truth, smoothing=0).item() == pytest.approx((cross + 1 - iou) / 2)


def test_an_empty_batch_of_truth_is_finite() -> None:
    for loss in LOSSES:
        assert math.isfinite(loss(torch.full((2, 1, 4, 4), -30.0), torch.zeros(2, 1, 4, 4)).item())


def test_every_plane_has_its_own_dice() -> None:
    """A plane that is wrong everywhere costs half of two, however large the other is."""
    truth = torch.zeros(1, 2, 8, 8)
    truth[:, 0], truth[:, 1, 0, 0] = 1, 1
    logits = torch.where(truth > 0, 40.0, -40.0)
    logits[:, 1] *= -1
    assert losses.soft_dice(logits, truth, smoothing=0).item() == pytest.approx(0.5)


def test_every_image_has_its_own_dice() -> None:
    """A tiny object missed costs as much as a large one; over the batch it would hardly count."""
    truth = torch.zeros(2, 1, 16, 16)
    truth[0], truth[1, 0, 0, 0] = 1, 1
    logits = torch.where(truth > 0, 40.0, -40.0)
    logits[1, 0, 0, 0] = -40
    cross = losses.binary_cross_entropy(logits, truth).item()
    assert losses.cross_entropy_and_image_dice(logits, truth, smoothing=0).item() - cross == pytest.approx(0.5)
    assert losses.soft_dice(logits, truth, smoothing=0).item() < 0.01
