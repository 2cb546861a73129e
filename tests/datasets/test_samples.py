"""Prepared samples: in memory and streamed alike, bad files named and left out."""

import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from bioseg.datasets import samples as loading
from bioseg.datasets import targets
from bioseg.datasets.layouts import nuclei
from bioseg.datasets.samples import InMemory, Patches, Streamed, load
from bioseg.images import prepare
from bioseg.images.prepare import Preparation
from bioseg.specs import call
from bioseg.types import Box, Case
from tests.datasets.prepared_cases import COUNT, HOW, everything, save, write_cases


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture
def cases(tmp_path: Path) -> list[Case]:
    return write_cases(tmp_path)


def spoil(cases: list[Case], tmp_path: Path) -> tuple[list[Case], dict[int, str]]:
    """One case of each kind of fault, and what its problem must say."""
    cases = list(cases)
    cases[1].image.write_bytes(cases[1].image.read_bytes()[:50])
    cases[3].masks[1].write_bytes(b"")
    cases[4].masks[0].unlink()
    save(cases[6].masks[0], np.zeros((5, 6), np.uint8))
    cases[8] = replace(cases[8], masks=())
    return cases, {1: "01.png", 3: "03_1.png", 4: "04_0.png", 6: "5×6", 8: "neither mask nor boxes"}


def streamed(cases: list[Case], how: Preparation = HOW, workers: int = 2) -> Streamed:
    samples = load(cases, how, workers=workers, memory_limit=0)
    assert isinstance(samples, Streamed)
    return samples


class TestInterface:
    @pytest.mark.parametrize("workers", [1, 2, 5])
    def test_in_memory_and_streamed_give_the_same_whatever_the_workers(self, cases, workers):
        memory, stream = load(cases, HOW, workers=workers), streamed(cases, workers=workers)
        assert isinstance(memory, InMemory)
        assert memory.cases == stream.cases == tuple(cases)
        assert memory.problems == stream.problems == ()
        for order, size in ((list(range(COUNT)), 4), (list(np.random.default_rng(0).permutation(COUNT)), 3), ([7], 5)):
            ours, theirs = everything(memory, order, size), everything(stream, order, size)
            assert all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))
            assert ours[2].tolist() == order
            expected = torch.tensor(order) * 10 / 255
            assert torch.allclose(ours[0], expected.float()[:, None, None, None].expand_as(ours[0]))

    def test_types_and_shapes(self, cases):
        for samples in (load(cases, HOW), streamed(cases)):
            batch = next(iter(samples.batches(range(COUNT), 4)))
            assert (batch.images.shape, batch.images.dtype) == ((4, 1, 16, 12), torch.float32)
            assert (batch.masks.shape, batch.masks.dtype) == ((4, 1, 16, 12), torch.float32)
            assert batch.indices.dtype == torch.int64
            assert set(batch.masks.unique().tolist()) == {0.0, 1.0}

    def test_a_selection_numbers_its_own_cases_and_one_of_a_selection_too(self, cases):
        for samples in (load(cases, HOW), streamed(cases)):
            part = samples.select([9, 2, 5]).select([2, 0])
            assert [case.id for case in part.cases] == ["05", "09"]
            images, _, indices = everything(part, [1, 0], 2)
            assert (images[:, 0, 0, 0] * 255).round().tolist() == [90, 50]
            assert indices.tolist() == [1, 0]

    def test_a_batch_is_the_callers_own(self, cases):
        samples = load(cases, HOW)
        for batch in samples.batches(range(COUNT), 4):
            batch.images.fill_(-1)
            batch.masks.fill_(-1)
        assert everything(samples, [0, 3], 2)[0].min() >= 0

    def test_what_does_not_fit_is_streamed(self, cases):
        needed = COUNT * 16 * 12 * 5
        assert isinstance(load(cases, HOW, memory_limit=needed), InMemory)
        assert isinstance(load(cases, HOW, memory_limit=needed - 1), Streamed)

    def test_progress_is_reported_case_by_case(self, cases):
        for limit in (0, 10**9):
            told: list[tuple[int, int]] = []
            load(cases, HOW, memory_limit=limit, progress=lambda done, total, told=told: told.append((done, total)))
            assert told == [(i, COUNT) for i in range(1, COUNT + 1)]


