"""What a run folder promises: bit-exact resumption, whatever moment the process dies at."""

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.utils.tensorboard import SummaryWriter

from bioseg import recipes
from bioseg.files import read_csv
from bioseg.recipe import SegmentationRecipe
from bioseg.record import encode, fingerprint
from bioseg.training.fit_segmenter import fit_segmenter
from bioseg.training.run import Run, claim
from bioseg.types import BiosegError, Callbacks
from tests.training.small import RECORD, samples, segmentation

NAN = float("nan")


def start(folder: Path, *, resume: bool = False, record: dict[str, Any] | None = None) -> Run:
    return Run(folder, record or RECORD, seed=3, device=torch.device("cpu"), resume=resume)


def work(run: Run, epochs: int, *, losses: list[float] | None = None, width: int = 8) -> nn.Module:
    """A tiny training whose every step is random: dropout, noise, order."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(4, width), nn.Dropout(0.5), nn.Linear(width, 1))
    optimiser = torch.optim.Adam([{"params": network.parameters(), "lr": 0.1, "base": 0.1}])
    with run:
        run.restore(network, optimiser)
        for epoch in run.epochs(epochs, lambda history: False):
            order = run.rng(epoch).permutation(4).tolist()
            loss = network(torch.eye(4)[order] + torch.rand(4, 4)).square().mean()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            run.finish_epoch(network, optimiser, {"validation_loss": losses[epoch] if losses else loss.item()})
    return network


def same(a: nn.Module, b: nn.Module) -> bool:
    return all(torch.equal(x, y) for x, y in zip(a.state_dict().values(), b.state_dict().values(), strict=True))


def test_a_resumed_run_is_the_uninterrupted_one(tmp_path: Path) -> None:
    whole = work(start(tmp_path / "a"), 5)
    work(start(tmp_path / "b"), 2)
    resumed = work(start(tmp_path / "b", resume=True), 5)
    assert same(whole, resumed)
    for name in ("journal.jsonl", "best.safetensors"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


@pytest.mark.parametrize(
    "damage", ["half-written new", "no last", "truncated last", "garbled state", "foreign state", "journal too long"]
)
def test_it_continues_from_the_newest_intact_state(tmp_path: Path, damage: str) -> None:
    whole = work(start(tmp_path / "a"), 4)
    folder = tmp_path / "b"
    work(start(folder), 3)
    if damage == "half-written new":
        (folder / "last.new").mkdir()
        (folder / "last.new" / "network.safetensors").write_bytes(b"half")
    elif damage == "no last":
        shutil.rmtree(folder / "last")
    elif damage == "truncated last":
        file = folder / "last" / "network.safetensors"
        file.write_bytes(file.read_bytes()[:-5])
    elif damage == "garbled state":
        (folder / "last" / "state.json").write_text("{")
    elif damage == "foreign state":
        state = json.loads((folder / "last" / "state.json").read_text())
        (folder / "last" / "state.json").write_text(json.dumps({**state, "history": [1, 2, 3]}))
    else:
        with open(folder / "journal.jsonl", "a") as file:
            file.write('{"epoch": 4, "val')
    assert same(whole, work(start(folder, resume=True), 4))
    rows = [json.loads(line) for line in (folder / "journal.jsonl").read_text().splitlines()]
    assert [row["epoch"] for row in rows] == [1, 2, 3, 4]


BROKEN: dict[str, Callable[[Path], object]] = {
    "missing": lambda state: state.unlink(),
    "empty": lambda state: state.write_text(""),
    "a list": lambda state: state.write_text("[]"),
    "deep": lambda state: state.write_text("[" * 100_000),
    "binary": lambda state: state.write_bytes(bytes(range(256))),
    "no digests": lambda state: state.write_text(json.dumps({**json.loads(state.read_text()), "sha256": 3})),
    "no history": lambda state: state.write_text(json.dumps({**json.loads(state.read_text()), "history": {}})),
}


@pytest.mark.parametrize("epochs", [1, 3])
@pytest.mark.parametrize("damage", BROKEN)
def test_when_no_state_is_intact_it_says_so_in_one_line(tmp_path: Path, damage: str, epochs: int) -> None:
    work(start(tmp_path), epochs)
    for name in ("last", "last.before"):
        if (tmp_path / name).exists():
            BROKEN[damage](tmp_path / name / "state.json")
    with pytest.raises(BiosegError, match="start again") as caught:
        start(tmp_path, resume=True)
    assert "\n" not in str(caught.value)


def test_a_state_of_another_network_is_refused_in_one_line(tmp_path: Path) -> None:
    work(start(tmp_path), 1)
    with pytest.raises(BiosegError, match="weights of another network") as caught:
        work(start(tmp_path, resume=True), 2, width=9)
    assert "\n" not in str(caught.value)


def test_best_is_the_lowest_validation_loss(tmp_path: Path) -> None:
    run = start(tmp_path)
    work(run, 4, losses=[0.5, 0.2, 0.4, 0.3])
    assert run.best_epoch == 2
    assert [row["best"] for row in run.history] == [True, True, False, False]


def test_a_loss_that_is_not_finite_is_never_the_best(tmp_path: Path) -> None:
    run = start(tmp_path / "a")
    work(run, 5, losses=[NAN, float("inf"), 0.5, NAN, 0.4])
    assert [row["best"] for row in run.history] == [False, False, True, False, True]
    work(start(tmp_path / "b"), 2, losses=[NAN, NAN])
    assert not (tmp_path / "b" / "best.safetensors").exists()
    run = start(tmp_path / "b", resume=True)
    assert run.best_epoch is None
    work(run, 3, losses=[NAN, NAN, 0.7])
    assert run.best_epoch == 3


def test_a_training_without_any_finite_validation_loss_ends_with_an_error(tmp_path: Path) -> None:
    bad = samples(2, 1)
    bad._images[:] = NAN
    recipe = segmentation()
    with start(tmp_path) as run, pytest.raises(BiosegError, match=r"not finite in any epoch.*learning_rate"):
        fit_segmenter(run, recipe, samples(4, 0), bad)


def test_a_run_is_not_overwritten_and_not_mixed_up(tmp_path: Path) -> None:
    work(start(tmp_path), 1)
    with pytest.raises(BiosegError, match="--resume"):
        start(tmp_path)
    with pytest.raises(BiosegError, match="fingerprint"):
        start(tmp_path, resume=True, record={**RECORD, "fingerprint": "g"})
    with pytest.raises(BiosegError, match="split"):
        start(tmp_path, resume=True, record={**RECORD, "split": "t"})


def test_a_record_of_format_1_is_migrated_before_it_is_compared(tmp_path: Path) -> None:
    recipe = recipes.get("nuclei-reference")
    assert isinstance(recipe, SegmentationRecipe)
    record = {
        "format": 2,
        "name": "nuclei-reference",
        "recipe": encode(recipe),
        "fingerprint": fingerprint(recipe),
        "folds": 0,
        "split": "s",
    }
    old = json.loads(
        json.dumps(record["recipe"]).replace('"learning_rate"', '"rate"').replace('"batch_size"', '"batch"')
        .replace('"layout"', '"list_cases"').replace('"evaluated_on"', '"judged_on"')
    )  # fmt: skip
    tmp_path.joinpath("record.json").write_text(
        json.dumps({**record, "format": 1, "recipe": old, "fingerprint": "of the old names"})
    )
    claim(tmp_path, record, resume=True)
    assert json.loads((tmp_path / "record.json").read_text())["format"] == 1, "it is left as it is"
    with pytest.raises(BiosegError, match="split"):
        claim(tmp_path, {**record, "split": "t"}, resume=True)


def test_patience_holds_after_a_resume(tmp_path: Path) -> None:
    work(start(tmp_path), 2)
    run = start(tmp_path, resume=True)
    assert list(run.epochs(9, lambda losses: len(losses) >= 2)) == []


def test_the_board_has_the_scores_once(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    work(start(tmp_path), 2, losses=[0.5, 0.25, 0.125])
    work(start(tmp_path, resume=True), 3, losses=[0.5, 0.25, 0.125])
    events = EventAccumulator(str(tmp_path / "tensorboard")).Reload().Scalars("validation_loss")
    assert [(event.step, event.value) for event in events] == [(1, 0.5), (2, 0.25), (3, 0.125)]


def test_the_journal_is_a_table_too(tmp_path: Path) -> None:
    work(start(tmp_path / "run"), 2)
    work(start(tmp_path / "run", resume=True), 3)
    rows = [json.loads(line) for line in (tmp_path / "run" / "journal.jsonl").read_text().splitlines()]
    table = read_csv(tmp_path / "run" / "journal.csv")
    assert len(rows) == 3 and table == [{key: str(value) for key, value in row.items()} for row in rows]


def test_tensorboard_is_optional(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    work(start(tmp_path), 2)
    assert not (tmp_path / "tensorboard").exists()
    assert len((tmp_path / "journal.jsonl").read_text().splitlines()) == 2


class TimeUp(Exception):
    """What a session raises out of a callback when its budget is spent."""


@pytest.mark.parametrize("fault", [TimeUp, KeyboardInterrupt])
@pytest.mark.parametrize("when", ["in an epoch", "after an epoch"])
def test_an_interruption_closes_the_board_and_the_run_can_be_resumed(
    tmp_path: Path, when: str, fault: type[BaseException], monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe, whole = segmentation(epochs=3), tmp_path / "whole"
    with start(whole) as run:
        fit_segmenter(run, recipe, samples(4, 0), samples(2, 1))

    def progress(name: str, done: int, total: int, note: str) -> None:
        if when == "in an epoch" and done > 4:
            raise fault

    def epoch(name: str, row: dict[str, Any]) -> None:
        if when == "after an epoch":
            raise fault

    folder, closed = tmp_path / "stopped", list[SummaryWriter]()
    close = SummaryWriter.close
    monkeypatch.setattr(SummaryWriter, "close", lambda board: (closed.append(board), close(board)))
    run = start(folder)
    with pytest.raises(fault), run:
        fit_segmenter(run, recipe, samples(4, 0), samples(2, 1), Callbacks(progress=progress, epoch=epoch))
    assert closed == [run._board]
    assert [json.loads(line)["epoch"] for line in (folder / "journal.jsonl").read_text().splitlines()] == [1]
    with start(folder, resume=True) as run:
        fit_segmenter(run, recipe, samples(4, 0), samples(2, 1))
    for name in ("best.safetensors", "last/network.safetensors", "last/optimiser.safetensors"):
        assert (whole / name).read_bytes() == (folder / name).read_bytes(), name
