"""Many images through a model: reading and preparing, the forward pass, and what follows overlap.

The stages of a prediction are the predictor's own. Look-ahead is bounded, results come in the order of the cases, and an
image that fails becomes a :class:`bioseg.types.Problem` in its place; it stops no other.
"""

import os
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np

from bioseg.datasets import cases as reading
from bioseg.images.formats import RawImage, to_raw_image
from bioseg.images.prepare import Placement
from bioseg.inference.predictor import Evidence, Image, Outputs, Predictor, Source
from bioseg.postprocess.masks import Prediction
from bioseg.types import BiosegError, Case, Problem

A = TypeVar("A")
B = TypeVar("B")
C = TypeVar("C")
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


@dataclass(frozen=True, eq=False)
class _Forwarded:
    """A prepared image with what the networks say of it, on the prepared grid."""

    prepared: Prepared
    outputs: Outputs
    evidence: Evidence | None
    seconds: float


def stream(
    predictor: Predictor, cases: Sequence[Case], then: Callable[[Predicted], T], *, on_prepared_grid: bool = False,
    batch_size: int = 1, workers: int | None = None,
) -> Generator[T | Problem, None, None]:  # fmt: skip
    """Predict every case and do something with each prediction.

    Args:
        predictor: The model.
        cases: In the order of the results.
        then: Runs in a worker thread, for example to measure and write; a :class:`BiosegError` it raises is a problem of that
            image alone, and so is a lack of memory.
        on_prepared_grid: Leave predictions on the prepared grid.
        batch_size: At most this many images of one size per forward pass.
        workers: Threads to read and prepare, and as many to postprocess; by default one per core.

    Yields:
        For each case what ``then`` returned, or why there is no such thing.
    """

    def finish(one: _Forwarded) -> T:
        started, prepared = time.perf_counter(), one.prepared
        placement = None if on_prepared_grid else prepared.placement
        prediction = predictor.finish((one.outputs, one.evidence), placement)
        return then(Predicted(prepared, prediction, prepared.seconds + one.seconds + time.perf_counter() - started))

    return staged(
        cases,
        lambda case: attempt(case.path, lambda: prepare(predictor, case)),
        lambda prepared: _forward_in_batches(predictor, prepared, batch_size),
        lambda one: attempt(one.prepared.case.path, lambda: finish(one)),
        ahead=2 * batch_size,
        workers=workers,
    )


def predict_many(
    predictor: Predictor, sources: Iterable[Source], *, batch_size: int = 1, workers: int | None = None
) -> Generator[Prediction | Problem, None, None]:
    """Predict images as they come, one after the other or in batches.

    Args:
        predictor: The model.
        sources: Whatever :meth:`Predictor.predict` takes, also from a generator: at most ``2 * batch_size + workers`` of them
            are read before the first result is taken, and none is kept.
        batch_size: At most this many images of one size per forward pass.
        workers: Threads to read and prepare, and as many to postprocess; by default one per core.

    Yields:
        For each source, in order, its prediction on its own grid, or why there is none; an image that is no file is called by
        its number, ``image 1``.
    """

    def begin(item: tuple[int, Source]) -> Prepared | Problem:
        number, source = item
        path = Path(source) if isinstance(source, str | Path) else Path(f"image {number}")
        return attempt(path, lambda: _prepared(predictor, Case(str(path), "", path), to_raw_image(source, reader)))

    def finish(one: _Forwarded) -> Prediction:
        return predictor.finish((one.outputs, one.evidence), one.prepared.placement)

    reader = predictor.recipe.reader
    return staged(
        enumerate(sources, 1),
        begin,
        lambda prepared: _forward_in_batches(predictor, prepared, batch_size),
        lambda one: attempt(one.prepared.case.path, lambda: finish(one)),
        ahead=2 * batch_size,
        workers=workers,
    )


