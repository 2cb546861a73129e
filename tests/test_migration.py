"""Runs and records of format 1 open, predict, are reported and resumed; the JSON files are copies made before the change.

``golden/format-1`` holds what trainings of one epoch on phantoms wrote; weights, which would be large, are made here under the
names that tensors had then. ``golden/records`` holds the records of the pretrained models.
"""

import hashlib
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save
from torch import Tensor, nn

from bioseg import recipes
from bioseg.datasets import phantom_layouts
from bioseg.inference import pretrained
from bioseg.migration import FORMAT
from bioseg.models.cyclegan import Pair
from bioseg.pipelines.open import blank, fold_folders, open_predictor, open_translator
from bioseg.pipelines.train import TrainJob, train
from bioseg.postprocess.masks import Postprocess
from bioseg.quality.model import QualityModel
from bioseg.recipe import SegmentationRecipe, TranslationRecipe
from bioseg.record import decode_recipe, fingerprint, read_record, read_spec
from bioseg.reports.run_folder import read_journal
from bioseg.training.fit_segmenter import parameter_groups
from bioseg.training.run import _flatten

GOLDEN = Path(__file__).parent / "golden"
RUNS = sorted(path.name for path in (GOLDEN / "format-1").iterdir())
SEGMENTATION = [name for name in RUNS if name != "cyc"]
SMALL = (
    "preparation.size_px=[64,64]", "training.epochs=1", "training.batch_size=4", "training.validation_batch_size=4",
)  # fmt: skip
WRITERS: dict[str, Callable[..., None]] = {
    "auto": phantom_layouts.write_images_masks,
    "cxr-lungs": phantom_layouts.write_montgomery,
    "nuclei": phantom_layouts.write_nuclei,
    "nuclei-reference": phantom_layouts.write_nuclei,
    "pneumonia": phantom_layouts.write_rsna,
}


def old_names(network: nn.Module) -> dict[str, Tensor]:
    """Its tensors as format 1 called them."""
    pairs = ((r"(^|\.)upsample\.", r"\1rise."), (r"^presence\.", "whole."))
    tensors = {}
    for name, tensor in network.state_dict().items():
        for pattern, replacement in pairs:
            name = re.sub(pattern, replacement, name)
        tensors[name] = tensor.contiguous()
    return tensors


@pytest.fixture
def run(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Path, list[nn.Module]]:
    """A run folder of format 1 with weights, and the networks they are of."""
    folder = Path(shutil.copytree(GOLDEN / "format-1" / request.param, tmp_path / "run"))
    record = read_record(folder)
    recipe = decode_recipe(record, folder)
    torch.manual_seed(0)
    networks: list[nn.Module] = []
    for place in fold_folders(folder, record):
        if isinstance(recipe, TranslationRecipe):
            networks.append(Pair(recipe.generator(), recipe.generator()))
        else:
            networks.append(blank(recipe.network))
        (place / "best.safetensors").write_bytes(save(old_names(networks[-1])))
    return folder, networks


def test_the_copies_are_of_format_1() -> None:
    records = sorted(GOLDEN.rglob("record.json"))
    assert len(records) >= 12 and {json.loads(path.read_text())["format"] for path in records} == {1}
    assert {path.name for path in GOLDEN.rglob("*.json")} == {
        "record.json",
        "chosen.json",
        "quality.json",
        "state.json",
    }


@pytest.mark.parametrize(
    "path", sorted(GOLDEN.rglob("record.json")), ids=lambda path: str(path.parent.relative_to(GOLDEN))
)
def test_a_record_is_brought_to_todays_format(path: Path) -> None:
    record = read_record(path.parent)
    assert record["format"] == FORMAT and "migrated" not in record
    recipe = decode_recipe(record, path.parent)
    assert record["fingerprint"] == fingerprint(recipe)
    assert not re.search(
        r"judged_on|\"list_cases\"|\"batch\"|\"rate\"|unite|windows|watched|picture_", json.dumps(record)
    )


@pytest.mark.parametrize("name", pretrained.names())
def test_the_pretrained_models_are_what_they_were(name: str) -> None:
    """The records of before, migrated, are the recipes of today."""
    old = read_record(GOLDEN / "records" / name)
    assert old["fingerprint"] == fingerprint(recipes.get(name)) == read_record(pretrained.find(name))["fingerprint"]
    chosen = read_spec(GOLDEN / "records" / name, "postprocess.json", Postprocess)
    assert chosen == read_spec(pretrained.find(name), "postprocess.json", Postprocess)


