"""Annotation files in folders: each finds its image, and what is not read is named with its number."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from bioseg.datasets import cases, folders, inspection
from tests.outputs.segmented_images import ct_slice

from . import annotation_files as made
from .annotation_files import LABELS, SHAPE
from .folder_files import write


def each(images: str, annotated: str, content: Callable[[], bytes]) -> Callable[[Path], None]:
    """Images a, b, c and an annotation file each; ``{}`` is the name."""

    def lay_out(root: Path) -> None:
        data = content()
        for name in "abc":
            write(root / images.format(name), shape=SHAPE)
            path = root / annotated.format(name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)

    return lay_out


def labels_png() -> bytes:
    return made.png(LABELS.astype("uint16"))


def coco_of(root: Path, name: str, prefix: str = "") -> None:
    whole = json.loads(made.coco())
    one = whole["annotations"][0]
    whole["images"] = [{"id": at, "file_name": f"{prefix}{stem}.png"} for at, stem in enumerate("abc")]
    whole["annotations"] = [one | {"id": at, "image_id": at} for at in range(3)]
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(whole))


def one_coco(name: str, images: str = "images", prefix: str = "") -> Callable[[Path], None]:
    def lay_out(root: Path) -> None:
        for stem in "abc":
            write(root / images / f"{stem}.png", shape=SHAPE)
        coco_of(root, name, prefix)

    return lay_out


def coco_parts(root: Path) -> None:
    """The same file names in both parts."""
    for part, stems in (("train2017", "ab"), ("val2017", "a")):
        for stem in stems:
            write(root / "images" / part / f"{stem}.png", shape=SHAPE)
        coco_of(root, f"annotations/instances_{part}.json")


def own_zips(root: Path) -> None:
    for name in "abc":
        write(root / name / "scan.png", shape=SHAPE)
        (root / name / "RoiSet.zip").write_bytes(made.rois())


def numbered(image: str, mask: str) -> Callable[[Path], None]:
    def lay_out(root: Path) -> None:
        for number in (0, 7, 12):
            write(root / image.format(number), shape=SHAPE)
            write(root / mask.format(number), shape=SHAPE, value=255)

    return lay_out


def dicom(content: Callable[..., bytes]) -> Callable[[Path], None]:
    """Three slices and one object that refers to them; its name says nothing."""

    def lay_out(root: Path) -> None:
        slices = [ct_slice(number) for number in range(3)]
        (root / "study").mkdir()
        for number, one in enumerate(slices):
            (root / "study" / f"IM{number}").write_bytes(one)
        (root / "study" / "IM9").write_bytes(content(*slices))

    return lay_out


def structures(*sources: bytes) -> bytes:
    return made.rtstruct({"lung": [[(2, 3), (2, 30), (20, 30)]]}, *sources)


LOOKS: dict[str, tuple[Callable[[Path], None], str]] = {
    "LabelMe beside the images": (each("{}.png", "{}.json", made.labelme), "3 LabelMe"),
    "LabelMe in labels": (each("images/{}.png", "labels/{}.json", made.labelme), "3 LabelMe"),
    "QuPath": (each("{}.tif", "{}.geojson", made.geojson), "3 GeoJSON"),
    "QuPath, image's whole name": (each("images/{}.tif", "annotations/{}.tif.geojson", made.geojson), "3 GeoJSON"),
    "ROI zips": (each("images/{}.tif", "rois/{}.zip", made.rois), "3 ImageJ ROIs"),
    "ROI zips with a word": (each("{}.tif", "{}_rois.zip", made.rois), "3 ImageJ ROIs"),
    "RoiSet.zip in a folder each": (own_zips, "3 ImageJ ROIs"),
    "cellpose masks": (each("{}.png", "{}_cp_masks.png", labels_png), "3 cellpose masks"),
    "cellpose _seg.npy": (each("{}.png", "{}_seg.npy", made.seg_npy), "3 cellpose _seg.npy"),
    "contours": (each("{}.png", "masks/{}.txt", lambda: b"1 1\n9 1\n9.5 9\n"), ""),
    "COCO": (one_coco("instances_default.json"), "1 COCO"),
    "COCO in annotations": (one_coco("annotations/instances_default.json"), "1 COCO"),
    "COCO with folders": (one_coco("result.json", prefix="images\\"), "1 COCO"),
    "COCO as Roboflow writes it": (one_coco("train/_annotations.coco.json", images="train"), "1 COCO"),
    "COCO for each part": (coco_parts, "2 COCO"),
    "img_000, mask_000": (numbered("img_{:03d}.png", "mask_{:03d}.png"), ""),
    "image_12, label_12": (numbered("images/image_{}.png", "labels/label_{}.png"), ""),
    "image12, 012": (numbered("images/image{}.png", "masks/{:03d}.png"), ""),
    "DICOM SEG": (dicom(made.dicom_seg), "1 DICOM SEG"),
    "DICOM RTSTRUCT": (dicom(structures), "1 DICOM RTSTRUCT"),
}


@pytest.mark.parametrize("look", LOOKS)
def test_every_annotation_finds_its_image(look: str, tmp_path: Path) -> None:
    lay_out, formats = LOOKS[look]
    lay_out(tmp_path)
    scan = inspection.inspect(folders.scan(tmp_path))
    assert len(scan.cases) == 3 and scan.clean, inspection.scan_lines(scan)
    assert not scan.without_mask and not scan.not_understood
    lines = "\n".join(inspection.scan_lines(scan))
    assert (f"annotations    {formats} among them" in lines) == bool(formats)
    assert inspection.to_json(scan)["annotations"] == ({formats[2:]: int(formats[0])} if formats else {})
    if "RTSTRUCT" not in look:
        assert all(cases.read_mask(case, SHAPE).any() for case in scan.cases)


def test_what_is_not_read_is_named_with_its_number(tmp_path: Path) -> None:
    each("{}.png", "{}.json", made.labelme)(tmp_path)
    for number in range(40):
        (tmp_path / f"{number:02d}.xml").write_text("<annotation/>")
    for name in ("settings.json", "archive.zip", "yolo.txt", "README.md", "LICENSE", "patients.csv"):
        (tmp_path / name).write_text("0 0.5 0.5 0.1 0.1" if name != "patients.csv" else "id,patient\na,p\n")
    scan = folders.scan(tmp_path)
    lines = [line for line in inspection.scan_lines(scan) if line.startswith("not read")]
    assert lines == [
        "not read       1 file of kind .json is no annotation that bioseg reads: settings.json",
        "not read       1 file of kind .txt is no annotation that bioseg reads: yolo.txt",
        "not read       40 files of kind .xml are no annotation that bioseg reads: "
        "00.xml, 01.xml, 02.xml, 03.xml, 04.xml … (35 more)",
        "not read       1 file of kind .zip is no annotation that bioseg reads: archive.zip",
    ]
    assert len(inspection.to_json(scan)["not_understood"]) == 43
    assert len(scan.cases) == 3


def test_one_form_of_a_ground_truth_is_used_and_the_others_are_named(tmp_path: Path) -> None:
    each("{}.png", "{}_cp_masks.png", labels_png)(tmp_path)
    (tmp_path / "a_seg.npy").write_bytes(made.seg_npy())
    write(tmp_path / "masks" / "b.png", shape=SHAPE, value=255)
    coco_of(tmp_path, "instances.json")
    coco_of(tmp_path, "captions.json")
    scan = folders.scan(tmp_path)
    assert [[path.name for path in case.masks] for case in scan.cases] == [["a_seg.npy"], ["b.png"], ["c_cp_masks.png"]]
    left_out = next(line for line in scan.warnings if line.startswith("left out"))
    assert "in another form, too: 4 files: a_cp_masks.png, b_cp_masks.png, captions.json, instances.json" in left_out


def test_of_two_coco_files_the_one_of_instances_is_used(tmp_path: Path) -> None:
    one_coco("annotations/instances_val.json")(tmp_path)
    coco_of(tmp_path, "annotations/captions_val.json")
    scan = folders.scan(tmp_path)
    assert {path.name for case in scan.cases for path in case.masks} == {"instances_val.json"}


def test_numbers_are_not_guessed_between_several(tmp_path: Path) -> None:
    for name in ("left_1", "right_1", "left_2"):
        write(tmp_path / "images" / f"{name}.png", shape=SHAPE)
    write(tmp_path / "masks" / "mask_1.png", shape=SHAPE, value=255)
    write(tmp_path / "masks" / "mask_2.png", shape=SHAPE, value=255)
    scan = folders.scan(tmp_path)
    assert [case.id for case in scan.cases] == ["left_2"]
    assert [path.name for path in scan.without_image] == ["mask_1.png"]


def test_images_that_are_called_like_masks_stay_images(tmp_path: Path) -> None:
    for number in range(3):
        write(tmp_path / f"target_{number:02d}.png", shape=SHAPE)
    assert len(folders.list_images(tmp_path)) == 3


def test_annotations_without_an_image_are_named(tmp_path: Path) -> None:
    each("{}.png", "{}.json", made.labelme)(tmp_path)
    (tmp_path / "lonely.geojson").write_bytes(made.geojson())
    (tmp_path / "seg.dcm").write_bytes(made.dicom_seg())
    (tmp_path / "others.json").write_bytes(made.coco())
    scan = folders.scan(tmp_path)
    assert sorted(path.name for path in scan.without_image) == ["lonely.geojson", "others.json", "seg.dcm"]
    assert not scan.clean and len(folders.list_images(tmp_path)) == 3
