"""Decoder processes: started when the first file is read, used again for the next ones, ended with this process.

Every file is decoded in another process, since no decoder can be trusted with a damaged one: time and memory are limited
there, and nothing is changed in this process, no warning filter, no logger, no file descriptor. The other side is
:mod:`bioseg.images.worker`.
"""

import atexit
import io
import os
import select
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, cast

import numpy as np

from bioseg.images.messages import Message, pack, unpack
from bioseg.images.raw_image import AGAIN, Acquisition, Grid, RawImage, UnreadableImage
from bioseg.images.suffixes import suffix
from bioseg.types import Array

SECONDS = (15.0, 1e-6)
"""Time to read a header, or to decode pixels: at least, and more per pixel."""
MEMORY = (1_000_000_000.0, 64.0)
"""Memory to decode an image, bytes: at least, and more per pixel. Enforced on Linux."""
START_SECONDS = 60.0
MAX_PROCESSES = max(2, min(8, os.cpu_count() or 1))
"""Decoders at work at the same time; further threads wait for one."""


@dataclass(frozen=True)
class Facts:
    """What a header says: (rows, cols) of an image in the file, how many there are, and the grid of a volume."""

    shape: tuple[int, int]
    planes: int
    grid: Grid | None


def read_facts(source: Path | bytes, level: int = 0) -> Facts:
    """What an image's header says.

    Raises:
        UnreadableImage: See :func:`bioseg.images.formats.read`; the message does not name the file.
    """
    message, _ = _pool().ask(source, header_only=True, max_pixels=sys.maxsize, level=level)
    rows, cols = message["shape"]
    grid = None
    if message["grid"]:
        shape, affine, placed = message["grid"]
        grid = Grid((shape[0], shape[1], shape[2]), tuple(map(tuple, affine)), placed)
    return Facts((rows, cols), message["planes"], grid)


def read_image(source: Path | bytes, max_pixels: int, plane: int | None = None, level: int = 0) -> RawImage:
    """The image in a file, or in the content of one; of several planes the one of this number, from 0.

    Raises:
        UnreadableImage: See :func:`bioseg.images.formats.read`; the message does not name the file.
    """
    message, pixels = _pool().ask(source, header_only=False, max_pixels=max_pixels, plane=plane, level=level)
    facts: dict[str, Any] = {
        name: tuple(fact) if isinstance(fact, list) else fact for name, fact in message["facts"].items()
    }
    if facts["acquisition"]:
        facts["acquisition"] = Acquisition(*facts["acquisition"])
    return RawImage(pixels, **facts)


@cache
def _pool() -> "_Pool":
    """The pool of this process. A fork gets none of it, and starts its own when it reads a file."""
    pool = _Pool()
    atexit.register(pool.close)
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=pool.abandon)
    return pool


class _Expired(Exception):
    """A decoder took too long."""


def _reason(fault: BaseException, decoder: "_Decoder") -> str:
    """What went wrong with a file when its decoder did not answer; empty where it was something else."""
    match fault:
        case _Expired():
            return f"not decoded within {fault} s, the limit; it may be damaged: {AGAIN}"
        case MemoryError():
            return "larger than the free memory; shrink it or cut it into tiles first"
        case EOFError() | OSError():
            return f"its decoder crashed ({decoder.cause_of_death()}); it may be damaged: {AGAIN}"
    return ""