@pytest.mark.parametrize("run", SEGMENTATION, indirect=True)
def test_a_run_opens_and_predicts(run: tuple[Path, list[nn.Module]]) -> None:
    folder, networks = run
    predictor = open_predictor(folder, "cpu")
    assert len(predictor.backends) == len(networks) == (2 if predictor.recipe.name == "pneumonia" else 1)
    image = np.random.default_rng(0).random((64, 64, 3 if predictor.recipe.preparation.channels == 3 else 1))
    found = predictor.predict((255 * image).astype(np.uint8).squeeze())
    assert found.mask.shape == (64, 64)
    batch = np.zeros((1, predictor.recipe.preparation.channels, 64, 64), np.float32)
    for backend, network in zip(predictor.backends, networks, strict=True):
        with torch.inference_mode():
            assert np.allclose(backend(batch)[0], network.eval()(torch.from_numpy(batch)).numpy(), atol=1e-6)
    assert (predictor.quality is not None) == (predictor.recipe.name == "cxr-lungs") == (found.quality is not None)


@pytest.mark.parametrize("run", ["cyc"], indirect=True)
def test_a_translator_opens(run: tuple[Path, list[nn.Module]]) -> None:
    assert open_translator(run[0], "cpu").recipe.training.learning_rate == 2e-4
    parts = read_record(run[0])["parts"]
    assert set(parts) == {"source", "target"} and set(parts["source"]) == {"train", "monitored"}
    assert "monitored_cycle" in read_journal(run[0] / "journal.jsonl")[0]


def test_files_of_old_names_are_found_and_new_ones_win(tmp_path: Path) -> None:
    shutil.copy(GOLDEN / "format-1" / "nuclei" / "chosen.json", tmp_path)
    old = read_spec(tmp_path, "postprocess.json", Postprocess)
    assert (old.threshold, old.instances.marker_threshold) == (0.4, 0.3)
    (tmp_path / "postprocess.json").write_text('{"$type": "bioseg.postprocess.masks:Postprocess", "threshold": 0.6}')
    assert read_spec(tmp_path, "postprocess.json", Postprocess).threshold == 0.6
    shutil.copy(GOLDEN / "format-1" / "cxr-lungs" / "quality.json", tmp_path)
    quality = read_spec(tmp_path, "quality_model.json", QualityModel)
    assert quality.flag_below == 0.9 and len(quality.shapes.mean) == 13


def test_rows_of_a_journal_have_todays_names() -> None:
    (row,) = read_journal(GOLDEN / "format-1" / "auto" / "journal.jsonl")
    assert "learning_rate" in row and "rate" not in row


@pytest.mark.parametrize("run", ["auto", "nuclei-reference"], indirect=True)
def test_a_run_is_resumed_as_it_was_begun(run: tuple[Path, list[nn.Module]], tmp_path: Path) -> None:
    """Same data, settings and epochs: nothing is trained again, all that follows is; further epochs are another run."""
    folder, (network,) = run
    name = read_record(folder)["name"]
    recipe = decode_recipe(read_record(folder), folder)
    assert isinstance(recipe, SegmentationRecipe)
    optimiser = recipe.training.optimiser(parameter_groups(network, recipe.training))
    sum(parameter.sum() for parameter in network.parameters()).backward()  # type: ignore[union-attr]
    optimiser.step()
    parts = {"network": save(old_names(network)), "optimiser": save(_flatten(optimiser.state_dict())[0])}
    state = json.loads((folder / "last" / "state.json").read_text())
    for part, data in parts.items():
        (folder / "last" / f"{part}.safetensors").write_bytes(data)
        state["sha256"][f"{part}.safetensors"] = hashlib.sha256(data).hexdigest()
    (folder / "last" / "state.json").write_text(json.dumps(state))

    WRITERS[name](tmp_path / "data", count=14, seed=0, size_px=64)
    before = (folder / "best.safetensors").read_bytes()
    job = TrainJob(recipes.get(name), tmp_path / "data", folder, settings=SMALL, resume=True, device="cpu")  # type: ignore[arg-type]
    result = train(job)
    assert result.summary["cases"] == len(read_record(folder)["parts"]["validation"])
    assert (folder / "best.safetensors").read_bytes() == before
    assert len(read_journal(folder / "journal.jsonl")) == 1
