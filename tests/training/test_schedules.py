import math

import pytest

from bioseg.training import schedules
from bioseg.training.schedules import TrainState


def test_decay_after_is_the_ct_study() -> None:
    rates = [1e-3 * schedules.decay_after(TrainState(epoch, 40)) for epoch in (0, 19, 19.9, 20, 21, 23.5)]
    assert rates == pytest.approx([1e-3, 1e-3, 1e-3, 1e-3, 1e-4, 1e-6])


def test_cosine_is_the_pneumonia_study() -> None:
    assert [schedules.cosine(TrainState(epoch, 25)) for epoch in (0, 12.5, 25)] == pytest.approx(
        [1, (math.cos(math.pi * 12 / 25) + 1) / 2, 0]
    )


def test_plateau_halves_waits_and_has_a_floor() -> None:
    falling = [1 / (n + 1) for n in range(10)]
    flat = [0.1] * 40
    assert schedules.plateau(TrainState(10, 80, falling), patience=3) == 1

    def factor(waited: int) -> float:
        return schedules.plateau(TrainState(0, 80, falling + flat[:waited]), patience=3, cooldown=2, floor=0.2)

    # The third flat epoch halves; two of cooldown; the third after them is the first counted that can bring it to three.
    assert [factor(n) for n in (2, 3, 6, 7)] == [1, 0.5, 0.5, 0.25]
    assert factor(40) == 0.2


def test_plateau_needs_more_than_min_delta() -> None:
    creeping = [1 - 1e-6 * n for n in range(16)]
    assert schedules.plateau(TrainState(0, 80, creeping), patience=15, min_delta=1e-4) == 0.5
    assert schedules.plateau(TrainState(0, 80, creeping), patience=15, min_delta=1e-7) == 1


def test_one_cycle_rises_then_falls() -> None:
    values = [schedules.one_cycle(TrainState(epoch, 10)) for epoch in (0, 1, 2, 5, 10, 11)]
    assert values[0] == pytest.approx(0.04)
    assert values[2] == 1
    assert values[0] < values[1] < values[2] > values[3] > values[4] == values[5] == pytest.approx(1e-4)


@pytest.mark.parametrize(
    ("history", "patience", "stops"),
    [
        ([3, 2, 1], 2, False),
        ([1, 2], 2, False),
        ([1, 2, 2], 2, True),
        ([2, 3, 1, 1.5, 1.2], 2, True),
        ([1] * 50, None, False),
        ([1, 0.95, 0.9], 2, False),
    ],
)
def test_patience(history: list[float], patience: int | None, stops: bool) -> None:
    assert schedules.patience_exhausted(history, patience=patience) is stops
