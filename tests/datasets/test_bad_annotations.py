"""Bad annotation files: one line with file, value and remedy; what is in them is never run; the other images go on."""

import io
import json
import os
import pickle
import struct
import sys
import time
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.uid import DeflatedExplicitVRLittleEndian
from roifile import ImagejRoi

from bioseg.datasets import annotations, folders, inspection, samples
from bioseg.datasets.annotations import cellpose, dicom, drawing, imagej, json_file
from bioseg.images.prepare import Preparation
from bioseg.types import BiosegError
from tests.outputs.segmented_images import ct_slice

from . import annotation_files as made
from .annotation_files import FILES, LABELS, SHAPE, put
from .folder_files import write

SQUARE = [[1, 1], [9, 1], [9, 9], [1, 9]]


def complaint(path: Path, image: str = "x.dcm") -> str:
    with pytest.raises(BiosegError) as raised:
        annotations.read(path, SHAPE, path.parent / image)
    said = str(raised.value)
    assert said.startswith(f"{path}: ") and said.isprintable() and len(said) < 500
    assert said.removeprefix(f"{path}: ").rpartition("; ")[2] or "; " in said, said
    return said


def a_polygon(points: object) -> bytes:
    return made.labelme_shape("polygon", points)


def feature(geometry: object) -> bytes:
    return json.dumps({"type": "FeatureCollection", "features": [{"type": "Feature", "geometry": geometry}]}).encode()


def annotation(segmentation: object, **more: Any) -> bytes:
    one = {"id": 5, "image_id": 7, "category_id": 1, "segmentation": segmentation, **more}
    return made.coco(annotations=[one])


def rle(counts: object, size: object = list(SHAPE)) -> bytes:
    return annotation({"size": size, "counts": counts})


def edited(content: bytes, **elements: Any) -> bytes:
    whole, data = dcmread(io.BytesIO(content)), io.BytesIO()
    for keyword, value in elements.items():
        setattr(whole, keyword, value)
    whole.save_as(data)
    return data.getvalue()


def deflated() -> bytes:
    """A bomb: 100 MB of zeros in an element, packed to 100 kB."""
    whole, data = dcmread(io.BytesIO(made.dicom_seg())), io.BytesIO()
    whole.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    whole.save_as(data, enforce_file_format=True)
    packed = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    return data.getvalue()[:400] + packed.compress(bytes(1 << 20)) + packed.flush()


