"""Any folder: whatever people's folders look like, every file is accounted for."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bioseg.datasets import cases, folders, inspection, pairing, phantom_layouts, splits
from bioseg.datasets.folders import FolderScan
from bioseg.datasets.layouts import chest_xrays, jsrt, montgomery
from bioseg.images import formats
from bioseg.pipelines.predict import find_images
from bioseg.specs import call
from bioseg.types import BiosegError
from tests.datasets.folder_files import write, write_dicom, write_pair


def two_folders(images: str, masks: str) -> Callable[[Path], None]:
    def make(root: Path) -> None:
        for name in "abc":
            write(root / images / f"{name}.png")
            write(root / masks / f"{name}.png", value=255)

    return make


def suffixes(mark: str) -> Callable[[Path], None]:
    def make(root: Path) -> None:
        for name in ("a", "b", "c"):
            write(root / f"{name}.png")
            write(root / f"{name}{mark}.png", value=1)

    return make


def parts(root: Path) -> None:
    for name in "abc":
        write(root / "images" / f"{name}.png")
        for side in ("left", "right"):
            write(root / "masks" / side / f"{name}.png", value=255)


def instance_folders(root: Path) -> None:
    for name in "abc":
        write(root / "images" / f"{name}.png")
        for number in range(3):
            write(root / "masks" / name / f"{number}.png", value=255)


def instance_numbers(root: Path) -> None:
    for name in "abc":
        write(root / f"{name}.png")
        for number in range(3):
            write(root / f"{name}_mask_{number}.png", value=255)


def own_folders(root: Path) -> None:
    for name in "abc":
        write(root / name / "images" / "scan.png")
        for number in range(2):
            write(root / name / "masks" / f"cell{number}.png", value=255)


def named_parts(root: Path) -> None:
    for part, names in (("train", "ab"), ("val", "a")):
        for name in names:
            write(root / f"{part}_images" / f"{name}.png")
            write(root / f"{part}_masks" / f"{name}.png", value=7)


def parts_of_a_study(root: Path) -> None:
    for part, names in (("train", "ab"), ("test", "a")):
        for name in names:
            write(root / part / "images" / f"{name}.png")
            write(root / part / "labels" / f"{name}.png", value=7)


def other_formats(root: Path) -> None:
    for name, suffix in (("a", "jpg"), ("b", "tif"), ("c", "bmp")):
        write(root / f"{name}.{suffix}", shape=(8, 10, 3) if suffix == "jpg" else (8, 10))
        write(root / f"{name}.png", shape=(8, 10, 3), value=1)


# The layout and its number of mask files per image.
LOOKS: dict[str, tuple[Callable[[Path], None], int]] = {
    "images + masks": (two_folders("images", "masks"), 1),
    "img + gt": (two_folders("img", "GT"), 1),
    "deep": (two_folders("study/images", "study/ground_truth"), 1),
    "images above": (two_folders("", "masks"), 1),
    "_mask": (suffixes("_mask"), 1),
    "-seg": (suffixes("-seg"), 1),
    ".label": (suffixes(".label"), 1),
    "left + right": (parts, 2),
    "folder an image": (instance_folders, 3),
    "number a nucleus": (instance_numbers, 3),
    "id/images + id/masks": (own_folders, 2),
    "train + test": (parts_of_a_study, 1),
    "train_images + train_masks": (named_parts, 1),
    "jpg + png": (other_formats, 1),
}


@pytest.mark.parametrize("look", LOOKS)
def test_it_is_understood(look: str, tmp_path: Path) -> None:
    make, each = LOOKS[look]
    make(tmp_path)
    scan = inspection.inspect(folders.scan(tmp_path))
    assert len(scan.cases) == 3
    assert len({case.id for case in scan.cases}) == 3
    assert [len(case.masks) for case in scan.cases] == [each] * 3
    assert scan.clean
    assert not scan.without_mask
    for case in scan.cases:
        assert cases.read_mask(case, (8, 10)).sum() == 12


def test_the_scan_names_everything_that_is_wrong(tmp_path: Path) -> None:
    two_folders("images", "masks")(tmp_path)
    write(tmp_path / "images" / "lonely.png")
    write(tmp_path / "masks" / "nobody.png", value=255)
    write(tmp_path / "images" / "small.png")
    write(tmp_path / "masks" / "small.png", shape=(4, 5), value=255)
    write(tmp_path / "images" / "empty.png")
    write(tmp_path / "masks" / "empty.png", value=0)
    write(tmp_path / "images" / "cut.png")
    write(tmp_path / "masks" / "cut.png", value=255)
    (tmp_path / "images" / "cut.png").write_bytes((tmp_path / "images" / "cut.png").read_bytes()[:50])
    (tmp_path / "notes.txt").write_text("")
    ticks: list[tuple[int, int]] = []
    scan = inspection.inspect(folders.scan(tmp_path), progress=lambda done, total: ticks.append((done, total)))
    assert ticks[-1] == (6, 6)
    assert [path.name for path in scan.without_mask] == ["lonely.png"]
    assert [path.name for path in scan.without_image] == ["nobody.png"]
    assert scan.empty == ("empty",)
    assert {problem.path.name for problem in scan.problems} == {"small.png", "cut.png"}
    assert not scan.clean
    text = "\n".join(inspection.scan_lines(scan))
    for said in (
        "6 images",
        "usable         4 of 6",
        "lonely.png",
        "nobody.png",
        "masks without foreground 1: empty",
        "4×5",
        "cut.png",
    ):
        assert said in text, said
    facts = inspection.to_json(scan)
    assert (len(facts["cases"]), len(facts["problems"])) == (6, 2)


def test_nothing_is_guessed_between_two_images(tmp_path: Path) -> None:
    write(tmp_path / "images" / "a.png")
    write(tmp_path / "images" / "a.jpg", shape=(8, 10, 3))
    write(tmp_path / "images" / "a.bmp")
    write(tmp_path / "masks" / "a.png", value=255)
    scan = folders.scan(tmp_path)
    assert not scan.cases
    assert [path.name for path in scan.without_image] == ["a.png"]


def test_an_image_whose_name_only_sounds_like_a_mask_stays_an_image(tmp_path: Path) -> None:
    for name in ("sample_label_free", "seg1", "x_target_view"):
        write(tmp_path / f"{name}.png")
    scan = folders.scan(tmp_path)
    assert len(scan.without_mask) == 3
    assert not scan.without_image


def test_images_without_masks_say_what_to_do(tmp_path: Path) -> None:
    write(tmp_path / "a.png")
    with pytest.raises(BiosegError, match=r"1 images, none with a mask; put masks"):
        folders.list_cases(tmp_path)
    with pytest.raises(BiosegError, match="no such folder"):
        folders.scan(tmp_path / "nowhere")


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
        assert "1 patients have images in train and in validation" in warning

    def test_images_in_no_part_are_named_and_train_alone_is_no_split(self, tmp_path: Path) -> None:
        write_pair(tmp_path, "a", part="train")
        write_pair(tmp_path, "b", part="train")
        assert folders.scan(tmp_path).split is None
        write_pair(tmp_path, "c", part="val")
        write_pair(tmp_path, "z", part="more")
        scan = folders.scan(tmp_path)
        assert self.ids(scan) == (["a", "b"], ["c"], [])
        assert any("1 images lie in no part" in warning and "z" in warning for warning in scan.warnings)

    def test_one_training_patient_and_no_val_is_said(self, tmp_path: Path) -> None:
        for name in "ab":
            write_dicom(tmp_path / "train", name, "P1")
        write_dicom(tmp_path / "test", "c", "P2")
        assert any("no validation images can be drawn" in warning for warning in folders.scan(tmp_path).warnings)


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
        assert "5 images with masks are not part of the layout and are left out" in warning

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
        assert any("1 images with masks are not part" in warning for warning in scan.warnings)
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


class TestPreviews:
    def test_a_png_beside_its_image_is_a_mask_only_if_it_looks_like_one(self, tmp_path: Path) -> None:
        rng = np.random.default_rng(0)
        for name in "abc":
            preview = phantom_layouts.phantoms.chest(rng, (40, 50))[0] * 255
            Image.fromarray(preview.astype(np.uint8)).save(tmp_path / f"{name}.jpg")
            Image.fromarray(preview.astype(np.uint8)).save(tmp_path / f"{name}.png")
        write(tmp_path / "d.jpg", shape=(8, 10, 3))
        write(tmp_path / "d.png", value=1)
        scan = inspection.inspect(folders.scan(tmp_path))
        assert [case.id for case in scan.cases] == ["d"]
        assert [path.name for path in scan.ambiguous] == ["a.png", "b.png", "c.png"]
        assert not scan.clean
        assert "a.png, b.png, c.png" in "\n".join(inspection.scan_lines(scan))
        assert len(inspection.to_json(scan)["ambiguous"]) == 3
        assert len(folders.list_images(tmp_path)) == 7  # image and preview alike, but no mask

    def test_what_looks_like_a_mask(self) -> None:
        rng = np.random.default_rng(0)
        disc = np.hypot(*np.mgrid[-32:32, -32:32]) < 20
        soft = np.asarray(Image.fromarray(disc.astype(np.uint8) * 255).resize((128, 128), Image.Resampling.BILINEAR))
        _, labels = phantom_layouts.phantoms.nuclei(rng, 128)
        colours = np.zeros((64, 64, 3), np.uint8)
        colours[disc] = (200, 30, 0)
        for mask in (
            disc,
            disc.astype(np.uint8),
            disc * np.uint8(255),
            soft,
            labels.astype(np.uint16),
            colours,
            disc * 0,
        ):
            assert pairing.looks_like_mask(np.asarray(mask))
        chest = (phantom_layouts.phantoms.chest(rng, (64, 64))[0] * 255).astype(np.uint8)
        dark = np.where(disc, chest, 0).astype(np.uint8)  # a preview with a black background
        stained = phantom_layouts.phantoms.nuclei(rng, 128)[0]
        everything = np.full((64, 64), 255, np.uint8)
        everything[0, 0] = 0
        for image in (chest, dark, stained, everything):
            assert not pairing.looks_like_mask(image)

    def test_only_such_pairs_are_opened(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        opened = []
        real = formats.read
        monkeypatch.setattr(formats, "read", lambda path, *more: opened.append(path.name) or real(path, *more))
        write_pair(tmp_path, "a")
        for name in ("b.tif", "b_mask.png", "c.png", "d.jpg", "d.png"):
            write(tmp_path / name, value=255)
        assert len(folders.scan(tmp_path).cases) == 3
        assert opened == ["d.png"]


class TestStrangeFolders:
    def test_pipes_loops_and_broken_links_are_skipped_by_name(self, tmp_path: Path) -> None:
        write_pair(tmp_path, "a")
        os.mkfifo(tmp_path / "images" / "pipe.png")
        os.mkfifo(tmp_path / "images" / "pipe")
        (tmp_path / "images" / "again").symlink_to(tmp_path)
        (tmp_path / "masks" / "gone.png").symlink_to(tmp_path / "nowhere.png")
        scan = inspection.inspect(folders.scan(tmp_path))
        assert [case.id for case in scan.cases] == ["a"]
        assert {one.path.name: one.reason for one in scan.skipped} == {
            "pipe.png": "is no regular file", "pipe": "is no regular file", "gone.png": "is a broken link",
            "again": "links to a folder that is read already",
        }  # fmt: skip
        assert scan.clean
        assert len(folders.list_images(tmp_path)) == 1

    def test_linked_folders_are_followed(self, tmp_path: Path) -> None:
        for name in "ab":
            write_pair(tmp_path / "far", name)
        (tmp_path / "data").mkdir()
        for part in ("images", "masks"):
            (tmp_path / "data" / part).symlink_to(tmp_path / "far" / part)
        assert [case.id for case in folders.scan(tmp_path / "data").cases] == ["a", "b"]

    def test_an_unreadable_sub_folder_is_skipped_and_an_unreadable_folder_is_one_line(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        write_pair(tmp_path, "a")
        (tmp_path / "secret").mkdir()
        real = os.scandir

        def refused(folder: Path) -> object:  # as root, nothing is refused by its mode
            if folder.name == "secret":
                raise PermissionError(13, "Permission denied")
            return real(folder)

        monkeypatch.setattr(os, "scandir", refused)
        scan = folders.scan(tmp_path)
        assert len(scan.cases) == 1
        assert [(one.path.name, one.reason) for one in scan.skipped] == [
            ("secret", "cannot be read (Permission denied)")
        ]
        with pytest.raises(BiosegError, match="secret: Permission denied"):
            folders.scan(tmp_path / "secret")

    def test_names_that_are_no_text_are_printable_and_stay_different(self, tmp_path: Path) -> None:
        for raw in (b"a\xff", b"a\xfe", b"b\nc", "größe".encode()):
            name = os.fsdecode(raw)
            write_pair(tmp_path, name)
        write(tmp_path / "images" / f"{os.fsdecode(b'lonely' + bytes([255]))}.png")
        scan = inspection.inspect(folders.scan(tmp_path))
        assert sorted(case.id for case in scan.cases) == ["a\\xfe", "a\\xff", "b\\nc", "größe"]
        assert scan.clean
        for text in (*inspection.scan_lines(scan), json.dumps(inspection.to_json(scan), ensure_ascii=False)):
            assert text.encode() and "\n" not in text
        assert all(case.id.encode() for case in folders.list_images(tmp_path))

    def test_hidden_files_and_our_own_outputs_are_no_data(self, tmp_path: Path) -> None:
        write_pair(tmp_path, "a")
        write(tmp_path / "images" / "._a.png")
        write_pair(tmp_path / ".cache", "z")
        for folder, mark in (("run", "record.json"), ("masks-of-model", "measurements.csv")):
            write_pair(tmp_path / folder / "deep", "b")
            (tmp_path / folder / mark).write_text("{}")
        scan = folders.scan(tmp_path)
        assert [case.id for case in scan.cases] == ["a"]
        assert [one.path.name for one in scan.skipped] == ["masks-of-model", "run"]
        assert "written by bioseg" in "\n".join(inspection.scan_lines(scan))
        assert len(folders.list_images(tmp_path)) == 1


def test_ids_stay_different_whatever_is_named_alike(tmp_path: Path) -> None:
    for place in ("x", "y"):
        write_pair(tmp_path, "a", part=place)
    write(tmp_path / "z" / "a.bmp")
    write(tmp_path / "z" / "a_mask.png", value=255)
    assert [case.id for case in folders.scan(tmp_path).cases] == ["x/a", "y/a", "z/a"]


def test_the_lines_are_plain_words(tmp_path: Path) -> None:
    two_folders("images", "masks")(tmp_path)
    write(tmp_path / "images" / "d.png")
    assert inspection.scan_lines(inspection.inspect(folders.scan(tmp_path))) == [
        f"{tmp_path}: images and masks paired by name",
        "images         3 with ground truth, 3 mask files",
        "patients       unknown",
        "usable         3 of 3",
        "warning        patients unknown for 3 of 3 images: each image counts as its own patient, scores may be optimistic; "
        "add patients.csv with the columns id and patient",
        "images without a mask 1: d.png",
    ]
