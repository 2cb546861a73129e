"""Files: writing that leaves either the old file or the whole new one, tables, JSON, and a lock on a folder."""

import csv
import errno
import io
import json
import os
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from bioseg.types import BiosegError


def write(path: Path, data: bytes | str) -> None:
    """Write ``data`` under a temporary name beside ``path``, flush it to disk, rename.

    Text is UTF-8; what UTF-8 cannot express, such as a file name in another encoding, is written as ``\\udce9``.

    Raises:
        BiosegError: The disk is full or the folder may not be written; what was there before is untouched.
    """
    new = path.with_name(f".{os.getpid()}.{threading.get_ident()}.new")  # short: the name itself may have 255 bytes
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(new, "wb") as file:
            file.write(data.encode("utf-8", "backslashreplace") if isinstance(data, str) else data)
            file.flush()
            os.fsync(file.fileno())
        new.replace(path)
    except BaseException as fault:
        with suppress(OSError):  # the folder itself may be what is wrong
            new.unlink()
        if isinstance(fault, OSError):
            raise BiosegError(f"{path}: {explain(fault)}") from None
        raise


def explain(fault: OSError) -> str:
    """What went wrong while writing, and the remedy, in one line."""
    if fault.errno in (errno.ENOSPC, errno.EDQUOT):
        return "the disk is full; free some space and give the same command again (train: with --resume)"
    if fault.errno in (errno.EACCES, errno.EROFS, errno.EPERM):
        return "may not be written; choose another --out"
    return f"{fault.strerror or fault}; check that the folder can be written"


def write_json(path: Path, value: Any) -> None:
    """Write ``value`` as indented JSON; NaN is not JSON and becomes null."""
    write(path, json.dumps(without_nan(value), indent=2, allow_nan=False) + "\n")


def without_nan(value: Any) -> Any:
    """``value`` with every NaN in it replaced by None."""
    if isinstance(value, dict):
        return {key: without_nan(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [without_nan(item) for item in value]
    return None if isinstance(value, float) and value != value else value


def write_csv(path: Path, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write a table: a line of column names, then a line per row."""
    write(path, csv_text(columns, rows))


def csv_text(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """The content of that file."""
    table = io.StringIO()
    csv.writer(table, lineterminator="\n").writerows([columns, *rows])
    return table.getvalue()


def read_csv(path: Path) -> list[dict[str, str]]:
    """The lines of a CSV file with a line of column names; a byte order mark is skipped.

    Raises:
        BiosegError: It cannot be read, is not UTF-8, names a column twice, or a line has another number of cells.
    """
    text = read_text(path, "save it as CSV UTF-8, or restore it from its source")
    try:
        table = csv.DictReader(io.StringIO(text), strict=True)
        rows, columns = list(table), list(table.fieldnames or ())
    except csv.Error as fault:
        raise BiosegError(f"{path}: not readable as a table ({fault}); restore it from its source") from None
    if len(set(columns)) < len(columns):
        twice = next(name for name in columns if columns.count(name) > 1)
        raise BiosegError(f"{path}: has two columns called {twice!r}; rename one")
    for number, row in enumerate(rows, 2):
        if None in row or None in row.values():
            raise BiosegError(f"{path}: line {number} has another number of cells than the first; correct it")
    return rows


def read_bytes(path: Path, what: str) -> bytes:
    """The content of a regular file.

    Raises:
        BiosegError: It is missing, no regular file, or not readable; ``what`` says what to do about it.
    """
    try:
        if path.exists() and not path.is_file():  # a pipe would be waited for
            raise BiosegError(f"{path}: not a file; {what}")
        return path.read_bytes()
    except FileNotFoundError:
        raise BiosegError(f"{path}: not there; {what}") from None
    except (OSError, ValueError) as fault:
        raise BiosegError(f"{path}: not readable ({fault}); {what}") from None


def read_text(path: Path, what: str) -> str:
    """The text of a UTF-8 file.

    Raises:
        BiosegError: As :func:`read_bytes`, or it is not UTF-8.
    """
    try:
        return read_bytes(path, what).decode("utf-8-sig")
    except UnicodeDecodeError as fault:
        raise BiosegError(f"{path}: is not UTF-8 (byte {fault.start}); {what}") from None


def read_json(path: Path, what: str, *, finite: bool = True) -> Any:
    """The value in a JSON file; see :func:`parse_json`.

    Raises:
        BiosegError: It is missing or damaged; ``what`` says what it should have been.
    """
    try:
        return parse_json(read_text(path, what), finite=finite)
    except ValueError as fault:
        raise BiosegError(f"{path}: not readable ({fault}); {what}") from None


def parse_json(text: str, *, finite: bool = True) -> Any:
    """The value of a JSON text, held against the standard: no name twice in an object, no more than 32 levels.

    Args:
        text: What a file holds.
        finite: Refuse numbers that are not finite, which Python's own writer spells NaN and Infinity.

    Raises:
        ValueError: It is not JSON, or breaks these rules.
    """
    constant, number = (_not_finite, _finite) if finite else (float, float)
    try:
        value = json.loads(text, object_pairs_hook=_unique, parse_constant=constant, parse_float=number)
    except RecursionError:
        value = None
        levels = _LEVELS + 1
    else:
        levels = _levels(value)
    if levels > _LEVELS:
        raise ValueError(f"nested more than {_LEVELS} levels deep")
    return value


_LEVELS = 32


def _levels(value: Any, above: int = 0) -> int:
    """How deeply lists and objects are nested; no further than one more than is allowed."""
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return max((_levels(one, above + 1) for one in inner), default=above) if above <= _LEVELS else above


def _not_finite(name: str) -> Any:
    raise ValueError(f"{name} is not a number in JSON")


def _finite(text: str) -> float:
    value = float(text)
    if value - value != 0:
        raise ValueError(f"{text} is too large a number")
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"'{next(name for name in names if names.count(name) > 1)}' stands there twice")
    return found


@contextmanager
def lock(folder: Path) -> Iterator[None]:
    """Hold ``folder`` against other processes and threads; the thread that holds it may lock it again.

    The operating system drops the lock when the process ends in any way, so that a crash leaves nothing to clean up. The file
    ``.lock`` is removed while it is still held, which is free of races: whoever opened it in between finds that it has no
    name any more and starts over (``filelock`` does, since 4.2). A folder that was made for the lock and is still empty is
    removed too, so that refused work leaves nothing behind.

    Raises:
        BiosegError: Another process or thread holds it, or the folder cannot be made or written.
    """
    path, made = folder.resolve() / ".lock", not folder.exists()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        held = FileLock(path, timeout=0, is_singleton=True)
        held.acquire()
    except Timeout:
        raise BiosegError(f"{folder}: another process writes to it; wait for that, or choose another --out") from None
    except OSError as fault:
        raise BiosegError(f"{folder}: {explain(fault)}") from None
    try:
        yield
    finally:
        if held.lock_counter == 1:
            with suppress(OSError):
                path.unlink()
        held.release()
        if made:
            with suppress(OSError):  # not empty: the work has begun
                folder.rmdir()
