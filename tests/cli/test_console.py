"""What a person sees: bars on 80 columns, scores with their intervals, and what they rest on."""

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios

import pytest

from bioseg.cli.console import Screen, interval, shortened
from bioseg.evaluation.summary import Row, summarise

BARS = """
import time
from bioseg.cli.console import Screen
with Screen() as screen:
    for name, done, total, note in (
        ("reading", 122, 440, ""),
        ("fold 1/5", 12347, 19360, "epoch 12/55 · loss 0.1234 · validation Dice 0.9234"),
        ("evaluating", 5, 13, "all training options, and then some more"),
    ):
        screen.progress(name, done, total, note)
"""


def on_terminal(columns: int, code: str) -> list[str]:
    """The lines that ``code`` leaves on a terminal of so many columns."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    environment = {**os.environ, "TERM": "xterm"}
    environment.pop("COLUMNS", None)
    process = subprocess.Popen([sys.executable, "-c", code], stdout=theirs, stderr=theirs, env=environment)
    os.close(theirs)
    data = b""
    while True:
        try:
            part = os.read(ours, 65536)
        except OSError:
            break
        if not part:
            break
        data += part
    assert process.wait() == 0
    return [
        line for line in re.split(r"[\r\n]+", re.sub(rb"\x1b\[[0-9;?]*[A-Za-z]", b"", data).decode()) if line.strip()
    ]


@pytest.mark.parametrize("columns", [80, 140])
def test_every_bar_is_one_line_with_its_name_whole(columns: int) -> None:
    lines = on_terminal(columns, BARS)[-3:]
    assert all(len(line) <= columns for line in lines)
    for line, whole in zip(lines, ("reading", "fold 1/5", "evaluating"), strict=True):
        assert line.strip().startswith(f"{whole} ") and "left" in line
    assert "122/440" in lines[0] and "12347/19360" in lines[1] and "5/13" in lines[2]
    assert "epoch 12/55 · loss 0.12" in lines[1]
    assert ("…" in lines[1]) == (columns == 80)
    assert ("validation Dice 0.9234" in lines[1]) == (columns == 140)


def test_a_note_is_cut_to_the_room_there_is() -> None:
    assert [shortened("epoch 3", room) for room in (7, 6, 2, 1, 0, -5)] == ["epoch 3", "epoch…", "e…", "", "", ""]


def table(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, summary: dict[str, object]) -> str:
    monkeypatch.setenv("COLUMNS", "80")
    Screen().scores(summary, "images")
    return capsys.readouterr().out


def test_average_precision_and_box_score_are_shown(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    scores = {"dice": 0.9, "ap": 0.61, "ap50": 0.82, "rsna_score": 0.4, "hd95_mm": float("nan")}
    out = table(capsys, monkeypatch, summarise([Row(f"c{n}", f"p{n}", "", scores) for n in range(3)]))
    for words in ("AP ", "0.6100", "AP at .50", "0.8200", "RSNA score", "0.4000 … 0.4000"):
        assert words in out
    assert "HD95" not in out and "nan" not in out  # undefined in every image


@pytest.mark.parametrize("bounds", [[float("nan")] * 2, [None, None]])
def test_one_patient_has_no_interval(
    bounds: list[float | None], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    summary = summarise([Row(f"c{n}", "p", "", {"dice": 0.9}) for n in range(3)])
    summary["dice"]["ci95"] = bounds
    out = table(capsys, monkeypatch, summary)
    assert "one patient only" in out and "nan" not in out
    assert interval(bounds, "+.4f") == "one patient only"
