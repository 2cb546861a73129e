"""--adapt: batch-norm statistics of the images to predict, and an error where they are too few or there are none."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from bioseg.datasets import phantom_layouts
from bioseg.inference.backends.torch import TorchBackend, torch_backend
from bioseg.inference.predictor import Predictor
from bioseg.pipelines.adapt import LEAST, adapted
from bioseg.pipelines.evaluate import EvaluateJob, evaluate
from bioseg.pipelines.open import open_predictor
from bioseg.pipelines.train import TrainJob, train
from bioseg.studies.adaptation import BASE
from bioseg.types import BiosegError, Case

SMALL = ("preparation.size_px=[32,32]", "training.epochs=2", "training.batch_size=2", "split.validation=0.2")


def network_of(predictor: Predictor) -> nn.Module:
    (backend,) = predictor.backends
    assert isinstance(backend, TorchBackend)
    return backend.network


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("adapt")
    phantom_layouts.write_montgomery(folder / "data", count=16, size_px=64)
    phantom_layouts.write_shenzhen(folder / "other", count=10, size_px=64)
    train(TrainJob(BASE, folder / "data", folder / "run", settings=SMALL))
    return folder


def test_statistics_change_weights_stay_and_the_predictor_given_is_untouched(run: Path) -> None:
    predictor = open_predictor(run / "run", "cpu")
    network = network_of(predictor)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    cases = [
        *(Case(path.stem, path.stem, path) for path in sorted((run / "other" / "CXR_png").iterdir())),
        Case("torn", "torn", run / "nowhere.png"),
    ]
    new, used = adapted(predictor, cases)
    assert used == 10 and new.recipe == predictor.recipe
    for name, value in network_of(new).state_dict().items():
        assert torch.equal(value, before[name]) != ("running" in name or "num_batches" in name), name
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert not network_of(new).training


def test_a_network_without_batch_norm_says_so(run: Path) -> None:
    """It was adapted in silence, and nothing had changed."""
    predictor = open_predictor(run / "run", "cpu")
    plain = replace(predictor, backends=(torch_backend(nn.Conv2d(1, 1, 3, padding=1), torch.device("cpu")),))
    cases = [Case(path.stem, path.stem, path) for path in sorted((run / "other" / "CXR_png").iterdir())]
    with pytest.raises(BiosegError, match="no batch norm to adapt; predict without adaptation"):
        adapted(plain, cases)


def test_too_few_images_are_refused(run: Path) -> None:
    predictor = open_predictor(run / "run", "cpu")
    cases = [Case(path.stem, path.stem, path) for path in sorted((run / "other" / "CXR_png").iterdir())[: LEAST - 1]]
    with pytest.raises(BiosegError, match=f"{LEAST - 1} readable images; give {LEAST} or more"):
        adapted(predictor, cases)


def test_an_evaluation_says_that_it_was_adapted(run: Path) -> None:
    scores = []
    for adapt in (False, True):
        out = run / f"scores-{adapt}"
        summary, problems = evaluate(EvaluateJob(run / "run", run / "other", out, adapt=adapt, device="cpu"))
        assert problems == []
        assert ('"adapted": true' in (out / "record.json").read_text()) == adapt
        scores.append(summary["dice"]["mean"])
    assert np.isfinite(scores).all() and scores[0] != scores[1]
