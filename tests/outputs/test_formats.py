"""Every format is read back by another program's library and holds the same pixels."""

import io
import json
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import pytest
from PIL import Image, ImageDraw
from roifile import ROI_TYPE, ImagejRoi
from skimage.draw import polygon2mask
from tifffile import TiffFile

from bioseg.outputs import geojson, label_tiff, nifti, overlay, rois, saving
from bioseg.outputs.measure import OBJECT_COLUMNS
from bioseg.outputs.names import SUFFIXES
from bioseg.outputs.segmented import Segmented
from bioseg.pipelines import machine
from bioseg.types import BiosegError, Labels

from .segmented_images import SPACING, ct_slice, hard_labels, segmented

EMPTY = np.zeros((6, 5), np.int32)
PIXEL = EMPTY.copy()
PIXEL[5, 4] = 1
FULL = EMPTY + 1
CASES = [pytest.param(labels, id=name) for name, labels in
         {"hard": hard_labels(), "empty": EMPTY, "one pixel": PIXEL, "full": FULL}.items()]  # fmt: skip


def filled(rings: list[list[list[float]]], shape: tuple[int, ...]) -> np.ndarray:
    """Rings of (x, y) from the image's corner, by the even-odd rule."""
    mask = np.zeros(shape, np.bool_)
    for ring in rings:
        mask ^= polygon2mask(shape, np.array(ring)[:, ::-1] - 0.5)
    return mask


def read_rois(path: Path, shape: tuple[int, ...]) -> Labels:
    labels = np.zeros(shape, np.int32)
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
    for roi in ImagejRoi.fromfile(path):
        mask = filled([one.tolist() for one in roi.coordinates(multi=True)], shape)
        rows, cols = np.nonzero(mask)
        assert (roi.top, roi.left, roi.bottom, roi.right) == (rows.min(), cols.min(), rows.max() + 1, cols.max() + 1)
        labels[mask] = int(roi.name.rsplit("-", 1)[1])
    return labels


def read_geojson(path: Path, shape: tuple[int, ...]) -> Labels:
    """By Pillow: polygons are filled on a canvas four times as fine, of which every block's centre is taken."""
    labels = Image.new("I", (4 * shape[1], 4 * shape[0]))
    for feature in json.loads(path.read_text(encoding="utf-8"))["features"]:
        geometry = feature["geometry"]
        parts = [geometry["coordinates"]] if geometry["type"] == "Polygon" else geometry["coordinates"]
        for outer, *holes in parts:
            part = Image.new("1", labels.size)
            draw = ImageDraw.Draw(part)
            for ring, fill in ((outer, 1), *((hole, 0) for hole in holes)):
                assert ring[0] == ring[-1]
                draw.polygon([(4 * x - 0.5, 4 * y - 0.5) for x, y in ring], fill=fill)
            labels.paste(int(feature["properties"]["name"].rsplit("-", 1)[1]), mask=part)
    return np.asarray(labels)[2::4, 2::4].astype(np.int32)


@pytest.mark.parametrize("labels", CASES)
@pytest.mark.parametrize(
    ("write", "read", "name"), [(rois.write, read_rois, "a.zip"), (geojson.write, read_geojson, "a")]
)
def test_polygons_give_the_same_objects(
    write: Callable[[Path, Segmented], None], read: Callable[[Path, tuple[int, ...]], Labels], name: str, labels: Labels,
    tmp_path: Path,
) -> None:  # fmt: skip
    write(tmp_path / name, segmented(labels))
    assert (read(tmp_path / name, labels.shape) == labels).all()


def test_without_objects_each_component_is_one(tmp_path: Path) -> None:
    one = segmented(hard_labels(), separated=False)
    rois.write(tmp_path / "a.zip", one)
    geojson.write(tmp_path / "a", one)
    for found in (read_rois(tmp_path / "a.zip", one.objects.shape), read_geojson(tmp_path / "a", one.objects.shape)):
        assert (found == one.objects).all() and ((found > 0) == one.prediction.mask).all()
    assert one.objects.max() == 7  # 8-connected: 6 and 7 are one, and so are 1 and what lies in its hole at a corner


