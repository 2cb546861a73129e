"""Every annotation format against another library, or against truth made by hand: pixel for pixel."""

import io
import json
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pycocotools import mask as coco_mask
from pydicom import dcmread
from roifile import ROI_OPTIONS, ROI_SUBTYPE, ROI_TYPE, ImagejRoi
from skimage.draw import polygon2mask

from bioseg.datasets import annotations, cases
from bioseg.datasets.annotations import coco, drawing, json_file
from bioseg.datasets.annotations.imagej import class_of
from bioseg.types import Case, Mask
from tests.outputs.segmented_images import ct_slice

from . import annotation_files as made
from .annotation_files import FILES, LABELS, MASKS, NAMES, SHAPE, put


def read(path: Path, image: str = "x.dcm") -> list[tuple[str, Mask]]:
    return [(one.name, one.mask) for one in annotations.read(path, SHAPE, path.parent / image)]


def same(found: list[tuple[str, Mask]], expected: list[tuple[str, Mask]]) -> bool:
    return [name for name, _ in found] == [name for name, _ in expected] and all(
        (one == other).all() for (_, one), (_, other) in zip(found, expected, strict=True)
    )


def objects(folder: Path, name: str, content: bytes) -> list[tuple[str, Mask]]:
    (folder / name).write_bytes(content)
    return read(folder / name)


DRAWN = [kind for kind in FILES if not kind.startswith("DICOM")]


@pytest.mark.parametrize("kind", DRAWN)
def test_objects_classes_and_order_are_those_of_the_file(kind: str, tmp_path: Path) -> None:
    path = put(tmp_path, kind)
    how = annotations.format_of(path)
    assert how and how.name == kind.split(", ")[0]
    nameless = kind.startswith("cellpose")
    assert same(read(path), [("" if nameless else name, mask) for name, mask in MASKS])
    case = Case("x", "", tmp_path / "x.dcm", (path,))
    assert (cases.read_mask(case, SHAPE) == (LABELS > 0)).all()
    assert (cases.read_labels(case, SHAPE) == LABELS).all()
    assert same([(part.name, part.mask) for part in cases.each_part(case, SHAPE)], read(path))


class TestDrawing:
    def test_any_polygon_is_what_scikit_image_draws(self) -> None:
        rng = np.random.default_rng(0)
        for _ in range(100):  # many cross themselves and lie partly outside
            vertices = rng.uniform(-15, 50, (rng.integers(3, 12), 2))
            drawn = drawing.polygons("", [[vertices]], SHAPE).mask
            assert (drawn == polygon2mask(SHAPE, vertices[:, ::-1] - 0.5)).all()

    def test_what_it_goes_around_twice_is_outside(self) -> None:
        pentagram = [[10 + 9 * np.sin(4 * np.pi * k / 5), 10 - 9 * np.cos(4 * np.pi * k / 5)] for k in range(5)]
        mask = drawing.polygons("", [[drawing.points(pentagram)]], (20, 20)).mask
        assert mask.any() and not mask[10, 10]

    def test_neighbours_share_an_edge_without_gap_or_overlap(self) -> None:
        rng = np.random.default_rng(1)
        middle = rng.integers(0, 2 * 30, (6, 2)) / 2  # on centres and edges of pixels
        corners = np.array([[0, 0], [30, 0], [30, 30], [0, 30]], float)
        for point in middle:
            parts = [drawing.polygons("", [[np.array([a, b, point])]], (30, 30)).mask.astype(int) for a, b in
                     zip(corners, np.roll(corners, -1, axis=0), strict=True)]  # fmt: skip
            assert (sum(parts) == 1).all()

    def test_a_hole_of_many_vertices_is_quick(self) -> None:
        turn = np.linspace(0, 2 * np.pi, 20_000, endpoint=False)
        ring = np.stack([np.cos(turn), np.sin(turn)], axis=1) * (1 + 0.1 * np.sin(99 * turn))[:, None]
        one = drawing.polygons("", [[ring * 400 + 500, ring * 200 + 500]], (1000, 1000))
        assert abs(one.mask.sum() / (np.pi * (400**2 - 200**2) * 1.005) - 1) < 0.001 and not one.mask[500, 500]

    def test_an_ellipse_holds_the_centres_of_its_pixels(self) -> None:
        rows, cols = np.mgrid[: SHAPE[0], : SHAPE[1]] + 0.5
        expected = ((cols - 3) / 9.3) ** 2 + ((rows - 12.2) / 7) ** 2 <= 1
        assert (drawing.ellipse("", (3, 12.2), (9.3, 7), SHAPE).mask == expected).all()


