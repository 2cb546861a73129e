"""Annotation files as other programs write them, of objects that importers find hard. Nothing here uses our own importers."""

import base64
import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import highdicom
import numpy as np
import tifffile
from highdicom.sr.coding import CodedConcept
from PIL import Image
from pycocotools import mask as coco_mask
from pydicom import Dataset, dcmread
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, RTStructureSetStorage, generate_uid
from roifile import ROI_OPTIONS, ROI_TYPE, ImagejRoi

from bioseg.outputs.polygons import trace
from bioseg.types import Labels, Mask
from tests.outputs.segmented_images import ct_slice, hard_labels

LABELS = hard_labels()
SHAPE = (LABELS.shape[0], LABELS.shape[1])
NUMBERS = [int(number) for number in np.unique(LABELS[LABELS > 0])]
NAMES = {number: "cell" if number % 2 else "debris (old)" for number in NUMBERS}
MASKS: list[tuple[str, Mask]] = [(NAMES[number], number == LABELS) for number in NUMBERS]
"""Class and mask of every object, in order."""
POLYGONS = {
    number: [[ring.tolist() for ring in polygon] for polygon in found] for number, found in trace(LABELS).items()
}
IMAGE = ct_slice()


def labelme(labels: Labels = LABELS, **more: Any) -> bytes:
    """Objects of one outer ring as polygons, the others as masks in PNG."""
    shapes: list[dict[str, Any]] = []
    for number in NUMBERS:
        one: dict[str, Any] = {"label": NAMES[number], "group_id": None, "flags": {}}
        rings = [ring for polygon in POLYGONS[number] for ring in polygon]
        if len(rings) == 1:
            shapes.append(one | {"shape_type": "polygon", "points": rings[0]})
            continue
        rows, cols = np.nonzero(labels == number)
        crop = (labels == number)[rows.min() : rows.max() + 1, cols.min() : cols.max() + 1]
        corners = [[int(cols.min()), int(rows.min())], [int(cols.max()), int(rows.max())]]
        shapes.append(one | {"shape_type": "mask", "points": corners, "mask": base64.b64encode(png(crop)).decode()})
    whole = {"version": "5.5.0", "flags": {}, "shapes": shapes, "imagePath": "x.png", "imageData": "AAAA"}
    return json.dumps(whole | {"imageHeight": SHAPE[0], "imageWidth": SHAPE[1]} | more).encode()


def labelme_shape(kind: str, points: object, **more: Any) -> bytes:
    shape = {"label": "cell", "shape_type": kind, "points": points, **more}
    return json.dumps({"version": "5.0.1", "shapes": [shape], "imageHeight": SHAPE[0], "imageWidth": SHAPE[1]}).encode()


def coco(name: str = "x.dcm", how: str = "mixed", **more: Any) -> bytes:
    """Polygons where objects have no holes, else run lengths: every second one compressed by pycocotools, one a crowd."""
    objects = []
    for number in NUMBERS:
        rings = [polygon[0] for polygon in POLYGONS[number]]
        plain = all(len(polygon) == 1 for polygon in POLYGONS[number]) and how == "mixed"
        encoded: Any = [[value for point in ring for value in point] for ring in rings]
        if not plain:
            packed = coco_mask.encode(np.asfortranarray((number == LABELS).astype(np.uint8)))
            counts = packed["counts"].decode() if number % 2 else runs(number == LABELS)
            encoded = {"size": list(SHAPE), "counts": counts}
        category = 1 + number % 2
        objects.append(
            {"id": number, "image_id": 7, "category_id": category, "segmentation": encoded, "iscrowd": number == 4}
        )
    categories = [{"id": 1, "name": NAMES[2]}, {"id": 2, "name": NAMES[1]}]
    images = [{"id": 7, "file_name": name, "height": SHAPE[0], "width": SHAPE[1]}, {"id": 8, "file_name": "other.dcm"}]
    return json.dumps({"images": images, "annotations": objects, "categories": categories} | more).encode()


def runs(mask: Mask) -> list[int]:
    """Run lengths down the columns, background first, in plain Python."""
    counts, value = [0], False
    for one in mask.T.ravel().tolist():
        if one != value:
            counts.append(0)
            value = one
        counts[-1] += 1
    return counts