def test_rois_are_those_of_imagej(tmp_path: Path) -> None:
    rois.write(tmp_path / "a.zip", segmented(hard_labels(), task="left ventricle"))
    by_name = {roi.name: roi for roi in ImagejRoi.fromfile(tmp_path / "a.zip")}
    assert list(by_name) == [f"left ventricle-{number}" for number in range(1, 10)]
    assert by_name["left ventricle-3"].roitype == ROI_TYPE.TRACED and not by_name["left ventricle-3"].subpixelresolution
    assert by_name["left ventricle-1"].composite and len(by_name["left ventricle-1"].coordinates(multi=True)) == 4
    before = (tmp_path / "a.zip").read_bytes()
    rois.write(tmp_path / "a.zip", segmented(hard_labels(), task="left ventricle"))
    assert (tmp_path / "a.zip").read_bytes() == before


def test_rois_far_from_the_corner(tmp_path: Path) -> None:
    labels = np.zeros((3, 70_000), np.int32)
    labels[1, 40_000:69_990] = 1
    labels[0, 69_995] = 2
    rois.write(tmp_path / "a.zip", segmented(labels))
    corners = [roi.coordinates().tolist() for roi in ImagejRoi.fromfile(tmp_path / "a.zip")]
    spans = [(min(x for x, _ in one), max(x for x, _ in one)) for one in corners]
    assert spans == [(40_000, 69_990), (69_995, 69_996)]


def test_geojson_holds_class_and_measurements(tmp_path: Path) -> None:
    labels = hard_labels()
    geojson.write(tmp_path / "a", segmented(labels))
    content = json.loads((tmp_path / "a").read_text(encoding="utf-8"))
    assert content["type"] == "FeatureCollection" and len(content["features"]) == 9
    first = content["features"][0]["properties"]
    assert first["objectType"] == "detection" and first["classification"]["name"] == "nucleus"
    assert first["measurements"]["area_px"] == (labels == 1).sum()
    assert first["measurements"]["area_mm2"] == pytest.approx((labels == 1).sum() * 0.35)
    assert set(first["measurements"]) == set(OBJECT_COLUMNS[2:]) - {"area_um2", "spacing_from"}
    assert content["features"][1]["geometry"]["type"] == "MultiPolygon"
    geojson.write(tmp_path / "a", segmented(labels, separated=False, task="lungs"))
    properties = json.loads((tmp_path / "a").read_text(encoding="utf-8"))["features"][0]["properties"]
    assert properties["objectType"] == "annotation" and properties["classification"]["name"] == "lung"


@pytest.mark.parametrize("labels", CASES)
def test_label_tiff_is_calibrated_for_imagej(labels: Labels, tmp_path: Path) -> None:
    label_tiff.write(tmp_path / "a.tif", segmented(labels))
    with TiffFile(tmp_path / "a.tif") as tiff:
        page = tiff.pages[0]
        assert (tiff.asarray() == labels).all() and page.dtype == np.uint16
        assert tiff.is_imagej and tiff.imagej_metadata and tiff.imagej_metadata["unit"] == "mm"
        x, y = (page.tags[name].value for name in ("XResolution", "YResolution"))
        assert (x[1] / x[0], y[1] / y[0]) == pytest.approx(SPACING[::-1])


def test_label_tiff_of_a_microscope_and_without_spacing(tmp_path: Path) -> None:
    one = segmented(hard_labels())
    for spacing, unit in (((0.000325, 0.000325), "um"), (None, None)):
        raw_image = type(one.raw_image)(one.raw_image.pixels, spacing)
        label_tiff.write(tmp_path / "a.tif", Segmented(one.prediction, raw_image, b"", one.structure))
        with TiffFile(tmp_path / "a.tif") as tiff:
            assert tiff.imagej_metadata and tiff.imagej_metadata.get("unit") == unit
            if unit:
                resolution = tiff.pages[0].tags["XResolution"].value
                assert resolution[1] / resolution[0] == pytest.approx(0.325)


def test_label_tiff_of_more_than_65535_objects(tmp_path: Path) -> None:
    labels = np.zeros((600, 600), np.int32)
    labels[::2, ::2] = np.arange(1, 90_001).reshape(300, 300)
    label_tiff.write(tmp_path / "a.tif", segmented(labels))
    with TiffFile(tmp_path / "a.tif") as tiff:
        assert (tiff.asarray() == labels).all() and tiff.pages[0].dtype == np.uint32
        assert f'PhysicalSizeX="{SPACING[1]}" PhysicalSizeXUnit="mm"' in (tiff.ome_metadata or "")