class TestLabelMe:
    @pytest.mark.parametrize(
        ("kind", "points", "box"),
        [("rectangle", [[30, 20], [5, 10]], (10, 20, 5, 30)), ("rectangle", [[-9, -9], [500, 2.6]], (0, 3, 0, 41))],
    )
    def test_rectangles(self, kind: str, points: object, box: tuple[int, ...], tmp_path: Path) -> None:
        ((name, mask),) = objects(tmp_path, "x.json", made.labelme_shape(kind, points))
        expected = np.zeros(SHAPE, bool)
        expected[box[0] : box[1], box[2] : box[3]] = True
        assert name == "cell" and (mask == expected).all()

    def test_a_circle_has_a_centre_and_a_point_on_it(self, tmp_path: Path) -> None:
        ((_, mask),) = objects(tmp_path, "x.json", made.labelme_shape("circle", [[20, 15], [23, 19]]))
        rows, cols = np.mgrid[: SHAPE[0], : SHAPE[1]] + 0.5
        assert (mask == ((cols - 20) ** 2 + (rows - 15) ** 2 <= 25)).all()

    def test_a_mask_beyond_the_image_is_clipped(self, tmp_path: Path) -> None:
        whole = json.loads(made.labelme())
        own = next(one for one in whole["shapes"] if one["shape_type"] == "mask")
        own["points"] = [[-4, -3], [0, 0]]
        ((_, mask),) = objects(tmp_path, "x.json", json.dumps(whole | {"shapes": [own]}).encode())
        expected = np.zeros(SHAPE, bool)
        expected[:6, :7] = (LABELS == 1)[6:12, 7:14]  # object 1 begins in row 3 and column 3
        assert (mask == expected).all()

    def test_a_group_is_one_object(self, tmp_path: Path) -> None:
        shapes = [
            {"label": label, "group_id": group, "shape_type": "rectangle", "points": [[at, 0], [at + 4, 4]]}
            for label, group, at in (("a", 1, 0), ("b", 1, 10), ("a", 1, 20), ("a", None, 30))
        ]
        found = objects(tmp_path, "x.json", json.dumps({"shapes": shapes, "version": "5"}).encode())
        assert [(name, int(mask.sum())) for name, mask in found] == [("a", 32), ("b", 16), ("a", 16)]


