"""A frozen encoder keeps weights and statistics for its epochs; a resumed run knows how far it was."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from bioseg.datasets.augment import Augmentation
from bioseg.models.transfer import Start
from bioseg.recipe import SegmentationRecipe
from bioseg.specs import call
from bioseg.training.fit_segmenter import fit_segmenter
from bioseg.training.run import Run
from bioseg.types import BiosegError, Callbacks
from tests.training.small import RECORD, Small, samples, segmentation


class WithEncoder(nn.Module):
    """Convolution and batch norm as the encoder, a convolution as the head."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Conv2d(1, 3, 3, padding=1), nn.BatchNorm2d(3), nn.ReLU())
        self.head = nn.Conv2d(3, 1, 1)

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.head(self.encoder(images))
        return logits


def recipe(freeze: int, epochs: int = 3) -> SegmentationRecipe:
    how = segmentation(epochs=epochs, freeze_epochs=freeze, encoder_learning_rate=1e-3)
    return replace(how, network=call(WithEncoder), augmentation=Augmentation(noise=0.1))


def fit(folder: Path, how: SegmentationRecipe, *, resume: bool = False, init: Start | None = None) -> list[str]:
    said = list[str]()
    with Run(folder, RECORD, seed=3, device=torch.device("cpu"), resume=resume) as run:
        fit_segmenter(run, how, samples(4, 0, 16), samples(2, 1, 16), Callbacks(log=said.append), init=init)
    return said


def last(folder: Path) -> dict[str, Tensor]:
    return load_file(folder / "last" / "network.safetensors")


def test_the_encoder_is_frozen_for_its_epochs_and_learns_afterwards(tmp_path: Path) -> None:
    torch.manual_seed(0)
    before = WithEncoder().state_dict()
    fit(tmp_path / "frozen", recipe(2, epochs=2))
    frozen = last(tmp_path / "frozen")
    for name in before:
        assert torch.equal(before[name], frozen[name]) == name.startswith("encoder."), name
    fit(tmp_path / "thawed", recipe(2, epochs=3))
    thawed = last(tmp_path / "thawed")
    assert not any(torch.equal(before[name], thawed[name]) for name in before)


def test_a_run_resumed_while_frozen_is_the_uninterrupted_one(tmp_path: Path) -> None:
    fit(tmp_path / "whole", recipe(2, epochs=4))
    how = recipe(2, epochs=4)

    class Killed(Exception):
        pass

    def epoch(name: str, row: object) -> None:
        raise Killed

    for resume in (False, True, True):
        with (
            pytest.raises(Killed),
            Run(tmp_path / "cut", RECORD, seed=3, device=torch.device("cpu"), resume=resume) as run,
        ):
            fit_segmenter(run, how, samples(4, 0, 16), samples(2, 1, 16), Callbacks(epoch=epoch))
    fit(tmp_path / "cut", how, resume=True)
    for name in ("best.safetensors", "last/network.safetensors", "last/optimiser.safetensors"):
        assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "cut" / name).read_bytes(), name


def test_a_network_without_an_encoder_cannot_be_frozen(tmp_path: Path) -> None:
    how = replace(segmentation(freeze_epochs=1), network=call(Small))
    with pytest.raises(BiosegError, match=r"freeze_epochs: this network has no encoder; set it to 0"):
        fit(tmp_path, how)


def test_initial_weights_are_loaded_once_and_said(tmp_path: Path) -> None:
    fit(tmp_path / "base", recipe(0, epochs=1))
    start = Start(tmp_path / "base" / "best.safetensors", "base")
    said = fit(tmp_path / "own", recipe(3, epochs=1), init=start)
    assert len(said) == 1 and "training: started from base: 9 of 9 tensors loaded" in said[0]
    name = "encoder.0.weight"
    assert torch.equal(last(tmp_path / "own")[name], load_file(start.path)[name])
    assert fit(tmp_path / "own", recipe(3, epochs=2), init=start, resume=True) == []
