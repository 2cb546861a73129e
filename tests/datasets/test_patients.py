"""Images of one patient belong together, whatever tells so; where nothing does, that is said."""

import json
from pathlib import Path

import pytest

from bioseg.datasets import folders, inspection, phantom_layouts, splits
from bioseg.datasets.layouts import montgomery
from bioseg.specs import call
from bioseg.types import BiosegError
from tests.datasets.folder_files import write_dicom, write_pair


def patients(folder: Path) -> list[str]:
    return [case.patient for case in folders.scan(folder).cases]


def said(folder: Path) -> str:
    return "\n".join(folders.scan(folder).warnings)


class TestDicom:
    def test_two_images_of_one_patient_are_never_in_train_and_validation(self, tmp_path: Path) -> None:
        for number in range(12):
            write_dicom(tmp_path, f"scan{number:02}", f"MRN-{number // 2}")
        scan = folders.scan(tmp_path)
        assert scan.patients_from == "DICOM PatientID"
        assert not scan.warnings
        assert len({case.patient for case in scan.cases}) == 6
        for seed in range(5):
            for split in (
                splits.by_patient(scan.cases, validation=0.2, seed=seed),
                splits.random(scan.cases, test=0.2, validation=0.2, seed=seed),
                *splits.k_fold(scan.cases, folds=3, seed=seed),
                *splits.grouped_k_fold(scan.cases, folds=3, seed=seed),
            ):
                assert split.train and split.validation and not splits.straddling(split)

    def test_the_plain_id_is_nowhere(self, tmp_path: Path) -> None:
        for name, patient in (("a", "Jane^Doe 1"), ("b", "Jane^Doe 1 "), ("c", "Other")):
            write_dicom(tmp_path, name, patient)
        scan = inspection.inspect(folders.scan(tmp_path))
        everything = json.dumps(inspection.to_json(scan)) + "\n".join(inspection.scan_lines(scan)) + repr(scan)
        assert "Jane" not in everything and "Other" not in everything
        one, same, other = (case.patient for case in scan.cases)
        assert one == same != other  # DICOM pads with a blank
        assert len(one) == 12 and int(one, 16)

    @pytest.mark.parametrize("patient", ["", "ANONYMOUS"])
    def test_ids_that_say_nothing_are_unknown_loudly(self, tmp_path: Path, patient: str) -> None:
        for name in "abcd":
            write_dicom(tmp_path, name, patient)
        assert patients(tmp_path) == [""] * 4
        assert (
            "patients unknown for 4 of 4 images: each image counts as its own patient, scores may be optimistic"
            in said(tmp_path)
        )
        assert ("have the same DICOM PatientID" in said(tmp_path)) == bool(patient)
        assert len({case.group for case in folders.scan(tmp_path).cases}) == 4

    def test_some_without_an_id_and_damaged_headers(self, tmp_path: Path) -> None:
        for name, patient in (("a", "P1"), ("b", "P1"), ("c", ""), ("d", "P2")):
            write_dicom(tmp_path, name, patient)
        damaged = tmp_path / "images" / "d.dcm"
        damaged.write_bytes(damaged.read_bytes()[:150] + b"\xff" * 40)
        found = patients(tmp_path)
        assert found[0] == found[1] != "" and found[2:] == ["", ""]
        assert "patients unknown for 2 of 4" in said(tmp_path)
        assert folders.scan(tmp_path).patients_from == "DICOM PatientID (2 images), unknown (2 images)"

    def test_only_headers_are_read(self, tmp_path: Path) -> None:
        for name in "ab":
            write_dicom(tmp_path, name, f"P{name}")
            path = tmp_path / "images" / f"{name}.dcm"
            path.write_bytes(path.read_bytes()[:-40])  # cut within the pixels
        assert "" not in patients(tmp_path)


