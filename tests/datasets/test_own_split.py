"""A folder with train, val and test parts is a split, and is kept."""

from pathlib import Path
from typing import Any

import pytest

from bioseg.datasets import folders, inspection, splits
from bioseg.datasets.folders import FolderScan
from bioseg.pipelines.train import TrainJob, whole_split
from bioseg.recipes import auto
from bioseg.specs import call
from tests.datasets.folder_files import write, write_dicom, write_pair


class TestOwnSplit:
    def ids(self, scan: FolderScan) -> tuple[list[str], ...]:
        assert scan.split is not None
        return tuple(splits.ids(scan.split).values())

    @pytest.mark.parametrize(
        "words", [("train", "val", "test"), ("Training", "validation", "TESTING"), ("train", "valid", "test")]
    )
    def test_train_val_and_test_are_kept_and_equal_stems_stay_apart(
        self, words: tuple[str, str, str], tmp_path: Path
    ) -> None:
        for part, names in zip(words, ("abc", "ad", "ae"), strict=True):
            for name in names:
                write_pair(tmp_path, name, part=part)
        scan = folders.scan(tmp_path)
        assert len(scan.cases) == 7 and not scan.without_image
        train, val, test = words
        assert self.ids(scan) == (
            [f"{train}/a", f"{train}/b", f"{train}/c"],
            [f"{val}/a", f"{val}/d"],
            [f"{test}/a", f"{test}/e"],
        )
        assert "the folder's own: 3 train, 2 validation, 2 test" in "\n".join(inspection.scan_lines(scan))

    @pytest.mark.parametrize("inner", [False, True])
    def test_the_parts_may_lie_above_or_below_images_and_masks(self, inner: bool, tmp_path: Path) -> None:
        for part, name in (("train", "a"), ("train", "b"), ("val", "c")):
            for kind, value in (("images", None), ("masks", 255)):
                place = tmp_path / kind / part if inner else tmp_path / "study" / part / kind
                write(place / f"{name}.png", value=value)
        scan = folders.scan(tmp_path)
        assert self.ids(scan) == (["a", "b"], ["c"], [])
        assert [len(case.masks) for case in scan.cases] == [1, 1, 1]

    def test_without_val_validation_is_drawn_from_train_by_patient(self, tmp_path: Path) -> None:
        for number in range(20):
            write_dicom(tmp_path / "train", f"s{number:02}", f"P{number // 4}")
        write_dicom(tmp_path / "test", "t", "P9")
        scan = folders.scan(tmp_path)
        assert scan.split
        assert [case.id for case in scan.split.test] == ["t"]
        assert (len(scan.split.train), len(scan.split.validation)) == (16, 4)
        assert not splits.straddling(scan.split)
        assert folders.scan(tmp_path).split == scan.split

    def test_a_patient_in_two_parts_is_warned_of(self, tmp_path: Path) -> None:
        for part, name, patient in (("train", "a", "P1"), ("train", "b", "P2"), ("val", "c", "P2")):
            write_dicom(tmp_path / part, name, patient)
        (warning,) = folders.scan(tmp_path).warnings
        assert "1 patient with images in train and in validation" in warning

    def test_images_in_no_part_are_named_and_train_alone_is_no_split(self, tmp_path: Path) -> None:
        write_pair(tmp_path, "a", part="train")
        write_pair(tmp_path, "b", part="train")
        assert folders.scan(tmp_path).split is None
        write_pair(tmp_path, "c", part="val")
        write_pair(tmp_path, "z", part="more")
        scan = folders.scan(tmp_path)
        assert self.ids(scan) == (["a", "b"], ["c"], [])
        assert any("no part (train, val, test): 1 image: z" in warning and "z" in warning for warning in scan.warnings)

    def test_one_training_patient_and_no_val_is_said(self, tmp_path: Path) -> None:
        for name in "ab":
            write_dicom(tmp_path / "train", name, "P1")
        write_dicom(tmp_path / "test", "c", "P2")
        assert any("no validation images can be drawn" in warning for warning in folders.scan(tmp_path).warnings)


class TestTraining:
    def job(self, folder: Path, **more: Any) -> TrainJob:
        return TrainJob(auto.RECIPE, folder, folder / "run", **more)

    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        for part, names in (("train", "abcd"), ("val", "ef"), ("test", "gh")):
            for name in names:
                write_pair(tmp_path, name, part=part)
        return tmp_path

    def test_it_takes_the_folders_own_parts(self, folder: Path) -> None:
        scan = folders.scan(folder)
        assert whole_split(self.job(folder), auto.RECIPE, scan) == (scan.split, "the folder's own parts")

    def test_with_folds_the_test_part_stays_unseen(self, folder: Path) -> None:
        split, words = whole_split(self.job(folder, folds=3), auto.RECIPE, folders.scan(folder))
        assert [case.id for case in split.train] == list("abcdef") and not split.validation
        assert [case.id for case in split.test] == ["g", "h"]
        assert "test part" in words

    def test_a_split_that_is_asked_for_wins_and_its_leak_is_said(self, folder: Path) -> None:
        (folder / "patients.csv").write_text("id,patient\na,A\nb,A\nc,C\nd,D\ne,E\nf,F\ng,G\nh,H\n")
        (folder / "split.csv").write_text("id,part\na,train\nb,validation\nc,train\n")
        asked = call(splits.from_csv, path=str(folder / "split.csv"))
        split, words = whole_split(self.job(folder, split=asked), auto.RECIPE, folders.scan(folder))
        assert splits.ids(split) == {"train": ["a", "c"], "validation": ["b"], "test": []}
        assert words == (
            "as asked; 1 patient with images in train and in validation (A): scores are optimistically biased"
        )
