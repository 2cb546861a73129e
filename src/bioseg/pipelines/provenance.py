"""What a run's record says of where and when it was made."""

import os
import platform
import subprocess
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import torch


def provenance(device: torch.device, command: str) -> dict[str, Any]:
    """Command, time, device, threads, versions and commit."""
    return {
        "command": command,
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "device": _describe(device),
        "threads": torch.get_num_threads(),
        "versions": {name: metadata.version(name) for name in ("bioseg", "torch", "numpy")}
        | {"python": platform.python_version()},
        "git_commit": _commit(),
    }


def _describe(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{platform.machine()} CPU, {os.cpu_count()} cores"


def _commit() -> str | None:
    """The commit of the source tree bioseg runs from; None for an installed package."""
    try:
        folder = Path(__file__).parent
        done = subprocess.run(
            ["git", "-C", folder, "rev-parse", "HEAD"], capture_output=True, text=True, timeout=5, check=False
        )
    except OSError:
        return None
    return done.stdout.strip() or None
