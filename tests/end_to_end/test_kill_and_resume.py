"""A training killed with SIGKILL and resumed ends with the very bits of one that was left alone."""

import signal
from pathlib import Path

import pytest

from bioseg.datasets import phantom_layouts
from tests.faults.processes import finish, journal_lines, start, stop_when

EPOCHS = 4


def command(data: Path, out: Path, *more: str) -> tuple[object, ...]:
    return (
        "train", "nuclei-reference", "--data", data, "--out", out, "--epochs", EPOCHS, "--set",
        "preparation.size_px=[64,64]", "--set", "training.patience=null", "--device", "cpu", *more,
    )  # fmt: skip


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("nuclei")
    phantom_layouts.write_nuclei(folder, count=40, seed=0, size_px=64)
    return folder


@pytest.mark.slow
def test_killed_twice_and_resumed(data: Path, tmp_path: Path) -> None:
    cache, whole, broken = tmp_path / "cache", tmp_path / "whole", tmp_path / "broken"
    undisturbed = start(*command(data, whole), cache=cache)
    for kills in (1, 2):
        process = start(*command(data, broken, "--resume"), cache=cache)
        code, _, _ = stop_when(process, lambda kills=kills: journal_lines(broken) >= kills, signal.SIGKILL)
        assert code == -signal.SIGKILL
        assert kills <= journal_lines(broken) < EPOCHS
    code, _, error = finish(start(*command(data, broken, "--resume"), cache=cache))
    assert code == 0, error
    assert finish(undisturbed)[0] == 0

    assert journal_lines(whole) == EPOCHS
    for name in ("best.safetensors", "last/network.safetensors", "last/optimiser.safetensors", "scores.csv"):
        assert (whole / name).read_bytes() == (broken / name).read_bytes(), name
