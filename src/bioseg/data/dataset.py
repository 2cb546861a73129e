"""Cases prepared for training: in memory where they fit, streamed by parallel workers where they do not."""

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.numpy import load as load_arrays
from safetensors.numpy import save as save_arrays
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from bioseg import files
from bioseg.data import cases as reading
from bioseg.data import pixels
from bioseg.data.prepare import Placement, Preparation, prepare_mask, prepare_picture
from bioseg.types import BiosegError, Case, Mask, Picture, Problem

MEMORY_LIMIT = 2_000_000_000
"""Bytes of prepared pictures and masks that are kept in memory; more is streamed."""


class Batch(NamedTuple):
    """Some prepared cases.

    Attributes:
        pictures: [N, channels, rows, cols] float32 in [0, 1].
        masks: [N, 1, rows, cols] float32, 0 or 1.
        indices: [N], which of the samples' cases.
    """

    pictures: Tensor
    masks: Tensor
    indices: Tensor


def prepare_truth(case: Case, placement: Placement, how: Preparation) -> Mask:
    """A case's mask [rows, cols] on the prepared grid, its parts united before or after resizing as ``how`` says."""
    if how.unite == "after" and len(case.masks) > 1:
        parts = (prepare_mask(part, placement, how) for part in reading.each_mask(case, placement.shape))
        return np.asarray(np.logical_or.reduce(list(parts)))
    return prepare_mask(reading.read_mask(case, placement.shape), placement, how)


def prepare_case(case: Case, how: Preparation) -> tuple[Picture, Mask]:
    """Picture [channels, rows, cols] and mask [rows, cols] on the prepared grid.

    Raises:
        BiosegError: A file of the case cannot be used.
    """
    picture, placement = prepare_picture(reading.read_picture(case), how)
    return picture, prepare_truth(case, placement, how)


class InMemory:
    """Prepared cases held as two arrays.

    Attributes:
        cases: In the order of the arrays.
        problems: Cases left out, and why.
        pictures: [N, channels, rows, cols] float32 in [0, 1].
        masks: [N, rows, cols] uint8, 0 or 1.
    """

    def __init__(self, cases: Sequence[Case], problems: Sequence[Problem], pictures: Tensor, masks: Tensor) -> None:
        """Hold what :func:`load` prepared."""
        self.cases, self.problems, self.pictures, self.masks = tuple(cases), tuple(problems), pictures, masks

    def batches(self, order: Sequence[int], size: int) -> Iterator[Batch]:
        """The cases numbered ``order``, ``size`` at a time; the last batch may be smaller."""
        for start in range(0, len(order), size):
            chosen = torch.tensor(order[start : start + size])
            yield Batch(self.pictures[chosen], self.masks[chosen][:, None].float(), chosen)

    def select(self, indices: Sequence[int]) -> "InMemory":
        """Only these cases, in this order."""
        chosen = torch.tensor(indices, dtype=torch.int64)
        return InMemory([self.cases[i] for i in indices], (), self.pictures[chosen], self.masks[chosen])


class Streamed:
    """The same face over cases that are read anew in every epoch; at most a few batches a worker are in memory.

    Attributes:
        cases: Those that could be opened when they were listed.
        problems: Cases left out, and why.
    """

    def __init__(self, cases: Sequence[Case], how: Preparation, workers: int, problems: Sequence[Problem] = ()) -> None:
        """Prepare ``cases`` as ``how`` says, by so many worker processes."""
        self.cases, self.problems = tuple(cases), tuple(problems)
        self._how, self._workers = how, workers

    def batches(self, order: Sequence[int], size: int) -> Iterator[Batch]:
        """As :meth:`InMemory.batches`, in the same order whatever the number of workers.

        Raises:
            BiosegError: A case can no longer be read.
        """
        chunks = [list(order[start : start + size]) for start in range(0, len(order), size)]
        loader: DataLoader[Any] = DataLoader(
            _Prepared(self.cases, self._how), batch_sampler=chunks, num_workers=self._workers, collate_fn=_collate,
            multiprocessing_context="forkserver" if self._workers else None, prefetch_factor=2 if self._workers else None,
        )  # fmt: skip
        for item in loader:
            if isinstance(item, Problem):
                raise BiosegError(item.reason)
            yield item

    def select(self, indices: Sequence[int]) -> "Streamed":
        """Only these cases, in this order."""
        return Streamed([self.cases[i] for i in indices], self._how, self._workers)


Samples = InMemory | Streamed