def staged(
    items: Iterable[A], first: Callable[[A], B | Problem], middle: Callable[[Iterator[B | Problem]], Iterator[C | Problem]],
    last: Callable[[C], T | Problem], *, ahead: int = 2, workers: int | None = None,
) -> Generator[T | Problem, None, None]:  # fmt: skip
    """Three stages that overlap: ``first`` and ``last`` in threads of their own, ``middle`` in the caller's.

    When the caller stops early or is interrupted, what ``last`` has begun is finished before this returns, and nothing more is
    begun.

    Args:
        items: What goes in.
        first: Of one item; what it cannot do it returns as a problem, which the later stages do not see.
        middle: Of all of them, in order; passes problems on.
        last: Of one result of ``middle``.
        ahead: This many items more than there are threads are begun before their results are taken.
        workers: Threads of ``first``, and of ``last``; by default one per core.

    Yields:
        A result or a problem for each item, in order.
    """
    workers = workers or os.cpu_count() or 1
    begin, end = ThreadPoolExecutor(workers), ThreadPoolExecutor(workers)
    try:
        yield from _in_order(end, last, middle(_in_order(begin, first, items, ahead + workers)), ahead + workers)
    finally:
        begin.shutdown(wait=False, cancel_futures=True)
        end.shutdown(wait=True, cancel_futures=True)


def prepare(predictor: Predictor, case: Case) -> Prepared:
    """Read and prepare one case.

    Raises:
        BiosegError: Its image cannot be used.
    """
    return _prepared(predictor, case, reading.read_image(case))


def _prepared(predictor: Predictor, case: Case, raw_image: RawImage) -> Prepared:
    started = time.perf_counter()
    with reading.naming(case):
        image, placement = predictor.prepare(raw_image)
    return Prepared(case, raw_image, image, placement, time.perf_counter() - started)


def attempt(path: Path, function: Callable[[], T]) -> T | Problem:
    """What ``function`` returns, or why it cannot: a fault of the image, or a lack of memory."""
    try:
        return function()
    except BiosegError as fault:
        return Problem(path, str(fault))
    except (MemoryError, RuntimeError) as fault:
        if isinstance(fault, RuntimeError) and "memory" not in str(fault):  # as PyTorch says it, on a GPU and without
            raise
    return Problem(path, f"{path}: too large for the memory at hand; shrink it or cut it into tiles first")


def _forward_in_batches(
    predictor: Predictor, prepared: Iterator[Prepared | Problem], size: int
) -> Iterator[_Forwarded | Problem]:
    """Run the networks on up to ``size`` images of one shape at a time."""
    batch: list[Prepared] = []
    for one in prepared:
        if batch and (isinstance(one, Problem) or one.image.shape != batch[0].image.shape):
            yield from _forward(predictor, batch)
            batch = []
        if isinstance(one, Problem):
            yield one
            continue
        batch.append(one)
        if len(batch) == size:
            yield from _forward(predictor, batch)
            batch = []
    if batch:
        yield from _forward(predictor, batch)


def _forward(predictor: Predictor, batch: Sequence[Prepared]) -> Iterator[_Forwarded | Problem]:
    """One forward pass; where it fails, one for each image, so that the fault stays with the image that has it."""
    started = time.perf_counter()
    found = attempt(batch[0].case.path, lambda: predictor.forward(np.stack([one.image for one in batch])))
    if not isinstance(found, Problem):
        share = (time.perf_counter() - started) / len(batch)
        for one, (outputs, evidence) in zip(batch, found, strict=True):
            yield _Forwarded(one, outputs, evidence, share)
    elif len(batch) == 1:
        yield found
    else:
        for one in batch:
            yield from _forward(predictor, [one])


def _in_order(
    pool: ThreadPoolExecutor, function: Callable[[A], B | Problem], items: Iterable[A | Problem], ahead: int
) -> Iterator[B | Problem]:
    """What ``function`` makes of each item, in order, by the threads of ``pool``; problems pass through.

    At most ``ahead`` results wait to be taken; what is finished is yielded before more is begun.
    """
    waiting: deque[Future[B | Problem] | Problem] = deque()

    def take() -> B | Problem:
        first = waiting.popleft()
        return first if isinstance(first, Problem) else first.result()

    for item in items:
        waiting.append(item if isinstance(item, Problem) else pool.submit(function, item))
        while waiting and (len(waiting) >= ahead or isinstance(waiting[0], Problem) or waiting[0].done()):
            yield take()
    while waiting:
        yield take()
