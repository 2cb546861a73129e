"""What every translation recipe promises: it trains on two folders of images, opens and translates."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bioseg import recipes
from bioseg.datasets import phantom_layouts, splits
from bioseg.datasets.folders import list_images
from bioseg.images import formats, prepare
from bioseg.pipelines.machine import describe_recipes
from bioseg.pipelines.open import open_translator
from bioseg.pipelines.train_translator import TranslatorJob, train_translator
from bioseg.recipe import TranslationRecipe
from bioseg.record import decode, encode, fingerprint
from bioseg.settings import override
from bioseg.types import BiosegError, Callbacks, Case

EPOCHS = {"cxr-cyclegan-resnet": 150, "cxr-cyclegan-unet": 200}
SMALL = (
    "preparation.size_px=[32,32]", "training.epochs=1", "training.keep_every=0", "generator.width=4",
    "discriminator.width=4",
)  # fmt: skip


def get(name: str) -> TranslationRecipe:
    recipe = recipes.get(name)
    assert isinstance(recipe, TranslationRecipe)
    return recipe


def test_every_one_is_here() -> None:
    assert {name for name in recipes.names() if isinstance(recipes.get(name), TranslationRecipe)} == set(EPOCHS)
    counts = {row["name"]: row["parameters"] for row in describe_recipes()}
    assert (counts["cxr-cyclegan-unet"], counts["cxr-cyclegan-resnet"]) == (5_996_036, 35_264_003)


@pytest.mark.parametrize("name", EPOCHS)
def test_it_is_the_page(name: str) -> None:
    recipe, how = get(name), get(name).training
    assert (how.epochs, how.batch_size, how.learning_rate) == (EPOCHS[name], 1, 2e-4)
    assert (how.identity, how.cycle, how.pool, how.keep_every) == (5, 10, 50, 5)
    assert dict(how.optimiser.arguments) == {"beta1": 0.5}
    assert recipe.preparation.size_px == (256, 256)
    cases = [Case(f"{number:03d}", f"{number:03d}", Path(f"{number}.png")) for number in range(247)]
    assert [len(recipe.split_source(cases[:count]).train) for count in (246, 247)] == [81, 81]
    assert len(recipe.split_target(cases[:138]).train) == 82


@pytest.mark.usefixtures("real_figures")
@pytest.mark.parametrize("name", EPOCHS)
def test_it_trains_without_masks_is_opened_and_translates(name: str, tmp_path: Path) -> None:
    source, target, out = tmp_path / "source", tmp_path / "target", tmp_path / "run"
    phantom_layouts.write_belarus(source / "all", count=7, seed=0, size_px=40)
    for mask in (source / "all" / "masks").iterdir():
        mask.unlink()
    phantom_layouts.write_montgomery(target, count=6, seed=1, size_px=40)
    (target / "CXR_png" / "MCUCXR_0099_0.png").write_bytes(b"\x89PNG cut short")
    epochs: list[dict[str, Any]] = []
    callbacks = Callbacks(epoch=lambda name, row: epochs.append(row))
    problems = train_translator(TranslatorJob(get(name), source, target, out, SMALL), callbacks)
    assert [problem.path.name for problem in problems] == ["MCUCXR_0099_0.png"]
    assert [row["epoch"] for row in epochs] == [1]
    for file in ("best.safetensors", "last/state.json", "images/001.png", "figures/curves.png"):
        assert (out / file).stat().st_size > 0
    assert not (out / "epochs").exists()
    for figure in ("source-to-target", "target-to-source"):
        assert (out / "figures" / f"{figure}.png").stat().st_size > 10_000

    record = json.loads((out / "record.json").read_text())
    recipe = decode(record["recipe"], "record")
    assert fingerprint(recipe) == record["fingerprint"]
    for side in ("source", "target"):
        assert not set(record["parts"][side]["train"]) & set(record["parts"][side]["monitored"])
    assert len(record["parts"]["source"]["train"]) == 2 and len(record["parts"]["source"]["monitored"]) == 5

    translator = open_translator(out, "cpu")
    case = list_images(target)[0]
    raw_image = formats.read(case.image)
    there, back = translator.translate(raw_image), translator.translate(raw_image, backwards=True)
    assert there.pixels.shape == back.pixels.shape == raw_image.pixels.shape
    assert there.pixels.dtype == np.uint8 and not np.array_equal(there.pixels, back.pixels)
    shown = translator.cycle(raw_image)
    assert np.array_equal(prepare.to_bytes(shown[1]), there.pixels)


@pytest.mark.parametrize("name", EPOCHS)
def test_it_survives_json_and_refuses_colour(name: str) -> None:
    recipe = get(name)
    assert recipe.name == name and recipe.task and recipe.purpose
    again = decode(json.loads(json.dumps(encode(recipe))), "record")
    assert again == recipe and fingerprint(again) == fingerprint(recipe)
    assert fingerprint(override(recipe, "training.cycle=9")) != fingerprint(recipe)
    with pytest.raises(BiosegError, match="grey"):
        replace(recipe, preparation=replace(recipe.preparation, channels=3))


def test_too_few_images_are_refused(tmp_path: Path) -> None:
    for name, count in (("source", 2), ("target", 6)):
        phantom_layouts.write_belarus(tmp_path / name, count=count, size_px=40)
    job = TranslatorJob(get("cxr-cyclegan-unet"), tmp_path / "source", tmp_path / "target", tmp_path / "run", SMALL)
    with pytest.raises(BiosegError) as caught:
        train_translator(job)
    assert "\n" not in str(caught.value) and not job.out.exists()


def test_masks_are_neither_wanted_nor_opened(tmp_path: Path) -> None:
    phantom_layouts.write_montgomery(tmp_path / "m", count=3, size_px=40)
    phantom_layouts.write_belarus(tmp_path / "b", count=3, size_px=40)
    (tmp_path / "b" / "masks" / "2.png").unlink()
    assert [case.id for case in list_images(tmp_path / "m")] == [f"MCUCXR_000{i}_{1 - i % 2}" for i in (1, 2, 3)]
    assert [case.image.name for case in list_images(tmp_path / "b")] == ["1.png", "2.png", "3.png"]
    with pytest.raises(BiosegError, match="no such folder"):
        list_images(tmp_path / "nowhere")
    assert splits.random(list_images(tmp_path / "b"), test=0.4, seed=999).train
