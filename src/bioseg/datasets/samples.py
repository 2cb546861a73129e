"""Cases prepared for training: in memory where they fit, streamed by parallel workers where they do not.

Workers are threads: nothing is pickled, an epoch starts at once, and decoding and resizing release Python's lock.
"""

import os
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from functools import partial
from itertools import islice
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bioseg.datasets import cache as caching
from bioseg.datasets import cases as reading
from bioseg.datasets import targets
from bioseg.images import formats
from bioseg.images.prepare import Preparation, prepare_image
from bioseg.types import BiosegError, Case, ImageArray, Problem, Progress

MEMORY_LIMIT = 500_000_000
"""Bytes of prepared images and masks that are kept in memory; more is streamed."""

Prepared = tuple[ImageArray, NDArray[np.bool_]]

T = TypeVar("T")
R = TypeVar("R")


class Batch(NamedTuple):
    """Some prepared cases.

    Attributes:
        images: [N, channels, rows, cols] float32 in [0, 1].
        masks: [N, K, rows, cols] float32, 0 or 1: see ``preparation.planes``.
        indices: [N], which of the samples' cases.
    """

    images: Tensor
    masks: Tensor
    indices: Tensor


def prepare_case(case: Case, how: Preparation) -> Prepared:
    """Image [channels, rows, cols] and targets [K, rows, cols] on the prepared grid.

    Raises:
        BiosegError: A file of the case cannot be used.
    """
    raw_image = reading.read_image(case)
    with reading.naming(case):
        image, placement = prepare_image(raw_image, how)
    return image, targets.draw(case, placement, how)


class InMemory:
    """Prepared cases held as two arrays, which selections share.

    Attributes:
        cases: Those that can be asked for, by their index.
        problems: Cases left out, and why.
    """

    def __init__(
        self, cases: Sequence[Case], problems: Sequence[Problem], images: Tensor, masks: Tensor,
        rows: Sequence[int] | None = None,
    ) -> None:  # fmt: skip
        """Hold what :func:`load` prepared.

        Args:
            cases: See above.
            problems: See above.
            images: [M, channels, rows, cols] float32 in [0, 1].
            masks: [M, K, rows, cols] uint8, 0 or 1.
            rows: Which of the M each case is; by default case by case.
        """
        self.cases, self.problems = tuple(cases), tuple(problems)
        self._images, self._masks = images, masks
        self._rows = torch.arange(len(cases)) if rows is None else torch.tensor(rows, dtype=torch.int64)

    def batches(self, order: Sequence[int], size: int, rng: np.random.Generator | None = None) -> Iterator[Batch]:
        """The cases numbered ``order``, ``size`` at a time; the last batch may be smaller.

        Args:
            order: Indices into ``cases``.
            size: Cases per batch.
            rng: Where only a patch of an image is returned, it draws which; without it, the middle one.
        """
        for start in range(0, len(order), size):
            chosen = torch.tensor(order[start : start + size])
            rows = self._rows[chosen]
            yield Batch(self._images[rows], self._masks[rows].float(), chosen)

    def select(self, indices: Sequence[int]) -> "InMemory":
        """Only these cases, in this order."""
        cases = [self.cases[index] for index in indices]
        return InMemory(cases, (), self._images, self._masks, [int(self._rows[index]) for index in indices])


