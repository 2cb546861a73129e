"""Commands in processes of their own, to be interrupted, killed and run side by side; without figures, to be quick."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

FAST = """
import sys, time
from bioseg.pipelines import assemble, scoring
from bioseg.outputs import saving
scoring._draw = assemble._draw = lambda *arguments: None
real, pause = saving.write_files, float(sys.argv.pop(1))
saving.write_files = lambda *arguments: (time.sleep(pause), real(*arguments))
from bioseg import cli
cli.main()
"""


def start(*arguments: object, cache: Path, pause: float = 0) -> subprocess.Popen[str]:
    """Run ``bioseg ARGUMENTS``; each mask takes ``pause`` seconds longer to write."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "BIOSEG_CACHE": str(cache), "COLUMNS": "300"}
    command = [sys.executable, "-c", FAST, str(pause), *map(str, arguments)]
    return subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, errors="backslashreplace"
    )


def finish(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    """Exit code, standard output and standard error."""
    out, error = process.communicate(timeout=120)
    return process.returncode, out, error


def stop_when(process: subprocess.Popen[str], ready: Callable[[], bool], how: signal.Signals) -> tuple[int, str, str]:
    """Send a signal as soon as ``ready``, and wait for the end."""
    deadline = time.monotonic() + 120
    while not ready() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.005)
    assert process.poll() is None, f"it ended before it could be stopped: {process.communicate()}"
    process.send_signal(how)
    return finish(process)


def journal_lines(run: Path) -> int:
    """Finished epochs."""
    journal = run / "journal.jsonl"
    return len(journal.read_text().splitlines()) if journal.exists() else 0
