"""The nine trials, small, on phantoms: in sessions as at once, nothing done twice, and a table that says what was scaled."""

import csv
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from bioseg import recipes
from bioseg.datasets import phantom_layouts
from bioseg.pipelines import assemble, scoring
from bioseg.record import differences
from bioseg.studies import adaptation, cross_hospital, sessions
from bioseg.studies.cross_hospital import BUDGETS, RECIPES, TRIALS, Benchmark, results, run_benchmark
from bioseg.studies.sessions import Clock, TimeUp
from bioseg.types import BiosegError

TINY = ("preparation.size_px=[32,32]", "training.epochs=1")
LITE = (*TINY, "network.encoder=lite0", "training.batch_size=4")
GAN = (*TINY, "generator.width=4", "discriminator.width=4")
SETTINGS = {
    "unet": (*TINY, "training.batch_size=4"),
    "enhanced": LITE,
    "enhanced-clahe": LITE,
    "cyclegan-unet": GAN,
    "cyclegan-resnet": GAN,
}


class Ticks(Clock):
    """A session that is over at the n-th place where stopping loses nothing."""

    left = 10**9

    def check(self) -> None:
        Ticks.left -= 1
        if Ticks.left < 0:
            raise TimeUp


@pytest.fixture(scope="module")
def sets(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("sets")
    phantom_layouts.write_montgomery(folder / "m", count=10, size_px=32)
    phantom_layouts.write_shenzhen(folder / "j", count=5, size_px=32, seed=1)
    for path in (folder / "j" / "CXR_png").iterdir():  # as PNG copies of the set lie; 2048×2048 would take its time
        number = path.stem.split("_")[1][1:]
        for old, new in ((path, "images"), (folder / "j" / "mask" / f"{path.stem}_mask.png", "masks/left_lung")):
            (folder / "j" / new).mkdir(parents=True, exist_ok=True)
            old.rename(folder / "j" / new / f"JPCNN{number}.png")
    phantom_layouts.write_shenzhen(folder / "s", count=3, size_px=32)
    return {"Montgomery": folder / "m", "JSRT": folder / "j", "Shenzhen": folder / "s"}


@pytest.fixture(scope="module")
def done(sets: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Benchmark, int]]:
    """The whole table, made in sessions of a few steps, and how many of them it took."""
    patch = pytest.MonkeyPatch()
    patch.setattr(cross_hospital, "FOLDS", 2)
    patch.setattr(cross_hospital, "Clock", Ticks)
    patch.setattr(assemble, "_draw", lambda *_: None)
    patch.setattr(scoring, "_draw", lambda *_: None)  # most of the time of runs this small
    benchmark = Benchmark(sets, tmp_path_factory.mktemp("benchmark") / "out", SETTINGS, device="cpu")
    count, finished = 0, False
    while not finished and count < 50:
        Ticks.left = 9
        made, finished = run_benchmark(benchmark)
        assert all(path.exists() for path in made)
        count += 1
    yield benchmark, count
    patch.undo()


@pytest.mark.slow
def test_sessions_lead_to_the_whole_table(done: tuple[Benchmark, int]) -> None:
    benchmark, count = done
    assert 2 < count < 50
    rows = {(row["trial"], row["set"]): row for row in results(benchmark)}
    assert len(rows) == len(TRIALS) * 4 == 32
    for trial in TRIALS[1:]:
        evaluated = ["JSRT"] if trial.translator else ["Montgomery", "JSRT", "Shenzhen"]
        for name in cross_hospital.SETS:
            row = rows[trial.name, name]
            assert row.get("n") == ({"Montgomery": 2, "JSRT": 5, "Shenzhen": 3}[name] if name in evaluated else None)
            if name == "JSRT":
                assert row["unseen"]["n"] == 4
    assert rows["1", "Montgomery"]["published"] == (0.97427, 0.009)


@pytest.mark.slow
def test_what_is_finished_is_not_done_again(done: tuple[Benchmark, int], monkeypatch: pytest.MonkeyPatch) -> None:
    benchmark, _ = done
    Ticks.left = 10**9
    for name in ("train", "train_translator"):
        monkeypatch.setattr(sessions, name, None)
    monkeypatch.setattr(cross_hospital, "evaluate", None)
    before = (benchmark.out / "cross-hospital.md").read_text()
    assert run_benchmark(benchmark)[1]
    assert (benchmark.out / "cross-hospital.md").read_text() == before


@pytest.mark.slow
def test_at_once_is_as_in_sessions(done: tuple[Benchmark, int], tmp_path: Path) -> None:
    benchmark, _ = done
    Ticks.left = 10**9
    once = replace(benchmark, out=tmp_path / "out", only=("1",))
    assert run_benchmark(once)[1]

    def first(asked: Benchmark) -> list[dict[str, object]]:
        return [{**row, "unseen": None} for row in results(asked) if row["trial"] == "1"]  # no translator here

    assert first(once) == first(benchmark)
    assert all("n" not in row for row in results(once) if row["trial"] != "1")


