"""Measurement tables from ``predict``: of the slices of a series, added to later, and of images that are not DICOM."""

from dataclasses import replace
from pathlib import Path

import highdicom
import numpy as np
from PIL import Image

from bioseg import files
from bioseg.inference.predictor import Predictor
from bioseg.pipelines.predict import predict
from bioseg.types import Case
from tests.outputs.segmented_images import ct_slice
from tests.pipelines.models import small_recipe


def lungs() -> Predictor:
    """What is bright is lung."""
    recipe = small_recipe(name="ct-lungs-reference")
    recipe = replace(recipe, postprocess=replace(recipe.postprocess, threshold=0.5))
    return Predictor(
        recipe, (lambda batch: (batch[:, :1] * 8 - 4, np.zeros((len(batch), 0), np.float32)),), fingerprint="x"
    )


def slices(folder: Path, *numbers: int) -> list[Case]:
    cases = [Case(f"{number}", "", folder / f"{number}.dcm") for number in numbers]
    for case, number in zip(cases, numbers, strict=True):
        case.path.write_bytes(ct_slice(number))
    return cases


def test_a_series_in_two_goes_has_its_volume(tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert predict(lungs(), slices(tmp_path, 0, 3), out) == (2, [])
    (found,) = files.read_csv(out / "series.csv")
    assert found["slices"] == "2" and found["slice_spacing_mm"] == "15.0"  # there might be others between them
    assert predict(lungs(), slices(tmp_path, 1, 2), out) == (2, [])
    rows, (found,) = files.read_csv(out / "anatomy.csv"), files.read_csv(out / "series.csv")
    assert [Path(row["file"]).name for row in rows] == ["0.dcm", "3.dcm", "1.dcm", "2.dcm"]
    assert (found["slices"], found["slice_spacing_mm"], found["reason"]) == ("4", "5.0", "")
    for side in ("", "right_", "left_"):
        total = sum(float(row[f"{side}area_mm2"]) for row in rows) * 5 / 1000
        assert abs(float(found[f"{side}volume_ml"]) - total) < 0.001
    for row in rows:
        mask = np.asarray(Image.open(out / f"{Path(row['file']).stem}.png")) > 0
        assert int(row["area_px"]) == mask.sum() == int(row["right_area_px"]) + int(row["left_area_px"])
        assert (row["series"], row["spacing_from"]) == ("1.2.3", "PixelSpacing")
        assert row["sides_from"] == "ImageOrientationPatient"
    (out / "3.png").unlink()
    predict(lungs(), slices(tmp_path, 0), out)
    assert len(files.read_csv(out / "anatomy.csv")) == 3 and files.read_csv(out / "series.csv")[0]["slices"] == "3"


def test_the_report_says_what_the_tables_say_and_is_renewed(tmp_path: Path) -> None:
    out, cases = tmp_path / "out", slices(tmp_path, 0, 1)
    assert predict(lungs(), cases, out, save="dicom-sr,csv") == (2, [])
    assert {path.name for path in out.iterdir()} == {
        "0.seg.dcm", "0.sr.dcm", "anatomy.csv", "measurements.csv", "prediction.json", "series.csv",
    }  # fmt: skip
    first = highdicom.sr.srread(out / "0.sr.dcm")
    volumes = first.content.get_volumetric_roi_measurement_groups()
    found = [group.get_measurements()[0].value for group in volumes]
    (stack,) = files.read_csv(out / "series.csv")
    assert found == [float(stack[f"{side}_volume_ml"]) for side in ("right", "left")] and sum(found) > 0
    assert predict(lungs(), cases, out, save="mask") == (2, [])
    again = highdicom.sr.srread(out / "0.sr.dcm")
    seg = highdicom.seg.segread(out / "0.seg.dcm")
    assert again.SOPInstanceUID != first.SOPInstanceUID and seg.number_of_segments == 2
    (group, _) = again.content.get_volumetric_roi_measurement_groups()
    assert group.referenced_segment.referenced_sop_instance_uid == seg.SOPInstanceUID


def test_a_png_has_pixels_and_a_reason(tmp_path: Path) -> None:
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (20, 30), dtype=np.uint8)).save(tmp_path / "a.png")
    assert predict(lungs(), [Case("a", "", tmp_path / "a.png")], tmp_path / "out", save="csv") == (1, [])
    (row,) = files.read_csv(tmp_path / "out" / "anatomy.csv")
    assert int(row["area_px"]) > 0 and row["area_mm2"] == row["series"] == "" and "px only" in row["note"]
    assert not (tmp_path / "out" / "series.csv").exists()
