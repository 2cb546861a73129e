"""Test-time augmentation: every copy comes back in its place."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
from numpy.typing import NDArray

from bioseg.classes import EVERYTHING
from bioseg.inference.backends import Batch
from bioseg.inference.tta import predict_copies
from bioseg.recipe import TTA

COPIES: dict[TTA, int] = {"none": 1, "flip": 2, "dihedral": 8}


@dataclass(frozen=True, eq=False)
class Computed:
    """A backend that computes logits by a function, with the global mean as the only feature."""

    logits: Callable[[Batch], Batch]

    def __call__(self, batch: Batch, /) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        return self.logits(batch).astype(np.float32), batch.mean((1, 2, 3))[:, None].astype(np.float32)


@pytest.mark.parametrize("tta", COPIES)
def test_every_copy_comes_back_in_its_place(tta: TTA) -> None:
    images = np.random.default_rng(0).random((2, 1, 5, 7), dtype=np.float32)
    found = predict_copies(Computed(lambda batch: 8 * batch - 4), images, tta, EVERYTHING)
    assert len(found.planes) == COPIES[tta] and found.altered is None
    for planes in found.planes:
        assert planes.dtype == np.float32
        assert np.allclose(planes, 1 / (1 + np.exp(4 - 8 * images)), atol=1e-6)
    assert np.allclose(found.features[:, 0], images.mean((1, 2, 3)))


@pytest.mark.parametrize("tta", ["flip", "dihedral"])
def test_a_preference_for_one_side_averages_out(tta: TTA) -> None:
    left = Computed(lambda batch: np.broadcast_to(np.linspace(-3, 3, batch.shape[-1]), batch.shape))
    found = predict_copies(left, np.zeros((1, 1, 5, 7), np.float32), tta, EVERYTHING)
    assert np.allclose(np.mean(found.planes, axis=0), 0.5, atol=1e-6)


def test_the_altered_copy_comes_back_in_its_place() -> None:
    """What is clearly bright stays so, in its place; what is a little too dark to be foreground, no longer is."""
    image = np.full((1, 1, 50, 50), 0.1, np.float32)
    image[..., 10:30, 15:35], image[..., 35:45, 15:35] = 1.0, 0.4
    found = predict_copies(Computed(lambda batch: 20 * (batch - 0.5)), image, "none", EVERYTHING, altered=True)
    assert found.altered is not None and found.altered.shape == image.shape
    assert len(found.planes) == 1 and len(found.features) == 1
    wrong = (found.altered > 0.5) != (image > 0.2)
    assert wrong.mean() < 0.04
    assert (found.altered[..., 36:44, 16:34] > 0.5).all() and (found.altered[..., :8, :] < 0.5).all()


def test_one_rotation_at_a_time_is_in_memory() -> None:
    seen = []
    predict_copies(
        Computed(lambda batch: seen.append(len(batch)) or batch),
        np.zeros((1, 1, 4, 4), np.float32),
        "dihedral",
        EVERYTHING,
    )
    assert seen == [2, 2, 2, 2]
