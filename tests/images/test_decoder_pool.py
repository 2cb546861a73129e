"""Decoder processes: limits hold, nothing changes in this process, and no process is left behind."""

import logging
import os
import signal
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bioseg.images import decoder_pool, formats
from bioseg.images.formats import UnreadableImage
from tests.conftest import ARCHIVES
from tests.contracts.image_files import GREY, KINDS, greedy_tiff, looping_tiff, pillow, tiff

BAD_FILES = ARCHIVES.parent / "bad-files"
GOOD = KINDS["TIFF signed 16-bit"]
SCRIPT = """
import os, sys, pathlib
from bioseg.images import decoder_pool, formats
read = lambda: formats.read(pathlib.Path(sys.argv[1])).pixels.sum()
pid = lambda: decoder_pool._pool()._idle[0].process.pid
print(read(), pid(), flush=True)
"""


@pytest.fixture
def pool(monkeypatch: pytest.MonkeyPatch) -> Iterator[decoder_pool._Pool]:
    """A pool for one test alone."""
    fresh = decoder_pool._Pool()
    monkeypatch.setattr(decoder_pool, "_pool", lambda: fresh)
    yield fresh
    fresh.close()


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "good.tif"
    path.write_bytes(GOOD.data)
    return path


def script(code: str, *arguments: object, **how: Any) -> subprocess.Popen[str]:
    """A process without a main guard that reads an image and prints its sum and its decoder's id, then runs ``code``."""
    command = [sys.executable, "-c", SCRIPT + code, *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **how)


def gone(pid: int) -> bool:
    """Whether a process ends within a few seconds."""
    for _ in range(500):
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        if Path(f"/proc/{pid}/stat").exists() and Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] == "Z":
            return True  # ended; to be waited for by whatever adopted it
        time.sleep(0.01)
    return False


