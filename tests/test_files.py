import errno
import os
from pathlib import Path

import pytest

from bioseg import files
from bioseg.types import BiosegError


def test_a_full_disk_leaves_the_old_file_and_no_litter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "scores.csv"
    files.write(path, "old")

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(BiosegError, match=r"scores\.csv: the disk is full.*--resume"):
        files.write(path, "new")
    assert path.read_text() == "old"
    assert [file.name for file in tmp_path.iterdir()] == ["scores.csv"]


def test_a_really_full_disk(tmp_path: Path) -> None:
    if not Path("/dev/full").exists():
        return
    with open("/dev/full", "wb", buffering=0) as file, pytest.raises(OSError, match="No space") as caught:
        file.write(b"x")
    assert "disk is full" in files.explain(caught.value)


def test_json_has_no_nan_and_damage_is_named(tmp_path: Path) -> None:
    files.write_json(tmp_path / "a.json", {"x": float("nan"), "y": [1.0, float("nan")]})
    assert files.read_json(tmp_path / "a.json", "") == {"x": None, "y": [1.0, None]}
    (tmp_path / "b.json").write_text("{")
    with pytest.raises(BiosegError, match=r"b\.json.*give a run"):
        files.read_json(tmp_path / "b.json", "give a run")
    with pytest.raises(BiosegError, match=r"c\.json: not there"):
        files.read_json(tmp_path / "c.json", "give a run")


def test_a_file_in_the_way_is_named(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("")
    with pytest.raises(BiosegError, match=r"out/scores\.csv: .*check that the folder can be written"):
        files.write(tmp_path / "out" / "scores.csv", "x")
