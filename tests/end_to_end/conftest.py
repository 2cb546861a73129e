"""One small trained run, and the command line run inside this process."""

from pathlib import Path

import pytest

from bioseg.datasets import phantom_layouts
from bioseg.recipe import SegmentationRecipe
from tests.commands import Bioseg, runner
from tests.drawing import drawn


@pytest.fixture
def bioseg(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Bioseg:
    """Run ``bioseg ARGUMENTS`` and return exit code and output."""
    return runner(capfd, monkeypatch, columns=200)


@pytest.fixture(scope="session")
def nuclei(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty-four phantom images of nuclei in the challenge's layout."""
    folder = tmp_path_factory.mktemp("phantoms")
    phantom_layouts.write_nuclei(folder, count=24, seed=0, size_px=64)
    return folder


@pytest.fixture(scope="session")
def run_folder(nuclei: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two epochs on them."""
    from bioseg import recipes
    from bioseg.pipelines.train import TrainJob, train

    out = tmp_path_factory.mktemp("runs") / "small"
    recipe = recipes.get("nuclei-reference")
    assert isinstance(recipe, SegmentationRecipe)
    with drawn():
        train(TrainJob(recipe, nuclei, out, settings=("preparation.size_px=[64,64]", "training.epochs=2")))
    return out
