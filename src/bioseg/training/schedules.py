"""Learning-rate schedules: (train state) → factor on the learning rate. Pure, so that a resumed run continues exactly."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from bioseg.specs import Count, Fraction, NonNegative, Range, Whole


@dataclass(frozen=True)
class TrainState:
    """How far a training is.

    Attributes:
        epoch: Finished epochs, with a fraction within one, from 0.
        epochs: At most this many will be run.
        validation_losses: One per finished epoch.
    """

    epoch: float
    epochs: int
    validation_losses: Sequence[float] = ()


def constant(state: TrainState) -> float:
    """Always 1."""
    return 1.0


def decay_after(state: TrainState, *, start: Whole = 20, factor: Fraction = 0.1) -> float:
    """1 up to epoch ``start``, then ``factor`` to the power of the epochs since (the CT study's schedule)."""
    return float(factor ** max(0, math.floor(state.epoch) - start))


def cosine(state: TrainState, *, length: Count = 25) -> float:
    """(cos(π epoch / length) + 1) / 2, stepping once an epoch (the pneumonia study's schedule)."""
    return (math.cos(math.pi * math.floor(state.epoch) / length) + 1) / 2


def plateau(
    state: TrainState, *, factor: Fraction = 0.5, patience: Count = 15, min_delta: NonNegative = 1e-4,
    cooldown: Whole = 2, floor: Fraction = 1e-3,
) -> float:  # fmt: skip
    """Multiplied by ``factor`` after ``patience`` epochs without a validation loss lower than the best by ``min_delta``.

    After each reduction ``cooldown`` epochs are not counted; the result never falls below ``floor``. As Keras'
    ReduceLROnPlateau.
    """
    scale, best, waited, cooling = 1.0, math.inf, 0, 0
    for loss in state.validation_losses:
        if cooling:
            cooling, waited = cooling - 1, 0
        if loss < best - min_delta:
            best, waited = loss, 0
        elif not cooling:
            waited += 1
            if waited >= patience:
                scale, cooling, waited = max(scale * factor, floor), cooldown, 0
    return scale


def one_cycle(
    state: TrainState, *, rise: Annotated[float, Range(0, 0.99)] = 0.2, start: Fraction = 0.04, end: Fraction = 1e-4
) -> float:
    """Up from ``start`` along half a cosine during the first ``rise`` of the training, then down to ``end`` along another.

    Source: Smith & Topin 2019, with cosine annealing as in PyTorch.
    """
    done = min(state.epoch / state.epochs, 1.0)
    if done < rise:
        return _half_cosine(start, 1.0, done / rise)
    return _half_cosine(1.0, end, (done - rise) / (1 - rise))


def patience_exhausted(validation_losses: Sequence[float], *, patience: int | None, min_delta: float = 0.0) -> bool:
    """Whether the validation loss has not fallen by ``min_delta`` for ``patience`` epochs; None never stops."""
    best, waited = math.inf, 0
    for loss in validation_losses:
        best, waited = (loss, 0) if loss < best - min_delta else (best, waited + 1)
    return patience is not None and waited >= patience


def _half_cosine(first: float, last: float, share: float) -> float:
    return last + (first - last) * (1 + math.cos(math.pi * share)) / 2
