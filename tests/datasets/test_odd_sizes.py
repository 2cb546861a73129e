"""Images of one pixel and of three rows are trained on and scored as all others are."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from bioseg import recipes
from bioseg.datasets import augment, folders
from bioseg.datasets.augment import Augmentation
from bioseg.datasets.samples import load
from bioseg.images import prepare
from bioseg.images.prepare import Preparation
from bioseg.pipelines.train import TrainJob, train
from bioseg.recipe import SegmentationRecipe
from bioseg.recipes import auto
from bioseg.specs import call

SHAPES = ((1, 1), (3, 2000), (2000, 3), (1, 40), (40, 40), (33, 47), (1, 1), (3, 2000), (40, 40), (40, 40))
STEPS = (prepare.min_max, prepare.percentile_window, prepare.clahe, prepare.chest_upright)
EVERYTHING: dict[str, Any] = {
    "rotation_deg": 30.0, "shift": 0.2, "zoom": (0.6, 1.6), "flip_rows": 0.5, "quarter_turns": True, "gamma": 0.9,
    "contrast": 0.4, "blur_px": 1.5, "blur_chance": 1.0, "noise": 0.1, "bias_field": 0.1, "convolution_chance": 1.0,
    "fourier_chance": 1.0, "distractors": 2,
}  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    for number, shape in enumerate(SHAPES):
        mask = np.zeros(shape, np.uint8)
        mask[: max(1, shape[0] // 2), : max(1, shape[1] // 2)] = 255
        for part, pixels in (("images", rng.integers(0, 255, shape, np.uint8)), ("masks", mask)):
            (tmp_path / "data" / part).mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(tmp_path / "data" / part / f"{number}.png")
    return tmp_path / "data"


@pytest.mark.filterwarnings("error::RuntimeWarning")
@pytest.mark.parametrize("fit", ["stretch", "letterbox", "patches"])
@pytest.mark.parametrize("size", [(1, 1), (16, 12), (64, 64)])
def test_they_are_prepared_and_augmented(folder: Path, fit: prepare.Fit, size: tuple[int, int]) -> None:
    for step in STEPS:
        how = Preparation(
            size, intensity=(call(prepare.min_max), call(step)), fit=fit, targets=("foreground", "marker", "presence")
        )
        for limit in (0, 10**9):
            samples = load(folders.list_cases(folder), how, memory_limit=limit)
            assert samples.problems == ()
            rng = np.random.default_rng(0)
            count = 0
            for batch in samples.batches(range(len(SHAPES)), 4, rng):
                assert batch.images.shape[1:] == (1, *size) and batch.masks.shape[1:] == (3, *size)
                for fill in ("nearest", "zero", "mirror"):
                    drawn = augment.draw(Augmentation(**EVERYTHING, fill=fill), rng, len(batch.images), size)
                    images, masks = augment.apply(batch.images, batch.masks, drawn, how.targets)
                    assert images.isfinite().all() and images.min() >= 0 and images.max() <= 1
                    assert set(masks.unique().tolist()) <= {0.0, 1.0}
                count += len(batch.images)
            assert count == len(SHAPES)


def small(name: str) -> SegmentationRecipe:
    recipe = recipes.get(name)
    assert isinstance(recipe, SegmentationRecipe)
    return recipe


@pytest.mark.slow
@pytest.mark.parametrize("name", ["nuclei", "ct-lungs-reference", "auto"])
def test_they_are_trained_on_from_end_to_end(folder: Path, name: str, tmp_path: Path) -> None:
    settings = (
        "training.epochs=1",
        "training.batch_size=2",
        *(("preparation.size_px=[64,64]",) if name != "auto" else ()),
    )
    result = train(TrainJob(small(name), folder, tmp_path / "run", settings=settings, device="cpu"))
    assert result.problems == []
    assert result.summary["cases"] >= 1


def test_a_network_is_trained_on_them(folder: Path, tmp_path: Path) -> None:
    """The quick part of the test above: patches, presence and all."""
    recipe = small("ct-lungs-reference")
    how = replace(recipe.preparation, size_px=(32, 32), fit="patches", targets=("foreground",))
    recipe = replace(
        recipe,
        preparation=how,
        augmentation=Augmentation(**EVERYTHING, fill="zero"),
        training=replace(recipe.training, epochs=1, batch_size=4),
    )
    result = train(TrainJob(recipe, folder, tmp_path / "run", device="cpu"))
    assert result.problems == [] and result.summary["cases"] >= 1


@pytest.mark.slow
def test_training_sees_presence_of_whole_images(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever moves in from outside."""
    seen: list[torch.Tensor] = []
    real = augment.apply

    def watched(*values: Any) -> tuple[torch.Tensor, torch.Tensor]:
        images, masks = real(*values)
        seen.append(masks)
        return images, masks

    monkeypatch.setattr(augment, "apply", watched)
    recipe = small("pneumonia")
    recipe = replace(
        recipe,
        preparation=replace(recipe.preparation, size_px=(64, 64)),
        augmentation=Augmentation(shift=0.5, zoom=(0.4, 0.6), fill="zero"),
        training=replace(recipe.training, epochs=1, batch_size=4),
    )
    train(TrainJob(recipe, folder, tmp_path / "run", device="cpu"))
    presence = torch.cat(seen)[:, 1]
    assert len(presence) >= 4 and presence.any()
    assert torch.equal(presence.amin((1, 2)), presence.amax((1, 2)))


def test_the_recipe_that_configures_itself_takes_them(folder: Path) -> None:
    fitted, reasons = auto.configure(auto.RECIPE, folders.list_cases(folder))
    assert min(fitted.preparation.size_px) >= 32 and reasons
    torch.set_num_threads(1)
