"""--adapt: a model takes the statistics of the images it is given, and says when they are too few."""

from pathlib import Path

import numpy as np
import pytest
import torch

from bioseg.datasets import phantom_layouts
from bioseg.pipelines.adapt import LEAST, adapt
from bioseg.pipelines.evaluate import evaluate
from bioseg.pipelines.open import open_predictor
from bioseg.pipelines.train import Order, train
from bioseg.studies.adaptation import BASE
from bioseg.types import BiosegError, Case

SMALL = ("preparation.size_px=[64,64]", "training.epochs=8", "training.batch_size=2", "split.validation=0.2")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("adapt")
    phantom_layouts.write_montgomery(folder / "data", count=16, size_px=64)
    phantom_layouts.write_shenzhen(folder / "other", count=10, size_px=64)
    order = Order(BASE, folder / "data", folder / "run", settings=SMALL)
    train(order, progress=lambda *_: None, log=lambda _: None)
    return folder


def test_it_is_what_the_images_say(run: Path) -> None:
    predictor = open_predictor(run / "run", "cpu")
    before = {name: value.clone() for name, value in predictor.networks[0].state_dict().items()}
    cases = [
        *(Case(path.stem, path.stem, path) for path in sorted((run / "other" / "CXR_png").iterdir())),
        Case("torn", "torn", run / "nowhere.png"),
    ]
    assert adapt(predictor, cases) == 10
    after = predictor.networks[0].state_dict()
    for name, value in after.items():
        assert torch.equal(value, before[name]) != ("running" in name or "num_batches" in name), name
    assert not predictor.networks[0].training


def test_too_few_images_are_refused(run: Path) -> None:
    predictor = open_predictor(run / "run", "cpu")
    cases = [Case(path.stem, path.stem, path) for path in sorted((run / "other" / "CXR_png").iterdir())[: LEAST - 1]]
    with pytest.raises(BiosegError, match=f"{LEAST - 1} readable images; give {LEAST} or more"):
        adapt(predictor, cases)


def test_an_evaluation_says_that_it_was_adapted(run: Path) -> None:
    scores = []
    for adapted in (False, True):
        out = run / f"scores-{adapted}"
        summary, problems = evaluate(run / "run", run / "other", out, adapted=adapted, progress=lambda *_: None)
        assert problems == []
        assert ('"adapted": true' in (out / "record.json").read_text()) == adapted
        scores.append(summary["dice"]["mean"])
    assert np.isfinite(scores).all() and scores[0] != scores[1]
