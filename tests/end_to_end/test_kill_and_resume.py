"""A training killed with SIGKILL and resumed ends with the very bits of one that was left alone."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bioseg.datasets import phantom_layouts

EPOCHS = 6


def command(data: Path, out: Path, *more: str) -> list[str]:
    return [
        sys.executable, "-m", "bioseg", "train", "nuclei-reference", "--data", str(data), "--out", str(out),
        "--epochs", str(EPOCHS), "--set", "preparation.size_px=[64,64]", "--set", "training.patience=null",
        "--device", "cpu", *more,
    ]  # fmt: skip


def lines(run: Path) -> int:
    journal = run / "journal.jsonl"
    return len(journal.read_text().splitlines()) if journal.exists() else 0


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("nuclei")
    phantom_layouts.write_nuclei(folder, count=40, seed=0, size_px=64)
    return folder


def test_killed_twice_and_resumed(data: Path, tmp_path: Path) -> None:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "BIOSEG_CACHE": str(tmp_path / "cache")}
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    subprocess.run(command(data, whole), env=environment, check=True, capture_output=True)

    for kills in (1, 2):
        process = subprocess.Popen(
            command(data, broken, "--resume"), env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        deadline = time.monotonic() + 120
        while lines(broken) < kills and time.monotonic() < deadline and process.poll() is None:
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL, "it ended before it could be killed"
        assert kills <= lines(broken) < EPOCHS
    subprocess.run(command(data, broken, "--resume"), env=environment, check=True, capture_output=True)

    assert lines(whole) == EPOCHS
    for name in ("best.safetensors", "last/network.safetensors", "last/optimiser.safetensors", "scores.csv"):
        assert (whole / name).read_bytes() == (broken / name).read_bytes(), name
