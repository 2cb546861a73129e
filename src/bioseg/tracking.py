"""Callbacks that send a training's settings, epochs and scores to a tracking service; ``+`` joins them with others.

MLflow writes to ``MLFLOW_TRACKING_URI``, by default to the current folder; Weights & Biases writes offline, nothing leaves this
machine before ``wandb sync``. What a run folder holds, ``journal.csv`` and ``tensorboard/``, needs no callback.
"""

import importlib
import math
from collections.abc import Callable, Iterable
from functools import reduce
from importlib import util
from operator import add
from typing import Any

from bioseg.record import flat
from bioseg.types import SILENT, BiosegError, Callbacks

Numbers = dict[str, float]


def mlflow(experiment: str = "bioseg") -> Callbacks:
    """One MLflow run for each training; folds are told apart by the names of their metrics, ``fold 1/5/dice``.

    Raises:
        BiosegError: The package is not installed.
    """
    package = _package("mlflow")

    def started(record: dict[str, Any]) -> None:
        package.set_experiment(experiment)
        package.start_run(run_name=record["name"], nested=package.active_run() is not None)
        package.log_params(parameters(record))

    def finished(summary: dict[str, Any]) -> None:
        package.log_metrics(scores(summary))
        package.end_run()

    def epoch(name: str, row: dict[str, Any]) -> None:
        package.log_metrics(metrics(name, row), step=row["epoch"])

    return Callbacks(started=started, epoch=epoch, finished=finished)


def wandb(project: str = "bioseg", *, mode: str = "offline") -> Callbacks:
    """One run of Weights & Biases for each training.

    Args:
        project: Of theirs.
        mode: ``offline``, or ``online`` to send everything to their server.

    Raises:
        BiosegError: The package is not installed.
    """
    package = _package("wandb")

    def started(record: dict[str, Any]) -> None:
        package.init(project=project, name=record["name"], config=parameters(record), mode=mode)

    def finished(summary: dict[str, Any]) -> None:
        package.log(scores(summary))
        package.finish()

    def epoch(name: str, row: dict[str, Any]) -> None:
        package.log({"epoch": row["epoch"], **metrics(name, row)})

    return Callbacks(started=started, epoch=epoch, finished=finished)


def tensorboard() -> Callbacks:
    """Nothing more than every run writes, ``tensorboard/``; refused where that would be missing.

    Raises:
        BiosegError: The package is not installed.
    """
    _package("tensorboard")
    return SILENT


SERVICES: dict[str, Callable[[], Callbacks]] = {
    "mlflow": mlflow, "wandb": wandb, "tensorboard": tensorboard, "csv": lambda: SILENT,
}  # fmt: skip
"""By the words of ``--track``; ``csv`` is there in any case, as ``journal.csv``."""


def by_name(names: Iterable[str]) -> Callbacks:
    """The callbacks of several services.

    Raises:
        BiosegError: There is no such service, or its package is not installed.
    """
    words = list(names)
    if unknown := [word for word in words if word not in SERVICES]:
        raise BiosegError(f"--track {unknown[0]}: unknown; choose {', '.join(SERVICES)}")
    return reduce(add, (SERVICES[word]() for word in words), SILENT)


def parameters(record: dict[str, Any]) -> dict[str, str]:
    """The recipe's values and what the run was made with, ``training.epochs`` → ``40``."""
    about = {
        key: str(record[key]) for key in ("data", "folds", "fingerprint", "device", "git_commit") if record.get(key)
    }
    values = {name.removesuffix(".$call"): str(value)[:250] for name, value in flat(record["recipe"])}
    return {name: value for name, value in values.items() if "$" not in name} | about


def metrics(name: str, row: dict[str, Any]) -> Numbers:
    """The finite numbers of an epoch; those of a fold with its name in front."""
    prefix = f"{name}/" if name.startswith("fold") else ""
    return {f"{prefix}{key}": float(value) for key, value in row.items() if key != "epoch" and _finite(value)}


def scores(summary: dict[str, Any]) -> Numbers:
    """The means of a summary, ``final/dice``."""
    means: dict[str, Any] = {key: value.get("mean") for key, value in summary.items() if isinstance(value, dict)}
    return {f"final/{key}": float(mean) for key, mean in means.items() if _finite(mean)}


def _finite(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _package(name: str) -> Any:
    if util.find_spec(name) is None:
        raise BiosegError(f"{name}: is not installed; pip install 'bioseg[{name}]'")
    return importlib.import_module(name)
