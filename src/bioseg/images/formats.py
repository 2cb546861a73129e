"""Image files: PNG, JPEG, TIFF, GIF, BMP, DICOM, volumes, micrographs and headerless ones, returned as the file has them.

Polarity, rescaling, windows and sizes are facts here and steps in :mod:`bioseg.images.prepare`. The kind of a file is
known by its first bytes, not by its name. The header is read first, so that a size nobody can hold is refused before
anything is decoded. Files are decoded in another process, see :mod:`bioseg.images.decoder_pool`.
"""

import math
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from bioseg.images import decoder_pool
from bioseg.images.dataset import content_of
from bioseg.images.decoder_pool import Facts
from bioseg.images.raw_image import AGAIN, Acquisition, RawImage, UnreadableImage, check_size, from_pixels
from bioseg.images.suffixes import FLAT, SUFFIXES, stem, suffix
from bioseg.types import Array, RawFormat, Reader, printable

if TYPE_CHECKING:
    from pydicom import Dataset

__all__ = [
    "FLAT", "MAX_PIXELS", "SUFFIXES", "Acquisition", "RawImage", "UnreadableImage", "check_file", "facts", "is_image",
    "may_be_dicom", "planes", "read", "read_with", "size", "stem", "suffix", "to_raw_image",
]  # fmt: skip

MAX_PIXELS = 150_000_000

_KINDS = {
    stat.S_IFDIR: "directory",
    stat.S_IFIFO: "named pipe (FIFO)",
    stat.S_IFSOCK: "socket",
    stat.S_IFCHR: "device",
    stat.S_IFBLK: "device",
}


def read(
    source: Path | bytes,
    raw: RawFormat | None = None,
    *,
    plane: int | None = None,
    level: int = 0,
    max_pixels: int = MAX_PIXELS,
) -> RawImage:
    """Read one image. Threads may read at the same time.

    A JPEG's EXIF orientation is applied, since every viewer does and the masks drawn on it are upright. Of an animated
    GIF the first frame is read.

    Args:
        source: The file, or the content of one.
        raw: What a headerless file does not say of itself; None for all others.
        plane: Which image of a file that holds several (frames, slices, pages), from 0; None for a file with one.
        level: Of a pyramid (OME-TIFF, SVS), 0 for the largest.
        max_pixels: Images with more are refused from their header, before they are decoded.

    Raises:
        UnreadableImage: The file is missing, no regular file, empty, damaged, cut short, too large, or of a kind or
            type of pixel that is not supported; it holds no image, no number, or several images of which ``plane``
            names none; its size is not that of ``raw``; or decoding took more time or memory than
            :data:`bioseg.images.decoder_pool.SECONDS` and ``MEMORY`` allow.
    """
    with _named(source):
        if not raw:
            return decoder_pool.read_image(source, max_pixels, plane, level)
        check_size(raw.shape, max_pixels)
        _check_length(source, raw)
        content = source if isinstance(source, bytes) else source.read_bytes()
        pixels = np.frombuffer(content, raw.dtype).reshape(raw.shape)
        return replace(from_pixels(pixels, inverted=raw.inverted), white=float(raw.white))


def read_with(reader: Reader, source: Path | bytes) -> RawImage:
    """Read one image by a user's own function.

    Raises:
        UnreadableImage: The function fails, or returns neither pixels nor a :class:`RawImage`.
    """
    with _named(source):
        try:
            found = reader(source)
        except Exception as fault:  # of any kind: it is a user's
            name = getattr(reader, "name", getattr(reader, "__name__", "reader"))
            line = f"{type(fault).__name__}: {fault}".splitlines()[0]
            raise UnreadableImage(f"{name}: {line}; mend the reader or the file") from None
        return found if isinstance(found, RawImage) else from_pixels(np.asarray(found))


