"""The run folder of one training, and what every training loop needs: seeds, journal, best and last weights, resuming.

Layout: ``record.json``, ``journal.jsonl`` and ``journal.csv`` (one line per epoch), ``best.safetensors``, ``last/`` and
``last.before/`` (weights, optimiser, state: all that a resume needs), ``tensorboard/``. Every epoch starts from a seed of its own,
so that a resumed run continues bit for bit as if it had never stopped (on a CPU, with the same number of threads).
"""

import hashlib
import json
import math
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor, nn

from bioseg import files
from bioseg.inference.device import MEMORY_FORMAT
from bioseg.models import weights
from bioseg.record import journal_rows, read_record
from bioseg.types import BiosegError

Row = dict[str, Any]
NETWORK, OPTIMISER = "network.safetensors", "optimiser.safetensors"


class Run:
    """An open run folder, to be used in a ``with`` block, so that it is closed whatever is raised in it.

    Attributes:
        folder: The run folder.
        device: Where to compute.
        seed: Of everything that is drawn.
        name: What progress is reported under.
        history: One row per finished epoch, as in the journal.
    """

    def __init__(
        self, folder: Path, record: dict[str, Any], *, seed: int, device: torch.device, resume: bool,
        name: str = "training",
    ) -> None:  # fmt: skip
        """Open ``folder``: new, or continuing the run that lies there.

        Raises:
            BiosegError: As for :func:`claim`, or no saved state of the run is intact.
        """
        self.folder, self.device, self.seed, self.name = folder, device, seed, name
        self.history: list[Row] = []
        self._board: Any = None
        claim(folder, record, resume=resume)
        self._state = _read_last(folder)
        if self._state:
            self.history = self._state["state.json"]["history"]
            self._write_journal()  # the process may have died before it did

    def __enter__(self) -> "Run":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._board is not None:
            self._board.close()

    @property
    def validation_losses(self) -> list[float]:
        """One per finished epoch; empty where a training has none."""
        return [row["validation_loss"] for row in self.history if "validation_loss" in row]

    @property
    def best_epoch(self) -> int | None:
        """The epoch (from 1) whose weights ``best.safetensors`` holds; None: there is no such file yet."""
        return max((int(row["epoch"]) for row in self.history if row["best"]), default=None)

    def restore(self, network: nn.Module, optimiser: torch.optim.Optimizer) -> None:
        """Put the state of the last finished epoch into both; nothing for a new run.

        Raises:
            BiosegError: It is the state of another network, or holds values that are not finite.
        """
        if self._state:
            place = self.folder / "last"
            network.load_state_dict(weights.parse(self._state[NETWORK], place / NETWORK, network))
            groups = optimiser.state_dict()["param_groups"]  # the recipe's: it is the same
            slots = _unflatten(self._state[OPTIMISER], place / OPTIMISER, optimiser)
            optimiser.load_state_dict({"state": slots, "param_groups": groups})
            self._state = None

    def epochs(self, count: int, enough: Callable[[Sequence[float]], bool]) -> Iterator[int]:
        """The epochs still to do, from 0, each freshly seeded, until ``enough`` is true of the validation losses."""
        for epoch in range(len(self.history), count):
            if enough(self.validation_losses):
                return
            torch.manual_seed(self.seed * 1_000_003 + epoch + 1)
            yield epoch

    def rng(self, epoch: int) -> np.random.Generator:
        """For the order and the augmentation of one epoch."""
        return np.random.default_rng((self.seed, epoch))

    def finish_epoch(
        self, network: nn.Module, optimiser: torch.optim.Optimizer, row: Row, *, keep: nn.Module | None = None
    ) -> None:
        """Write the weights if they are the best so far, then all that a resume needs, then the journal.

        Args:
            network: All that is trained.
            optimiser: Its state.
            row: Numbers of the epoch. The lowest ``validation_loss`` is the best, one that is not finite never; without
                such a key, the newest epoch is the best.
            keep: The part of ``network`` that is used once it is trained; None: all of it.
        """
        self.history.append({"epoch": len(self.history) + 1, **row, "best": self._is_best(row)})
        data = weights.dump(network)
        if self.history[-1]["best"]:
            files.write(self.folder / "best.safetensors", data if keep is None else weights.dump(keep))
        tensors, groups = _flatten(optimiser.state_dict())
        state = {"history": self.history, "groups": groups}
        _write_last(self.folder, {NETWORK: data, OPTIMISER: save_tensors(tensors)}, state)
        self._write_journal()
        self._write_board()

    def _is_best(self, row: Row) -> bool:
        if "validation_loss" not in row:
            return True
        loss = row["validation_loss"]
        return math.isfinite(loss) and loss < min(filter(math.isfinite, self.validation_losses), default=math.inf)

    def _write_journal(self) -> None:
        files.write(self.folder / "journal.jsonl", "".join(json.dumps(row) + "\n" for row in self.history))
        columns = list(self.history[0]) if self.history else []
        rows = [[row[name] for name in columns] for row in self.history]
        files.write_csv(self.folder / "journal.csv", columns, rows)

    def _write_board(self) -> None:
        if self._board is None:
            self._board = _tensorboard(self.folder / "tensorboard", len(self.history))
        for name, value in self.history[-1].items():
            if isinstance(value, float):
                self._board.add_scalar(name, value, len(self.history))


