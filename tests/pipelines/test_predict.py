"""Masks and tables belong together: added to by the same model, refused for another, whatever goes wrong."""

import csv
import errno
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from bioseg.images import formats, png
from bioseg.inference import pretrained
from bioseg.inference.translator import Translator
from bioseg.models.cyclegan import Pair
from bioseg.pipelines.predict import find_images, predict
from bioseg.pipelines.translate import translate, translating
from bioseg.recipe import TranslationRecipe
from bioseg.settings import override
from bioseg.types import BiosegError, Callbacks, Case
from tests.pipelines.models import small_predictor, write_run


def image(path: Path, seed: int = 0, shape: tuple[int, int] = (20, 30)) -> Case:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(seed).integers(0, 255, shape, dtype=np.uint8)).save(path, "PNG")
    return Case(path.stem, "", path)


def rows(out: Path) -> dict[str, str]:
    with open(out / "measurements.csv", encoding="utf-8") as file:
        return {row["file"]: row["mask"] for row in csv.DictReader(file)}


def masks(out: Path) -> set[str]:
    return {path.name for path in out.glob("*.png")}


def test_the_same_model_adds_to_the_table(tmp_path: Path) -> None:
    a, b, other = (image(tmp_path / "in" / name, seed) for seed, name in enumerate(("a.png", "b.png", "more/a.png")))
    out, predictor = tmp_path / "out", small_predictor()
    predict(predictor, [a, b], out)
    before = (out / "a.png").read_bytes()
    assert predict(predictor, [other], out) == (1, [])
    assert rows(out) == {str(a.path): "a.png", str(b.path): "b.png", str(other.path): "a_2.png"}
    assert (out / "a.png").read_bytes() == before
    (out / "b.png").unlink()
    predict(predictor, [other, a], out)  # each keeps its name; the mask that is gone has no row
    assert rows(out) == {str(a.path): "a.png", str(other.path): "a_2.png"}
    assert masks(out) == set(rows(out).values())


def test_an_image_that_fails_now_keeps_its_mask_and_row(tmp_path: Path) -> None:
    a, b = image(tmp_path / "a.png"), image(tmp_path / "b.png", 1)
    out = tmp_path / "out"
    predict(small_predictor(), [a, b], out)
    a.path.write_bytes(b"\x89PNG no more")
    count, problems = predict(small_predictor(), [a, b], out)
    assert count == 1 and [one.path for one in problems] == [a.path]
    assert set(rows(out).values()) == masks(out) == {"a.png", "b.png"}


def test_another_model_or_an_unknown_table_is_refused(tmp_path: Path) -> None:
    a, out = image(tmp_path / "a.png"), tmp_path / "out"
    predict(small_predictor(0), [a], out)
    with pytest.raises(BiosegError, match=r"holds what another model made.*choose another --out"):
        predict(small_predictor(1), [a], out)
    (out / "prediction.json").unlink()
    with pytest.raises(BiosegError, match=r"holds measurements\.csv and no prediction\.json"):
        predict(small_predictor(0), [a], out)


def test_a_user_s_own_file_is_never_overwritten(tmp_path: Path) -> None:
    a, out = image(tmp_path / "a.png"), tmp_path / "out"
    mine = image(out / "a.png", 5).path.read_bytes()
    with pytest.raises(BiosegError, match=r"out/a\.png: lies there already"):
        predict(small_predictor(), [a], out)
    assert (out / "a.png").read_bytes() == mine and masks(out) == {"a.png"}


def test_no_masks_in_a_run_or_model_and_no_file_as_folder(tmp_path: Path) -> None:
    a = image(tmp_path / "a.png")
    (tmp_path / "file").write_text("")
    run = write_run(tmp_path / "run")
    (tmp_path / "scores").mkdir()
    (tmp_path / "scores" / "scores.csv").write_text("case,patient,source,dice\n")
    for out in (tmp_path / "file", run, tmp_path / "scores", pretrained.ROOT / "nuclei"):
        with pytest.raises(BiosegError, match=r"is a file|holds a run, a model or an evaluation"):
            predict(small_predictor(), [a], out)


@pytest.mark.parametrize("damage", ["{", "[]", '{"fingerprint": "seed-0", "images": {"a": "../a"}}', '{"images": 3}'])
def test_a_damaged_ledger_is_one_line(damage: str, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "prediction.json").write_text(damage)
    with pytest.raises(BiosegError, match=r"prediction\.json|another model") as refused:
        predict(small_predictor(), [image(tmp_path / "a.png")], tmp_path / "out")
    assert "\n" not in str(refused.value)