TOO_FEW = "polygon of 2 vertices, which needs 3 or more; draw it again"
BAD: dict[str, tuple[str, Callable[[], bytes], str]] = {
    "LabelMe, two vertices": ("LabelMe", lambda: a_polygon(SQUARE[:2]), f"shape 1 ('cell'): {TOO_FEW}"),
    "LabelMe, NaN": ("LabelMe", lambda: a_polygon([*SQUARE, [float("nan"), 1]]), "vertex that is no finite number; draw"),
    "LabelMe, infinite": ("LabelMe", lambda: a_polygon([*SQUARE, [1e999, 1]]), "vertex that is no finite number; draw"),
    "LabelMe, far away": ("LabelMe", lambda: a_polygon([*SQUARE, [1e12, 1]]), "vertex at 1e+12, in no image; draw"),
    "LabelMe, words": ("LabelMe", lambda: a_polygon([["a", "b"]] * 3), "vertices are no pairs of numbers; draw it again"),
    "LabelMe, a line": ("LabelMe", lambda: made.labelme_shape("line", SQUARE[:2]), "'line' has no area; draw it as"),
    "LabelMe, no label": ("LabelMe", lambda: made.labelme_shape("polygon", SQUARE, label=None), "'label' is absent, not text"),
    "LabelMe, another size": ("LabelMe", lambda: made.labelme(imageHeight=31), "drawn on 31×41, its image is 30×41; draw on"),
    "LabelMe, shapes no list": ("LabelMe", lambda: b'{"shapes": 4}', "'shapes' is 4, not a list; export it again"),
    "LabelMe, bad mask": ("LabelMe", lambda: made.labelme_shape("mask", SQUARE[:2], mask="@@"), "no PNG in base64; draw"),
    "LabelMe, mask of a bomb": (
        "LabelMe",
        lambda: made.labelme_shape("mask", SQUARE[:2], mask="iVBORw0KGgoAAAANSUhEUgAA"),
        "mask: image given as bytes: damaged",
    ),
    "COCO, other images": ("COCO", lambda: made.coco("y.dcm"), "x.dcm is none of its 2 images; add it, or leave"),
    "COCO, no names": ("COCO", lambda: made.coco(images=[{"id": 7}]), "COCO file without an image that has a file_name"),
    "COCO, another size": (
        "COCO",
        lambda: made.coco(images=[{"id": 7, "file_name": "x.dcm", "height": 9, "width": 41}]),
        "drawn on 9×41, its image is 30×41",
    ),
    "COCO, box only": ("COCO", lambda: annotation([], bbox=[1, 2, 3, 4]), "annotation 5: has no segmentation, only a box"),
    "COCO, two vertices": ("COCO", lambda: annotation([[1, 1, 9, 1]]), f"annotation 5: {TOO_FEW}"),
    "COCO, odd numbers": ("COCO", lambda: annotation([[1, 1, 9, 1, 9]]), "no list of x and y in turn; draw it again"),
    "COCO, unknown class": ("COCO", lambda: annotation([[1, 1, 9, 1, 9, 9]], category_id=44), "category_id 44 is none of"),
    "COCO, RLE of another size": ("COCO", lambda: rle([1230], [41, 30]), "drawn on 41×30, its image is 30×41"),
    "COCO, RLE too long": ("COCO", lambda: rle([1, 2000]), "run lengths of 2,001 pixels, its image has 1,230; export"),
    "COCO, RLE below 0": ("COCO", lambda: rle([2000, -770]), "run lengths of 1,230 pixels, its image has 1,230; export"),
    "COCO, RLE huge": ("COCO", lambda: rle([10**30]), "run lengths that are no whole numbers; export it again"),
    "COCO, RLE cut short": ("COCO", lambda: rle("o"), "run lengths cut short; export it again"),
    "COCO, RLE no text of COCO": ("COCO", lambda: rle("3 1"), "not COCO's compressed text; export it again"),
    "COCO, RLE endless": ("COCO", lambda: rle("o" * 99), "not COCO's compressed text; export it again"),
    "COCO, RLE without size": ("COCO", lambda: rle([1], None), "'size' is absent, not a list; export it again"),
    "GeoJSON, a point": ("GeoJSON", lambda: feature({"type": "Point", "coordinates": [1, 2]}), "'Point' has no area; draw"),
    "GeoJSON, no geometry": ("GeoJSON", lambda: feature(None), "feature 1 (''): 'geometry' is absent, not an object"),
    "GeoJSON, empty": ("GeoJSON", lambda: feature({"type": "Polygon", "coordinates": []}), "Polygon without coordinates"),
    "GeoJSON, flat": ("GeoJSON", lambda: feature({"type": "Polygon", "coordinates": [[1, 2, 3]]}), "no pairs of numbers"),
    "GeoJSON, deep": ("GeoJSON", lambda: b'{"features": ' + b"[" * 100_000, "JSON nested too deeply; export it again"),
    "GeoJSON, cut short": ("GeoJSON", lambda: made.geojson()[:500], "no JSON, or cut short"),
    "GeoJSON, a number of 10,000 digits": ("GeoJSON", lambda: b"[" + b"9" * 10_000 + b"]", "no JSON, or cut short"),
    "GeoJSON, Latin-1": ("GeoJSON", lambda: b'{"features": "\xe9"}', "no JSON, or cut short ('utf-8' codec"),
    "ROIs, other bytes": ("ImageJ ROIs", lambda: made.zipped({"a.roi": bytes(99)}), "a.roi: damaged or cut short (not an"),
    "ROIs, cut short": (
        "ImageJ ROIs",
        lambda: made.zipped({"a.roi": made.roi(3).tobytes()[:66]}),
        "a.roi: damaged or cut short",
    ),
    "ROIs, two vertices": ("ImageJ ROIs", lambda: made.rois(ImagejRoi.frompoints([[1, 1], [5, 5]], name="a")), TOO_FEW),
    "ROIs, zip cut short": ("ImageJ ROIs", lambda: made.rois()[:-40], "no zip, damaged or cut short"),
    "ROIs, a byte wrong": ("ImageJ ROIs", lambda: flipped(made.rois(), 60), "no zip, damaged or cut short"),
    "cellpose, not cellpose": ("cellpose _seg.npy", lambda: npy(LABELS), "an array of shape (30, 41) and type int32"),
    "cellpose, no masks": ("cellpose _seg.npy", lambda: made.seg_npy("none"), "holds no array called masks; save"),
    "cellpose, floats": ("cellpose _seg.npy", lambda: made.seg_npy(LABELS / 2), "masks are no array of whole numbers"),
    "cellpose, a volume": ("cellpose _seg.npy", lambda: made.seg_npy(np.stack([LABELS] * 3)), "masks of shape (3, 30, 41)"),
    "cellpose, another size": ("cellpose _seg.npy", lambda: made.seg_npy(LABELS[:9]), "drawn on 9×41, its image is 30×41"),
    "cellpose, cut short": ("cellpose _seg.npy", lambda: made.seg_npy()[:3000], "damaged or cut short"),
    "cellpose, text": ("cellpose _seg.npy", lambda: b"hello", "no NumPy file"),
    "cellpose masks, another size": ("cellpose masks", lambda: made.png(LABELS[:9].astype(np.uint8)), "drawn on 9×41"),
    "cellpose masks, colours": ("cellpose masks", lambda: made.png(np.zeros((*SHAPE, 3), np.uint8)), "not one number a pixel"),
    "cellpose masks, cut short": ("cellpose masks", lambda: made.png(LABELS.astype(np.uint8))[:99], "damaged or cut short"),
    "SEG, cut short": ("DICOM SEG", lambda: made.dicom_seg()[:1500], "export it again"),
    "SEG, other frames": ("DICOM SEG", lambda: edited(made.dicom_seg(), NumberOfFrames=9), "2 of 9 frames described"),
    "SEG, pixels cut": ("DICOM SEG", lambda: edited(made.dicom_seg(), PixelData=b"12"), "frame 1 of 2 is damaged"),
    "SEG, another size": ("DICOM SEG", lambda: edited(made.dicom_seg(), Rows=7), "drawn on 7×41, its image is 30×41"),
    "SEG of others": ("DICOM SEG", lambda: made.dicom_seg(ct_slice(5)), "refers to 1 other images, not to x.dcm; put it"),
    "SEG, deflated": ("DICOM SEG", deflated, "is deflated as a whole; convert it with 'gdcmconv --raw'"),
    "RTSTRUCT, two vertices": ("DICOM RTSTRUCT", lambda: made.rtstruct({"a": [[(1, 1), (2, 2)]]}), f"region 'a': {TOO_FEW}"),
    "RTSTRUCT, a point": (
        "DICOM RTSTRUCT",
        lambda: made.rtstruct({"a": [[(1, 1)]]}, kind="POINT"),
        "region 'a': 'POINT' has no area; draw it as a closed contour",
    ),
    "RTSTRUCT of others": (
        "DICOM RTSTRUCT",
        lambda: made.rtstruct({"a": [[(1, 1), (9, 1), (9, 9)]]}, ct_slice(5)),
        "refers to 1 other images, not to x.dcm",
    ),
}  # fmt: skip