@pytest.mark.slow
def test_the_three_tables_say_the_same(done: tuple[Benchmark, int]) -> None:
    benchmark, _ = done
    text, page = ((benchmark.out / f"cross-hospital{suffix}").read_text() for suffix in (".md", ".html"))
    lines = list(csv.reader((benchmark.out / "cross-hospital.csv").read_text().splitlines()))
    assert lines[0] == ["trial", *cross_hospital.SETS] and len(lines) == 1 + len(TRIALS)
    for line in lines[1:]:
        for cell in line:
            for part in cell.split("; "):
                assert part in text and part in page
    for row in json.loads((benchmark.out / "cross-hospital.json").read_text()):
        if row.get("n"):
            assert f"{row['mean']:.4f} ± {row['sd']:.3f}" in text
    assert "preparation.size_px 256×256 → 32×32" in text and "training.epochs 80 → 1" in text
    assert "published 0.8879 ± 0.047" in text and "not run yet" not in text and "; as published" not in text


@pytest.mark.slow
def test_runs_of_other_settings_are_refused(done: tuple[Benchmark, int]) -> None:
    benchmark, _ = done
    other = replace(benchmark, settings={**SETTINGS, "unet": (*TINY, "training.batch_size=2")})
    with pytest.raises(BiosegError, match="unet: holds a run with fingerprint"):
        run_benchmark(other)


def test_what_cannot_be_carried_out_is_refused_and_what_is_missing_named(
    sets: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(BiosegError, match="--montgomery"):
        Benchmark({"JSRT": sets["JSRT"]}, tmp_path, {})
    with pytest.raises(BiosegError, match="--only 9"):
        Benchmark(sets, tmp_path, {}, only=("9",))
    with pytest.raises(BiosegError, match=r"no such folder.*--jsrt"):
        Benchmark({**sets, "JSRT": tmp_path / "none"}, tmp_path, {})
    benchmark = Benchmark({"Montgomery": sets["Montgomery"]}, tmp_path / "out", {}, minutes=0)
    monkeypatch.setattr(cross_hospital, "Clock", Clock)
    made, finished = run_benchmark(benchmark)
    text = made[0].read_text()
    assert not finished
    assert (
        "cyclegan-unet: needs --jsrt" in text
        and "set not given" in text
        and "enhanced: not finished yet; as published" in text
    )


def test_the_budgets_are_of_the_models_and_scale_them() -> None:
    assert set(BUDGETS["laptop"]) == set(RECIPES) and BUDGETS["full"] == {}
    unet = recipes.get("cxr-unet-reference")
    assert differences(unet, unet) == []
    changed = replace(
        unet, training=replace(unet.training, epochs=3, loss=recipes.get("cxr-enhanced-reference").training.loss)
    )
    said = differences(unet, changed)
    assert "training.epochs 80 → 3" in said
    assert any(line.endswith("soft_dice") and "→" in line for line in said)
    assert {trial.model for trial in TRIALS} | {trial.translator for trial in TRIALS} == {"", *RECIPES}


@pytest.mark.slow
@pytest.mark.slow
def test_the_adaptation_study_runs_in_sessions_beside_the_benchmark(
    done: tuple[Benchmark, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    benchmark, _ = done
    small = {
        name: replace(
            recipe,
            preparation=replace(recipe.preparation, size_px=(32, 32)),
            training=replace(recipe.training, epochs=1, batch_size=2),
        )
        for name, recipe in adaptation.TRAININGS.items()
    }
    monkeypatch.setattr(adaptation, "TRAININGS", small)
    monkeypatch.setattr(adaptation, "FOLDS", 2)
    monkeypatch.setattr(adaptation, "Clock", Ticks)
    asked = adaptation.Study(
        benchmark.sets["Montgomery"],
        {name: benchmark.sets[name] for name in ("JSRT", "Shenzhen")},
        benchmark.out,
        device="cpu",
    )
    count, finished = 0, False
    while not finished and count < 20:
        Ticks.left, count = 15, count + 1
        made, finished = adaptation.run_study(asked)
    assert 1 < count < 20
    rows = {row["variant"]: row for row in json.loads((benchmark.out / "adaptation.json").read_text())}
    assert list(rows) == [variant.name for variant in adaptation.VARIANTS]
    for variant in adaptation.VARIANTS:
        evaluated = {name for name in ("validation", "Montgomery", "JSRT", "Shenzhen") if name in rows[variant.name]}
        everything = {"Montgomery", "JSRT", "Shenzhen"} | (set() if variant.ensemble else {"validation"})
        assert evaluated == ({"JSRT"} if variant.translator else everything)
        assert rows[variant.name]["passes"] == (2 if variant.ensemble else 1) * (2 if variant.tta == "flip" else 1)
        assert rows[variant.name]["minutes"] > 0
        assert ("difference" in rows[variant.name]["JSRT"]) == (variant.name != "none")
    assert "fold ensemble" in made[0].read_text()
