"""Memory must not grow with the number of images that are streamed."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_peak_memory_does_not_depend_on_the_number_of_images() -> None:
    peaks = {}
    for count in (100, 600):
        command = [sys.executable, "-m", "benchmarks.streaming", str(count), "--read-only"]
        done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
        result = json.loads(done.stdout)
        assert result["images"] == count
        peaks[count] = result["reading_peak_mb"]
    assert peaks[600] < 1500
    assert peaks[600] - peaks[100] < 60, peaks