def flipped(content: bytes, at: int) -> bytes:
    return content[:at] + bytes([content[at] ^ 255]) + content[at + 1 :]


def npy(values: Any) -> bytes:
    data = io.BytesIO()
    np.save(data, values)
    return data.getvalue()


@pytest.mark.parametrize(("kind", "make", "says"), BAD.values(), ids=BAD.keys())
def test_a_bad_file_gets_one_line(kind: str, make: Callable[[], bytes], says: str, tmp_path: Path) -> None:
    assert says in complaint(put(tmp_path, kind, make()))


def test_every_kind_has_its_bad_files() -> None:
    assert {kind.split(",")[0] for kind in FILES} == {kind for kind, _, _ in BAD.values()}
    assert len(BAD) >= 50


@pytest.mark.parametrize("kind", [kind for kind in FILES if not kind.startswith("cellpose masks")])
def test_a_file_that_is_too_large_is_not_opened(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = put(tmp_path, kind)
    for module in (json_file, cellpose, dicom, imagej):
        monkeypatch.setattr(module, "MAX_BYTES", 99)
    assert "bytes" in complaint(path)


class TestPickle:
    """A ``_seg.npy`` file is a pickle, and a pickle is a program."""

    @pytest.mark.parametrize("protocol", range(6))
    def test_nothing_in_it_is_run(self, protocol: int, tmp_path: Path) -> None:
        mark = tmp_path / "run"

        class Evil:
            def __reduce__(self) -> tuple[Any, ...]:
                return os.mkdir, (str(mark),)

        for inside in ({"masks": Evil()}, Evil(), {"masks": LABELS, "x": [Evil()]}):
            content = header() + pickle.dumps(np.array(inside, object), protocol)
            assert "which could run a program; save the masks as PNG or TIFF" in complaint(
                put(tmp_path, "cellpose _seg.npy", content)
            )
            assert not mark.exists()
        np.load(tmp_path / "x_seg.npy", allow_pickle=True)
        assert mark.exists()  # so it would have gone

    @pytest.mark.parametrize(
        "name",
        ["builtins eval", "builtins getattr", "os system", "numpy load", "numpy.core.multiarray fromfile", "a.b c"],
    )
    def test_no_other_name_is_found(self, name: str, tmp_path: Path) -> None:
        module, _, attribute = name.partition(" ")
        content = header() + f"c{module}\n{attribute}\n(S'x'\ntR.".encode()
        assert f"calls {module}.{attribute}, which" in complaint(put(tmp_path, "cellpose _seg.npy", content))

    def test_numbers_in_it_ask_for_no_memory(self, tmp_path: Path) -> None:
        """A place of 2³¹ in the memo, a string of 2⁶³ bytes, an array of 2⁴⁰ pixels, ten million empty dictionaries."""
        side = b"J" + struct.pack("<i", 1 << 20)
        huge = pickle.dumps({"masks": LABELS}, 3).replace(b"K\x1eK)", side + side)
        assert side in huge
        for content in (
            b"\x80\x04}r" + struct.pack("<I", 2**31 - 1) + b".",
            b"\x80\x04\x8e" + struct.pack("<Q", 2**63 - 1) + b"abc.",
            huge,
            b"\x80\x04" + b"}" * (cellpose.MAX_STEPS + 9) + b".",
        ):
            start = time.monotonic()
            complaint(put(tmp_path, "cellpose _seg.npy", header() + content))
            assert time.monotonic() - start < 5


def header() -> bytes:
    """The beginning of an npy file with a pickled object."""
    data = io.BytesIO()
    np.lib.format.write_array_header_1_0(data, {"descr": "|O", "fortran_order": False, "shape": ()})
    return data.getvalue()


def test_a_zip_bomb_is_not_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(imagej, "MAX_BYTES", 1_000_000)
    assert "a.roi unpacks to too many bytes" in complaint(
        put(tmp_path, "ImageJ ROIs", made.zipped({"a.roi": bytes(2_000_000)}))
    )
    monkeypatch.setattr(imagej, "MAX_TOTAL", 2_000_000)
    many = {f"{number}.roi": made.roi(3).tobytes() + bytes(900_000) for number in range(4)}
    assert "unpacks to too many bytes" in complaint(put(tmp_path, "ImageJ ROIs", made.zipped(many)))
    monkeypatch.setattr(imagej, "MAX_ROIS", 3)
    assert "4 ROIs, more than 3" in complaint(put(tmp_path, "ImageJ ROIs", made.zipped(many)))


def test_a_zip_that_says_another_size_than_it_has(tmp_path: Path) -> None:
    data = bytearray(made.zipped({"a.roi": made.roi(3).tobytes()}))
    at = data.index(b"PK\x01\x02")
    data[at + 24 : at + 28] = struct.pack("<I", 5)
    path = put(tmp_path, "ImageJ ROIs", bytes(data))
    assert zipfile.is_zipfile(path) and "damaged" in complaint(path)


def test_a_polygon_of_too_many_crossings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drawing, "MOST_CROSSINGS", 300)
    zigzag = [[at, 30 * (at % 2)] for at in range(40)]
    assert "polygon of 40 vertices across 30 rows, too many to draw; simplify it" in complaint(
        put(tmp_path, "LabelMe", a_polygon(zigzag))
    )