def geojson(*, as_list: bool = False) -> bytes:
    """What QuPath exports, with or without the collection around the features."""
    features = []
    for number in NUMBERS:
        closed = [[[*ring, ring[0]] for ring in polygon] for polygon in POLYGONS[number]]
        kind, coordinates = ("Polygon", closed[0]) if len(closed) == 1 else ("MultiPolygon", closed)
        properties = {"objectType": "annotation", "classification": {"name": NAMES[number], "color": [1, 2, 3]}}
        geometry = {"type": kind, "coordinates": coordinates}
        features.append({"type": "Feature", "id": str(number), "geometry": geometry, "properties": properties})
    return json.dumps(features if as_list else {"type": "FeatureCollection", "features": features}).encode()


def roi(number: int) -> ImagejRoi:
    """A traced polygon, or a composite of rings."""
    name = f"{NAMES[number]}-{number:03d}"
    rings = [ring for polygon in POLYGONS[number] for ring in polygon]
    if len(rings) == 1:
        one = ImagejRoi.frompoints(rings[0], name=name)
        one.roitype, one.options = ROI_TYPE.TRACED, ROI_OPTIONS.NONE
        return one
    path = [value for ring in rings for at, point in enumerate(ring) for value in (min(at, 1), *point)]
    ends = np.cumsum([3 * len(ring) for ring in rings])
    path = [value for part in np.split(np.array(path, float), ends[:-1]) for value in (*part.tolist(), 4.0)]
    rows, cols = np.nonzero(number == LABELS)
    return ImagejRoi(
        roitype=ROI_TYPE.RECT, name=name, left=int(cols.min()), top=int(rows.min()), right=int(cols.max()) + 1,
        bottom=int(rows.max()) + 1, shape_roi_size=len(path), multi_coordinates=np.array(path, np.float32),
    )  # fmt: skip


def rois(*more: ImagejRoi) -> bytes:
    """A zip of the ROI Manager."""
    return zipped({f"{number:04d}.roi": one.tobytes() for number, one in enumerate(more or map(roi, NUMBERS))})


def zipped(entries: dict[str, bytes]) -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    return data.getvalue()


def png(values: Any) -> bytes:
    data = io.BytesIO()
    Image.fromarray(values).save(data, "PNG")
    return data.getvalue()


def tiff(values: Any) -> bytes:
    data = io.BytesIO()
    tifffile.imwrite(data, values)
    return data.getvalue()


def seg_npy(masks: Any = None, **more: Any) -> bytes:
    """What cellpose saves: a dictionary, pickled by NumPy."""
    flows = [np.zeros((4, 5, 3), np.uint8), np.zeros((2, 4, 5), np.float32), []]
    whole = {
        "outlines": np.zeros(SHAPE, np.uint16), "masks": LABELS.astype(np.uint16) if masks is None else masks,
        "chan_choose": [0, 0], "ismanual": np.zeros(9, bool),
        "filename": "x.png", "flows": flows, "diameter": np.float64(17.5), "colors": np.arange(6).reshape(2, 3),
    }  # fmt: skip
    data = io.BytesIO()
    np.save(data, whole | more, allow_pickle=True)
    return data.getvalue()


def dicom_seg(*sources: bytes, segments: tuple[Mask, ...] = (), kind: str = "BINARY", **more: Any) -> bytes:
    """Segments called lung and heart, by highdicom; they overlap unless ``kind`` is LABELMAP."""
    images = [dcmread(io.BytesIO(source)) for source in sources or (IMAGE,)]
    for image in images:
        for keyword in ("PatientBirthDate", "PatientSex", "AccessionNumber", "StudyID", "StudyDate", "StudyTime"):
            setattr(image, keyword, "")
        image.SliceThickness = 5
    masks = segments or (LABELS > 0, LABELS > 4)
    planes = np.stack([np.stack(masks, axis=-1)] * len(images)).astype(np.uint8)
    pixels = planes.astype(np.float32) if kind == "FRACTIONAL" else planes
    if kind == "LABELMAP":
        pixels = (planes * np.arange(1, len(masks) + 1, dtype=np.uint8)).max(axis=-1)
    described = [
        highdicom.seg.SegmentDescription(
            segment_number=number, segment_label=name, algorithm_type="MANUAL",
            segmented_property_category=CodedConcept("123037004", "SCT", "Anatomical Structure"),
            segmented_property_type=CodedConcept("39607008", "SCT", "Lung structure"),
        )
        for number, name in enumerate(("lung", "heart")[: len(masks)], 1)
    ]  # fmt: skip
    seg = highdicom.seg.Segmentation(
        source_images=images, pixel_array=pixels, segmentation_type=kind, segment_descriptions=described,
        series_instance_uid=generate_uid(entropy_srcs=["s"]), series_number=2, instance_number=1,
        sop_instance_uid=generate_uid(entropy_srcs=["i"]), manufacturer="m", manufacturer_model_name="m",
        software_versions="1", device_serial_number="1", **more,
    )  # fmt: skip
    data = io.BytesIO()
    seg.save_as(data, enforce_file_format=True)
    return data.getvalue()


