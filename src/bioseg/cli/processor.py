"""How the commands share a processor with other programs; set before PyTorch is loaded, and for the commands alone.

OpenMP threads that wait for each other spin by default. Beside another busy process they then take the very cores that the
thread they wait for needs: a prediction takes several times as long. ``make bench`` measures it. PyTorch is also told to take
large blocks of memory in huge pages, where the system has them: large images otherwise spend much of their time in page faults.
"""

import os
from collections.abc import MutableMapping
from contextlib import suppress
from pathlib import Path

QUOTA = Path("/sys/fs/cgroup/cpu.max")
"""A container's share of the processor, where there is one: microseconds per period, and the period."""


def share_processor(environment: MutableMapping[str, str] = os.environ) -> None:
    """Let waiting threads sleep, and use no more threads than the container may; what the user has set is kept.

    Args:
        environment: Variables of this process; OpenMP reads them when PyTorch is loaded.
    """
    environment.setdefault("OMP_WAIT_POLICY", "passive")
    environment.setdefault("THP_MEM_ALLOC_ENABLE", "1")
    allowed = cores_allowed()
    if allowed < (os.cpu_count() or 1):
        environment.setdefault("OMP_NUM_THREADS", str(allowed))


def cores_allowed(quota: Path = QUOTA) -> int:
    """How many cores this process may use: those of the machine it is bound to, or its container's share of them."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    with suppress(OSError, ValueError):  # no such file, or "max" for no limit
        share, period = quota.read_text(encoding="ascii").split()
        cores = min(cores, max(1, round(int(share) / int(period))))
    return cores