@pytest.mark.parametrize("labels", CASES)
@pytest.mark.parametrize("separated", [True, False])
def test_nifti_is_columns_rows_slices(labels: Labels, separated: bool, tmp_path: Path) -> None:
    nifti.write(tmp_path / "a.nii.gz", segmented(labels, separated=separated))
    image = nibabel.load(tmp_path / "a.nii.gz")
    values = np.asarray(image.dataobj)
    assert values.shape == (*labels.shape[::-1], 1)
    assert ((labels if separated else labels > 0) == values[..., 0].T).all()
    assert image.header.get_zooms()[:2] == pytest.approx(SPACING[::-1]) and image.header.get_xyzt_units()[0] == "mm"
    assert nibabel.aff2axcodes(image.affine) == ("L", "P", "S") and image.affine[0, 0] == pytest.approx(-0.5)


def test_nifti_of_a_dicom_slice_lies_where_the_slice_lies(tmp_path: Path) -> None:
    one = segmented(hard_labels(), source=ct_slice(3, orientation=(0, 1, 0, 0, 0, -1)))
    nifti.write(tmp_path / "a.nii.gz", one)
    image = nibabel.load(tmp_path / "a.nii.gz")
    assert nibabel.aff2axcodes(image.affine) == ("P", "I", "R")  # sagittal
    assert (image.affine @ [0, 0, 0, 1])[:3] == pytest.approx([10, 20, 15])  # LPS −10, −20, 15
    assert (image.affine @ [2, 3, 0, 1])[:3] == pytest.approx([10, 20 - 2 * 0.5, 15 - 3 * 0.7])
    assert int(image.header["sform_code"]) == 1


def test_nifti_says_what_is_too_large(tmp_path: Path) -> None:
    with pytest.raises(BiosegError, match=r"1×32768 px; NIfTI holds 32,767"):
        nifti.write(tmp_path / "a.nii.gz", segmented(np.zeros((1, 32_768), np.int32)))


def shown(one: Segmented, path: Path) -> tuple[np.ndarray, np.ndarray]:
    """The overlay, and where it has a colour."""
    overlay.write(path, one)
    pixels = np.asarray(Image.open(path)).astype(int)
    return pixels, (pixels.max(axis=2) != pixels.min(axis=2))


def test_overlay_draws_just_inside_the_objects(tmp_path: Path) -> None:
    labels = np.zeros((600, 700), np.int32)
    labels[100:200, 100:200], labels[100:200, 200:300], labels[590:, :50] = 1, 2, 3
    pixels, coloured = shown(segmented(labels), tmp_path / "a.png")
    assert pixels.shape == (600, 700, 3) and not coloured[labels == 0].any()
    inner = np.zeros(labels.shape, np.bool_)
    inner[102:198, 102:198] = inner[102:198, 202:298] = inner[592:598, 2:48] = True
    assert (coloured == ((labels > 0) & ~inner)).all()
    colours = [tuple(pixels[row, col]) for row, col in ((100, 150), (100, 250), (599, 20))]
    assert len(set(colours)) == 3 and set(colours) <= set(overlay.COLOURS)
    one_colour, where = shown(segmented(labels, separated=False), tmp_path / "a.png")
    assert {tuple(colour) for colour in one_colour[where].tolist()} == {overlay.CONTOUR}


