"""Files with several images as cases: which planes, what they are called, which masks they have, and what stays together."""

import json
from pathlib import Path

import nibabel
import numpy as np
import pytest

from bioseg.datasets import cases as reading
from bioseg.datasets import folders, inspection, planes, splits
from bioseg.types import BiosegError, Case

from .folder_files import write, write_pair

AFFINE = np.diag([-1.0, -1, 3, 1])


def put(path: Path, slices: int = 4, *, mask: bool = False, affine: np.ndarray = AFFINE) -> Path:
    """[10 columns, 8 rows, slices] of noise, or a mask whose slice k has k + 1 pixels of foreground."""
    path.parent.mkdir(parents=True, exist_ok=True)
    voxels = np.random.default_rng(slices).integers(1, 200, (10, 8, slices), np.uint8)
    if mask:
        voxels[:] = 0
        for index in range(slices):
            voxels[: index + 1, 3, index] = 1
    nibabel.save(nibabel.Nifti1Image(voxels, affine), path)
    return path


@pytest.mark.parametrize(
    ("asked", "found"),
    [("", range(9)), ("all", range(9)), ("3", range(2, 3)), ("2-4", range(1, 4)), ("8-99", range(7, 9)),
     ("middle", range(4, 5)), ("12", range(11, 12)), ("12-14", range(11, 12))],
)  # fmt: skip
def test_which_planes_are_meant(asked: str, found: range) -> None:
    assert planes.choose(asked, 9) == found


@pytest.mark.parametrize("asked", ["0", "-1", "4-2", "first", "1,2", "1-", "99999999", " "])
def test_what_is_no_plane(asked: str) -> None:
    with pytest.raises(BiosegError, match=r"--plane .*: give a number from 1, a range such as 10-40, middle or all"):
        planes.choose(asked, 9)


def test_a_volume_and_its_mask_are_a_case_for_each_slice(tmp_path: Path) -> None:
    put(tmp_path / "images" / "b.nii.gz")
    put(tmp_path / "masks" / "b.nii.gz", mask=True)
    put(tmp_path / "images" / "a.nii.gz", 2)
    put(tmp_path / "images" / "a_seg.nii.gz", 2, mask=True)
    write_pair(tmp_path, "c")
    scan = folders.scan(tmp_path)
    ids = ["a-0001", "a-0002", "b-0001", "b-0002", "b-0003", "b-0004", "c"]
    assert [case.id for case in scan.cases] == ids and not scan.without_image and not scan.without_mask
    pixels = [reading.read_mask(case, (8, 10)).sum() for case in scan.cases[:6]]
    assert pixels == [1, 2, 1, 2, 3, 4]
    assert [case.id for case in folders.scan(tmp_path, "2-3").cases] == ["a-0002", "b-0002", "b-0003", "c"]
    assert [case.plane for case in folders.list_images(tmp_path, "middle")] == [1, 2, None]
    text = "\n".join(inspection.scan_lines(inspection.inspect(scan)))
    assert "7 (slices, frames or pages of 2 files) with ground truth, 3 mask files" in text
    assert "each file counts as its own patient" in text
    assert inspection.to_json(scan)["cases"][2]["plane"] == 1


def test_slices_of_a_file_are_never_divided(tmp_path: Path) -> None:
    for name in "abcdefgh":
        put(tmp_path / "images" / f"{name}.nii.gz")
        put(tmp_path / "masks" / f"{name}.nii.gz", mask=True)
    cases = folders.list_cases(tmp_path)
    assert {case.group for case in cases} == {f"unknown:{name}" for name in "abcdefgh"} and len(cases) == 32
    split = splits.by_patient(cases, validation=0.3)
    files = [{case.path for case in part} for part in (split.train, split.validation)]
    assert files[0] and files[1] and not files[0] & files[1]
    for published in (splits.ordered_tail(cases, validation=0.1, test=1), splits.ordered(cases, parts=(0.6, 0.2, 0.2))):
        parts = [{case.path for case in part} for part in (published.train, published.validation, published.test)]
        assert all(parts) and sum(map(len, parts)) == 8
    (tmp_path / "patients.csv").write_text("id,patient\n" + "".join(f"{n},{n in 'ab'}\n" for n in "abcdefgh"))
    assert {(case.path.name[0], case.group) for case in folders.list_cases(tmp_path)} == {
        (name, str(name in "ab")) for name in "abcdefgh"
    }


