"""The decoder process: reads image files for another process, which limits its time and its memory.

A damaged file may keep a decoder busy for hours, ask for terabytes, crash it, or make it print; here that costs one
file and nothing else. Warning filters, loggers and limits are this process's own. Started by
:mod:`bioseg.images.decoder_pool`, it ends when its standard input does.
"""

import io
import logging
import os
import re
import signal
import sys
import warnings
from dataclasses import astuple, dataclass, fields
from typing import BinaryIO

import numpy as np
from PIL import Image

from bioseg.images import limits
from bioseg.images.decoding import open_image
from bioseg.images.messages import Message, pack, unpack
from bioseg.images.raw_image import AGAIN, Header, RawImage, UnreadableImage, check_size
from bioseg.types import Array

GRACE_SECONDS = 10
"""The other process ends this one when a limit has passed; this one ends itself later, in case the other is gone."""
MAX_PLANES = 100_000
"""A header that tells of more lies."""
_UNSUPPORTED = re.compile(
    "unsupported|not support|not a known|cannot handle|not implemented|missing dependencies", re.I
)


class _Pipes:
    """The way to and from the other process; nothing else here writes into it."""

    def __init__(self) -> None:
        self._input, self._output = io.FileIO(os.dup(0)), io.FileIO(os.dup(1), "w")
        nowhere = os.open(os.devnull, os.O_RDWR)
        for stream in (0, 1, 2):
            os.dup2(nowhere, stream)

    def send(self, message: Message, content: Array | None = None) -> None:
        """Send a message, then the bytes of ``content``, which lie in order."""
        for data in (memoryview(pack(message)), b"" if content is None else content.reshape(-1).view(np.uint8).data):
            while data:
                data = data[self._output.write(data) :]

    def fill(self, buffer: memoryview) -> None:
        """Fill ``buffer`` with what comes next.

        Raises:
            EOFError: The other process is gone, or wants nothing more.
        """
        while buffer:
            count = self._input.readinto(buffer)
            if not count:
                raise EOFError
            buffer = buffer[count:]


def main() -> None:
    """Answer requests until there are no more."""
    pipes = _Pipes()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that uses this one
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
    limits.leave_no_core()
    Image.MAX_IMAGE_PIXELS = None  # the other process says how many are too many
    pipes.send({"ready": True})
    while True:
        try:
            request = unpack(pipes.fill)
            content = bytearray(request["bytes"])
            pipes.fill(memoryview(content))
        except EOFError:
            return
        _answer(request, content, pipes)


@dataclass
class _Kept:
    """The last file that held several planes, open: a packed volume is not unpacked again for every slice of it."""

    key: object = None
    file: BinaryIO | None = None
    header: Header | None = None

    def drop(self) -> None:
        """Close it."""
        if self.file:
            self.file.close()
        self.key = self.file = self.header = None


_KEPT = _Kept()


def _answer(request: Message, content: bytearray, pipes: _Pipes) -> None:
    """Send the header's shape and, unless only that is wanted, the image; or an error instead of either."""
    memory, memory_per_pixel = request["memory"]
    seconds, seconds_per_pixel = (request["seconds"][0] + GRACE_SECONDS, request["seconds"][1])
    whole = False
    try:
        limits.allow(seconds, memory)
        header = _header(request, content)
        check_size(header.shape, request["max_pixels"], header.levels)
        if not 1 <= header.planes <= MAX_PLANES:
            raise ValueError(f"{header.planes:,} planes")
        pixels = header.shape[0] * header.shape[1]
        grid = header.grid and (header.grid.shape, header.grid.affine, header.grid.placed)
        if request["header_only"]:
            pipes.send({"shape": header.shape, "planes": header.planes, "grid": grid})
            whole = True
            return
        plane = _plane(request["plane"], header.planes)
        pipes.send({"shape": header.shape, "planes": header.planes})
        memory += memory_per_pixel * pixels
        limits.allow(seconds + seconds_per_pixel * pixels * header.planes, memory)
        raw_image = header.decode(plane)
        if raw_image.pixels.shape[:2] != header.shape:
            raise ValueError(f"pixels {raw_image.pixels.shape}, header {header.shape}")
        _send_image(raw_image, pipes)
        whole = True
    except UnreadableImage as fault:
        pipes.send({"error": str(fault)})
    except MemoryError:
        limits.lift()
        reason = f"needs more than {memory / 1e9:.3g} GB of memory, the limit; it may be damaged: {AGAIN}"
        pipes.send({"error": reason, "ends": True})
        sys.exit()  # whatever the decoder left behind goes with this process
    except Exception as fault:  # a decoder may stumble over a damaged file in any way
        pipes.send({"error": _explain(fault)})
    finally:
        limits.lift()
        if not whole or _KEPT.key is None:
            _KEPT.drop()


def _header(request: Message, content: bytearray) -> Header:
    """Of the file that is asked for; of the one that is kept open if it is that and unchanged."""
    path = None if request["path"] is None else request["path"].encode("latin-1")
    key = None
    if path is not None:
        facts = os.stat(path)
        key = (path, request["level"], facts.st_ino, facts.st_size, facts.st_mtime_ns)
    if key is not None and key == _KEPT.key and _KEPT.header:
        return _KEPT.header
    _KEPT.drop()
    _KEPT.file = io.BytesIO(content) if path is None else open(path, "rb")  # noqa: SIM115, kept open
    header = open_image(_KEPT.file, request["suffix"], request["level"])
    if header.planes > 1:
        _KEPT.key, _KEPT.header = key, header
    return header


def _plane(asked: int | None, planes: int) -> int:
    """Which plane to decode, from 0.

    Raises:
        UnreadableImage: There is no such plane, or there are several and none is asked for.
    """
    if asked is None and planes > 1:
        raise UnreadableImage(f"{planes} planes in one file; give --plane 1…{planes}, or save one as a file of its own")
    if not 0 <= (asked or 0) < planes:
        raise UnreadableImage(f"has no plane {(asked or 0) + 1}, but {planes}; give another --plane")
    return asked or 0


def _send_image(raw_image: RawImage, pipes: _Pipes) -> None:
    pixels = np.ascontiguousarray(raw_image.pixels)
    facts = {one.name: getattr(raw_image, one.name) for one in fields(RawImage) if one.name != "pixels"}
    facts["acquisition"] = astuple(raw_image.acquisition) if raw_image.acquisition else None
    pipes.send({"dtype": pixels.dtype.str, "shape": pixels.shape, "facts": facts}, pixels)


def _explain(fault: Exception) -> str:
    """Why a file cannot be read, and the remedy, in one line."""
    if isinstance(fault, OSError) and fault.errno:
        return f"{fault.strerror}; check that it is a file and may be read"
    reason = re.split(r"[\0-\x1f\x7f-\x9f]| - |\. ", str(fault))[0][:200].strip() or type(fault).__name__
    reason = "".join(letter if letter.isprintable() else "?" for letter in reason)
    if _UNSUPPORTED.search(str(fault)) and not isinstance(fault, TypeError):
        return f"of a kind that is not supported ({reason}); save it as PNG or as TIFF without compression"
    return f"damaged or cut short ({reason}); {AGAIN}"


if __name__ == "__main__":
    main()
