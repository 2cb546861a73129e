"""Learn what a model is meant for from the cases it was trained on."""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from bioseg.datasets import cases as reading
from bioseg.inference.predictor import Predictor
from bioseg.quality.applicability import (
    Applicability,
    Interval,
    Measures,
    measure_certainty,
    measure_image,
    measure_mask,
)
from bioseg.types import BiosegError, Case

TRAINING, VALIDATION = 200, 60
"""At most this many cases of each, evenly spread, are read."""
PERCENTILES = (0.1, 99.9)
MARGIN = 0.25
"""Share of the range between the percentiles that is added on either side; few cases have more."""
LEAST = {"area": 0.5, "count": 0.7, "lowest": 20.0, "highest": 20.0, "certainty": 0.05}
"""What is added at least; of measures that are not named, .02."""
RADIOGRAPHS = ("CR", "DX", "RG")
"""One kind of image with three names."""


@dataclass(frozen=True)
class _Seen:
    modality: str
    empty: bool
    measures: Measures


def fit_applicability(predictor: Predictor, train: Sequence[Case], validation: Sequence[Case]) -> Applicability:
    """Learn modalities and usual ranges.

    Images and masks are those of the training set, the network's certainty is that of the validation set. Modalities are
    learned where every training image states one. Cases that cannot be read are left out.

    Args:
        predictor: The trained model.
        train: Its training set.
        validation: Its validation set.
    """
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        seen = list(filter(None, pool.map(lambda case: _look(predictor, case), _evenly(train, TRAINING))))
    certain = [one for one in (_certainty(predictor, case) for case in _evenly(validation, VALIDATION)) if one]
    values: dict[str, list[float]] = {}
    for measures in (*(one.measures for one in seen), *certain):
        for name, value in measures.items():
            values.setdefault(name, []).append(value)
    modalities = {one.modality for one in seen}
    if not modalities.isdisjoint(RADIOGRAPHS):
        modalities |= {*RADIOGRAPHS}
    return Applicability(
        modalities=() if "" in modalities else tuple(sorted(modalities)),
        may_be_empty=not seen or any(one.empty for one in seen),
        ranges=tuple(_interval(name, found) for name, found in values.items() if np.isfinite(found).all()),
    )


def _evenly(cases: Sequence[Case], most: int) -> Sequence[Case]:
    return cases[:: max(1, -(-len(cases) // most))]


def _look(predictor: Predictor, case: Case) -> _Seen | None:
    try:
        raw_image = reading.read_image(case)
        image, _ = predictor.prepare(raw_image)
        labels = reading.read_labels(case, raw_image.pixels.shape[:2])
    except BiosegError:
        return None  # named where the case was read for training
    how, mask = predictor.recipe.preparation, labels > 0
    objects = labels if predictor.recipe.postprocess.instances else None
    measures = measure_image(raw_image, image, how) | measure_mask(mask, objects, how)
    modality = raw_image.acquisition.modality if raw_image.acquisition else ""
    return _Seen(modality, not mask.any(), measures)


def _certainty(predictor: Predictor, case: Case) -> Measures:
    try:
        return measure_certainty(predictor.predict(reading.read_image(case)))
    except BiosegError:
        return {}


def _interval(name: str, values: Sequence[float]) -> Interval:
    """With a margin that is wider for few values; nobody is too certain."""
    low, high = np.percentile(values, PERCENTILES).tolist()
    margin = max((MARGIN + 2 / len(values)) * (high - low), LEAST.get(name, 0.02))
    top = 1.0 if name == "certainty" else high + margin
    return Interval(name, float(f"{low - margin:.4g}"), float(f"{top:.4g}"))