def test_the_folders_of_nnunet_and_the_decathlon(tmp_path: Path) -> None:
    for part in ("Tr", "Ts"):
        put(tmp_path / f"images{part}" / f"la_{part}_0000.nii.gz")
        put(tmp_path / f"labels{part}" / f"la_{part}.nii.gz", mask=True)
    put(tmp_path / "imagesTs" / "lb.nii.gz", 1)
    scan = folders.scan(tmp_path)
    assert [case.id for case in scan.cases][::4] == ["la_Tr_0000-0001", "la_Ts_0000-0001"]
    assert [path.name for path in scan.without_mask] == ["lb.nii.gz"] and not scan.without_image
    assert scan.split and {case.path.name for case in scan.split.test} == {"la_Ts_0000.nii.gz"}
    table = {"labels": {"background": 0, "left atrium": 1}, "file_ending": ".nii.gz"}
    (tmp_path / "dataset.json").write_text(json.dumps(table))
    described = folders.scan(tmp_path)
    assert [case.id for case in described.cases] == [f"la_{part}-000{n}" for part in ("Tr", "Ts") for n in range(1, 5)]
    (part,) = reading.each_part(described.cases[2], (8, 10))
    assert part.name == "left atrium" and part.mask.sum() == 3


def test_volumes_of_nnunet_are_cases_for_each_slice_and_named_values(tmp_path: Path) -> None:
    put(tmp_path / "imagesTr" / "a_0000.nii.gz", 3)
    put(tmp_path / "labelsTr" / "a.nii.gz", 3, mask=True)
    about = {"labels": {"background": 0, "liver": 1}, "file_ending": ".nii.gz"}
    (tmp_path / "dataset.json").write_text(json.dumps(about), encoding="utf-8")
    scan = folders.scan(tmp_path, "2-3")
    assert scan.layout == "nnU-Net, as published" and [case.id for case in scan.cases] == ["a-0002", "a-0003"]
    parts = [part for case in scan.cases for part in reading.each_part(case, (8, 10))]
    assert [(part.name, part.mask.sum()) for part in parts] == [("liver", 2), ("liver", 3)]


def test_a_mask_of_another_number_of_slices_is_one_line(tmp_path: Path) -> None:
    put(tmp_path / "images" / "a.nii.gz", 4)
    put(tmp_path / "masks" / "a.nii.gz", 5, mask=True)
    write(tmp_path / "images" / "b.png")
    put(tmp_path / "masks" / "b.nii.gz", 5, mask=True)
    write_pair(tmp_path, "c")
    scan = inspection.inspect(folders.scan(tmp_path))
    assert [(one.path.name, one.reason.rpartition("/")[2]) for one in scan.problems] == [
        ("a.nii.gz", "a.nii.gz: has 5 planes, its image a.nii.gz 4; draw the mask on the image's own grid"),
        ("b.png", "b.nii.gz: 5 planes in one file; give --plane 1…5, or save one as a file of its own"),
    ]
    assert not scan.clean


def test_a_damaged_volume_is_named_and_the_others_are_used(tmp_path: Path) -> None:
    put(tmp_path / "images" / "a.nii.gz")
    put(tmp_path / "masks" / "a.nii.gz", mask=True)
    put(tmp_path / "masks" / "b.nii.gz", mask=True)
    (tmp_path / "images" / "b.nii.gz").write_bytes((tmp_path / "images" / "a.nii.gz").read_bytes()[:40])
    scan = inspection.inspect(folders.scan(tmp_path))
    assert len(scan.cases) == 5 and [one.path.name for one in scan.problems] == ["b.nii.gz"]
    assert "damaged or cut short" in scan.problems[0].reason


def test_a_plane_that_is_not_there_is_named_when_it_is_read(tmp_path: Path) -> None:
    (case,) = planes.each([Case("a", "", put(tmp_path / "a.nii"))], "7")
    with pytest.raises(BiosegError, match=r"a\.nii: has no plane 7, but 4; give another --plane"):
        reading.read_image(case)
