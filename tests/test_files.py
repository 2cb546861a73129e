"""Files are written whole or not at all; a folder is held by one at a time."""

import errno
import os
import signal
import subprocess
import sys
import threading
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


def test_an_interruption_leaves_no_litter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(descriptor: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupted)
    with pytest.raises(KeyboardInterrupt):
        files.write(tmp_path / "a", "x")
    assert list(tmp_path.iterdir()) == []


def test_names_of_255_bytes_and_text_that_is_not_utf8(tmp_path: Path) -> None:
    path = tmp_path / ("x" * 251 + ".csv")
    files.write_csv(path, ("file", "n"), [(os.fsdecode(b"caf\xe9.png"), 1), ("two\nlines", 2)])
    assert files.read_csv(path) == [{"file": "caf\\udce9.png", "n": "1"}, {"file": "two\nlines", "n": "2"}]


def held(folder: Path) -> bool:
    """Whether another thread finds the folder held."""
    found = list[bool]()

    def attempt() -> None:
        try:
            with files.lock(folder):
                found.append(False)
        except BiosegError as fault:
            found.append(f"{folder}: another process writes to it" in str(fault))

    thread = threading.Thread(target=attempt)
    thread.start()
    thread.join()
    return found[0]


def test_a_lock_is_held_again_by_its_thread_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "out"
    monkeypatch.chdir(tmp_path)
    with files.lock(folder):
        with files.lock(Path("out")):
            assert held(folder)
        assert held(folder) and (folder / ".lock").exists()
    assert not held(folder) and not folder.exists()


def test_a_lock_leaves_what_was_written_and_nothing_else(tmp_path: Path) -> None:
    with files.lock(tmp_path / "new" / "out"):
        files.write(tmp_path / "new" / "out" / "scores.csv", "x")
    assert [path.name for path in (tmp_path / "new" / "out").iterdir()] == ["scores.csv"]
    (tmp_path / "empty").mkdir()
    with pytest.raises(ZeroDivisionError), files.lock(tmp_path / "empty"):
        _ = 1 / 0
    assert list((tmp_path / "empty").iterdir()) == []


HOLD = """
import sys
from pathlib import Path
from bioseg import files
with files.lock(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_another_process_is_refused_and_a_killed_one_holds_nothing(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, tmp_path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout and process.stdout.readline() == "held\n"
    assert held(tmp_path)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert (tmp_path / ".lock").exists()  # nobody was left to remove it
    assert not held(tmp_path) and not (tmp_path / ".lock").exists()


def test_two_never_hold_a_folder_at_once(tmp_path: Path) -> None:
    inside, most, taken = 0, 0, 0
    guard = threading.Lock()

    def attempts() -> None:
        nonlocal inside, most, taken
        for _ in range(150):
            try:
                with files.lock(tmp_path):
                    with guard:
                        inside, taken = inside + 1, taken + 1
                        most = max(most, inside)
                    with guard:
                        inside -= 1
            except BiosegError:
                pass

    threads = [threading.Thread(target=attempts) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 1 and taken > 8


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(BiosegError, match=r"file/out: .*check that the folder can be written"),
        files.lock(tmp_path / "file" / "out"),
    ):
        raise AssertionError