class TestPatches:
    HOW = Preparation((16, 12), intensity=HOW.intensity, fit="patches", targets=("foreground", "marker"))

    def test_patches_are_parts_of_the_images_and_masks_move_with_them(self, tmp_path):
        values = np.arange(40 * 50, dtype=np.uint16).reshape(40, 50) // 8
        image = save(tmp_path / "a.png", values.astype(np.uint8))
        case = Case("a", "a", image, (save(tmp_path / "m.png", (values >= 100).astype(np.uint8)),))
        small = Case("b", "b", save(tmp_path / "b.png", np.full((10, 30), 200, np.uint8)), case.masks)
        small = replace(small, masks=(save(tmp_path / "n.png", np.ones((10, 30), np.uint8)),))
        samples = load([case, small], self.HOW)
        assert isinstance(samples, Patches)
        rng, seen = np.random.default_rng(0), set()
        for _ in range(20):
            (batch,) = samples.batches([0, 1], 2, rng)
            assert batch.images.shape == (2, 1, 16, 12) and batch.masks.shape == (2, 2, 16, 12)
            assert torch.equal(batch.masks[0, 0] > 0.5, batch.images[0, 0] * 255 > 99.5)
            assert (batch.images[1, 0].sum(1) > 0).sum() == 10  # padded where the image is smaller
            seen.add(float(batch.images[0, 0, 0, 0]))
        assert len(seen) > 5
        first, again = (next(samples.batches([0], 1)).images for _ in range(2))
        assert torch.equal(first, again)

    def test_bad_files_are_named_and_a_selection_keeps_its_order(self, cases, tmp_path):
        spoiled, faults = spoil(cases, tmp_path)
        samples = load(spoiled, self.HOW)
        assert len(samples.problems) == len(faults)
        part = samples.select([5, 0])
        assert [case.id for case in part.cases] == [samples.cases[5].id, samples.cases[0].id]
        assert round(float(next(part.batches([0], 1)).images[0, 0, 8, 6] * 255)) == 10 * int(part.cases[0].id)


class TestTargets:
    def test_presence_says_of_the_whole_image_whether_there_is_any(self, cases):
        how = replace(HOW, targets=("foreground", "presence"))
        boxed = [replace(cases[0], masks=(), boxes=boxes) for boxes in ((), (Box(2, 2, 6, 6),))]
        masks = everything(load(boxed, how), [0, 1], 2)[1]
        assert masks.shape == (2, 2, 16, 12)
        assert masks[:, 1].mean((1, 2)).tolist() == [0, 1]
        assert 0 < masks[1, 0].mean() < 1

    def test_parts_are_united_before_or_after_resizing(self, tmp_path):
        """Of four pixels that become one, one part covers one and the other two: three together, neither the most."""
        masks = []
        for i in range(2):
            mask = np.zeros((4, 4), np.uint8)
            mask[i::2, 0] = 1
            mask[i::2, 1] = i
            masks.append(save(tmp_path / f"{i}.png", mask))
        case = Case("a", "a", save(tmp_path / "a.png", np.zeros((4, 4), np.uint8)), tuple(masks))
        how = Preparation((2, 2), mask_interpolation="bilinear")
        placement = prepare.place((4, 4), how)
        united = targets.draw(case, placement, how)[0]
        each = targets.draw(case, placement, replace(how, merge="after"))[0]
        touched = targets.draw(case, placement, replace(how, merge="after", mask_threshold=0.0))[0]
        assert united[:, 0].all()
        assert not each[0, 0]
        assert touched[:, 0].all()

    @pytest.mark.parametrize("merge", ["before", "after"])
    def test_boxes_are_ground_truth_and_none_of_them_an_empty_mask(self, cases, merge):
        boxed = [replace(cases[0], masks=(), boxes=boxes) for boxes in ((), (Box(0, 0, 15, 20), Box(15, 0, 15, 20)))]
        samples = load(boxed, replace(HOW, merge=merge))
        assert samples.problems == ()
        assert everything(samples, [0, 1], 2)[1].mean((1, 2, 3)).tolist() == [0, 1]