def rtstruct(regions: dict[str, list[Any]], *sources: bytes, by: str = "image", kind: str = "CLOSED_PLANAR") -> bytes:
    """Regions of contours given in px of the first image (its first pixel's centre is 0, 0), as (row, col).

    Args:
        regions: Contours by name.
        sources: The images; the contours lie in the first.
        by: ``image``: contours refer to it. ``plane``: they only lie in it.
        kind: ContourGeometricType.
    """
    headers = [dcmread(io.BytesIO(source)) for source in sources or (IMAGE,)]
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.TransferSyntaxUID = RTStructureSetStorage, ExplicitVRLittleEndian
    meta.MediaStorageSOPInstanceUID = generate_uid(entropy_srcs=["r"])
    whole = Dataset()
    whole.file_meta = meta
    whole.SOPClassUID, whole.SOPInstanceUID, whole.Modality = meta.MediaStorageSOPClassUID, "1.2.3.4", "RTSTRUCT"
    whole.StructureSetROISequence = [items(ROINumber=at, ROIName=name) for at, name in enumerate(regions, 1)]
    whole.ReferencedFrameOfReferenceSequence = [
        items(
            ContourImageSequence=[
                items(ReferencedSOPClassUID=one.SOPClassUID, ReferencedSOPInstanceUID=one.SOPInstanceUID)
                for one in headers
            ]
        )
    ]
    here = headers[0]
    image = [items(ReferencedSOPClassUID=here.SOPClassUID, ReferencedSOPInstanceUID=here.SOPInstanceUID)]
    whole.ROIContourSequence = [
        items(
            ReferencedROINumber=at,
            ContourSequence=[
                items(
                    ContourGeometricType=kind, NumberOfContourPoints=len(contour), ContourData=in_patient(contour, here),
                    **({"ContourImageSequence": image} if by == "image" else {}),
                )
                for contour in contours
            ],
        )
        for at, contours in enumerate(regions.values(), 1)
    ]  # fmt: skip
    data = io.BytesIO()
    whole.save_as(data, enforce_file_format=True)
    return data.getvalue()


def items(**elements: Any) -> Dataset:
    one = Dataset()
    for keyword, value in elements.items():
        setattr(one, keyword, value)
    return one


def in_patient(contour: Any, header: Dataset) -> list[str]:
    """The standard's equation C.7.6.2.1-1, point by point."""
    place, direction = list(map(float, header.ImagePositionPatient)), list(map(float, header.ImageOrientationPatient))
    between_rows, between_cols = map(float, header.PixelSpacing)
    found = []
    for row, col in contour:
        for axis in range(3):
            value = place[axis] + direction[axis] * between_cols * col + direction[3 + axis] * between_rows * row
            found.append(f"{value:.6f}")
    return found


FILES: dict[str, tuple[str, Callable[[], bytes]]] = {
    "LabelMe": ("x.json", labelme),
    "COCO": ("instances_default.json", coco),
    "COCO, run lengths": ("coco.json", lambda: coco(how="runs")),
    "GeoJSON": ("x.geojson", geojson),
    "GeoJSON, a list": ("x.dcm.json", lambda: geojson(as_list=True)),
    "ImageJ ROIs": ("x_rois.zip", rois),
    "cellpose _seg.npy": ("x_seg.npy", seg_npy),
    "cellpose masks": ("x_cp_masks.png", lambda: png(LABELS.astype(np.uint16))),
    "cellpose masks, TIFF": ("x_cp_masks.tif", lambda: tiff(LABELS.astype(np.int32))),
    "DICOM SEG": ("seg.dcm", dicom_seg),
    "DICOM RTSTRUCT": ("1.2.3", lambda: rtstruct({"lung": [[(2, 3), (2, 30), (20, 30.0), (25, 3)]]})),
}
"""One of every kind, beside an image ``x.dcm``: its name, and what writes it."""


def put(folder: Path, kind: str, content: bytes | None = None) -> Path:
    """An annotation file, with its image ``x.dcm`` beside it."""
    name, make = FILES[kind]
    (folder / "x.dcm").write_bytes(IMAGE)
    (folder / name).write_bytes(make() if content is None else content)
    return folder / name
