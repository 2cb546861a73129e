"""Any folder: whatever people's folders look like, every file is accounted for."""

from collections.abc import Callable
from pathlib import Path

import pytest

from bioseg.datasets import cases, folders, inspection
from bioseg.types import BiosegError
from tests.datasets.folder_files import write, write_pair


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
    with pytest.raises(BiosegError, match=r"1 image, none with a mask; put masks"):
        folders.list_cases(tmp_path)
    with pytest.raises(BiosegError, match="no such folder"):
        folders.scan(tmp_path / "nowhere")


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
        "masks show     one class: foreground and background",
        "usable         3 of 3",
        "warning        patients unknown for 3 of 3 images: each image counts as its own patient, scores may be optimistic; "
        "add patients.csv with the columns id and patient",
        "images without a mask 1: d.png",
    ]
