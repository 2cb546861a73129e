"""A clinic's nested DICOM folder: its tree is kept, its rows name patient, study and series, other objects are skipped."""

import csv
import json
import os
import shutil
from pathlib import Path

import pytest
from PIL import Image

from bioseg import files
from bioseg.outputs.groups import BY_PATIENT, BY_STUDY
from bioseg.pipelines.predict import find_images, predict
from bioseg.types import BiosegError, Callbacks
from tests.clinic_folder import dicom, report, write_clinic
from tests.pipelines.models import small_predictor

PREDICTOR = small_predictor()


@pytest.fixture(scope="module")
def clinic(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_clinic(tmp_path_factory.mktemp("clinic") / "archive")


@pytest.fixture(scope="module")
def out(clinic: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("out")
    assert predict(PREDICTOR, find_images([clinic]), out) == (8, [])
    return out


def rows(path: Path) -> list[dict[str, str]]:
    with open(path, encoding="utf-8") as file:
        return list(csv.DictReader(file))


def masks(out: Path) -> set[str]:
    return {path.relative_to(out).as_posix() for path in out.rglob("*.png")}


class TestTree:
    def test_it_is_kept(self, clinic: Path, out: Path) -> None:
        series = ("PAT1/ST1/SE1", "PAT1/ST1/SE2", "PAT1/ST2/SE1", "PAT2/ST1/SE1")
        assert masks(out) == {f"archive/{place}/IM000{number}.png" for place in series for number in (1, 2)}
        assert {row["mask"] for row in rows(out / "measurements.csv")} == masks(out)

    def test_predicting_again_adds_and_keeps_names(self, clinic: Path, tmp_path: Path) -> None:
        later, out = tmp_path / "later", tmp_path / "out"
        shutil.copytree(clinic / "PAT1", later / "PAT1")
        predict(PREDICTOR, find_images([later / "PAT1" / "ST2"]), out)  # one folder of images: flat
        assert masks(out) == {"IM0001.png", "IM0002.png"}
        predict(PREDICTOR, find_images([later / "PAT1"]), out)
        assert len(masks(out)) == 6 and {"IM0001.png", "PAT1/ST1/SE2/IM0001.png"} < masks(out)
        before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
        predict(PREDICTOR, find_images([later / "PAT1"]), out)
        assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == before

    def test_names_that_differ_in_suffix_or_case_stay_distinct(self, tmp_path: Path) -> None:
        names = ["a/1.2.3.1", "a/1.2.3.2", "a/IM1", "a/im1.dcm", "b/IM1"]
        for number, name in enumerate(names):
            files.write(tmp_path / "in" / name, dicom(number=number))
        assert predict(PREDICTOR, find_images([tmp_path / "in"]), tmp_path / "out") == (5, [])
        assert masks(tmp_path / "out") == {
            "in/a/1.2.3.1.png", "in/a/1.2.3.2.png", "in/a/IM1.png", "in/a/im1_2.png", "in/b/IM1.png",
        }  # fmt: skip

    def test_results_in_the_image_s_own_tree_are_no_images(self, tmp_path: Path) -> None:
        folder = write_clinic(tmp_path / "archive")
        predict(PREDICTOR, find_images([folder]), folder)
        assert len(find_images([folder])) == 8
        predict(PREDICTOR, find_images([folder]), tmp_path)  # beside it
        assert len(find_images([folder])) == 8

    def test_nothing_is_written_outside(self, clinic: Path, tmp_path: Path) -> None:
        out, elsewhere = tmp_path / "out", tmp_path / "elsewhere"
        elsewhere.mkdir()
        (out / "archive").mkdir(parents=True)
        os.symlink(elsewhere, out / "archive" / "PAT1")
        with pytest.raises(BiosegError, match=r"archive/PAT1/ST1/SE1: leads out of"):
            predict(PREDICTOR, find_images([clinic]), out)
        assert not list(elsewhere.iterdir())

    @pytest.mark.parametrize("name", ["../x", "a/../../x", "/x", "a//x", "./x", "a/"])
    def test_a_ledger_that_names_other_places_is_refused(self, name: str, clinic: Path, tmp_path: Path) -> None:
        ledger = {"model": "m", "fingerprint": PREDICTOR.fingerprint, "images": {"in/a": name}}
        files.write_json(tmp_path / "prediction.json", ledger)
        with pytest.raises(BiosegError, match="is not the name of a file in its folder"):
            predict(PREDICTOR, find_images([clinic]), tmp_path)


class TestTables:
    def test_a_row_names_patient_study_series_and_instance(self, out: Path) -> None:
        found = rows(out / "measurements.csv")
        assert {row["study_uid"] for row in found} == {"1.2.1", "1.2.2", "1.2.3"}
        assert {row["series_uid"] for row in found} == {"1.2.1.1", "1.2.1.2", "1.2.2.1", "1.2.3.1"}
        assert len({row["sop_uid"] for row in found}) == 8
        assert len({row["patient"] for row in found}) == 2 and all(len(row["patient"]) == 12 for row in found)
        assert not [path for path in out.rglob("*") if path.is_file() and b"MRN" in path.read_bytes()]

    def test_studies_and_patients_are_summed_up(self, out: Path) -> None:
        images, studies, patients = (rows(out / name) for name in ("measurements.csv", BY_STUDY, BY_PATIENT))
        assert [(row["study_uid"], row["series"], row["images"]) for row in studies] == [
            ("1.2.1", "2", "4"), ("1.2.2", "1", "2"), ("1.2.3", "1", "2"),
        ]  # fmt: skip
        assert [(row["studies"], row["images"]) for row in patients] == [("2", "6"), ("1", "2")]
        for grouped, column in ((studies, "study_uid"), (patients, "patient")):
            for row in grouped:
                own = [float(image["area_mm2"]) for image in images if image[column] == row[column]]
                assert float(row["area_mm2_sum"]) == pytest.approx(sum(own))
                assert float(row["area_mm2_mean"]) == pytest.approx(sum(own) / len(own), abs=0.001)
                assert float(row["area_mm2_max"]) == max(own)
                assert int(row["segmented"]) == sum(area > 0 for area in own)

    def test_identifiers_only_if_asked_for_and_a_secret_changes_hashes(
        self, clinic: Path, out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        images = find_images([clinic / "PAT2"])
        predict(PREDICTOR, images, tmp_path / "plain", identifiers=True)
        assert {row["patient"] for row in rows(tmp_path / "plain" / "measurements.csv")} == {"MRN-2"}
        monkeypatch.setenv("BIOSEG_SALT", "a secret of this project")
        predict(PREDICTOR, images, tmp_path / "salted")
        (salted,) = {row["patient"] for row in rows(tmp_path / "salted" / "measurements.csv")}
        assert len(salted) == 12 and salted not in {row["patient"] for row in rows(out / "measurements.csv")}

    def test_other_images_have_the_patients_of_the_table(self, tmp_path: Path) -> None:
        for name in ("a", "b", "c"):
            (tmp_path / "in").mkdir(exist_ok=True)
            Image.new("L", (20, 20)).save(tmp_path / "in" / f"{name}.png")
        (tmp_path / "in" / "patients.csv").write_text("id,patient\na,one\nb,one\n")
        predict(PREDICTOR, find_images([tmp_path / "in"]), tmp_path / "out")
        assert [row["patient"] for row in rows(tmp_path / "out" / "measurements.csv")] == ["one", "one", ""]
        assert [
            (row["patient"], row["images"], row["area_mm2_sum"]) for row in rows(tmp_path / "out" / BY_PATIENT)
        ] == [("one", "2", "")]
        assert not (tmp_path / "out" / BY_STUDY).exists()
        (tmp_path / "in" / "patients.csv").write_text("id,patient\nz,one\n")
        said = list[str]()
        assert len(find_images([tmp_path / "in"], Callbacks(log=said.append))) == 3  # a wrong table stops no prediction
        assert len(said) == 1 and "patients.csv: none of its 1 ids" in said[0]


class TestOtherObjects:
    def test_they_are_skipped_and_counted(self, clinic: Path) -> None:
        said = list[str]()
        assert len(find_images([clinic], Callbacks(log=said.append))) == 8
        assert said == ["skipped 4 DICOM files that hold no image to segment: 1 KO, 1 PR, 1 SR, 1 scout"]

    def test_a_folder_of_nothing_else_says_so(self, tmp_path: Path) -> None:
        for modality in ("SR", "SEG", "RTSTRUCT"):
            files.write(tmp_path / modality.lower(), report(modality))
        with pytest.raises(
            BiosegError, match=r"no image found beside DICOM files without one \(1 RTSTRUCT, 1 SEG, 1 SR\)"
        ):
            find_images([tmp_path])

    def test_one_that_is_named_is_read_and_a_damaged_one_reported(self, clinic: Path, tmp_path: Path) -> None:
        damaged = tmp_path / "in" / "IM1"
        files.write(damaged, dicom()[:400])
        scout = clinic / "PAT2" / "ST1" / "SCOUT" / "IM0001"
        count, problems = predict(PREDICTOR, find_images([scout, damaged.parent]), tmp_path / "out")
        assert count == 1 and [one.path for one in problems] == [damaged]
        assert json.loads((tmp_path / "out" / "prediction.json").read_text())["images"][str(scout)] == "IM0001"
