"""Bring a model to pictures of a source it has not seen, without any truth of them."""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from bioseg.data import cases as reading
from bioseg.inference.adaptation import reestimate_statistics
from bioseg.inference.predictor import Predictor
from bioseg.types import BiosegError, Case

LEAST, MOST, BATCH = 8, 64, 8
"""So many pictures are needed for statistics; no more than so many, evenly spread, are looked at, so many at a time."""


def adapt(predictor: Predictor, cases: Sequence[Case]) -> int:
    """Give a predictor's networks the batch-norm statistics of these pictures; those that cannot be read are passed over.

    Returns:
        How many pictures were looked at.

    Raises:
        BiosegError: Fewer than :data:`LEAST` of them can be read.
    """
    seen = list(_prepared(predictor, cases[:: -(-len(cases) // MOST)]))
    if len(seen) < LEAST:
        raise BiosegError(
            f"--adapt: {len(seen)} readable pictures; give {LEAST} or more of one source, or leave it out"
        )
    same = len({picture.shape for picture in seen}) == 1
    batches = torch.cat(seen).split(BATCH) if same else seen
    predictor.networks = [reestimate_statistics(network, batches) for network in predictor.networks]
    return len(seen)


def _prepared(predictor: Predictor, cases: Sequence[Case]) -> Iterator[Tensor]:
    for case in cases:
        try:
            picture, _ = predictor.prepare(reading.read_picture(case))
        except BiosegError:
            continue  # it is reported where it is to be outlined
        yield torch.from_numpy(np.ascontiguousarray(picture[None])).to(predictor.device)