def test_touching_objects_have_different_colours() -> None:
    rng = np.random.default_rng(0)
    labels = rng.permutation(401)[np.add.outer(np.arange(200) // 10 * 20, np.arange(200) // 10)].astype(np.int32)
    chosen = overlay.choose_colours(labels, reach=1)
    for one, other in ((labels[:-1], labels[1:]), (labels[:, :-1], labels[:, 1:])):
        apart = (one != other) & (one > 0) & (other > 0)
        assert (chosen[one[apart]] != chosen[other[apart]]).all()


@pytest.mark.parametrize(("shape", "size"), [((40, 64), (320, 512)), ((1, 1), (512, 512)), ((4096, 30), (2048, 15))])
def test_overlays_are_of_a_size_to_look_at(shape: tuple[int, int], size: tuple[int, int], tmp_path: Path) -> None:
    pixels, coloured = shown(segmented(np.ones(shape, np.int32)), tmp_path / "a.png")
    assert pixels.shape[:2] == size and coloured[0].all()


def test_overlay_is_bright_where_the_file_means_bright(tmp_path: Path) -> None:
    one = segmented(EMPTY)
    pixels = np.arange(30, dtype=np.uint16).reshape(6, 5)
    for inverted in (False, True):
        raw_image = type(one.raw_image)(pixels, None, inverted, intercept=-1000.0)
        values, _ = shown(Segmented(one.prediction, raw_image, b"", one.structure), tmp_path / "a.png")
        assert (values[0, 0, 0] > values[-1, -1, 0]) == inverted
    for odd in (np.full((6, 5), np.nan, np.float32), np.zeros((6, 5, 4), np.uint16)):
        odd.flat[3] = 7
        shown(Segmented(one.prediction, type(one.raw_image)(odd), b"", one.structure), tmp_path / "a.png")


@pytest.mark.slow
def test_ten_thousand_objects_in_every_format(tmp_path: Path) -> None:
    labels = np.zeros((1000, 1000), np.int32)
    labels.reshape(100, 10, 100, 10)[:, 1:8, :, 1:8] = np.arange(1, 10_001).reshape(100, 1, 100, 1)
    one = segmented(labels)
    started = time.process_time()
    saving.write_files(tmp_path / "ü", one, set(saving.IMAGES))
    assert time.process_time() - started < 60
    assert {path.name for path in tmp_path.iterdir()} == {f"ü{entry.suffix}" for entry in saving.IMAGES.values()}
    found = ImagejRoi.fromfile(tmp_path / "ü.rois.zip")
    assert isinstance(found, list) and len(found) == 10_000 and found[9].name == "nucleus-00010"


def test_every_file_is_named_in_the_ledger_s_suffixes() -> None:
    assert {one.suffix for one in saving.IMAGES.values()} | {".seg.dcm", ".sr.dcm"} == set(SUFFIXES)
    assert {*saving.IMAGES, saving.DICOM_SEG, saving.SIDES, saving.DICOM_SR, saving.CSV} == set(saving.WORDS)


def test_words_are_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    assert saving.choose("", instances=False) == {"mask", "csv"}
    assert saving.choose((), instances=True) == {"mask", "labels", "csv"}
    assert saving.choose("rois, csv", instances=True) == {"rois", "csv"}
    for asked in ("rois,roi", "mask,,csv", "all", "Mask"):
        with pytest.raises(
            BiosegError, match=r"--save .*: unknown; choose of mask,labels,labels-tiff,classes-tiff,overlay,rois"
        ):
            saving.choose(asked, instances=False)
    monkeypatch.setattr(saving.util, "find_spec", lambda name: None)
    for word, package in (
        ("rois", "roifile"),
        ("nifti", "nibabel"),
        ("dicom-seg", "highdicom"),
        ("dicom-sr", "highdicom"),
    ):
        with pytest.raises(
            BiosegError, match=rf"--save {word}: needs the package {package}; pip install 'bioseg\[formats\]'"
        ):
            saving.choose(f"mask,{word}", instances=False)
    assert saving.choose("mask,labels-tiff,overlay,geojson", instances=False)


def test_doctor_says_which_formats_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    assert machine.describe_formats() == "all"
    monkeypatch.setattr(saving, "installed", lambda package: package != "nibabel")
    assert machine.describe_formats() == "all but nifti: pip install 'bioseg[formats]'"


def test_files_are_whole_or_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(path: Path, one: Segmented) -> None:
        raise BiosegError("the disk is full")

    one = segmented(hard_labels())
    saving.write_files(tmp_path / "a", one, {"mask", "rois"})
    saving.write_files(tmp_path / "a", segmented(EMPTY), {"mask"})  # and the ROIs that lie there already
    assert zipfile.ZipFile(io.BytesIO((tmp_path / "a.rois.zip").read_bytes())).namelist() == []
    monkeypatch.setitem(saving.IMAGES, "nifti", saving.Format(".nii.gz", failing))
    with pytest.raises(BiosegError, match="disk is full"):
        saving.write_files(tmp_path / "a", one, {"mask", "nifti"})
    assert list(tmp_path.iterdir()) == []
