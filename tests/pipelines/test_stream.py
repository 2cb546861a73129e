"""The pipeline of many images: bounded, in order, and a fault stays with its image."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from PIL import Image

from bioseg.images import formats
from bioseg.inference.predictor import Predictor
from bioseg.pipelines.stream import Predicted, attempt, predict_many, stream
from bioseg.postprocess.masks import Prediction
from bioseg.types import BiosegError, Case, Problem
from tests.pipelines.models import small_predictor


@dataclass
class Fake:
    """Stands for a predictor: images of the value 13 do not fit into the memory, of the value 7 have no finite output."""

    batches: list[int] = field(default_factory=list)
    recipe: Any = field(default_factory=lambda: SimpleNamespace(reader=None))

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


def test_sources_of_every_kind_are_predicted_in_order(tmp_path: Path) -> None:
    predictor, rng = small_predictor(), np.random.default_rng(0)
    pixels = [rng.integers(0, 255, shape, dtype=np.uint8) for shape in ((40, 50), (32, 32), (20, 70))]
    for index, image in enumerate(pixels):
        Image.fromarray(image).save(tmp_path / f"{index}.png")
    sources = [pixels[0], tmp_path / "1.png", (tmp_path / "2.png").read_bytes(), str(tmp_path / "1.png")]
    expected = [predictor.predict(source).probability for source in sources]
    bad: list[Any] = [b"no image", np.zeros((2, 2, 2, 2)), tmp_path / "nowhere.png"]
    for batch_size in (1, 3):
        found = list(predict_many(predictor, [*sources[:2], *bad, *sources[2:]], batch_size=batch_size))
        good = [one.probability for one in found if isinstance(one, Prediction)]
        assert all(np.abs(one - other).max() < 1e-6 for one, other in zip(good, expected, strict=True))
        problems = [one for one in found if isinstance(one, Problem)]
        assert found[2:5] == problems
        assert [str(one.path) for one in problems] == ["image 3", "image 4", str(tmp_path / "nowhere.png")]


def test_a_generator_of_sources_is_read_no_further_than_needed() -> None:
    taken: list[int] = []

    def endless() -> Iterator[Any]:
        for number in count():
            taken.append(number)
            yield np.full((8, 8), number % 5, np.uint8)

    with closing(predict_many(cast(Predictor, Fake()), endless(), batch_size=2, workers=2)) as results:
        found = [cast(Any, next(results)).value for _ in range(20)]
    assert found == [number % 5 for number in range(20)]
    assert len(taken) <= 20 + 2 * (2 * 2 + 2) + 2


def test_a_fault_of_the_generator_itself_is_its_caller_s() -> None:
    def broken() -> Iterator[Any]:
        yield np.zeros((8, 8), np.uint8)
        raise LookupError("no more")

    with pytest.raises(LookupError):
        list(predict_many(cast(Predictor, Fake()), broken()))