class _NoBoard:
    """In place of a TensorBoard log where that package is not installed."""

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
        BiosegError: A run is there already and ``resume`` is off, or it was made with another recipe, split or folds, or its
            record is damaged.
    """
    known = folder / "record.json"
    if not known.exists():
        files.write_json(known, record)
        return
    if not resume:
        raise BiosegError(f"{folder}: holds a run already; continue it with --resume, or choose another --out")
    old = read_record(folder)
    for part in ("fingerprint", "folds", "split", "code", "init"):
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


def _unflatten(data: bytes, path: Path, optimiser: torch.optim.Optimizer) -> dict[int, dict[str, Tensor]]:
    """The slots of each parameter, as :func:`_flatten` wrote them."""
    parameters = [parameter for group in optimiser.param_groups for parameter in group["params"]]
    try:
        tensors = load_tensors(data)
    except (SafetensorError, ValueError, KeyError) as fault:
        raise BiosegError(
            f"{path}: damaged or not a safetensors file ({fault}); start again in another folder"
        ) from None
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        index, _, name = key.partition(".")
        shapes = (parameters[int(index)].shape, ()) if index.isdecimal() and int(index) < len(parameters) else ()
        if value.shape not in shapes or not torch.isfinite(value).all():
            raise BiosegError(
                f"{path}: {key} does not fit the network, or is not finite; start again in another folder"
            )
        # In the layout of the weights, else the resumed steps are slower.
        state.setdefault(int(index), {})[name] = (
            value.contiguous(memory_format=MEMORY_FORMAT) if value.ndim == 4 else value
        )
    return state


def _write_last(folder: Path, parts: dict[str, bytes], state: dict[str, Any]) -> None:
    """Replace ``last/`` and keep the one before it as ``last.before/``; at every moment one of them is intact."""
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


def _read_last(folder: Path) -> dict[str, Any] | None:
    """The newest whole state by file name, ``state.json`` decoded; None where no epoch was finished."""
    there = [folder / name for name in ("last.new", "last", "last.before") if (folder / name).exists()]
    states, faults = [], []
    for place in there:
        try:
            states.append(_whole(place))
        except BiosegError as fault:
            faults.append(str(fault))
    if not states and there not in ([], [folder / "last.new"]):
        raise BiosegError(
            f"{folder}: neither last/ nor last.before/ is whole ({faults[-1]}); start again in another folder"
        )
    return max(states, key=lambda parts: len(parts["state.json"]["history"]), default=None)


def _whole(place: Path) -> dict[str, Any]:
    """The files of a state.

    Raises:
        BiosegError: One is missing, or not the one that was written.
    """
    path = place / "state.json"
    state = files.read_json(path, "it was not finished", finite=False)
    digests = state.get("sha256") if isinstance(state, dict) else None
    if not isinstance(digests, dict) or digests.keys() != {NETWORK, OPTIMISER}:
        raise BiosegError(f"{path}: no field 'sha256' with the digests of {NETWORK} and {OPTIMISER}")
    parts: dict[str, Any] = {name: files.read_bytes(place / name, "it was not finished") for name in digests}
    for name, data in parts.items():
        if hashlib.sha256(data).hexdigest() != digests[name]:
            raise BiosegError(f"{place / name}: SHA-256 is not the one in state.json")
    return parts | {"state.json": {"history": journal_rows(state.get("history"), f"{path}: history")}}
