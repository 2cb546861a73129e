"""A data set in another layout holds the same images, objects, classes, patients and parts."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pycocotools import mask as coco_mask

from bioseg.datasets import cases, folders
from bioseg.pipelines.convert import LAYOUTS, convert
from bioseg.types import BiosegError, Case
from tests.datasets import annotation_files as made
from tests.datasets.annotation_files import MASKS, SHAPE
from tests.datasets.folder_files import write, write_dicom, write_pair


def annotated(root: Path) -> None:
    for name in "ab":
        write(root / f"{name}.png", shape=SHAPE)
        (root / f"{name}.json").write_bytes(made.labelme())
    write(root / "c.png", shape=SHAPE)
    (root / "c.json").write_text(json.dumps({"version": "5", "shapes": []}))


def cells(root: Path) -> None:
    for name in "ab":
        write(root / "sub" / f"{name}.tif", shape=SHAPE)
        (root / "sub" / f"{name}_seg.npy").write_bytes(made.seg_npy())


def parts(root: Path) -> None:
    for part, names in (("train", "abc"), ("val", "d"), ("test", "e")):
        for name in names:
            write_pair(root, name, part=part)


def clinic(root: Path) -> None:
    for name in ("a", "bb", "ccc"):
        write_dicom(root, name, f"patient {name}")


SETS: dict[str, Callable[[Path], None]] = {"annotated": annotated, "cells": cells, "parts": parts, "clinic": clinic}


def truth(case: Case) -> list[tuple[str, bytes]]:
    """Objects of a case, in no order."""
    shape: Any = cases.read_image(case).pixels.shape[:2]
    found = [(part.name, part.mask) for part in cases.each_part(case, shape)]
    if len({name for name, _ in found}) < 2:
        labels = cases.read_labels(case, shape)
        found = [("", labels == number) for number in np.unique(labels[labels > 0])]
    return sorted((name, np.packbits(mask).tobytes()) for name, mask in found if mask.any())


@pytest.mark.parametrize("to", LAYOUTS)
@pytest.mark.parametrize("name", SETS)
def test_nothing_is_lost(name: str, to: str, tmp_path: Path) -> None:
    SETS[name](tmp_path / "data")
    before = folders.scan(tmp_path / "data")
    assert convert(tmp_path / "data", tmp_path / "out", to) == (len(before.cases), [])
    after = folders.scan(tmp_path / "out")
    assert after.clean and not after.not_understood
    assert [case.id for case in after.cases] == [case.id for case in before.cases]
    assert [case.patient for case in after.cases] == [case.patient for case in before.cases]
    for one, other in zip(before.cases, after.cases, strict=True):
        assert one.path.read_bytes() == other.path.read_bytes()
        assert truth(one) == truth(other), one.id
    if before.split and after.split:
        for part in ("train", "validation", "test"):
            ids = [[case.id for case in getattr(split, part)] for split in (before.split, after.split)]
            assert ids[0] == ids[1]
    assert bool(before.split) == bool(after.split)


def test_coco_is_what_pycocotools_reads(tmp_path: Path) -> None:
    annotated(tmp_path / "data")
    convert(tmp_path / "data", tmp_path / "out", "coco")
    whole = json.loads((tmp_path / "out" / "annotations" / "instances_default.json").read_text())
    names = {one["id"]: one["name"] for one in whole["categories"]}
    own = [one for one in whole["annotations"] if one["image_id"] == 1]
    for one, (name, mask) in zip(own, MASKS, strict=True):
        packed = coco_mask.frPyObjects(one["segmentation"], *SHAPE)
        packed = coco_mask.merge(packed) if isinstance(packed, list) else packed
        assert (coco_mask.decode(packed) == mask).all() and names[one["category_id"]] == name
        assert one["area"] == mask.sum() and one["bbox"] == coco_mask.toBbox(packed).tolist()


def test_objects_that_a_label_image_would_merge_have_files(tmp_path: Path) -> None:
    dots = np.zeros(SHAPE, np.uint16)
    dots[3::9, 3::9] = np.arange(1, 16).reshape(3, 5)[: len(range(3, SHAPE[0], 9)), : len(range(3, SHAPE[1], 9))]
    write(tmp_path / "data" / "a.png", shape=SHAPE)
    (tmp_path / "data" / "a_seg.npy").write_bytes(made.seg_npy(dots))
    convert(tmp_path / "data", tmp_path / "out", "folders")
    (case,) = folders.scan(tmp_path / "out").cases
    assert len(case.masks) == len(np.unique(dots)) - 1 == len(np.unique(cases.read_labels(case, SHAPE))) - 1


def test_a_bad_case_is_left_out_and_named(tmp_path: Path) -> None:
    annotated(tmp_path / "data")
    (tmp_path / "data" / "b.json").write_bytes(made.labelme(imageHeight=7))
    count, problems = convert(tmp_path / "data", tmp_path / "out", "coco")
    assert count == 2 and [problem.path.name for problem in problems] == ["b.png"]
    assert sorted(path.name for path in (tmp_path / "out" / "images").iterdir()) == ["a.png", "c.png"]


def test_what_may_not_be_written(tmp_path: Path) -> None:
    annotated(tmp_path / "data")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "x").write_text("mine")
    for out, says in {"data": "holds", "data/new": "lies in", "full": "is not empty"}.items():
        with pytest.raises(BiosegError, match=says):
            convert(tmp_path / "data", tmp_path / out, "coco")
    with pytest.raises(BiosegError, match="--to yolo: no such layout; give coco or folders"):
        convert(tmp_path / "data", tmp_path / "new", "yolo")
    assert not (tmp_path / "new").exists()
