"""The cache of prepared arrays: never wrong, never larger than allowed, whoever else uses it."""

import os
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from bioseg.datasets import cache
from bioseg.datasets import samples as loading
from bioseg.datasets.samples import load
from bioseg.images import prepare
from bioseg.images.prepare import Preparation
from bioseg.specs import call
from bioseg.types import BiosegError, Case
from tests.datasets.prepared_cases import COUNT, HOW, everything, save, write_cases


@pytest.fixture
def cases(tmp_path: Path) -> list[Case]:
    return write_cases(tmp_path)


class TestCache:
    @pytest.fixture
    def root(self) -> Path:
        return Path(os.environ["BIOSEG_CACHE"]) / "prepared"

    def entries(self, root: Path) -> list[Path]:
        found = sorted(root.iterdir())
        assert all(path.suffix == ".npz" for path in found), "a temporary file was left behind"
        return found

    def test_the_second_time_nothing_is_prepared(self, cases, root, monkeypatch):
        first = everything(load(cases, HOW), list(range(COUNT)), 4)
        assert len(self.entries(root)) == 1

        def never(case: Case, how: Preparation) -> None:
            raise AssertionError("prepared again")

        monkeypatch.setattr(loading, "prepare_case", never)
        again = everything(load(cases, HOW, workers=1), list(range(COUNT)), 4)
        assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))

    def test_another_process_finds_the_same_entry(self, cases, root):
        """Names of functions stand in the key, not where in memory they happen to lie."""
        load(cases[:1], HOW)
        (entry,) = self.entries(root)
        code = (
            "import sys; from pathlib import Path; from bioseg.datasets import cache; from bioseg.images import prepare\n"
            "from bioseg.specs import call; from bioseg.types import Case\n"
            "image, *masks = map(Path, sys.argv[1:])\n"
            "how = prepare.Preparation((16, 12), intensity=(call(prepare.fixed_window, low=0, high=255),))\n"
            "print(cache.key([Case('00', 'p0', image, tuple(masks))], how))"
        )
        done = subprocess.run(
            [sys.executable, "-c", code, str(cases[0].image), *map(str, cases[0].masks)],
            capture_output=True, text=True, env={**os.environ, "PYTHONHASHSEED": "77"}, check=True,
        )  # fmt: skip
        assert done.stdout.strip() == entry.stem

    def test_whatever_changes_the_arrays_changes_the_entry(self, cases, root):
        load(cases, HOW)
        different = [
            replace(HOW, size_px=(12, 16)), replace(HOW, channels=3), replace(HOW, fit="letterbox"),
            replace(HOW, interpolation="nearest"), replace(HOW, mask_interpolation="nearest"),
            replace(HOW, mask_threshold=0.1), replace(HOW, merge="after"), replace(HOW, crop_px=(10, 10)),
            replace(HOW, intensity=(call(prepare.fixed_window, low=0, high=200),)),
            replace(HOW, intensity=(call(prepare.min_max),)),
        ]  # fmt: skip
        for count, how in enumerate(different, 2):
            load(cases, how)
            assert len(self.entries(root)) == count
        load(cases[::-1], HOW)
        os.utime(cases[0].masks[1], ns=(0, 12345))
        load(cases, HOW)
        save(cases[0].image, np.full((20, 30), 200, np.uint8))
        samples = load(cases, HOW)
        assert len(self.entries(root)) == len(different) + 4
        assert everything(samples, [0], 1)[0].mean() == pytest.approx(200 / 255)

    @pytest.mark.parametrize("damage", ["cut", "empty", "bit", "foreign", "arrays"])
    def test_a_damaged_entry_is_made_again(self, cases, root, damage):
        first = everything(load(cases, HOW), list(range(COUNT)), 4)
        (entry,) = self.entries(root)
        data = bytearray(entry.read_bytes())
        if damage == "bit":
            data[len(data) // 2] ^= 4
        new = {"cut": data[: len(data) // 2], "empty": b"", "bit": data, "foreign": b"no archive at all"}
        if damage == "arrays":
            np.savez(entry, images=np.zeros(3))
        else:
            entry.write_bytes(new[damage])
        again = everything(load(cases, HOW), list(range(COUNT)), 4)
        assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
        assert self.entries(root) == [entry]
        assert len(entry.read_bytes()) == len(data)

    def test_a_place_that_cannot_be_written_costs_time_only(self, cases, tmp_path):
        blocked = tmp_path / "file"
        blocked.write_text("")
        assert len(load(cases, HOW, cache=blocked).cases) == COUNT

    def test_where_it_lies_can_be_said(self, cases, tmp_path, root):
        load(cases, HOW, cache=tmp_path / "mine")
        assert len(self.entries(tmp_path / "mine")) == 1
        assert not root.exists()


class TestLimit:
    """Three entries of the same size under a limit of two and a half."""

    def ways(self) -> list[Preparation]:
        return [replace(HOW, intensity=(call(prepare.fixed_window, low=0, high=high),)) for high in (255, 200, 150)]

    def entry(self, cases: list[Case], how: Preparation) -> Path:
        return cache.root() / f"{cache.key(cases, how)}.npz"

    def used_at(self, path: Path, second: int) -> None:
        os.utime(path, (second, second))

    @pytest.fixture
    def size(self, cases: list[Case], monkeypatch: pytest.MonkeyPatch) -> int:
        load(cases, HOW)
        size = self.entry(cases, HOW).stat().st_size
        monkeypatch.setenv("BIOSEG_CACHE_GB", str(2.5 * size / 1e9))
        return size

    def test_what_was_used_longest_ago_goes_first(self, cases: list[Case], size: int) -> None:
        first, second, third = (self.entry(cases, how) for how in self.ways())
        load(cases, self.ways()[1])
        self.used_at(first, 1000)
        self.used_at(second, 2000)
        load(cases, self.ways()[0])  # read again: now the second is the oldest
        load(cases, self.ways()[2])
        assert (first.exists(), second.exists(), third.exists()) == (True, False, True)
        assert sum(path.stat().st_size for path in cache.root().iterdir()) <= 2.5 * size

    def test_what_was_just_written_stays_however_old_it_looks(self, cases: list[Case], size: int) -> None:
        mine = self.entry(cases, HOW)
        for number in range(4):
            (cache.root() / f"{number}.npz").write_bytes(bytes(size))
        self.used_at(mine, 1)
        cache.evict(cache.root(), size, keep=mine)
        assert list(cache.root().iterdir()) == [mine]

    def test_what_is_larger_than_the_limit_is_not_kept_and_nothing_else_is_lost(
        self, cases: list[Case], size: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for limit in (str(0.5 * size / 1e9), "0"):
            monkeypatch.setenv("BIOSEG_CACHE_GB", limit)
            assert len(load(cases, self.ways()[1]).cases) == COUNT
        assert list(cache.root().iterdir()) == [self.entry(cases, HOW)]

    @pytest.mark.parametrize("text", ["much", "-1", "nan", "inf"])
    def test_a_limit_that_is_none_is_refused(
        self, text: str, cases: list[Case], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("BIOSEG_CACHE_GB", text)
        with pytest.raises(BiosegError, match=f"BIOSEG_CACHE_GB: '{text}'; give a number"):
            load(cases, HOW)

    def test_several_processes_at_once_lose_nothing_but_time(self, cases: list[Case], size: int) -> None:
        """Each entry is read while others evict it; every answer is right."""
        wrong: list[str] = []

        def work(how: Preparation, number: int) -> None:
            for _ in range(6):
                images = everything(load(cases, how, workers=1), [number], 1)[0]
                if abs(float(images.mean()) - min(1.0, 10 * number / (255, 200, 150)[self.ways().index(how)])) > 1e-3:
                    wrong.append(f"{how} {number}")

        threads = [threading.Thread(target=work, args=(how, number)) for number, how in enumerate(2 * self.ways())]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert wrong == []
        left = [path for path in cache.root().iterdir() if path.suffix == ".npz"]
        assert 1 <= len(left) <= 3

    def test_what_a_killed_process_left_is_cleared_and_what_another_writes_is_not(
        self, cases: list[Case], size: int
    ) -> None:
        old, new = cache.root() / ".x.npz.1.new", cache.root() / ".y.npz.2.new"
        for path in (old, new):
            path.write_bytes(b"half")
        self.used_at(old, 1000)
        load(cases, self.ways()[1])
        assert not old.exists() and new.exists()