def to_raw_image(source: "RawImage | Array | Path | str | bytes | Dataset", reader: Reader | None = None) -> RawImage:
    """An image from a file, from the content of one, from a DICOM data set, or from pixels.

    Args:
        source: A path; the bytes of a file; an array [rows, cols] or [rows, cols, channels], see
            :func:`bioseg.images.raw_image.from_pixels`; a data set that pydicom has read; or a raw image, as it is.
        reader: Reads files; None: :func:`read`.

    Raises:
        UnreadableImage: See :func:`read`.
    """
    if isinstance(source, RawImage):
        return source
    if isinstance(source, np.ndarray):
        try:
            return from_pixels(source)
        except UnreadableImage as fault:
            raise UnreadableImage(f"image given as an array: {fault}") from None
    if isinstance(source, bytes | str | os.PathLike):
        file = source if isinstance(source, bytes) else Path(source)
        return read_with(reader, file) if reader else read(file)
    try:
        return decoder_pool.read_image(content_of(source), MAX_PIXELS)
    except UnreadableImage as fault:
        raise UnreadableImage(f"image given as a data set: {fault}") from None


def size(source: Path | bytes, raw: RawFormat | None = None, *, level: int = 0) -> tuple[int, int]:
    """(rows, cols) as :func:`read` would return them, from the header alone.

    Raises:
        UnreadableImage: As :func:`read`, as far as a header tells.
    """
    with _named(source):
        if not raw:
            return decoder_pool.read_facts(source, level).shape
        _check_length(source, raw)
        return raw.shape


def facts(source: Path | bytes) -> Facts:
    """What the header of a file that describes itself says: size, number of planes, and the grid of a volume.

    Raises:
        UnreadableImage: As :func:`read`, as far as a header tells.
    """
    with _named(source):
        return decoder_pool.read_facts(source)


def planes(source: Path | bytes) -> int:
    """How many images a file that describes itself holds: frames, slices, pages.

    Raises:
        UnreadableImage: As :func:`read`, as far as a header tells.
    """
    if isinstance(source, Path) and suffix(source) in FLAT:
        return 1
    return facts(source).planes


def may_be_dicom(path: Path) -> bool:
    """Whether a file's name is none of another kind of image."""
    return suffix(path) not in SUFFIXES - {".dcm"}


def is_image(path: Path) -> bool:
    """Whether :func:`read` is for a file: by its suffix, or for other suffixes by the DICOM mark inside.

    False for whatever is no regular file; that is never opened.
    """
    if path.name.startswith(".") or path.name.upper() == "DICOMDIR":
        return False
    try:
        check_file(path)
        if suffix(path) in SUFFIXES:
            return True
        with path.open("rb") as file:
            return file.read(132)[128:] == b"DICM"
    except (UnreadableImage, OSError):
        return False


def check_file(path: Path) -> None:
    """Refuse what is no regular file without opening it, since opening a named pipe may wait for ever.

    Raises:
        UnreadableImage: It is missing, or a folder, named pipe, socket or device. The message does not name it.
    """
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        raise UnreadableImage("no such file; check the path") from None
    except OSError as fault:
        raise UnreadableImage(f"{fault.strerror}; check the path") from None
    except ValueError:
        raise UnreadableImage("not a possible path; check it") from None
    if not stat.S_ISREG(mode):
        kind = _KINDS.get(stat.S_IFMT(mode), "special file")
        raise UnreadableImage(f"is a {kind}, not a file; give an image file")


@contextmanager
def _named(source: Path | bytes) -> Iterator[None]:
    """Refuse what is no regular file; put the file's name before the message of whatever goes wrong with it."""
    name = printable(source) if isinstance(source, Path) else "image given as bytes"
    try:
        if isinstance(source, Path):
            check_file(source)
        yield
    except UnreadableImage as fault:
        raise UnreadableImage(f"{name}: {fault}") from None
    except MemoryError:
        raise UnreadableImage(f"{name}: larger than the free memory; shrink it or cut it into tiles first") from None
    except OSError as fault:
        raise UnreadableImage(f"{name}: {fault.strerror or fault}; check that it is a file and may be read") from None


def _check_length(source: Path | bytes, raw: RawFormat) -> None:
    found = len(source) if isinstance(source, bytes) else os.stat(source).st_size
    expected = math.prod(raw.shape) * np.dtype(raw.dtype).itemsize
    if found != expected:
        grid = f"{raw.shape[0]}×{raw.shape[1]} of {raw.dtype}"
        raise UnreadableImage(
            f"{found:,} bytes, but {grid} are {expected:,}; {AGAIN}, or give its true shape and dtype"
        )
