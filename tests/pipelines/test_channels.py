"""Stacks of stains from a microscope: trained, predicted, evaluated and exported as they are, or by one channel."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

import bioseg
from bioseg.datasets import folders, inspection, phantoms
from bioseg.images import formats
from bioseg.pipelines import train as training
from bioseg.pipelines.export import export
from bioseg.pipelines.predict import find_images, predict
from bioseg.recipes import auto
from bioseg.settings import channel_settings
from bioseg.types import BiosegError
from tests.commands import Bioseg, runner
from tests.contracts.image_files import slide
from tests.pipelines.models import small_predictor, small_recipe, write_run

STAINS = ("DAPI", "actin", "tubulin", "bright")
MICRONS = 0.325


def write_stacks(folder: Path, count: int, size_px: int = 32, seed: int = 0) -> Path:
    """OME-TIFFs whose nuclei are bright in DAPI alone; other channels have other cells, much brighter."""
    rng = np.random.default_rng(seed)
    (folder / "images").mkdir(parents=True)
    (folder / "masks").mkdir()
    for number in range(count):
        layers = [phantoms.nuclei(rng, size_px)[1] > 0 for _ in STAINS]
        values = [
            (rng.normal(200, 20, mask.shape) + mask * rng.uniform(300, 500)) * (1 if name == "DAPI" else 20)
            for name, mask in zip(STAINS, layers, strict=True)
        ]
        facts = {"axes": "CYX", "PhysicalSizeX": MICRONS, "PhysicalSizeY": MICRONS, "Channel": {"Name": list(STAINS)}}
        stack = np.clip(values, 0, 65535).astype(np.uint16)
        path = folder / "images" / f"well_{number:02d}.ome.tif"
        tifffile.imwrite(path, stack, ome=True, photometric="minisblack", metadata=facts)
        Image.fromarray(layers[0]).save(folder / "masks" / f"well_{number:02d}.ome.png")
    return folder


@pytest.fixture(name="bioseg_command")
def command(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Bioseg:
    return runner(capfd, monkeypatch, columns=300)


def rows(path: Path) -> list[dict[str, str]]:
    with open(path, encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_auto_takes_the_channels_that_most_files_have(tmp_path: Path) -> None:
    cases = folders.list_cases(write_stacks(tmp_path / "a", 4))
    chosen, reasons = training.configured(auto.RECIPE, cases, ())
    assert (chosen.preparation.channels, dict(chosen.network.arguments)["in_channels"]) == (4, 4)
    assert "4 channels, each with a window of its own: 1 DAPI, 2 actin, 3 tubulin, 4 bright" in reasons
    one, _ = training.configured(auto.RECIPE, cases, channel_settings(auto.RECIPE, ["DAPI"]))
    assert (one.preparation.channels, one.preparation.select) == (1, ("DAPI",))
    two, _ = training.configured(auto.RECIPE, cases, channel_settings(auto.RECIPE, ["actin", 1]))
    assert (two.preparation.select, dict(two.network.arguments)["in_channels"]) == (("actin", 1), 2)


def test_data_check_says_channels_and_which_images_lack_one(tmp_path: Path, bioseg_command: Bioseg) -> None:
    write_stacks(tmp_path / "a", 2)
    Image.fromarray(np.eye(32, dtype=np.uint8) * 200).save(tmp_path / "a" / "images" / "grey.png")
    Image.fromarray(np.eye(32) > 0).save(tmp_path / "a" / "masks" / "grey.png")
    scan = inspection.inspect(folders.scan(tmp_path / "a"))
    assert scan.channels == ("2 × 4 channels (1 DAPI, 2 actin, 3 tubulin, 4 bright)", "1 × grey")
    assert any(line.startswith("channels ") and "4 bright" in line for line in inspection.scan_lines(scan))
    checked = bioseg_command("data", "check", tmp_path / "a", "--channel", "DAPI,actin", "--json")
    problems = json.loads(checked.out)["problems"]
    assert checked.code == 1 and len(problems) == 1
    assert "grey.png: no channel 'DAPI'; choose of 1" in problems[0]["reason"]


def test_a_model_of_three_channels_takes_one_by_name_and_refuses_four(tmp_path: Path, bioseg_command: Bioseg) -> None:
    images = write_stacks(tmp_path / "a", 2) / "images"
    run = write_run(tmp_path / "run")
    refused = bioseg_command("predict", run, images, "--out", tmp_path / "out")
    assert refused.code == 1
    assert "well_00.ome.tif: 4 channels (1 DAPI, 2 actin, 3 tubulin, 4 bright), 3 are wanted; choose" in refused.error
    done = bioseg_command("predict", run, images, "--out", tmp_path / "one", "--channel", "dapi")
    assert done.code == 0, done.error
    stack = formats.read(images / "well_00.ome.tif")
    expected = small_predictor().predict(stack.pixels[..., 0]).mask
    assert np.array_equal(formats.read(tmp_path / "one" / "well_00.ome.png").pixels > 0, expected)
    with pytest.raises(BiosegError, match=r"select: 2 channels, preparation.channels is 3"):
        small_predictor().with_channels(1, 2)
    first, second = small_predictor().with_channels("DAPI"), small_predictor().with_channels(2)
    assert len({first.fingerprint, second.fingerprint, small_predictor().fingerprint}) == 3


def test_areas_of_cells_are_in_square_micrometres(tmp_path: Path) -> None:
    images = write_stacks(tmp_path / "a", 1) / "images"
    predict(small_predictor().with_channels(1), find_images([images]), tmp_path / "out", save="csv,overlay,labels-tiff")
    [row] = rows(tmp_path / "out" / "measurements.csv")
    assert (row["area_mm2"], row["spacing_from"]) == ("", "OME-TIFF")
    assert float(row["area_um2"]) == pytest.approx(int(row["area_px"]) * MICRONS**2, abs=1e-3)
    assert formats.read(tmp_path / "out" / "well_00.ome.overlay.png").colour
    labels = formats.read(tmp_path / "out" / "well_00.ome.labels.tif")
    assert labels.spacing_mm == pytest.approx((MICRONS / 1000, MICRONS / 1000)) and labels.spacing_from == "ImageJ"


def test_predict_at_a_level_of_a_pyramid(tmp_path: Path, bioseg_command: Bioseg) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "slide.svs").write_bytes(slide())
    run = write_run(tmp_path / "run")
    done = bioseg_command("predict", run, tmp_path / "in", "--out", tmp_path / "out", "--level", 1)
    assert done.code == 0, done.error
    [row] = rows(tmp_path / "out" / "measurements.csv")
    assert (row["rows"], row["cols"], row["spacing_from"]) == ("12", "19", "SVS")


def test_settings_of_channels() -> None:
    assert channel_settings(small_recipe(), ()) == ()
    assert channel_settings(small_recipe(), ["a", 2]) == (
        "preparation.channels=2", 'preparation.select=["a", 2]', "network.in_channels=2"
    )  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("channel", ["", "DAPI"])
def test_from_stacks_to_a_model_file(channel: str, tmp_path: Path, bioseg_command: Bioseg) -> None:
    data, run = write_stacks(tmp_path / "data", 24, 64), tmp_path / "run"
    asked = ["--channel", channel] if channel else []
    done = bioseg_command("train", "auto", "--data", data, "--out", run, "--epochs", "12", "--device", "cpu", *asked)
    assert done.code == 0, done.error
    recipe = json.loads((run / "record.json").read_text())["recipe"]
    assert recipe["preparation"]["channels"] == (1 if channel else 4)
    assert recipe["preparation"]["select"] == ([channel] if channel else [])
    new = write_stacks(tmp_path / "new", 3, 64, seed=1)
    assert bioseg_command("evaluate", run, "--data", new, "--out", tmp_path / "scores").code == 0
    dice = json.loads((tmp_path / "scores" / "summary.json").read_text())["dice"]["mean"]
    print(f"{channel or 'four channels'}: Dice {dice:.3f}")
    assert dice > 0.4
    file = export(run, tmp_path / "model.bioseg")
    for model, out in ((run, "torch"), (file, "file")):
        assert bioseg_command("predict", model, new / "images", "--out", tmp_path / out).code == 0
    for number in range(3):
        first, second = (
            formats.read(tmp_path / out / f"well_{number:02d}.ome.png").pixels for out in ("torch", "file")
        )
        assert (first != second).mean() < 1e-3 and first.any()
    assert "DAPI" in (run / "report.html").read_text() or not channel
    assert bioseg.load(file).recipe.preparation.select == ((channel,) if channel else ())
