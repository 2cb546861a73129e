"""What a run folder promises: bit-exact resumption, whatever state the process dies at."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from torch import nn

from bioseg.training.run import Run
from bioseg.types import BiosegError

RECORD = {"fingerprint": "f", "split": "s"}


def start(folder: Path, *, resume: bool = False, record: dict[str, str] | None = None) -> Run:
    return Run(folder, record or RECORD, seed=3, device=torch.device("cpu"), resume=resume)


def work(run: Run, epochs: int, *, losses: list[float] | None = None) -> nn.Module:
    """A tiny training whose every step is random: dropout, noise, order."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(4, 8), nn.Dropout(0.5), nn.Linear(8, 1))
    optimiser = torch.optim.Adam([{"params": network.parameters(), "lr": 0.1, "base": 0.1}])
    run.restore(network, optimiser)
    for epoch in run.epochs(epochs, lambda history: False):
        order = run.rng(epoch).permutation(4).tolist()
        loss = network(torch.eye(4)[order] + torch.rand(4, 4)).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        run.finish_epoch(network, optimiser, {"validation_loss": losses[epoch] if losses else loss.item()})
    run.close()
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
    "damage", ["half-written new", "no last", "truncated last", "garbled state", "journal too long"]
)
def test_it_goes_on_from_the_newest_whole_state(tmp_path: Path, damage: str) -> None:
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
    else:
        with open(folder / "journal.jsonl", "a") as file:
            file.write('{"epoch": 4, "val')
    assert same(whole, work(start(folder, resume=True), 4))
    rows = [json.loads(line) for line in (folder / "journal.jsonl").read_text().splitlines()]
    assert [row["epoch"] for row in rows] == [1, 2, 3, 4]


def test_when_no_state_is_whole_it_says_so(tmp_path: Path) -> None:
    work(start(tmp_path), 3)
    for name in ("last", "last.before"):
        (tmp_path / name / "state.json").unlink()
    with pytest.raises(BiosegError, match="start again"):
        start(tmp_path, resume=True)


def test_best_is_the_lowest_validation_loss(tmp_path: Path) -> None:
    run = start(tmp_path)
    work(run, 4, losses=[0.5, 0.2, 0.4, 0.3])
    assert run.best_epoch == 2
    assert [row["best"] for row in run.history] == [True, True, False, False]


def test_a_run_is_not_overwritten_and_not_mixed_up(tmp_path: Path) -> None:
    work(start(tmp_path), 1)
    with pytest.raises(BiosegError, match="--resume"):
        start(tmp_path)
    with pytest.raises(BiosegError, match="fingerprint"):
        start(tmp_path, resume=True, record={"fingerprint": "g", "split": "s"})
    with pytest.raises(BiosegError, match="split"):
        start(tmp_path, resume=True, record={"fingerprint": "f", "split": "t"})


def test_patience_holds_after_a_resume(tmp_path: Path) -> None:
    work(start(tmp_path), 2)
    run = start(tmp_path, resume=True)
    assert list(run.epochs(9, lambda losses: len(losses) >= 2)) == []


def test_the_board_has_the_scores(tmp_path: Path) -> None:
    work(start(tmp_path), 1)
    assert list((tmp_path / "tensorboard").glob("events.*"))
