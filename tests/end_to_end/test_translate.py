"""Translation models on the command line: train, resume, translate, segment translated images."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bioseg import recipes
from bioseg.datasets import phantom_layouts
from bioseg.pipelines.train_translator import TranslatorJob, train_translator
from bioseg.recipe import TranslationRecipe
from tests.commands import Bioseg

SMALL = (
    "preparation.size_px=[32,32]", "training.keep_every=1", "generator.width=4", "discriminator.width=4",
)  # fmt: skip


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Images without masks, and Montgomery's."""
    source, target = (tmp_path_factory.mktemp(name) for name in ("source", "target"))
    phantom_layouts.write_shenzhen(source, count=7, seed=0, size_px=40)
    for mask in (source / "mask").iterdir():
        mask.unlink()
    phantom_layouts.write_montgomery(target, count=4, seed=1, size_px=40)
    return source, target


@pytest.fixture(scope="module")
def gan(folders: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One epoch between them."""
    out = tmp_path_factory.mktemp("runs") / "gan"
    recipe = recipes.get("cxr-cyclegan-unet")
    assert isinstance(recipe, TranslationRecipe)
    train_translator(TranslatorJob(recipe, *folders, out, (*SMALL, "training.epochs=1"), device="cpu"))
    return out


def test_training_goes_on_from_the_command_line(folders: tuple[Path, Path], tmp_path: Path, bioseg: Bioseg) -> None:
    out = tmp_path / "run"
    settings = [part for setting in SMALL for part in ("--set", setting)]
    order = ("train", "cxr-cyclegan-unet", "--data", folders[0], "--target", folders[1], "--out", out, *settings)
    first = bioseg(*order, "--epochs", 2, "--device", "cpu")
    assert first.code == 0, first.error
    assert "epoch   2 ·" in first.out
    assert {path.name for path in (out / "epochs").iterdir()} == {"001.safetensors", "002.safetensors"}
    taken = bioseg(*order, "--epochs", 2)
    assert taken.code == 1 and "--resume" in taken.error
    other = bioseg(*order, "--epochs", 3, "--resume")
    assert other.code == 1 and "fingerprint" in other.error
    again = bioseg(*order, "--epochs", 2, "--resume", "--device", "cpu")
    assert again.code == 0, again.error
    assert len((out / "journal.jsonl").read_text().splitlines()) == 2


@pytest.mark.usefixtures("real_figures")
def test_translate_writes_images_of_their_own_size(gan: Path, tmp_path: Path, bioseg: Bioseg) -> None:
    images, rng = tmp_path / "images", np.random.default_rng(0)
    (images / "more").mkdir(parents=True)
    shapes = {"a.png": (50, 80), "b.jpg": (97, 64, 3), "c.tif": (33, 40), "more/a.png": (32, 32)}
    for name, shape in shapes.items():
        Image.fromarray(rng.integers(0, 255, shape, dtype=np.uint8)).save(images / name)
    (images / "bad.png").write_bytes(b"\x89PNG no more")
    result = bioseg("translate", gan, images, "--out", tmp_path / "there", "--figure", tmp_path / "sheet.png")
    assert result.code == 1 and "4 of 5 images translated" in result.out
    assert [line for line in result.error.splitlines() if "bad.png" in line]
    made = {
        path.relative_to(tmp_path / "there" / "images").as_posix(): Image.open(path)
        for path in (tmp_path / "there").rglob("*.png")
    }
    assert {name: image.size for name, image in made.items()} == {
        "a.png": (80, 50), "b.png": (64, 97), "c.png": (40, 33), "more/a.png": (32, 32),
    }  # fmt: skip
    assert {image.mode for image in made.values()} == {"L"}
    assert Image.open(tmp_path / "sheet.png").width > 500
    back = bioseg("translate", gan, images / "a.png", "--out", tmp_path / "back", "--backwards")
    assert back.code == 0, back.error
    assert (np.asarray(made["a.png"]) != np.asarray(Image.open(tmp_path / "back" / "a.png"))).any()
    over = bioseg("translate", gan, images / "a.png", "--out", images)
    assert over.code == 1 and "overwritten" in over.error


def test_predicting_behind_a_translator_is_translating_first(
    gan: Path, run_folder: Path, folders: tuple[Path, Path], tmp_path: Path, bioseg: Bioseg
) -> None:
    images = sorted((folders[0] / "CXR_png").iterdir())[:2]
    both = bioseg("predict", run_folder, *images, "--translate", gan, "--out", tmp_path / "both", "--probabilities")
    assert both.code == 0, both.error
    assert bioseg("translate", gan, *images, "--out", tmp_path / "there").code == 0
    assert bioseg("predict", run_folder, tmp_path / "there", "--out", tmp_path / "after", "--probabilities").code == 0
    assert bioseg("predict", run_folder, *images, "--out", tmp_path / "plain", "--probabilities").code == 0
    for image in images:
        name = f"{image.stem}.probability.png"
        first, second, plain = (
            np.asarray(Image.open(tmp_path / folder / name)) for folder in ("both", "after", "plain")
        )
        assert np.array_equal(first, second)
        assert not np.array_equal(first, plain)


def test_evaluating_behind_a_translator_says_so(
    gan: Path, run_folder: Path, folders: tuple[Path, Path], tmp_path: Path, bioseg: Bioseg
) -> None:
    tables = []
    for name, more in (("plain", ()), ("translated", ("--translate", gan))):
        result = bioseg("evaluate", run_folder, "--data", folders[1], "--out", tmp_path / name, *more)
        assert result.code == 0, result.error
        with open(tmp_path / name / "scores.csv") as file:
            tables.append(list(csv.DictReader(file)))
    assert [row["case"] for row in tables[0]] == [row["case"] for row in tables[1]] and tables[0] != tables[1]
    assert json.loads((tmp_path / "translated" / "record.json").read_text())["translator"] == str(gan)


def test_wrong_words(gan: Path, run_folder: Path, folders: tuple[Path, Path], tmp_path: Path, bioseg: Bioseg) -> None:
    source, target = folders
    image = next((source / "CXR_png").iterdir())
    out = ("--out", tmp_path / "out")
    for arguments, said in (
        (("train", "cxr-cyclegan-unet", "--data", source, *out), "give --target"),
        (("train", "cxr-cyclegan-unet", "--data", source, "--target", target, "--folds", 3, *out), "none of --folds"),
        (("train", "cxr-cyclegan-unet", "--data", source, "--target", tmp_path / "nowhere", *out), "with --target"),
        (("train", "auto", "--data", source, "--target", target, *out), "leave it out"),
        (("translate", run_folder, image, *out), "no translation model"),
        (("predict", gan, image, *out), "not for segmentation"),
        (("predict", run_folder, image, "--translate", run_folder, *out), "no translation model"),
        (("report", gan), "has no scores"),
    ):
        result = bioseg(*arguments)
        assert result.code == 1 and said in result.error, arguments
        assert len(result.error.strip().splitlines()) == 1
    assert not (tmp_path / "out").exists()
