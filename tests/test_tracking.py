"""Callbacks of tracking services, on stand-ins with the functions that they call; and callbacks joined."""

import sys
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

import pytest

from bioseg import recipes, tracking
from bioseg.record import encode
from bioseg.types import BiosegError, Callbacks

RECORD = {"name": "nuclei", "recipe": encode(recipes.get("nuclei")), "data": "cells", "folds": 2}
ROW = {"epoch": 3, "loss": 0.5, "validation_loss": float("inf"), "best": True}
SUMMARY = {"cases": 4, "dice": {"mean": 0.9, "sd": 0.1}, "hd95_px": {"mean": float("nan")}, "seen": None}


def stand_in(name: str, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, tuple[Any, ...], dict[str, Any]]]:
    """A module of that name whose functions write down what they are called with."""
    calls: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = []
    module = ModuleType(name)
    module.__spec__ = ModuleSpec(name, None)

    def function(what: str) -> Any:
        return lambda *values, **named: calls.append((what, values, named))

    for what in ("set_experiment", "start_run", "log_params", "log_metrics", "end_run", "init", "log", "finish"):
        setattr(module, what, function(what))
    module.active_run = lambda: None  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, name, module)
    return calls


def follow(callbacks: Callbacks) -> None:
    callbacks.started(RECORD)
    callbacks.epoch("training", ROW)
    callbacks.epoch("fold 1/2", ROW)
    callbacks.finished(SUMMARY)


def test_mlflow_gets_settings_epochs_and_scores(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = stand_in("mlflow", monkeypatch)
    follow(tracking.mlflow("mine"))
    assert calls[:2] == [("set_experiment", ("mine",), {}), ("start_run", (), {"run_name": "nuclei", "nested": False})]
    (parameters,) = calls[2][1]
    assert parameters["training.epochs"] == "55" and parameters["network"].endswith(":pretrained_unet")
    assert parameters["data"] == "cells" and not any("$" in name for name in parameters)
    assert calls[3:] == [
        ("log_metrics", ({"loss": 0.5},), {"step": 3}),
        ("log_metrics", ({"fold 1/2/loss": 0.5},), {"step": 3}),
        ("log_metrics", ({"final/dice": 0.9},), {}),
        ("end_run", (), {}),
    ]


def test_wandb_is_offline(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = stand_in("wandb", monkeypatch)
    follow(tracking.wandb())
    (what, _, named), *rest = calls
    assert what == "init" and named["mode"] == "offline" and named["config"]["training.seed"] == "0"
    assert rest == [
        ("log", ({"epoch": 3, "loss": 0.5},), {}),
        ("log", ({"epoch": 3, "fold 1/2/loss": 0.5},), {}),
        ("log", ({"final/dice": 0.9},), {}),
        ("finish", (), {}),
    ]


def test_several_services_hear_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = stand_in("mlflow", monkeypatch), stand_in("wandb", monkeypatch)
    follow(tracking.by_name(["mlflow", "csv", "tensorboard", "wandb"]))
    assert [call[0] for call in first][-1] == "end_run" and [call[0] for call in second][-1] == "finish"


def test_callbacks_are_joined_in_order() -> None:
    heard: list[Any] = []
    both = Callbacks(log=lambda line: heard.append(1)) + Callbacks(
        log=heard.append, progress=lambda *all: heard.append(all)
    )
    both.log("a")
    both.counter("reading")(1, 2)
    both.epoch("training", {})
    assert heard == [1, "a", ("reading", 1, 2, "")]


@pytest.mark.parametrize("name", ["mlflow", "wandb", "tensorboard"])
def test_a_missing_package_is_named_with_its_extra(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracking.util, "find_spec", lambda name: None)
    with pytest.raises(BiosegError, match=rf"^{name}: is not installed; pip install 'bioseg\[{name}\]'$"):
        tracking.by_name([name])
    with pytest.raises(BiosegError, match="--track neptune: unknown; choose mlflow, wandb, tensorboard, csv"):
        tracking.by_name(["csv", "neptune"])