class TestProblems:
    def test_a_bad_file_is_named_and_the_rest_goes_on(self, cases, tmp_path):
        cases, faults = spoil(cases, tmp_path)
        good = [i for i in range(COUNT) if i not in faults]
        for _ in range(2):  # the second time from the cache
            samples = load(cases, HOW)
            assert [case.id for case in samples.cases] == [cases[i].id for i in good]
            assert [problem.path for problem in samples.problems] == [cases[i].image for i in faults]
            for problem, words in zip(samples.problems, faults.values(), strict=True):
                assert words in problem.reason
                assert "\n" not in problem.reason
            images = everything(samples, list(range(len(good))), 3)[0]
            assert (images[:, 0, 0, 0] * 255).round().tolist() == [10 * i for i in good]

    def test_a_stream_finds_them_on_its_way(self, cases, tmp_path):
        cases, faults = spoil(cases, tmp_path)
        samples = streamed(cases)
        assert len(samples.cases) + len(samples.problems) == COUNT
        part = samples.select(range(len(samples.cases)))
        for _ in range(2):  # named once, however often they are met
            seen = [i for batch in part.batches(range(len(part.cases)), 2) for i in batch.indices.tolist()]
            assert [part.cases[i].id for i in seen] == [f"{i:02}" for i in range(COUNT) if i not in faults]
            for view in (part, samples):
                assert sorted(problem.path for problem in view.problems) == [cases[i].image for i in faults]

    def test_a_batch_of_bad_files_only_is_left_out(self, cases):
        samples = streamed(cases)
        for case in cases[2:4]:
            case.masks[0].unlink()
        assert [batch.indices.tolist() for batch in samples.batches(range(6), 2)] == [[0, 1], [4, 5]]

    def test_nothing_usable_is_no_fault_of_ours(self, cases):
        for case in cases:
            case.image.write_bytes(b"")
        for limit in (0, 10**9):
            samples = load(cases, HOW, memory_limit=limit)
            assert samples.cases == ()
            assert len(samples.problems) == COUNT
            assert list(samples.batches([], 4)) == []

    def test_our_own_slips_are_not_hidden(self, cases, monkeypatch):
        def slip(case: Case, how: Preparation) -> None:
            raise ZeroDivisionError

        monkeypatch.setattr(loading, "prepare_case", slip)
        with pytest.raises(ZeroDivisionError):
            load(cases, HOW)


class TestMemory:
    @pytest.mark.parametrize(("size", "workers"), [(2, 1), (3, 4), (1, 4)])
    def test_a_stream_runs_ahead_but_not_far(self, cases, monkeypatch, size, workers):
        """Counted: cases whose preparation was begun less those handed over, while the reader is slow."""
        begun, lock, real = [0], threading.Lock(), loading.prepare_case

        def counted(case: Case, how: Preparation) -> object:
            with lock:
                begun[0] += 1
            return real(case, how)

        monkeypatch.setattr(loading, "prepare_case", counted)
        samples = streamed(cases * 6, workers=workers)
        bound, most, taken = max(2 * size, 2 * workers), 0, 0
        for batch in samples.batches(range(6 * COUNT), size):
            time.sleep(0.01)
            most = max(most, begun[0] - taken)
            taken += len(batch.images)
        assert taken == begun[0] == 6 * COUNT
        assert size < most <= bound + size

    def test_a_reader_who_leaves_stops_the_work(self, cases, monkeypatch):
        begun, real = [], loading.prepare_case

        def slow(case: Case, how: Preparation) -> object:
            begun.append(case)
            time.sleep(0.005)
            return real(case, how)

        monkeypatch.setattr(loading, "prepare_case", slow)
        threads = threading.active_count()
        batches = streamed(cases * 6, workers=1).batches(range(6 * COUNT), 8)
        next(batches)
        batches.close()
        left = len(begun)
        time.sleep(0.05)
        assert len(begun) == left <= 12  # of the 23 that were waiting or done
        assert threading.active_count() == threads

    def test_selections_share_the_arrays(self, cases):
        samples = load(cases, HOW)
        assert samples.select([1, 2])._images.data_ptr() == samples._images.data_ptr()


@pytest.mark.slow
@pytest.mark.data
def test_real_nuclei(archive):
    """Both ways of uniting, streamed and in memory, on images of several kinds."""
    cases = nuclei.list_cases(archive("stage1_train"))[::40]
    assert len(cases) >= 10
    how = Preparation((64, 64), channels=3, intensity=(call(prepare.fixed_window, low=0, high=255),))
    before, touched = load(cases, how), load(cases, replace(how, merge="after", mask_threshold=0.0))
    assert before.problems == touched.problems == ()
    order = list(range(len(cases)))
    a, b = everything(before, order, 4), everything(touched, order, 4)
    assert torch.equal(a[0], b[0])
    assert (a[1].mean((1, 2, 3)) > 0.005).all()
    assert (b[1] >= a[1]).all()
    assert b[1].sum() > 1.05 * a[1].sum()
    stream = everything(streamed(cases, how), order, 4)
    assert all(torch.equal(x, y) for x, y in zip(a, stream, strict=True))
