"""The five pretrained models, exported: the same masks on real images as with PyTorch, in every backend."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from bioseg.datasets import cases as reading
from bioseg.evaluation import overlap
from bioseg.inference import pretrained
from bioseg.pipelines.export import export
from bioseg.pipelines.open import open_predictor

from .test_pretrained import ARCHIVED

NAMES = pretrained.names()
QUICK, LONG = 2, 50
"""Real images of one model in the normal selection, and of each in the slow one."""


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The model file of a pretrained model."""
    folder = tmp_path_factory.mktemp("exported")

    def one(name: str) -> Path:
        path = folder / f"{name}.bioseg"
        return path if path.exists() else export(name, path)

    return one


def compare(name: str, file: Path, data: Path, count: int) -> None:
    """Masks, objects and quality of ``count`` images, evenly spread."""
    reference = open_predictor(name, "cpu")
    others = {backend: open_predictor(file, backend=backend) for backend in ("onnx", "openvino")}
    cases = reference.recipe.layout(data)
    cases = cases[:: max(1, len(cases) // count)][:count]
    assert len(cases) == count
    dices: dict[str, list[float]] = {backend: [] for backend in others}
    for case in cases:
        raw_image = reading.read_image(case)
        expected = reference.predict(raw_image)
        for backend, other in others.items():
            found = other.predict(raw_image)
            counts = overlap.confusion(found.mask, expected.mask)
            dices[backend].append(1.0 if (found.mask == expected.mask).all() else overlap.dice(counts))
            assert np.abs(found.probability - expected.probability).max() < 1e-3
            if expected.labels is not None and found.labels is not None:
                assert abs(int(found.labels.max()) - int(expected.labels.max())) <= 1
            if expected.quality is not None and found.quality is not None:
                assert abs(found.quality.score - expected.quality.score) < 1e-3
    print({backend: (len(values), min(values)) for backend, values in dices.items()}, name)
    assert min(min(values) for values in dices.values()) >= 0.999


@pytest.mark.data
@pytest.mark.slow
def test_masks_of_a_few_real_images_are_those_of_pytorch(exported, archive) -> None:
    compare("cxr-lungs", exported("cxr-lungs"), archive("montgomery"), QUICK)


@pytest.mark.data
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.long if name == "nuclei" else pytest.mark.slow) for name in NAMES]
)
def test_masks_of_fifty_real_images_are_those_of_pytorch(name: str, exported, archive) -> None:
    compare(name, exported(name), archive(ARCHIVED[name][0]), LONG)


@pytest.mark.parametrize("name", NAMES)
def test_the_file_says_what_the_folder_says(name: str, exported) -> None:
    reference, found = open_predictor(name, "cpu"), open_predictor(exported(name), backend="onnx")
    for field in ("name", "task", "preparation", "postprocess", "tta", "evaluated_on", "layout", "split"):
        assert getattr(found.recipe, field) == getattr(reference.recipe, field)
    assert found.quality == reference.quality
    assert found.fingerprint and found.fingerprint != reference.fingerprint
