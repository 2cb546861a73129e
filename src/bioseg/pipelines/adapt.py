"""Adapt a model to images of a domain it was not trained on, without ground truth."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial

import numpy as np
import torch
from torch import Tensor

from bioseg.inference.adaptation import reestimated
from bioseg.inference.predictor import Predictor
from bioseg.pipelines.stream import attempt, prepare
from bioseg.types import BiosegError, Case, Problem

LEAST, MOST, BATCH = 8, 64, 8
"""Images that are needed for statistics; that are used at most, evenly spread; and that are used at a time."""


def adapted(predictor: Predictor, cases: Sequence[Case]) -> tuple[Predictor, int]:
    """A predictor whose networks have the batch-norm statistics of these images; unreadable ones are left out.

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
    backends = reestimated(predictor.backends, batches)
    return replace(predictor, backends=backends, fingerprint=_fingerprint(predictor, used)), len(used)


def _fingerprint(predictor: Predictor, images: Sequence[Tensor]) -> str:
    """The same for the same model adapted to the same images."""
    digest = hashlib.sha256(predictor.fingerprint.encode())
    for image in images:
        digest.update(image.numpy().data)
    return digest.hexdigest()[:16] if predictor.fingerprint else ""


def _prepared(predictor: Predictor, cases: Sequence[Case]) -> Iterator[Tensor]:
    for case in cases:
        prepared = attempt(case.path, partial(prepare, predictor, case))
        if not isinstance(prepared, Problem):  # a problem is reported where the image is segmented
            yield torch.from_numpy(np.ascontiguousarray(prepared.image[None]))
