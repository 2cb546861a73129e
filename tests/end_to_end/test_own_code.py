"""A network, a loss, an augmentation, a file format and a folder layout of one's own: from training to an exported model."""

import sys
from pathlib import Path

import numpy as np
import pytest

import bioseg
from bioseg import user_code
from bioseg.datasets import phantoms
from bioseg.pipelines.export import export
from bioseg.pipelines.predict import find_images, predict
from bioseg.reports import figures
from bioseg.types import BiosegError, Problem

MODULE = '''
"""Scans as .npz with the array "scan", each with a mask beside it."""
from dataclasses import replace

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from bioseg import Case, call, get_recipe
from bioseg.datasets import splits

CALLS = []


class Plain(nn.Module):
    """Logits and nothing else: no encoder, no features."""

    def __init__(self, width):
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(1, width, 5, padding=2), nn.ReLU(), nn.Conv2d(width, 1, 1))

    def forward(self, images):
        return self.layers(images)


def plain(width=4):
    return Plain(width)


def weighted(logits, truth, weight=2.0):
    return functional.binary_cross_entropy_with_logits(logits, truth, pos_weight=torch.tensor(weight))


def mirrored(images, masks, rng):
    CALLS.append(len(images))
    return (images.flip(-1), masks.flip(-1)) if rng.random() < 0.5 else (images, masks)


def read(source):
    with np.load(source) as file:
        return file["scan"]


def list_scans(folder):
    found = sorted(folder.glob("*.scan.npz"))
    masks = [path.with_name(path.name.replace(".scan.", ".mask.")) for path in found]
    return [Case(p.name.partition(".")[0], p.name[:2], p, (m,) * m.exists()) for p, m in zip(found, masks)]


base = get_recipe("ct-lungs-reference")
RECIPE = replace(
    base,
    name="scans",
    layout=call(list_scans),
    reader=call(read),
    split=call(splits.by_patient, validation=0.25),
    network=call(plain, width=6),
    augment=call(mirrored),
    training=replace(base.training, loss=call(weighted, weight=1.5), epochs=2, batch_size=4),
    preparation=replace(base.preparation, size_px=(32, 32)),
)


def wrong(images, masks, rng):
    return images


WRONG = replace(RECIPE, augment=call(wrong))
'''


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``data``, ``new`` without masks, ``scans.py``."""
    root = tmp_path_factory.mktemp("scans")
    for folder, count in (("data", 8), ("new", 2)):
        (root / folder).mkdir()
        for number in range(count):
            image, mask = phantoms.ct_slice(np.random.default_rng(number), 40)
            np.savez(root / folder / f"p{number}.scan.npz", scan=image)
            if folder == "data":
                np.savez(root / folder / f"p{number}.mask.npz", scan=mask)
    (root / "scans.py").write_text(MODULE)
    return root


@pytest.mark.slow
def test_it_trains_opens_again_predicts_evaluates_and_is_exported(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(figures, "png", lambda figure: b"")
    run = place / "run"
    seen: list[str] = []
    callbacks = bioseg.Callbacks(epoch=lambda name, row: seen.append(name)) + bioseg.Callbacks(
        started=lambda record: seen.append(record["name"]), finished=lambda summary: seen.append("end")
    )
    result = bioseg.train(
        str(place / "scans.py"), place / "data", run, device="cpu", allow_code=True, callbacks=callbacks
    )
    assert result.problems == [] and result.summary["cases"] == 2
    assert seen == ["scans", "training", "training", "end"]
    assert sys.modules["user_scans"].CALLS == [
        1,
        4,
        2,
        4,
        2,
    ]  # once before anything is written, then 6 cases in each epoch

    sys.modules.pop("user_scans")  # as in a new process
    model = bioseg.load(run, "cpu", allow_code=True)
    scan = place / "new" / "p0.scan.npz"
    with np.load(scan) as file:
        from_array = model.predict(file["scan"])
    assert np.array_equal(model.predict(scan).probability, from_array.probability)
    summary, problems = bioseg.evaluate(run, place / "data", tmp_path / "scores", device="cpu", allow_code=True)
    assert summary["cases"] == 8 and sum(summary["seen"].values()) == 8 and problems == []

    cases = find_images([place / "new"], recipe=model.recipe)
    assert predict(model, cases, tmp_path / "masks") == (2, [])
    file = export(run, tmp_path / "scans.bioseg", allow_code=True)
    exported = bioseg.load(file, "cpu", backend="onnx")
    with np.load(scan) as arrays:
        assert np.abs(exported.predict(arrays["scan"]).probability - from_array.probability).max() < 1e-3


def test_a_damaged_file_is_named_and_the_rest_goes_on(place: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.npz").write_bytes(b"no archive")
    recipe = user_code.get_recipe(str(place / "scans.py"), allow=True)
    assert isinstance(recipe, bioseg.SegmentationRecipe)
    model = bioseg.Predictor(recipe, (lambda batch: (batch, np.zeros((len(batch), 0), np.float32)),))
    good = place / "new" / "p0.scan.npz"
    first, bad, last = bioseg.predict_many(model, [good, tmp_path / "bad.npz", good])
    assert isinstance(bad, Problem) and bad.reason.startswith(f"{tmp_path / 'bad.npz'}: read: ")
    assert "\n" not in bad.reason
    assert isinstance(first, bioseg.Prediction) and isinstance(last, bioseg.Prediction)


def test_an_augmentation_that_does_not_fit_is_refused_before_anything_is_written(place: Path, tmp_path: Path) -> None:
    recipe = user_code.get_recipe(str(place / "scans.py"), allow=True)
    wrong = sys.modules["user_scans"].WRONG
    assert wrong.name == recipe.name
    with pytest.raises(BiosegError, match=r"augment: wrong returns Tensor; it must return images \[1, 1, 32, 32\]"):
        bioseg.train(wrong, place / "data", tmp_path / "run", device="cpu", allow_code=True)
    assert not (tmp_path / "run").exists()
