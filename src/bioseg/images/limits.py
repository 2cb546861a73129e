"""Limits of time and memory that the decoder process sets itself, as far as the system has them."""

import os
import signal
from functools import cache

try:
    import resource
except ImportError:  # Windows
    resource = None  # type: ignore[assignment]


def allow(seconds: float, memory: float) -> None:
    """From now on: end this process after so many seconds, and refuse it more than so many bytes besides what it has.

    Memory is limited on Linux only, where a process can see how much it has.
    """
    if hasattr(signal, "alarm"):
        signal.alarm(int(seconds) + 1)
    statm = _statm()
    if resource and statm is not None:
        used = int(os.pread(statm, 64, 0).split()[0]) * resource.getpagesize()
        _, hard = resource.getrlimit(resource.RLIMIT_AS)
        soft = used + int(memory)
        resource.setrlimit(resource.RLIMIT_AS, (soft if hard == resource.RLIM_INFINITY else min(soft, hard), hard))


def lift() -> None:
    """Undo :func:`allow`."""
    if hasattr(signal, "alarm"):
        signal.alarm(0)
    if resource and _statm() is not None:
        _, hard = resource.getrlimit(resource.RLIMIT_AS)
        resource.setrlimit(resource.RLIMIT_AS, (hard, hard))


def leave_no_core() -> None:
    """Write no core file after a crash."""
    if resource:
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


@cache
def _statm() -> int | None:
    """The file that tells how much memory this process uses, kept open; None where the system has none."""
    try:
        return os.open("/proc/self/statm", os.O_RDONLY)
    except OSError:
        return None
