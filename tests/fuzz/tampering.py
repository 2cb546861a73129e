"""Ways of tampering with the files of a run folder."""

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

RECORD, SUMMARY, CHOSEN, QUALITY, SCORES = (
    "record.json", "summary.json", "postprocess.json", "quality_model.json", "scores.csv",
)  # fmt: skip
WEIGHTS, JOURNAL, STATE = "best.safetensors", "journal.jsonl", "last/state.json"

Change = Callable[[Path], Any]
"""What is done to a run folder."""


def put(file: str, *path: Any) -> Change:
    """Set the value at a path of a JSON file: names and places, the value last; without a path the whole."""

    def change(run: Path) -> None:
        whole = json.loads((run / file).read_text())
        *way, value = path
        if not way:
            whole = value
        else:
            at = whole
            for step in way[:-1]:
                at = at[step]
            at[way[-1]] = value
        (run / file).write_text(json.dumps(whole))

    return change


def drop(file: str, *path: Any) -> Change:
    """Remove what lies at a path of a JSON file."""

    def change(run: Path) -> None:
        whole = at = json.loads((run / file).read_text())
        for step in path[:-1]:
            at = at[step]
        del at[path[-1]]
        (run / file).write_text(json.dumps(whole))

    return change


def text(file: str, content: str | bytes) -> Change:
    """Replace a file."""
    return lambda run: (run / file).write_bytes(content if isinstance(content, bytes) else content.encode())


def swap(file: str, old: str, new: str) -> Change:
    """Replace the first occurrence of a text in a file."""

    def change(run: Path) -> None:
        whole = (run / file).read_text()
        assert old in whole, (file, old)
        (run / file).write_text(whole.replace(old, new, 1))

    return change


def special(file: str) -> Change:
    """A pipe in place of a file: it would be waited for."""

    def change(run: Path) -> None:
        (run / file).unlink()
        os.mkfifo(run / file)

    return change


def folder(file: str) -> Change:
    def change(run: Path) -> None:
        (run / file).unlink()
        (run / file).mkdir()

    return change


def cut(file: str, count: int) -> Change:
    """Leave out the last bytes."""
    return lambda run: (run / file).write_bytes((run / file).read_bytes()[:-count])


def tensors(file: str, change: Callable[[dict[str, torch.Tensor]], Any]) -> Change:
    """Change the tensors of a safetensors file."""

    def changed(run: Path) -> None:
        own = load_file(run / file)
        change(own)
        save_file(own, run / file)

    return changed


def first(own: dict[str, torch.Tensor]) -> str:
    return sorted(own)[0]


def poison(value: float, dtype: torch.dtype = torch.float32) -> Callable[[dict[str, torch.Tensor]], Any]:
    def change(own: dict[str, torch.Tensor]) -> None:
        own[first(own)] = own[first(own)].to(dtype)
        own[first(own)].view(-1)[0] = value

    return change


def sealed(change: Change) -> Change:
    """A change in ``last/`` whose digests are made to fit, as an attacker would."""

    def changed(run: Path) -> None:
        change(run)
        path = run / "last" / "state.json"
        state = json.loads(path.read_text())
        for name in state["sha256"]:
            state["sha256"][name] = hashlib.sha256((run / "last" / name).read_bytes()).hexdigest()
        path.write_text(json.dumps(state))

    return changed
