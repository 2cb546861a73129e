"""Several data sets in one folder: all of them or an error, never the first in silence; and images without a header."""

from pathlib import Path

import numpy as np
import pytest

from bioseg.datasets import cases, folders, phantom_layouts
from bioseg.datasets.layouts import chest_xrays, jsrt, montgomery
from bioseg.pipelines.predict import find_images
from bioseg.specs import call
from bioseg.types import BiosegError
from tests.datasets.folder_files import write, write_dicom, write_pair


class TestSeveralSets:
    @pytest.fixture
    def chests(self, tmp_path: Path) -> Path:
        phantom_layouts.write_montgomery(tmp_path / "MontgomerySet", count=3, size_px=32)
        phantom_layouts.write_shenzhen(tmp_path / "ShenzhenSet", count=3, size_px=32)
        for name in ("JPCLN001", "JPCNN002"):
            write(tmp_path / "JSRT" / "images" / f"{name}.png")
            write(tmp_path / "JSRT" / "masks" / "left_lung" / f"{name}.png", value=255)
        return tmp_path

    def test_chest_x_rays_of_several_hospitals_are_one_set(self, chests: Path) -> None:
        for scan in (folders.scan(chests), folders.read_dataset(chests, call(folders.list_cases))):
            assert scan.layout == "Montgomery and Shenzhen and JSRT, as published"
            assert len(scan.cases) == 8 and list(scan.cases) == chest_xrays.list_cases(chests)
            assert {case.patient for case in scan.cases} >= {"Montgomery-0001", "Shenzhen-0001", "JSRT-JPCLN001"}
        assert len(folders.list_images(chests)) == 8

    def test_a_layout_that_is_asked_for_takes_its_own_and_names_the_others(self, chests: Path) -> None:
        scan = folders.read_dataset(chests, call(montgomery.list_cases))
        assert {case.source for case in scan.cases} == {"Montgomery"}
        assert scan.layout == "Montgomery, as published"
        (warning,) = scan.warnings
        assert "left out, since no part of the layout: 5 images with masks" in warning

    def test_sets_of_different_things_are_an_error_that_names_them(self, tmp_path: Path) -> None:
        phantom_layouts.write_montgomery(tmp_path / "MontgomerySet", count=2, size_px=32)
        phantom_layouts.write_nuclei(tmp_path / "stage1_train", count=2, size_px=32)
        for work in (folders.scan, folders.list_cases):
            with pytest.raises(
                BiosegError, match=r"several data sets \(Montgomery, Data Science Bowl nuclei\); give the folder of one"
            ):
                work(tmp_path)
        assert len(folders.list_images(tmp_path)) == 4

    def test_copies_of_one_set_are_an_error_too(self, tmp_path: Path) -> None:
        phantom_layouts.write_sunnybrook(tmp_path / "sunnybrook", count=2, size_px=32)
        phantom_layouts.write_cardiac_lv(tmp_path / "lv_deeplearning", count=2, size_px=32)
        with pytest.raises(BiosegError, match=r"several copies.*lv_deeplearning.*sunnybrook"):
            folders.scan(tmp_path)
        assert len(folders.list_images(tmp_path)) == 5

    def test_other_images_beside_a_known_set_are_named_and_predicted(self, tmp_path: Path) -> None:
        phantom_layouts.write_montgomery(tmp_path, count=2, size_px=32)
        write_pair(tmp_path / "hospital", "x")
        write(tmp_path / "hospital" / "images" / "y.png")
        scan = folders.scan(tmp_path)
        assert len(scan.cases) == 2
        assert any("no part of the layout: 1 image with masks" in warning for warning in scan.warnings)
        assert [path.name for path in scan.without_mask] == ["y.png"]
        assert {case.path.name for case in folders.list_images(tmp_path)} >= {"x.png", "y.png", "MCUCXR_0001_0.png"}

    def test_a_broken_table_of_a_known_layout_is_named(self, tmp_path: Path) -> None:
        write_pair(tmp_path, "a")
        (tmp_path / "stage_2_train_labels.csv").write_text("patientId,x\na,1\n")
        with pytest.raises(BiosegError, match=r"stage_2_train_labels\.csv"):
            folders.read_dataset(tmp_path, call(montgomery.list_cases))
        assert [case.id for case in folders.list_images(tmp_path)] == ["images/a.png"]

    def test_training_and_test_of_other_people_are_not_taken_for_sunnybrook(self, tmp_path: Path) -> None:
        for part, name in (("training", "scan_001"), ("training", "scan_002"), ("test", "scan_003")):
            write_dicom(tmp_path / part, name, f"P{name}")
            (tmp_path / part / "images" / f"{name}.dcm").rename(tmp_path / part / f"{name}.dcm")
        scan = folders.scan(tmp_path)
        assert scan.layout == "images and masks paired by name"
        assert len({case.patient for case in scan.cases}) == 3


class TestFilms:
    def film(self, path: Path) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(np.full(2048 * 2048, 1000, ">u2").tobytes())
        return path

    def test_headerless_images_are_predicted_from_folders_and_as_files(self, tmp_path: Path) -> None:
        known = self.film(tmp_path / "JSRT" / "JPCLN001.IMG")
        other = self.film(tmp_path / "mine" / "deep" / "jpcnn002.img")
        write(tmp_path / "mine" / "plain.png")
        for paths, count in (([tmp_path], 3), ([known, other], 2), ([tmp_path / "mine"], 2)):
            found = find_images(paths)
            assert len(found) == count
            for case in found:
                film = case.path.suffix.upper() == ".IMG"
                assert case.raw_format == (jsrt.RAW if film else None)
                assert cases.read_image(case).spacing_mm == ((0.175, 0.175) if film else None)

    def test_name_and_size_must_be_right(self, tmp_path: Path) -> None:
        (tmp_path / "JPCLN001.IMG").write_bytes(b"short")
        for path in (tmp_path / "JPCLN001.IMG", self.film(tmp_path / "SCAN001.IMG")):
            assert folders.case_of(path).raw_format is None
            with pytest.raises(BiosegError, match="no header"):
                cases.read_image(folders.case_of(path))
