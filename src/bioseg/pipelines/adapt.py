"""Adapt a model to images of a domain it was not trained on, without any ground truth of them."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from bioseg.datasets import cases as reading
from bioseg.inference.adaptation import reestimated
from bioseg.inference.predictor import Predictor
from bioseg.types import BiosegError, Case

LEAST, MOST, BATCH = 8, 64, 8
"""This many images are needed for statistics; no more than so many, evenly spread, are used, this many at a time."""


def adapted(predictor: Predictor, cases: Sequence[Case]) -> tuple[Predictor, int]:
    """A predictor whose networks have the batch-norm statistics of these images; those that cannot be read are left out.

    Returns:
        The predictor, and how many images were used.

    Raises:
        BiosegError: Fewer than :data:`LEAST` of them can be read, or a network has no batch norm.
    """
    used = list(_prepared(predictor, cases[:: -(-len(cases) // MOST)]))
    if len(used) < LEAST:
        raise BiosegError(f"--adapt: {len(used)} readable images; give {LEAST} or more of one domain, or leave it out")
    same = len({image.shape for image in used}) == 1
    batches = torch.cat(used).split(BATCH) if same else used
    return replace(predictor, backends=reestimated(predictor.backends, batches)), len(used)


def _prepared(predictor: Predictor, cases: Sequence[Case]) -> Iterator[Tensor]:
    for case in cases:
        try:
            image, _ = predictor.prepare(reading.read_image(case))
        except BiosegError:
            continue  # it is reported where it is segmented
        yield torch.from_numpy(np.ascontiguousarray(image[None]))