def load(
    cases: Sequence[Case], how: Preparation, *, workers: int | None = None, cache: Path | None = None,
    memory_limit: int = MEMORY_LIMIT, progress: Callable[[int, int], None] = lambda done, total: None,
) -> Samples:  # fmt: skip
    """Prepare cases with truth; those that cannot be used are left out and named in ``problems``.

    Args:
        cases: In the order they shall have.
        how: How to prepare them.
        workers: Threads, or processes where it streams; by default one a core.
        cache: Folder of prepared arrays, by default ``BIOSEG_CACHE`` or ``~/.cache/bioseg``. An entry belongs to the
            preparation and to every file's name, size and time of change.
        memory_limit: More bytes than this are streamed.
        progress: Told (done, total).
    """
    workers = os.cpu_count() or 1 if workers is None else workers
    rows, cols = how.size_px
    if len(cases) * rows * cols * (4 * how.channels + 1) > memory_limit:
        usable, problems = _openable(cases, progress)
        return Streamed(usable, how, workers, problems)
    entry = (cache or _cache_root()) / f"{_key(cases, how)}.safetensors"
    prepared = _from_cache(entry, cases)
    if prepared is None:
        prepared = _prepare_all(cases, how, workers, progress)
        if prepared.cases:
            _to_cache(entry, prepared)
    return prepared


def _prepare_all(
    cases: Sequence[Case], how: Preparation, workers: int, progress: Callable[[int, int], None]
) -> InMemory:
    kept: list[Case] = []
    problems: list[Problem] = []
    rows, cols = how.size_px
    pictures = np.empty((len(cases), how.channels, rows, cols), np.float32)
    masks = np.empty((len(cases), rows, cols), np.uint8)
    for done, (case, result) in enumerate(zip(cases, _results(cases, how, workers), strict=True), 1):
        if isinstance(result, Problem):
            problems.append(result)
        else:
            pictures[len(kept)], masks[len(kept)] = result
            kept.append(case)
        progress(done, len(cases))
    return InMemory(kept, problems, torch.from_numpy(pictures[: len(kept)]), torch.from_numpy(masks[: len(kept)]))


def _results(cases: Sequence[Case], how: Preparation, workers: int) -> Iterator[tuple[Picture, Mask] | Problem]:
    """Threads suffice: decoding and resizing let go of Python's lock."""
    with ThreadPoolExecutor(max(1, workers)) as pool:
        yield from pool.map(partial(_try, how=how), cases)


def _try(case: Case, how: Preparation) -> tuple[Picture, Mask] | Problem:
    try:
        return prepare_case(case, how)
    except BiosegError as fault:
        return Problem(case.picture, str(fault))


def _openable(cases: Sequence[Case], progress: Callable[[int, int], None]) -> tuple[list[Case], list[Problem]]:
    """Those whose headers can be read."""
    kept, problems = [], []
    for done, case in enumerate(cases, 1):
        try:
            pixels.size(case.picture, case.raw)
            kept.append(case)
        except BiosegError as fault:
            problems.append(Problem(case.picture, str(fault)))
        progress(done, len(cases))
    return kept, problems


class _Prepared(Dataset[tuple[int, tuple[Picture, Mask] | Problem]]):
    def __init__(self, cases: Sequence[Case], how: Preparation) -> None:
        self.cases, self.how = cases, how

    def __getitem__(self, index: int) -> tuple[int, tuple[Picture, Mask] | Problem]:
        return index, _try(self.cases[index], self.how)


def _collate(items: list[tuple[int, tuple[Picture, Mask] | Problem]]) -> Batch | Problem:
    pictures, masks = [], []
    for _, result in items:
        if isinstance(result, Problem):
            return result
        pictures.append(result[0])
        masks.append(result[1])
    return Batch(
        torch.from_numpy(np.stack(pictures)),
        torch.from_numpy(np.stack(masks)[:, None].astype(np.float32)),
        torch.tensor([index for index, _ in items]),
    )


def _cache_root() -> Path:
    return Path(os.environ.get("BIOSEG_CACHE") or Path.home() / ".cache" / "bioseg") / "prepared"


def _key(cases: Sequence[Case], how: Preparation) -> str:
    digest = hashlib.sha256(f"1 {how!r}".encode())
    for case in cases:
        digest.update(repr(case).encode())
        for path in (case.picture, *case.masks):
            try:
                facts = path.stat()
                digest.update(f"{facts.st_size} {facts.st_mtime_ns}".encode())
            except OSError:
                digest.update(b"absent")
    return digest.hexdigest()[:32]


def _to_cache(entry: Path, prepared: InMemory) -> None:
    arrays: dict[str, NDArray[Any]] = {"pictures": prepared.pictures.numpy(), "masks": prepared.masks.numpy()}
    notes = {
        "cases": json.dumps([case.id for case in prepared.cases]),
        "problems": json.dumps([(str(problem.path), problem.reason) for problem in prepared.problems]),
    }
    try:
        files.write(entry, save_arrays(arrays, notes))
    except BiosegError:
        return  # a cache that cannot be written costs time, nothing else


def _from_cache(entry: Path, cases: Sequence[Case]) -> InMemory | None:
    try:
        data = entry.read_bytes()
        arrays = load_arrays(data)
        notes = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])["__metadata__"]
    except Exception:  # absent or broken: it is made again
        return None
    ids = set(json.loads(notes["cases"]))
    problems = [Problem(Path(path), reason) for path, reason in json.loads(notes["problems"])]
    kept = [case for case in cases if case.id in ids]
    return InMemory(kept, problems, torch.from_numpy(arrays["pictures"]), torch.from_numpy(arrays["masks"]))
