"""A run: the folder a training writes, and what every training needs once: seeds, journal, best and last, resuming.

Layout: ``record.json``, ``journal.jsonl`` (one line per epoch), ``best.safetensors``, ``last/`` and ``last.before/``
(weights, optimiser, state: all that a resume needs), ``tensorboard/``. Every epoch starts from a seed of its own, so
that a resumed run continues bit for bit as if it had never stopped (on a CPU, with the same number of threads).
"""

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import torch
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor, nn

from bioseg import files
from bioseg.inference.device import MEMORY_FORMAT
from bioseg.models.weights import dump, renamed
from bioseg.record import read_record
from bioseg.types import BiosegError

Row = dict[str, Any]


class Run:
    """An open run folder, to be used in a ``with`` block: it is closed whatever happens inside.

    Attributes:
        folder: Where it lies.
        device: Where it computes.
        seed: Of everything drawn.
        name: What progress is reported under.
        history: A row for every finished epoch, as in the journal.
    """

    def __init__(
        self, folder: Path, record: dict[str, Any], *, seed: int, device: torch.device, resume: bool,
        name: str = "training",
    ) -> None:  # fmt: skip
        """Open ``folder``: new, or continuing the run that lies there.

        Raises:
            BiosegError: As for :func:`claim`, or none of its states is whole.
        """
        self.folder, self.device, self.seed, self.name = folder, device, seed, name
        self.history: list[Row] = []
        self._board: Any = None
        claim(folder, record, resume=resume)
        self._state = _read_last(folder)
        if self._state:
            self.history = json.loads(self._state["state.json"])["history"]

    def __enter__(self) -> "Run":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self._write_journal()
        if self._board is not None:
            self._board.close()

    @property
    def validation_losses(self) -> list[float]:
        """One per finished epoch; none where a training has no such thing."""
        return [row["validation_loss"] for row in self.history if "validation_loss" in row]

    @property
    def best_epoch(self) -> int | None:
        """The epoch (from 1) whose weights ``best.safetensors`` holds."""
        return max((int(row["epoch"]) for row in self.history if row["best"]), default=None)

    def restore(self, network: nn.Module, optimiser: torch.optim.Optimizer) -> None:
        """Put the state of the last finished epoch into both; nothing for a new run."""
        if self._state:
            network.load_state_dict(renamed(load_tensors(self._state["network.safetensors"]), network.state_dict()))
            groups = json.loads(self._state["state.json"])["groups"]
            optimiser.load_state_dict(_unflatten(load_tensors(self._state["optimiser.safetensors"]), groups))
            self._state = None

    def epochs(self, count: int, enough: Callable[[Sequence[float]], bool]) -> Iterator[int]:
        """The epochs still to do, from 0, each freshly seeded, until ``enough`` is true of the validation losses."""
        for epoch in range(len(self.history), count):
            if enough(self.validation_losses):
                return
            torch.manual_seed(self.seed * 1_000_003 + epoch + 1)
            yield epoch

    def rng(self, epoch: int) -> np.random.Generator:
        """Chance for the order and the augmentation of one epoch."""
        return np.random.default_rng((self.seed, epoch))

    def finish_epoch(
        self, network: nn.Module, optimiser: torch.optim.Optimizer, row: Row, *, keep: nn.Module | None = None
    ) -> None:
        """Write the best weights if these are, then all that a resume needs, then the journal.

        Args:
            network: All that is trained.
            optimiser: Its state.
            row: Numbers of the epoch. The lowest ``validation_loss`` is the best; without that, the newest epoch is.
            keep: The part of ``network`` that is used once it is trained; None: all of it.
        """
        losses = self.validation_losses
        best = not losses or "validation_loss" not in row or row["validation_loss"] < min(losses)
        self.history.append({"epoch": len(self.history) + 1, **row, "best": best})
        weights = dump(network)
        if best:
            files.write(self.folder / "best.safetensors", weights if keep is None else dump(keep))
        tensors, groups = _flatten(optimiser.state_dict())
        state = {"history": self.history, "groups": groups}
        _write_last(
            self.folder, {"network.safetensors": weights, "optimiser.safetensors": save_tensors(tensors)}, state
        )
        self._write_journal()

    def _write_journal(self) -> None:
        files.write(self.folder / "journal.jsonl", "".join(json.dumps(row) + "\n" for row in self.history))
        if self._board is None:
            self._board = _tensorboard(self.folder / "tensorboard", len(self.history))
        for name, value in self.history[-1].items() if self.history else ():
            if isinstance(value, float):
                self._board.add_scalar(name, value, len(self.history))