class TestCoco:
    def test_run_lengths_checked_by_hand(self) -> None:
        expected = np.zeros((4, 5), bool)
        expected[0:3, 3] = expected[2, 3:5] = expected[3, 0] = True
        for counts in ([3, 1, 8, 3, 3, 1, 1], "3182KNN"):  # 3 1 8, then 3-1, 3-8, 1-3, 1-3 in six bits each
            assert (coco.decode({"size": [4, 5], "counts": counts}, (4, 5)) == expected).all()

    def test_run_lengths_are_those_of_pycocotools(self) -> None:
        rng = np.random.default_rng(0)
        for share in (0.0, 0.01, 0.5, 0.99, 1.0):
            for shape in ((1, 1), (7, 300), (300, 7), (1, 90)):
                mask = rng.random(shape) < share
                packed = coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))["counts"].decode()
                assert (coco.decode({"size": list(shape), "counts": packed}, shape) == mask).all()
                assert (coco.decode({"size": list(shape), "counts": made.runs(mask)}, shape) == mask).all()

    def test_an_image_is_known_by_its_name_and_folders(self, tmp_path: Path) -> None:
        def one(at: int) -> dict[str, Any]:
            size = {"size": list(SHAPE), "counts": [at, 1, SHAPE[0] * SHAPE[1] - at - 1]}
            return {"id": at, "image_id": at, "category_id": 1, "segmentation": size}

        images = [{"id": at, "file_name": f"{name}/a.png"} for at, name in enumerate(("train", "sub\\val", "test"))]
        whole = {
            "images": images,
            "annotations": [one(0), one(1), one(2), one(1)],
            "categories": [{"id": 1, "name": "c"}],
        }
        path = tmp_path / "all.json"
        path.write_text(json.dumps(whole))
        for at, (place, count) in enumerate({"train": 1, "val": 2, "test": 1}.items()):
            found = annotations.read(path, SHAPE, tmp_path / place / "a.png")
            assert len(found) == count and found[0].mask[at, 0] and found[0].mask.sum() == 1

    def test_a_file_is_parsed_once_whichever_thread_comes_first(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path, parsed, whole = put(tmp_path, "COCO"), list[Path](), json_file.read
        monkeypatch.setattr(json_file, "read", lambda path: (parsed.append(path), whole(path))[1])
        found: list[int] = []
        threads = [threading.Thread(target=lambda: found.append(len(read(path)))) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert found == [len(MASKS)] * 8 and len(parsed) == 1
        path.write_bytes(made.coco(annotations=[]))  # changed: parsed again
        assert read(path) == [] and len(parsed) == 2


class TestImageJ:
    def test_rectangles_and_ovals(self, tmp_path: Path) -> None:
        rect = ImagejRoi(roitype=ROI_TYPE.RECT, name="r", left=3, top=4, right=20, bottom=9)
        oval = ImagejRoi(roitype=ROI_TYPE.OVAL, name="o", left=-5, top=4, right=20, bottom=18)
        fine = ImagejRoi(
            roitype=ROI_TYPE.RECT, name="f", left=3, top=4, right=9, bottom=9, options=ROI_OPTIONS.SUB_PIXEL_RESOLUTION,
            xd=3.6, yd=4.4, widthd=5.0, heightd=2.2,
        )  # fmt: skip
        found = objects(tmp_path, "x.zip", made.rois(rect, oval, fine))
        rows, cols = np.mgrid[: SHAPE[0], : SHAPE[1]] + 0.5
        expected = [
            ("r", (rows > 4) & (rows < 9) & (cols > 3) & (cols < 20)),
            ("o", ((cols - 7.5) / 12.5) ** 2 + ((rows - 11) / 7) ** 2 <= 1),
            ("f", (rows > 4.4) & (rows < 6.6) & (cols > 3.6) & (cols < 8.6)),
        ]
        assert same(found, expected)

    def test_freehand_with_parts_of_pixels_in_a_file_of_its_own(self, tmp_path: Path) -> None:
        vertices = np.random.default_rng(0).uniform(0, 30, (9, 2)).astype(np.float32)
        ((name, mask),) = objects(tmp_path, "x.roi", ImagejRoi.frompoints(vertices, name="nerve").tobytes())
        assert name == "nerve" and (mask == polygon2mask(SHAPE, vertices[:, ::-1] - 0.5)).all()

    def test_classes_are_names_without_numbers(self) -> None:
        names = {
            "nucleus-012": "nucleus",
            "0012-0345": "",
            "0001-0012-0345": "",
            "Cell 3": "Cell",
            "CD4": "CD",
            "7": "",
        }
        assert {name: class_of(name) for name in names} == names

    @pytest.mark.parametrize(
        ("kind", "says"), [(ROI_TYPE.LINE, "line"), (ROI_TYPE.POINT, "point"), (ROI_TYPE.POLYLINE, "polyline")]
    )
    def test_what_has_no_area_is_named(self, kind: ROI_TYPE, says: str, tmp_path: Path) -> None:
        roi = ImagejRoi.frompoints([[1, 2], [9, 9], [4, 5]], name="a")
        roi.roitype = kind
        with pytest.raises(Exception, match=rf"0000\.roi: {says} is no region that is read; draw it as a polygon"):
            objects(tmp_path, "x.zip", made.rois(roi))

    def test_text_and_rounded_rectangles_are_named(self, tmp_path: Path) -> None:
        text = ImagejRoi(
            roitype=ROI_TYPE.RECT, subtype=ROI_SUBTYPE.TEXT, text="hello", text_name="x", right=9, bottom=9
        )
        with pytest.raises(Exception, match="is text, not a region"):
            objects(tmp_path, "x.zip", made.rois(text))
        rounded = ImagejRoi(roitype=ROI_TYPE.RECT, right=9, bottom=9, rounded_rect_arc_size=4)
        with pytest.raises(Exception, match="rounded rectangle is no region"):
            objects(tmp_path, "y.zip", made.rois(rounded))


class TestGeoJson:
    def test_classes_as_older_and_newer_qupath_write_them(self, tmp_path: Path) -> None:
        square = {"type": "Polygon", "coordinates": [[[1, 1], [5, 1], [5, 5], [1, 5], [1, 1]]]}
        ways: list[Any] = [
            {"classification": {"name": "Tumor", "colorRGB": -3670016}},
            {"classification": {"names": ["Tumor", "Positive"]}},
            {"objectType": "annotation"},
            None,
        ]
        features = [{"type": "Feature", "geometry": square, "properties": way} for way in ways]
        found = objects(tmp_path, "x.geojson", json.dumps({"type": "FeatureCollection", "features": features}).encode())
        assert [name for name, _ in found] == ["Tumor", "Tumor: Positive", "", ""]
        assert all(mask[1:5, 1:5].all() and mask.sum() == 16 for _, mask in found)


class TestCellpose:
    @pytest.mark.parametrize("dtype", [np.uint16, np.int32, np.int64, ">i4", np.uint8])
    def test_masks_of_any_type(self, dtype: Any, tmp_path: Path) -> None:
        found = objects(tmp_path, "x_seg.npy", made.seg_npy(LABELS.astype(dtype), filename=Path("a.png")))
        assert same(found, [("", mask) for _, mask in MASKS])

    def test_columns_first_and_one_plane(self, tmp_path: Path) -> None:
        for masks in (np.asfortranarray(LABELS), LABELS[None]):
            assert same(objects(tmp_path, "x_seg.npy", made.seg_npy(masks)), [("", mask) for _, mask in MASKS])

    def test_one_cell_of_any_number_is_one_object(self, tmp_path: Path) -> None:
        ((_, mask),) = objects(tmp_path, "x_cp_masks.png", made.png((LABELS == 3).astype(np.uint16) * 999))
        assert (mask == (LABELS == 3)).all()


class TestDicomSeg:
    @pytest.mark.parametrize("kind", ["BINARY", "FRACTIONAL", "LABELMAP"])
    def test_segments_are_those_that_highdicom_wrote(self, kind: str, tmp_path: Path) -> None:
        path = put(tmp_path, "DICOM SEG", made.dicom_seg(kind=kind))
        first = (LABELS > 0) & (LABELS <= 4) if kind == "LABELMAP" else LABELS > 0
        assert same(read(path), [("lung", first), ("heart", LABELS > 4)])

    def test_of_a_series_every_image_has_its_own(self, tmp_path: Path) -> None:
        sources = [ct_slice(number) for number in range(3)]
        for number, source in enumerate(sources):
            (tmp_path / f"{number}.dcm").write_bytes(source)
        path = tmp_path / "seg.dcm"
        path.write_bytes(made.dicom_seg(*sources[:2]))
        for number in (0, 1):
            assert [name for name, _ in read(path, f"{number}.dcm")] == ["lung", "heart"]
        with pytest.raises(Exception, match=r"seg.dcm: refers to 2 other images, not to 2.dcm; put it beside"):
            read(path, "2.dcm")

    def test_an_image_without_a_frame_has_no_object(self, tmp_path: Path) -> None:
        (tmp_path / "x.dcm").write_bytes(IMAGE_1)
        path = tmp_path / "seg.dcm"
        path.write_bytes(made.dicom_seg(made.IMAGE, IMAGE_1, segments=(LABELS > 0,)))
        seg = dcmread(path)
        kept = [
            frame
            for frame in seg.PerFrameFunctionalGroupsSequence
            if frame.DerivationImageSequence[0].SourceImageSequence[0].ReferencedSOPInstanceUID
            != dcmread(io.BytesIO(IMAGE_1)).SOPInstanceUID
        ]
        assert len(kept) == 1
        seg.PerFrameFunctionalGroupsSequence, seg.NumberOfFrames = kept, 1
        seg.save_as(path)
        assert read(path) == []

    def test_frames_that_refer_to_no_image_are_found_by_their_place(self, tmp_path: Path) -> None:
        path = put(tmp_path, "DICOM SEG")
        seg = dcmread(path)
        for frame in seg.PerFrameFunctionalGroupsSequence:
            del frame.DerivationImageSequence
        seg.save_as(path)
        assert same(read(path), [("lung", LABELS > 0), ("heart", LABELS > 4)])


IMAGE_1 = ct_slice(1)
OBLIQUE = (0.8, 0.6, 0, -0.36, 0.48, 0.8)


class TestRtStruct:
    @pytest.mark.parametrize("by", ["image", "plane"])
    @pytest.mark.parametrize("orientation", [(1, 0, 0, 0, 1, 0), OBLIQUE])
    def test_contours_are_what_scikit_image_draws(
        self, by: str, orientation: tuple[float, ...], tmp_path: Path
    ) -> None:
        image = ct_slice(orientation=orientation)  # type: ignore[arg-type]
        rng = np.random.default_rng(0)
        contours = {name: rng.uniform(-5, 35, (8, 2)) for name in ("lung", "heart")}
        (tmp_path / "x.dcm").write_bytes(image)
        (tmp_path / "rs.dcm").write_bytes(made.rtstruct({name: [one] for name, one in contours.items()}, image, by=by))
        assert same(read(tmp_path / "rs.dcm"), [(name, polygon2mask(SHAPE, one)) for name, one in contours.items()])

    def test_an_inner_contour_is_a_hole(self, tmp_path: Path) -> None:
        outer, inner = ([(low, low), (low, high), (high, high), (high, low)] for low, high in ((1.5, 20.5), (5.5, 9.5)))
        ((_, mask),) = read(put(tmp_path, "DICOM RTSTRUCT", made.rtstruct({"ring": [outer, inner]})))
        expected = np.zeros(SHAPE, bool)
        expected[2:21, 2:21] = True
        expected[6:10, 6:10] = False
        assert (mask == expected).all()

    def test_slices_without_a_contour_and_images_of_others(self, tmp_path: Path) -> None:
        content = made.rtstruct({"lung": [[(2, 3), (2, 30), (20, 30)]]}, made.IMAGE, IMAGE_1)
        path = put(tmp_path, "DICOM RTSTRUCT", content)
        (tmp_path / "y.dcm").write_bytes(IMAGE_1)
        (tmp_path / "z.dcm").write_bytes(ct_slice(2))
        assert len(read(path)) == 1 and read(path, "y.dcm") == []
        with pytest.raises(Exception, match=r"refers to 2 other images, not to z\.dcm"):
            read(path, "z.dcm")


def test_what_we_write_is_read_again(tmp_path: Path) -> None:
    from bioseg.outputs import geojson, rois
    from tests.outputs.segmented_images import segmented

    one = segmented(LABELS)
    geojson.write(tmp_path / "x.geojson", one)
    rois.write(tmp_path / "x.rois.zip", one)
    for name in ("x.geojson", "x.rois.zip"):
        found = read(tmp_path / name)
        assert [(mask == other).all() for (_, mask), (_, other) in zip(found, MASKS, strict=True)] == [True] * len(
            NAMES
        )
        assert {name for name, _ in found} == {"nucleus"}