class Streamed:
    """The same interface over cases that are read anew every time; about two batches are in memory.

    Attributes:
        cases: Those that could be opened when they were listed.
    """

    def __init__(self, cases: Sequence[Case], problems: Sequence[Problem], how: Preparation, workers: int) -> None:
        """Prepare ``cases`` as ``how`` says, in this many threads."""
        self.cases = tuple(cases)
        self._how, self._workers = how, workers
        self._found = {problem.path: problem for problem in problems}

    @property
    def problems(self) -> tuple[Problem, ...]:
        """Cases left out, and why: at first those whose header cannot be read, then those found bad in a batch."""
        return tuple(self._found.values())

    def batches(self, order: Sequence[int], size: int, rng: np.random.Generator | None = None) -> Iterator[Batch]:
        """As :meth:`InMemory.batches`; a case that turns out bad is missing from its batch and named in ``problems``."""
        chosen = [self.cases[index] for index in order]
        with closing(
            _in_order(partial(_try, how=self._how), chosen, self._workers, max(2 * size, 2 * self._workers))
        ) as results:
            for start in range(0, len(order), size):
                good: list[tuple[int, Prepared]] = []
                for index in order[start : start + size]:
                    if isinstance(result := next(results), Problem):
                        self._found[result.path] = result
                    else:
                        good.append((index, result))
                if good:
                    images = torch.from_numpy(np.stack([image for _, (image, _) in good]))
                    masks = torch.from_numpy(np.stack([mask for _, (_, mask) in good])).float()
                    yield Batch(images, masks, torch.tensor([index for index, _ in good]))

    def select(self, indices: Sequence[int]) -> "Streamed":
        """Only these cases, in this order; what it finds bad is named here too."""
        selection = Streamed([self.cases[index] for index in indices], (), self._how, self._workers)
        selection._found = self._found
        return selection