def test_a_full_disk_names_the_masks_that_are_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cases = [image(tmp_path / f"{name}.png", index) for index, name in enumerate("abc")]
    out, real = tmp_path / "out", png.write_probability

    def full(path: Path, probability: Any) -> None:
        if path.name.startswith("b"):
            monkeypatch.setattr(os, "fsync", failing)
        try:
            real(path, probability)
        finally:
            monkeypatch.setattr(os, "fsync", lambda descriptor: None)

    def failing(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(png, "write_probability", full)
    monkeypatch.setattr(os, "cpu_count", lambda: 1)  # or the fault may hit another image
    count, problems = predict(small_predictor(), cases, out, probabilities=True)
    assert count == 2
    assert len(problems) == 1 and problems[0].reason.startswith(str(out / "b.probability.png"))
    assert "the disk is full" in problems[0].reason
    assert set(rows(out).values()) == {"a.png", "c.png"} == {one for one in masks(out) if "prob" not in one}


def test_tables_that_cannot_be_written_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "out"
    (out / "measurements.csv").mkdir(parents=True)
    (out / "prediction.json").write_text('{"fingerprint": "seed-0", "images": {}}')
    monkeypatch.setattr("bioseg.outputs.tables._rows", lambda path, columns: [])
    count, problems = predict(small_predictor(), [image(tmp_path / "a.png")], out)
    assert count == 1 and [one.path.name for one in problems] == ["measurements.csv"]


def test_a_folder_that_may_not_be_written_is_found_before_the_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def forbidden(*arguments: Any, **named: Any) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr("bioseg.pipelines.predict.stream", None)  # never reached
    a = image(tmp_path / "a.png")
    monkeypatch.setattr(Path, "mkdir", forbidden)
    with pytest.raises(BiosegError, match="out: may not be written; choose another --out"):
        predict(small_predictor(), [a], tmp_path / "out")


def test_names_that_are_not_utf8_or_very_long(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    strange = [os.fsdecode(b"caf\xe9.png"), "x" * 246 + ".png", "y" * 246 + ".png", "two\nlines.png"]
    for index, name in enumerate(strange):
        image(folder / name, index)
    out = tmp_path / "out"
    count, problems = predict(small_predictor(), find_images([folder]), out, probabilities=True)
    assert (count, problems) == (4, [])
    assert set(rows(out).values()) == {name for name in masks(out) if "probability" not in name}
    assert any(path.endswith("caf\\udce9.png") for path in rows(out))
    assert predict(small_predictor(), find_images([folder]), out) == (4, [])  # known again by the table's words
    assert len(rows(out)) == 4


def test_one_image_without_memory_costs_only_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cases = [image(tmp_path / f"{name}.png", index) for index, name in enumerate("abc")]
    real = formats.read

    def greedy(source: Any, *arguments: Any, **named: Any) -> formats.RawImage:
        if source == cases[1].path:
            raise MemoryError
        return real(source, *arguments, **named)

    monkeypatch.setattr(formats, "read", greedy)
    count, problems = predict(small_predictor(), cases, tmp_path / "out")
    assert count == 2 and "b.png: too large for the memory" in problems[0].reason


def test_an_interruption_keeps_rows_and_masks_together(tmp_path: Path) -> None:
    cases = [image(tmp_path / f"{index}.png", index) for index in range(20)]
    said = list[str]()

    def progress(name: str, done: int, total: int, note: str) -> None:
        if done == 4:
            raise KeyboardInterrupt

    out = tmp_path / "out"
    with pytest.raises(KeyboardInterrupt):
        predict(small_predictor(), cases, out, callbacks=Callbacks(progress, said.append))
    assert set(rows(out).values()) == masks(out) and 4 <= len(masks(out)) < 20
    assert "stopped after 4 of 20 images" in said[-1] and "same command again" in said[-1]
    assert not (out / ".lock").exists()


@pytest.fixture(scope="module")
def translator() -> Translator:
    import torch

    from bioseg import recipes

    recipe = recipes.get("cxr-cyclegan-unet")
    assert isinstance(recipe, TranslationRecipe)
    for setting in ("preparation.size_px=[32,32]", "generator.width=4"):
        recipe = override(recipe, setting)
    torch.manual_seed(0)
    return Translator(Pair(recipe.generator(), recipe.generator()), recipe, torch.device("cpu"))


def test_translations_are_added_to_by_the_same_model_and_direction(translator: Translator, tmp_path: Path) -> None:
    a, b, bad = (image(tmp_path / f"{name}.png", seed) for seed, name in enumerate(("a", "b", "bad")))
    bad.path.write_bytes(b"")
    out = tmp_path / "out"
    count, problems = translate(translator, [a, bad], out)
    assert count == 1 and [one.path for one in problems] == [bad.path]
    assert translate(translator, [b], out) == (1, [])
    assert masks(out) == {"a.png", "b.png"}
    with pytest.raises(BiosegError, match="holds what another model made"):
        translate(translator, [a], out, backwards=True)
    with pytest.raises(BiosegError, match="holds a run"):
        translate(translator, [a], write_run(tmp_path / "run"))
    with pytest.raises(BiosegError, match=r"--figure .*is one of the images"):
        translate(translator, [a], tmp_path / "new", figure=a.path)


def test_a_translating_predictor_is_another_model(translator: Translator, tmp_path: Path) -> None:
    a, out = image(tmp_path / "a.png"), tmp_path / "out"
    predictor = small_predictor()
    predict(predictor, [a], out)
    with pytest.raises(BiosegError, match="another model"):
        predict(translating(predictor, translator), [a], out)
    assert translating(predictor, translator).fingerprint == translating(predictor, translator).fingerprint
