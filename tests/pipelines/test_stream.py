"""The pipeline of many images: bounded, in order, and a fault stays with its image."""

import threading
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from PIL import Image

from bioseg.images import formats
from bioseg.inference.predictor import Predictor
from bioseg.pipelines.stream import Predicted, attempt, stream
from bioseg.types import BiosegError, Case, Problem
from tests.pipelines.models import small_predictor


@dataclass
class Fake:
    """Stands for a predictor: images of the value 13 do not fit into the memory, of the value 7 have no finite output."""

    batches: list[int] = field(default_factory=list)

    def prepare(self, raw_image: formats.RawImage) -> tuple[Any, Any]:
        return raw_image.pixels[None].astype(np.float32), None

    def forward(self, batch: Any) -> list[Any]:
        self.batches.append(len(batch))
        if (batch == 13).all(axis=(1, 2, 3)).any():
            raise MemoryError
        if (batch == 11).all(axis=(1, 2, 3)).any():
            raise RuntimeError("CUDA out of memory. Tried to allocate 20.00 GiB")
        if (batch == 7).all(axis=(1, 2, 3)).any():
            raise BiosegError("network: its output is not finite for this image")
        return [({"foreground": image[0]}, None) for image in batch]

    def finish(self, found: Any, placement: Any) -> Any:
        return SimpleNamespace(value=int(found[0]["foreground"][0, 0]))


def cases_of(folder: Path, values: list[int], size: Callable[[int], int] = lambda index: 8) -> list[Case]:
    cases = []
    for index, value in enumerate(values):
        path = folder / f"{index:03d}.png"
        Image.fromarray(np.full((size(index), 8), value, np.uint8)).save(path)
        cases.append(Case(path.stem, "", path))
    return cases


def value(found: Predicted) -> int:
    return cast(Any, found.prediction).value


@pytest.mark.parametrize("batch_size", [1, 3, 4])
def test_order_is_kept_and_faults_stay_with_their_images(batch_size: int, tmp_path: Path) -> None:
    values = [1, 2, 13, 3, 7, 7, 4, 11, 5, 6]
    cases = cases_of(tmp_path, values, size=lambda index: 8 + index // 6)
    cases[3].path.write_bytes(b"\x89PNG no more")
    found = list(stream(cast(Predictor, Fake()), cases, value, batch_size=batch_size, workers=2))
    assert [one if isinstance(one, int) else 0 for one in found] == [1, 2, 0, 0, 0, 0, 4, 0, 5, 6]
    problems = [one for one in found if isinstance(one, Problem)]
    assert [one.path for one in problems] == [cases[index].path for index in (2, 3, 4, 5, 7)]
    reasons = [one.reason for one in problems]
    assert "too large for the memory" in reasons[0] and "too large for the memory" in reasons[4]
    assert "003.png" in reasons[1] and "not finite" in reasons[2]


def test_a_fault_of_what_follows_stays_with_its_image(tmp_path: Path) -> None:
    def then(found: Predicted) -> int:
        if value(found) == 2:
            raise BiosegError("mask.png: the disk is full")
        return value(found)

    found = list(stream(cast(Predictor, Fake()), cases_of(tmp_path, [1, 2, 3]), then))
    assert [one if isinstance(one, int) else one.reason for one in found] == [1, "mask.png: the disk is full", 3]


def test_a_fault_of_the_program_is_not_hidden(tmp_path: Path) -> None:
    def then(found: Predicted) -> int:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        list(stream(cast(Predictor, Fake()), cases_of(tmp_path, [1, 2, 3]), then))
    with pytest.raises(RuntimeError, match="shapes"):
        attempt(tmp_path, lambda: (_ for _ in ()).throw(RuntimeError("shapes do not match")))


@pytest.mark.parametrize("batch_size", [1, 4])
def test_look_ahead_is_bounded(batch_size: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begun = 0
    real = formats.read

    def counted(*arguments: Any, **named: Any) -> formats.RawImage:
        nonlocal begun
        begun += 1
        return real(*arguments, **named)

    monkeypatch.setattr(formats, "read", counted)
    workers, most = 2, 0
    for taken, _ in enumerate(
        stream(cast(Predictor, Fake()), cases_of(tmp_path, [1] * 80), value, batch_size=batch_size, workers=workers), 1
    ):
        time.sleep(0.002)  # a slow consumer
        most = max(most, begun - taken)
    assert begun == 80
    assert most <= 2 * (2 * batch_size + workers) + batch_size


def test_closing_early_ends_the_threads_and_keeps_what_was_begun(tmp_path: Path) -> None:
    before, written = threading.active_count(), list[int]()

    def then(found: Predicted) -> int:
        time.sleep(0.05)
        written.append(value(found))
        return value(found)

    with closing(stream(cast(Predictor, Fake()), cases_of(tmp_path, list(range(40, 80))), then, workers=2)) as results:
        assert next(results) == 40
    count = len(written)
    assert 1 <= count < 40
    time.sleep(0.15)
    assert len(written) == count and threading.active_count() <= before + 2
    for thread in threading.enumerate():
        thread.join(1) if thread.name.startswith("ThreadPool") else None
    assert threading.active_count() <= before


def test_an_interruption_lets_what_was_begun_finish(tmp_path: Path) -> None:
    written = list[int]()

    def then(found: Predicted) -> int:
        time.sleep(0.02)
        written.append(value(found))
        return value(found)

    taken = list[int | Problem]()

    def interrupted() -> None:
        with closing(stream(cast(Predictor, Fake()), cases_of(tmp_path, list(range(40, 80))), then)) as results:
            for one in results:
                taken.append(one)
                if len(taken) == 3:
                    raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    count = len(written)
    time.sleep(0.1)
    assert 3 <= count == len(written) < 40


def test_batches_give_the_masks_of_single_images(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    cases = []
    for index in range(6):
        path = tmp_path / f"{index}.png"
        Image.fromarray(rng.integers(0, 255, (64, 64 if index < 4 else 80), dtype=np.uint8)).save(path)
        cases.append(Case(path.stem, "", path))
    predictor = small_predictor()

    def probability(found: Predicted) -> Any:
        return found.prediction.probability

    singles = list(stream(predictor, cases, probability, batch_size=1))
    batches = list(stream(predictor, cases, probability, batch_size=4))
    for one, other in zip(singles, batches, strict=True):
        np.testing.assert_allclose(cast(Any, one), cast(Any, other), atol=1e-5)