class _NoBoard:
    """Takes the place of a TensorBoard log where that package is not installed."""

    def add_scalar(self, name: str, value: float, step: int) -> None:
        """Nothing."""

    def close(self) -> None:
        """Nothing."""


def _tensorboard(folder: Path, step: int) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return _NoBoard()
    return SummaryWriter(folder, purge_step=step)


def claim(folder: Path, record: dict[str, Any], *, resume: bool) -> None:
    """Write ``record`` to a new folder, or make sure that the run in it is the same one.

    Raises:
        BiosegError: A run is there already and ``resume`` is off, or it was made by another recipe, split or folds.
    """
    known = folder / "record.json"
    if not known.exists():
        files.write_json(known, record)
        return
    if not resume:
        raise BiosegError(f"{folder}: holds a run already; continue it with --resume, or choose another --out")
    old = read_record(folder)
    for part in ("fingerprint", "folds", "split"):
        if old.get(part) != record.get(part):
            raise BiosegError(
                f"{folder}: was made with {part} {old.get(part)}, this is {record.get(part)}; "
                "give the recipe, data and settings it was started with, or choose another --out"
            )


def _flatten(state: dict[str, Any]) -> tuple[dict[str, Tensor], list[dict[str, Any]]]:
    """An optimiser's state as named tensors and JSON groups."""
    tensors = {
        f"{index}.{name}": value.contiguous()
        for index, slots in state["state"].items()
        for name, value in slots.items()
    }
    return tensors, state["param_groups"]


def _unflatten(tensors: dict[str, Tensor], groups: list[dict[str, Any]]) -> dict[str, Any]:
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        index, name = key.split(".", 1)
        # As the weights lie, else the resumed steps are slower.
        state.setdefault(int(index), {})[name] = (
            value.contiguous(memory_format=MEMORY_FORMAT) if value.ndim == 4 else value
        )
    return {"state": state, "param_groups": groups}


def _write_last(folder: Path, parts: dict[str, bytes], state: dict[str, Any]) -> None:
    """Replace ``last/`` by a new one and keep the one before; at every state one of them is whole."""
    last, before, new = folder / "last", folder / "last.before", folder / "last.new"
    shutil.rmtree(new, ignore_errors=True)
    for name, data in parts.items():
        files.write(new / name, data)
    digests = {name: hashlib.sha256(data).hexdigest() for name, data in parts.items()}
    files.write(new / "state.json", json.dumps({**state, "sha256": digests}))
    if last.exists():
        shutil.rmtree(before, ignore_errors=True)
        os.replace(last, before)
    os.replace(new, last)


def _read_last(folder: Path) -> dict[str, bytes] | None:
    """The newest whole state, or None where no epoch was finished."""
    there = [folder / name for name in ("last.new", "last", "last.before") if (folder / name).exists()]
    states = [parts for place in there if (parts := _whole(place))]
    if there and not states and (folder / "last.before").exists():
        raise BiosegError(f"{folder}: neither last/ nor last.before/ is whole; start again in another folder")
    return max(states, key=lambda parts: len(json.loads(parts["state.json"])["history"]), default=None)


def _whole(place: Path) -> dict[str, bytes] | None:
    try:
        parts = {file.name: file.read_bytes() for file in place.iterdir()}
        digests = json.loads(parts["state.json"])["sha256"]
    except (OSError, KeyError, ValueError):
        return None
    return parts if all(hashlib.sha256(parts.get(n, b"")).hexdigest() == d for n, d in digests.items()) else None