def test_what_lies_outside_is_clipped_and_what_crosses_itself_is_drawn(tmp_path: Path) -> None:
    outside = [[-50, -50], [-40, -50], [-40, -40]]
    eight = [[1, 1], [9, 9], [9, 1], [1, 9]]
    partly = [[-50, 5], [500, 5], [500, 7], [-50, 7]]
    for points, pixels in ((outside, 0), (partly, 2 * SHAPE[1]), (eight, None)):
        (found,) = annotations.read(put(tmp_path, "LabelMe", a_polygon(points)), SHAPE, tmp_path / "x.dcm")
        assert found.mask.shape == SHAPE and pixels in (None, found.mask.sum())
        assert pixels is not None or 24 <= found.mask.sum() <= 40


def test_odd_names_are_names(tmp_path: Path) -> None:
    for label, name in {"": "", "a\nb": "a b", "ядро": "ядро", "x" * 500: "x" * 100}.items():
        path = put(tmp_path, "LabelMe", made.labelme_shape("polygon", SQUARE, label=label))
        assert annotations.read(path, SHAPE, tmp_path / "x.dcm")[0].name == name


def test_one_bad_file_costs_one_image(tmp_path: Path) -> None:
    for name in "abcd":
        write(tmp_path / f"{name}.png", shape=SHAPE)
        (tmp_path / f"{name}.json").write_bytes(a_polygon(SQUARE))
    (tmp_path / "b.json").write_bytes(a_polygon(SQUARE[:1]))
    found = inspection.inspect(folders.scan(tmp_path))
    assert [problem.path.name for problem in found.problems] == ["b.png"]
    assert "b.json: shape 1 ('cell'): polygon of 1 vertices" in found.problems[0].reason
    loaded = samples.load(found.cases, Preparation(size_px=(32, 32)))
    assert [case.id for case in loaded.cases] == ["a", "c", "d"] and len(loaded.problems) == 1


def test_no_file_no_format_and_no_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "no annotation that bioseg reads" in complaint(tmp_path / "gone.json")
    (tmp_path / "settings.json").write_text('{"a": 1}')
    assert "no annotation that bioseg reads" in complaint(tmp_path / "settings.json")
    path = put(tmp_path, "ImageJ ROIs")
    monkeypatch.setitem(sys.modules, "roifile", None)
    assert complaint(path).endswith("needs the package roifile to be read; pip install 'bioseg[formats]'")