class TestTable:
    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        for name in "abc":
            write_pair(tmp_path, name)
        return tmp_path

    def table(self, folder: Path, text: str | bytes) -> None:
        (folder / "patients.csv").write_bytes(text if isinstance(text, bytes) else text.encode())

    @pytest.mark.parametrize(
        "text",
        [
            "id,patient\na,Ada\nb,Ada\nc,Bea\n",
            "\ufeffid,patient\na,Ada\nb,Ada\nc,Bea\n",
            "file,patient,age\na.png,Ada,1\nb.png,Ada,1\nc.png,Bea,2\n",
            "patient,file\nAda,images/a.png\nAda,images/b\nBea, c \n",
        ],
    )
    def test_ids_may_be_stems_names_or_paths(self, folder: Path, text: str) -> None:
        self.table(folder, text)
        assert patients(folder) == ["Ada", "Ada", "Bea"]
        assert folders.scan(folder).patients_from == "patients.csv"
        assert not folders.scan(folder).warnings

    def test_it_comes_before_headers_and_what_a_layout_knows(self, tmp_path: Path) -> None:
        write_dicom(tmp_path / "d", "a", "P1")
        write_dicom(tmp_path / "d", "b", "P2")
        self.table(tmp_path / "d", "id,patient\na,Ada\n")
        found = patients(tmp_path / "d")
        assert found[0] == "Ada" and len(found[1]) == 12
        phantom_layouts.write_montgomery(tmp_path / "m", count=4, size_px=32)
        self.table(tmp_path / "m", "id,patient\nMCUCXR_0001_0,Ada\nMCUCXR_0002_1,Ada\n")
        for scan in (
            folders.scan(tmp_path / "m"),
            folders.read_dataset(tmp_path / "m", call(montgomery.list_cases)),
        ):
            assert [case.patient for case in scan.cases] == ["Ada", "Ada", "0003", "0004"]
            assert scan.patients_from == "patients.csv (2 images), the file names of the layout (2 images)"

    def test_a_table_that_matches_nothing_is_refused(self, folder: Path) -> None:
        self.table(folder, "id,patient\nx1,Ada\nx2,Bea\n")
        with pytest.raises(
            BiosegError, match=r"patients\.csv: none of its 2 ids \(such as 'x1'\).*3 images \(such as 'a'\)"
        ):
            folders.scan(folder)
        self.table(folder, "id,patient\n")
        with pytest.raises(BiosegError, match="none of its 0 ids"):
            folders.scan(folder)

    def test_partial_matches_are_listed_on_both_sides(self, folder: Path) -> None:
        self.table(folder, "id,patient\na,Ada\nb,\nx,Eve\n" + "".join(f"y{n},Eve\n" for n in range(9)))
        assert patients(folder) == ["Ada", "", ""]
        words = said(folder)
        assert "10 of 11 ids are no image here: x, y0, y1, y2, y3 … (5 more)" in words
        assert "2 of 3 images are not in it: b, c" in words
        assert "patients unknown for 2 of 3 images" in words

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("image,who\na,Ada\n", r"columns image, who; it needs id \(or file\) and patient"),
            ("id,who\na,Ada\n", "it needs id"),
            ("id,patient\na,Ada\na,Bea\n", "a belongs to 'Ada' and to 'Bea'"),
            ("id,patient\na,Ada\na.png,Bea\n", "a belongs to 'Ada' and to 'Bea'"),
            ("id,patient\na,J\xf6rg\n".encode("latin-1"), "not UTF-8"),
            ("id,patient\na,Ada,1\n", "line 2"),
        ],
    )
    def test_a_wrong_table_is_one_line(self, folder: Path, text: str | bytes, message: str) -> None:
        self.table(folder, text)
        with pytest.raises(BiosegError, match=rf"patients\.csv.*{message}") as caught:
            folders.scan(folder)
        assert "\n" not in str(caught.value)


def test_layouts_say_only_what_their_file_names_tell(tmp_path: Path) -> None:
    writers = {
        "montgomery": True, "shenzhen": True, "ct_lungs": True, "cardiac_lv": True, "sunnybrook": True, "rsna": True,
        "nuclei": False, "belarus": False, "images_masks": False, "suffixes": False,
    }  # fmt: skip
    for name, known in writers.items():
        getattr(phantom_layouts, f"write_{name}")(tmp_path / name, count=3, size_px=64)
        scan = folders.scan(tmp_path / name)
        assert all(bool(case.patient) == known for case in scan.cases), name
        assert ("patients unknown" in "\n".join(scan.warnings)) != known
        assert scan.patients_from == ("the file names of the layout" if known else "unknown")
        facts = inspection.to_json(scan)
        assert facts["patients_unknown"] == (0 if known else len(scan.cases))