class _Pool:
    """The decoders of this process. Threads may share it."""

    def __init__(self) -> None:
        self._reset()

    def _reset(self) -> None:
        self._all: set[_Decoder] = set()
        self._idle: list[_Decoder] = []
        self._lock = threading.Lock()
        self._slots = threading.BoundedSemaphore(MAX_PROCESSES)

    def ask(
        self, source: Path | bytes, *, header_only: bool, max_pixels: int, plane: int | None = None, level: int = 0
    ) -> tuple[Message, Array]:
        """A decoder's last message, and the pixels that came with it, empty for a header."""
        content = source if isinstance(source, bytes) else b""
        path = None if isinstance(source, bytes) else os.fsencode(os.path.abspath(source)).decode("latin-1")
        request: Message = {
            "path": path,
            "suffix": ".dcm" if isinstance(source, bytes) else suffix(source),  # DICOM, if nothing else
            "bytes": len(content),
            "header_only": header_only,
            "max_pixels": max_pixels,
            "plane": plane,
            "level": level,
            "seconds": SECONDS,
            "memory": MEMORY,
        }
        with self._slots:
            decoder = self._take()
            try:
                message, pixels = decoder.ask(request, content)
            except BaseException as fault:
                reason = _reason(fault, decoder)
                self._end(decoder)  # in the middle of an answer it is of no more use
                if reason:
                    raise UnreadableImage(reason) from None
                raise
            if message.get("ends"):
                self._end(decoder)
            else:
                with self._lock:
                    self._idle.append(decoder)
        if "error" in message:
            raise UnreadableImage(message["error"])
        return message, pixels

    def _take(self) -> "_Decoder":
        """An idle decoder, or else a new one."""
        while True:
            with self._lock:
                decoder = self._idle.pop() if self._idle else None
            if decoder is None:
                break
            if decoder.process.poll() is None:
                return decoder
            self._end(decoder)
        decoder = _Decoder()
        with self._lock:
            self._all.add(decoder)
        try:
            decoder.wait_until_ready()
        except BaseException as fault:
            self._end(decoder)
            if isinstance(fault, EOFError | OSError | _Expired):
                raise UnreadableImage(
                    f"the decoder process did not start; see what '{sys.executable} -m bioseg.images.worker' says"
                ) from None
            raise
        return decoder

    def _end(self, decoder: "_Decoder") -> None:
        with self._lock:
            self._all.discard(decoder)
        decoder.end()

    def close(self) -> None:
        """End all decoders, and wait for them."""
        with self._lock:
            decoders, self._all, self._idle = self._all, set(), []
        for decoder in decoders:
            decoder.end()

    def abandon(self) -> None:
        """In a forked process: the decoders are the parent's, and end when only the parent lets go of them."""
        for decoder in self._all:
            decoder.abandon()
        self._reset()


class _Decoder:
    """One decoder process, for one thread at a time."""

    def __init__(self) -> None:
        package = Path(__file__).parents[2]
        paths = [os.path.abspath(path) for path in (*sys.path, str(package))]
        settings = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
        # glibc: keep the memory of one image for the next; giving it back and getting it anew costs as much as decoding
        settings |= {"MALLOC_MMAP_THRESHOLD_": str(32 << 20), "MALLOC_TRIM_THRESHOLD_": str(64 << 20)}
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-W", "ignore", "-m", "bioseg.images.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            bufsize=0,
            pipesize=1 << 20,
            cwd=package,
            env={**os.environ, **settings, "PYTHONPATH": os.pathsep.join(paths)},
        )
        self._input, self._output = cast(io.FileIO, self.process.stdin), cast(io.FileIO, self.process.stdout)
        self._deadline, self._limit = 0.0, 0.0

    def wait_until_ready(self) -> None:
        """Wait until everything is imported."""
        self._allow(START_SECONDS)
        unpack(self._fill)

    def ask(self, request: Message, content: bytes) -> tuple[Message, Array]:
        """See :meth:`_Pool.ask`.

        Raises:
            _Expired: It took too long.
            EOFError: The process crashed.
            OSError: The process had ended before.
        """
        for data in (memoryview(pack(request)), memoryview(content)):
            while data:
                data = data[self._input.write(data) :]
        least, per_pixel = request["seconds"]
        self._allow(least)
        message = unpack(self._fill)
        if request["header_only"] or "error" in message:
            return message, np.empty(0)
        rows, cols = message["shape"]
        self._allow(least + per_pixel * rows * cols * message["planes"])
        message = unpack(self._fill)
        if "error" in message:
            return message, np.empty(0)
        pixels = np.empty(message["shape"], message["dtype"])
        self._fill(pixels.reshape(-1).view(np.uint8).data)
        return message, pixels

    def _allow(self, seconds: float) -> None:
        self._deadline, self._limit = time.monotonic() + seconds, seconds

    def _fill(self, buffer: memoryview) -> None:
        """Fill ``buffer`` with what the process sends next."""
        while buffer:
            self._wait()
            count = self._output.readinto(buffer)
            if not count:
                raise EOFError
            buffer = buffer[count:]

    def _wait(self) -> None:
        """Wait until there is something to read, until the deadline."""
        if not hasattr(select, "poll"):  # Windows, where a pipe cannot be waited for: no limit of time
            return
        poll = select.poll()
        poll.register(self._output, select.POLLIN)
        left = self._deadline - time.monotonic()
        if left <= 0 or not poll.poll(left * 1000):
            raise _Expired(f"{self._limit:.3g}")

    def end(self) -> None:
        """End the process, and leave no zombie."""
        self.process.kill()
        self.process.wait()
        self._input.close()
        self._output.close()

    def cause_of_death(self) -> str:
        """Why a process that closed its pipes ended: the name of a signal, or its exit status."""
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(1)
        code = self.process.returncode
        names = {-one.value: one.name for one in signal.Signals}
        return names.get(code, f"exit status {code}")

    def abandon(self) -> None:
        """In a forked process: close the pipes, and forget a process that is not its child."""
        self._input.close()
        self._output.close()
        self.process.returncode = 0
