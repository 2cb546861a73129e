"""Many images through a predictor: reading and preparing, the forward pass, and what follows overlap.

The stages are the predictor's own. Queues are bounded, results come in the order of the cases, and an image that fails
becomes a :class:`bioseg.types.Problem` in its place; it stops no other.
"""

import os
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import TypeVar

import numpy as np

from bioseg.datasets import cases as reading
from bioseg.images.formats import RawImage
from bioseg.images.prepare import Placement
from bioseg.inference.predictor import Evidence, Image, Outputs, Predictor
from bioseg.postprocess.masks import Prediction
from bioseg.types import BiosegError, Case, Problem

T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class Prepared:
    """An image that was read and prepared.

    Attributes:
        case: Which.
        raw_image: As the file has it.
        image: [channels, rows, cols] in [0, 1].
        placement: Where that lies in the image.
        seconds: To prepare it.
    """

    case: Case
    raw_image: RawImage
    image: Image
    placement: Placement
    seconds: float


@dataclass(frozen=True, eq=False)
class Predicted:
    """A prepared image with its prediction.

    Attributes:
        prepared: The image.
        prediction: On the image's own grid, or on the prepared one if that was asked for.
        seconds: To prepare, predict and postprocess it; images of one batch share the forward pass equally.
    """

    prepared: Prepared
    prediction: Prediction
    seconds: float


def stream(
    predictor: Predictor, cases: Sequence[Case], then: Callable[[Predicted], T], *, on_prepared_grid: bool = False,
    batch_size: int = 1, workers: int | None = None,
) -> Iterator[T | Problem]:  # fmt: skip
    """Predict every case and do something with each prediction.

    Args:
        predictor: The model.
        cases: In the order of the results.
        then: Runs in a worker thread, for example to measure and write; a :class:`BiosegError` it raises is a problem of that
            image alone.
        on_prepared_grid: Leave predictions on the prepared grid.
        batch_size: At most this many images of one size per forward pass.
        workers: Threads to read and prepare, and as many to postprocess; by default one per core.

    Yields:
        For each case what ``then`` returned, or why there is no such thing.
    """
    workers = workers or max(1, os.cpu_count() or 1)
    ahead = 2 * batch_size + workers
    readers, finishers = ThreadPoolExecutor(workers), ThreadPoolExecutor(workers)
    waiting, reading_now = iter(cases), deque[tuple[Case, Future[Prepared]]]()
    pending: deque[Future[T] | Problem] = deque()

    def finished(prepared: Prepared, found: tuple[Outputs, Evidence | None], seconds: float) -> T:
        started = time.perf_counter()
        prediction = predictor.finish(found, None if on_prepared_grid else prepared.placement)
        return then(Predicted(prepared, prediction, prepared.seconds + seconds + time.perf_counter() - started))

    def run(batch: list[Prepared]) -> None:
        started = time.perf_counter()
        try:
            found = predictor.forward(np.stack([one.image for one in batch]))
        except (BiosegError, MemoryError):  # one image of a batch is at fault: each by itself
            for one in batch:
                alone(one)
            return
        share = (time.perf_counter() - started) / len(batch)
        for one, outputs in zip(batch, found, strict=True):
            pending.append(finishers.submit(finished, one, outputs, share))

    def alone(one: Prepared) -> None:
        started = time.perf_counter()
        try:
            found = predictor.forward(one.image[None])[0]
        except (BiosegError, MemoryError) as fault:
            pending.append(_problem(one.case, fault))
        else:
            pending.append(finishers.submit(finished, one, found, time.perf_counter() - started))

    def results(keep: int) -> Iterator[T | Problem]:
        while len(pending) > keep:
            case, future = cases_out.popleft(), pending.popleft()
            if isinstance(future, Problem):
                yield future
                continue
            try:
                result = future.result()
            except (BiosegError, MemoryError) as fault:
                yield _problem(case, fault)
            else:
                yield result

    cases_out = deque(cases)
    batch: list[Prepared] = []
    try:
        for _ in range(len(cases)):
            fresh = islice(waiting, ahead - len(reading_now))
            reading_now.extend((case, readers.submit(prepare, predictor, case)) for case in fresh)
            case, future = reading_now.popleft()
            try:
                prepared = future.result()
            except (BiosegError, MemoryError) as fault:
                if batch:
                    run(batch)
                    batch = []
                pending.append(_problem(case, fault))
            else:
                if batch and (len(batch) == batch_size or batch[0].image.shape != prepared.image.shape):
                    run(batch)
                    batch = []
                batch.append(prepared)
                if len(batch) == batch_size:
                    run(batch)
                    batch = []
            yield from results(ahead)
        if batch:
            run(batch)
        yield from results(0)
    finally:
        readers.shutdown(wait=False, cancel_futures=True)
        finishers.shutdown(wait=True, cancel_futures=True)


def prepare(predictor: Predictor, case: Case) -> Prepared:
    """Read and prepare one case.

    Raises:
        BiosegError: Its image cannot be used.
    """
    raw_image = reading.read_image(case)
    started = time.perf_counter()
    image, placement = predictor.prepare(raw_image)
    return Prepared(case, raw_image, image, placement, time.perf_counter() - started)


def _problem(case: Case, fault: BiosegError | MemoryError) -> Problem:
    if isinstance(fault, MemoryError):
        return Problem(
            case.path, f"{case.path}: too large for the memory at hand; shrink it or cut it into tiles first"
        )
    return Problem(case.path, str(fault))