class TestLimits:
    def test_a_file_that_loops_in_the_decoder(
        self, image: Path, pool: decoder_pool._Pool, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(decoder_pool, "SECONDS", (1.0, 0.0))
        path = image.with_name("loop.tif")
        path.write_bytes(looping_tiff())
        formats.read(image)
        for work in (formats.read, formats.size):
            start = time.monotonic()
            with pytest.raises(UnreadableImage, match=r"loop\.tif: not decoded within 1 s, the limit; .*copy it again"):
                work(path)
            assert time.monotonic() - start < 5
        assert np.array_equal(formats.read(image).pixels, GOOD.expected)
        assert len(pool._all) == 1

    @pytest.mark.skipif(sys.platform != "linux", reason="memory is limited on Linux only")
    def test_a_file_that_asks_for_more_memory_than_there_is(self, image: Path, pool: decoder_pool._Pool) -> None:
        path = image.with_name("greedy.tif")
        path.write_bytes(greedy_tiff())
        for _ in range(3):
            with pytest.raises(
                UnreadableImage, match=r"greedy\.tif: needs more than 1 GB of memory, the limit; .*copy it again"
            ):
                formats.read(path)
            assert np.array_equal(formats.read(image).pixels, GOOD.expected)
        assert len(pool._all) == 1

    def test_both_limits_grow_with_the_image(self, pool: decoder_pool._Pool, monkeypatch: pytest.MonkeyPatch) -> None:
        large = pillow(np.zeros((5000, 4000), np.uint8), format="PNG")
        monkeypatch.setattr(decoder_pool, "MEMORY", (2e6, 0.0))
        if sys.platform == "linux":
            with pytest.raises(UnreadableImage, match=r"needs more than 0\.002 GB"):
                formats.read(large)
        monkeypatch.setattr(decoder_pool, "MEMORY", (2e6, 10.0))
        assert formats.read(large).pixels.shape == (5000, 4000)
        allowed: list[float] = []
        monkeypatch.setattr(decoder_pool, "SECONDS", (20.0, 1e-6))
        allow = decoder_pool._Decoder._allow
        monkeypatch.setattr(
            decoder_pool._Decoder, "_allow", lambda self, seconds: (allowed.append(seconds), allow(self, seconds))
        )
        formats.read(large)
        assert allowed == [20, 40]

    @pytest.mark.data
    @pytest.mark.parametrize(
        ("name", "says"), [("hang.tif", "damaged or cut short"), ("memory.tif", "needs more than 1 GB")]
    )
    def test_files_that_once_stopped_a_batch(
        self, name: str, says: str, pool: decoder_pool._Pool, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(decoder_pool, "SECONDS", (2.0, 0.0))
        start = time.monotonic()
        with pytest.raises(UnreadableImage, match=rf"{name}: {says}"):
            formats.read(BAD_FILES / name)
        assert time.monotonic() - start < 10


class TestThreads:
    def test_warning_filters_and_loggers_stay_as_they_are(self, tmp_path: Path) -> None:
        paths = []
        for index, kind in enumerate(KINDS.values()):
            if not kind.raw:
                paths += [tmp_path / f"{index}{kind.suffix}", tmp_path / f"cut {index}{kind.suffix}"]
                paths[-2].write_bytes(kind.data)
                paths[-1].write_bytes(kind.data[: len(kind.data) * 2 // 3])

        def state() -> list[object]:
            loggers = [logging.getLogger(name) for name in ("", "pydicom", "tifffile", "PIL")]
            return [
                warnings.filters[:],
                warnings.showwarning,
                logging.root.manager.disable,
                *((one.disabled, one.level, one.handlers[:], one.filters[:]) for one in loggers),
            ]

        def attempt(path: Path) -> bool:
            try:
                return formats.read(path).pixels.size > 0
            except UnreadableImage:
                return False

        before, seen, done = state(), [], threading.Event()

        def watch() -> None:
            while not done.is_set():
                seen.append(state())
                time.sleep(0.0005)

        watcher = threading.Thread(target=watch)
        watcher.start()
        with ThreadPoolExecutor(6) as threads:
            read = list(threads.map(attempt, paths * 2))
        done.set()
        watcher.join()
        assert all(read[::2]) and not all(read)
        assert len(seen) > 10
        assert all(one == before for one in (*seen, state()))

    def test_many_threads_share_a_few_decoders(self, pool: decoder_pool._Pool) -> None:
        kinds = [kind for kind in KINDS.values() if kind.described and not kind.raw] * 3
        with ThreadPoolExecutor(16) as threads:
            images = list(threads.map(formats.read, (kind.data for kind in kinds)))
        for kind, raw_image in zip(kinds, images, strict=True):
            assert np.abs(raw_image.pixels.astype(float) - kind.expected).max() <= kind.tolerance
        assert 1 <= len(pool._all) == len(pool._idle) <= decoder_pool.MAX_PROCESSES


class TestProcesses:
    def test_a_decoder_that_was_killed_is_replaced(self, pool: decoder_pool._Pool) -> None:
        formats.read(GOOD.data)
        (first,) = pool._idle
        os.kill(first.process.pid, signal.SIGKILL)
        while first.process.poll() is None:
            time.sleep(0.001)
        assert np.array_equal(formats.read(GOOD.data).pixels, GOOD.expected)
        assert first not in pool._all

    def test_a_crash_costs_one_file(self, pool: decoder_pool._Pool) -> None:
        formats.read(GOOD.data)
        (decoder,) = pool._idle
        with ThreadPoolExecutor(1) as thread:
            answer = thread.submit(formats.read, looping_tiff())
            time.sleep(0.2)
            os.kill(decoder.process.pid, signal.SIGSEGV)
            with pytest.raises(UnreadableImage, match=r"image given as bytes: its decoder crashed \(SIGSEGV\); "):
                answer.result()
        assert np.array_equal(formats.read(GOOD.data).pixels, GOOD.expected)

    def test_a_decoder_that_cannot_start_is_one_line(
        self, pool: decoder_pool._Pool, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(sys, "executable", "/bin/false")
        with pytest.raises(UnreadableImage, match=r"the decoder process did not start; see what '/bin/false -m bioseg"):
            formats.read(GOOD.data)
        assert not pool._all

    def test_ctrl_c_is_not_for_decoders(self, pool: decoder_pool._Pool) -> None:
        formats.read(GOOD.data)
        (decoder,) = pool._idle
        os.kill(decoder.process.pid, signal.SIGINT)
        formats.read(GOOD.data)
        assert pool._idle == [decoder]

    def test_an_interrupted_read_ends_its_decoder(
        self, pool: decoder_pool._Pool, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        formats.read(GOOD.data)

        def interrupted(*_: object) -> None:
            raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr(decoder_pool._Decoder, "_wait", interrupted)
            with pytest.raises(KeyboardInterrupt):
                formats.read(GOOD.data)
        assert not pool._all
        assert np.array_equal(formats.read(GOOD.data).pixels, GOOD.expected)

    def test_a_script_leaves_no_process_behind(self, image: Path) -> None:
        run = script("", image)
        said, errors = run.communicate(timeout=60)
        total, decoder = map(int, said.split())
        assert (total, errors, run.returncode) == (int(GOOD.expected.sum()), "", 0)
        assert gone(decoder)

    def test_decoders_end_with_a_process_that_was_killed(self, image: Path) -> None:
        run = script("import time; time.sleep(60)", image)
        assert run.stdout
        decoder = int(run.stdout.readline().split()[1])
        assert Path(f"/proc/{decoder}").exists() or sys.platform != "linux"
        run.kill()
        run.communicate(timeout=60)
        assert gone(decoder)

    def test_a_fork_has_decoders_of_its_own(self, image: Path) -> None:
        code = """
child = os.fork()
total, own = read(), pid()
print(total, own, flush=True)
if child:
    assert os.waitpid(child, 0)[1] == 0
    print(read(), pid(), flush=True)
"""
        said, errors = script(code, image).communicate(timeout=60)
        lines = [tuple(map(int, line.split())) for line in said.splitlines()]
        assert errors == ""
        assert [total for total, _ in lines] == [int(GOOD.expected.sum())] * 4
        assert sorted([lines.count(line) for line in set(lines)]) == [1, 3]  # the parent kept its own

    def test_the_users_folder_and_environment_do_not_matter(self, image: Path, tmp_path: Path) -> None:
        for name in ("numpy.py", "json.py", "PIL.py"):
            (tmp_path / name).write_text("raise SystemExit('imported from the working folder')")
        environment = {**os.environ, "PYTHONWARNINGS": "error", "OMP_NUM_THREADS": "nonsense"}
        environment["PYTHONPATH"] = str(Path(formats.__file__).parents[2])
        code = "import sys; sys.path.remove('')" + SCRIPT
        run = subprocess.run(
            [sys.executable, "-c", code, image.name], cwd=tmp_path, env=environment, capture_output=True, text=True,
            check=False,
        )  # fmt: skip
        assert run.stdout.split()[:1] == [str(GOOD.expected.sum())], run.stderr

    def test_it_starts_without_the_heavy_packages(self) -> None:
        heavy = {"torch", "skimage", "scipy", "matplotlib", "sklearn", "pydicom", "tifffile", "filelock"}
        code = f"import sys, bioseg.images.worker; print(sorted({heavy} & set(sys.modules)))"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("dtype", ["u1", "i1", ">u2", "<i4", "u4", "u8", "f2", ">f4", "f8"])
def test_values_of_every_type_survive_the_way_between_processes(dtype: str) -> None:
    values = GREY.astype(dtype)
    pixels = formats.read(tiff(values)).pixels
    assert pixels.dtype == values.dtype.newbyteorder("=")
    assert np.array_equal(pixels, values)
    pixels[0, 0] = 7  # one may write into it