class Patches:
    """The same interface over whole images of any size, of each of which a patch of ``preparation.size_px`` is returned.

    Images are kept in 8 bits. A patch is drawn anew every time a case is asked for.

    Attributes:
        cases: Those that can be asked for, by their index.
        problems: Cases left out, and why.
    """

    def __init__(
        self, cases: Sequence[Case], problems: Sequence[Problem], planes: Sequence[Tensor], size: tuple[int, int],
        channels: int,
    ) -> None:  # fmt: skip
        """Hold ``planes``, one array per case: [channels + K, rows, cols] uint8, image 0…255, then targets, 0 or 255."""
        self.cases, self.problems = tuple(cases), tuple(problems)
        self._planes, self._size, self._channels = planes, size, channels

    def batches(self, order: Sequence[int], size: int, rng: np.random.Generator | None = None) -> Iterator[Batch]:
        """As :meth:`InMemory.batches`."""
        for start in range(0, len(order), size):
            chosen = order[start : start + size]
            patches = torch.stack([self._patch(self._planes[index], rng) for index in chosen]).float() / 255
            yield Batch(patches[:, : self._channels], patches[:, self._channels :], torch.tensor(chosen))

    def select(self, indices: Sequence[int]) -> "Patches":
        """Only these cases, in this order."""
        cases, planes = [self.cases[index] for index in indices], [self._planes[index] for index in indices]
        return Patches(cases, (), planes, self._size, self._channels)

    def _patch(self, planes: Tensor, rng: np.random.Generator | None) -> Tensor:
        room = [have - want for have, want in zip(planes.shape[1:], self._size, strict=True)]
        top, left = (int(rng.integers(0, more + 1)) if rng else more // 2 for more in room)
        return planes[:, top : top + self._size[0], left : left + self._size[1]]


Samples = InMemory | Streamed | Patches


def load(
    cases: Sequence[Case], how: Preparation, *, workers: int | None = None, cache: Path | None = None,
    memory_limit: int = MEMORY_LIMIT, progress: Progress = lambda done, total: None,
) -> Samples:  # fmt: skip
    """Prepare cases with ground truth; those that cannot be used are left out and named in ``problems``.

    Args:
        cases: In the order they shall have.
        how: How to prepare them.
        workers: Threads; by default one per core. Their number changes nothing but the time.
        cache: Folder of prepared arrays, by default :func:`bioseg.datasets.cache.root`. An entry belongs to the preparation,
            to the code behind it, and to every file's name, size and time of change.
        memory_limit: More bytes than this are streamed.
        progress: Called with (done, total).
    """
    workers = max(1, os.cpu_count() or 1 if workers is None else workers)
    rows, cols = how.size_px
    if how.fit == "patches":
        return _whole(cases, how, workers, progress)
    if len(cases) * rows * cols * (4 * how.channels + len(how.planes)) > memory_limit:
        return _opened(cases, how, workers, progress)
    entry = (cache or caching.root()) / f"{caching.key(cases, how)}.npz"
    prepared = _from_cache(entry, cases)
    if prepared is None:
        prepared = _prepare_all(cases, how, workers, progress)
        _to_cache(entry, prepared, cases)
    return prepared


def _opened(cases: Sequence[Case], how: Preparation, workers: int, progress: Progress) -> Streamed:
    results = list(_in_order(_open, cases, workers, 4 * workers, progress))
    problems = [result for result in results if isinstance(result, Problem)]
    return Streamed([result for result in results if isinstance(result, Case)], problems, how, workers)


def _prepare_all(cases: Sequence[Case], how: Preparation, workers: int, progress: Progress) -> InMemory:
    kept: list[Case] = []
    problems: list[Problem] = []
    images = np.empty((len(cases), how.channels, *how.size_px), np.float32)
    masks = np.empty((len(cases), len(how.planes), *how.size_px), np.uint8)
    results = _in_order(partial(_try, how=how), cases, workers, 4 * workers, progress)
    for case, result in zip(cases, results, strict=True):
        if isinstance(result, Problem):
            problems.append(result)
        else:
            images[len(kept)], masks[len(kept)] = result
            kept.append(case)
    return InMemory(kept, problems, torch.from_numpy(images[: len(kept)]), torch.from_numpy(masks[: len(kept)]))


def _whole(cases: Sequence[Case], how: Preparation, workers: int, progress: Progress) -> Patches:
    kept: list[Case] = []
    problems: list[Problem] = []
    planes: list[Tensor] = []
    results = _in_order(partial(_try, how=how), cases, workers, 4 * workers, progress)
    for case, result in zip(cases, results, strict=True):
        if isinstance(result, Problem):
            problems.append(result)
        else:
            planes.append(
                torch.from_numpy(np.concatenate([np.rint(part * np.float32(255)) for part in result]).astype(np.uint8))
            )
            kept.append(case)
    return Patches(kept, problems, planes, how.size_px, how.channels)


def _in_order(
    function: Callable[[T], R],
    items: Sequence[T],
    workers: int,
    ahead: int,
    progress: Progress = lambda done, total: None,
) -> Generator[R, None, None]:
    """The results of ``function`` on each item, in order, computed in threads; at most ``ahead`` are begun and not yet taken."""
    pool = ThreadPoolExecutor(workers)
    waiting, begun = iter(items), deque[Future[R]]()
    try:
        for done in range(1, len(items) + 1):
            begun.extend(pool.submit(function, item) for item in islice(waiting, ahead - len(begun)))
            result = begun.popleft().result()
            progress(done, len(items))
            yield result
    finally:
        pool.shutdown(cancel_futures=True)


def _try(case: Case, how: Preparation) -> Prepared | Problem:
    try:
        return prepare_case(case, how)
    except BiosegError as fault:
        return Problem(case.path, str(fault))


def _open(case: Case) -> Case | Problem:
    """The case, if its image's header can be read."""
    try:
        if not case.reader:  # who knows no headers
            formats.size(case.image, case.raw_format, level=case.level)
    except BiosegError as fault:
        return Problem(case.path, str(fault))
    return case


def _to_cache(entry: Path, prepared: InMemory, cases: Sequence[Case]) -> None:
    kept = set(prepared.cases)
    notes = {
        "kept": [index for index, case in enumerate(cases) if case in kept],
        "problems": [(str(problem.path), problem.reason) for problem in prepared.problems],
    }
    caching.write(entry, caching.Entry(notes, prepared._images.numpy(), prepared._masks.numpy()))


def _from_cache(entry: Path, cases: Sequence[Case]) -> InMemory | None:
    """None where there is no entry or it is damaged: it is made again."""
    found = caching.read(entry)
    if found is None:
        return None
    problems = [Problem(Path(path), reason) for path, reason in found.notes["problems"]]
    kept = [cases[index] for index in found.notes["kept"]]
    return InMemory(kept, problems, torch.from_numpy(found.images), torch.from_numpy(found.masks))
