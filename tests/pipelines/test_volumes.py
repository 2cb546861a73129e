"""Predicting volumes: every slice, and one file for all on the grid of the source, read back by other libraries."""

import csv
import io
from pathlib import Path

import highdicom
import nibabel
import numpy as np
import pytest
from PIL import Image
from pydicom import dcmread
from pydicom.uid import generate_uid

from bioseg import files
from bioseg.datasets import cases as reading
from bioseg.images import volumes
from bioseg.outputs.dicom_seg import Algorithm, Segmentations
from bioseg.outputs.structures import OTHER
from bioseg.pipelines.evaluate import EvaluateJob, evaluate
from bioseg.pipelines.predict import find_images, predict
from bioseg.pipelines.train import TrainJob, train
from bioseg.types import Case
from tests.contracts.image_files import imagej
from tests.contracts.volume_files import metaimage
from tests.outputs.segmented_images import ct_slice
from tests.pipelines.models import small_predictor, small_recipe
from tests.pipelines.test_anatomy import lungs

OBLIQUE = np.array(
    [[0, -0.5, 0.1, 10], [0, 0.1, 0.5, 20], [3, 0, 0, 30], [0, 0, 0, 1.0]]
)  # slices along the first axis


def noise(shape: tuple[int, int, int], seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 255, shape, np.uint8)


def masks(out: Path, stem: str, count: int) -> list[np.ndarray]:
    return [np.asarray(Image.open(out / f"{stem}-{number:04d}.png")) > 0 for number in range(1, count + 1)]


@pytest.mark.parametrize("affine", [np.diag([0.5, 0.5, 3.0, 1]), OBLIQUE], ids=["axial", "oblique"])
def test_a_nifti_volume_comes_back_on_its_own_grid(affine: np.ndarray, tmp_path: Path) -> None:
    source, shape = tmp_path / "scan.nii.gz", (20, 30, 4) if affine[2, 0] == 0 else (4, 20, 30)
    nibabel.save(nibabel.Nifti1Image(noise(shape), affine), source)
    cases = find_images([source])
    assert [case.id for case in cases] == [f"scan-{number:04d}" for number in range(1, 5)]
    out = tmp_path / "out"
    assert predict(small_predictor(), cases, out, save="mask,nifti,csv") == (4, [])
    found = nibabel.load(out / "scan.nii.gz")
    assert found.shape == shape and np.allclose(found.affine, nibabel.load(source).affine)
    voxels = np.asarray(found.dataobj)
    how = volumes.cut(volumes.grid_of(shape, affine))
    parts = [how.to_image(np.take(voxels, plane, how.axis)) for plane in range(4)]
    assert voxels.any() and voxels.max() == 1
    assert all((part.astype(bool) == mask).all() for part, mask in zip(parts, masks(out, "scan", 4), strict=True))
    with open(out / "measurements.csv", encoding="utf-8") as file:
        table = list(csv.DictReader(file))
    assert [row["file"] for row in table] == [f"{source}/{number:04d}" for number in range(1, 5)]
    assert [row["mask"] for row in table] == [f"scan-{number:04d}.png" for number in range(1, 5)]
    pixel_mm2 = float(np.prod(how.spacing_mm[1:]))
    for row, part in zip(table, parts, strict=True):
        assert float(row["area_mm2"]) == pytest.approx(part.sum() * pixel_mm2, rel=1e-3)


def test_some_slices_and_then_the_others(tmp_path: Path) -> None:
    source, out = tmp_path / "scan.mha", tmp_path / "out"
    source.write_bytes(metaimage(noise((30, 20, 4))))
    assert predict(small_predictor(), find_images([source], plane="2-3"), out, save="mask,nifti,csv") == (2, [])
    some = np.asarray(nibabel.load(out / "scan.nii.gz").dataobj)
    assert some[..., 1:3].any() and not some[..., 0].any() and not some[..., 3].any()
    other = tmp_path / "other.png"
    Image.fromarray(noise((20, 30, 1))[..., 0]).save(other)
    assert predict(small_predictor(), find_images([other]), out) == (1, [])  # the volume of the first is no lost file
    assert predict(small_predictor(), find_images([source]), out) == (4, [])  # and is renewed with its slices
    whole = np.asarray(nibabel.load(out / "scan.nii.gz").dataobj)
    assert (whole == np.stack([mask.T for mask in masks(out, "scan", 4)], axis=-1)).all()
    assert (whole[..., 1:3] == some[..., 1:3]).all() and np.allclose(
        nibabel.load(out / "scan.nii.gz").affine, [[-0.5, 0, 0, -10], [0, -0.75, 0, -20], [0, 0, 3, 30], [0, 0, 0, 1]]
    )
    count, problems = predict(small_predictor(), find_images([source, other], plane="9"), tmp_path / "third")
    assert count == 1 and [one.reason for one in problems] == [f"{source}: has no plane 9, but 4; give another --plane"]


def enhanced_ct(count: int) -> bytes:
    slices = [dcmread(io.BytesIO(ct_slice(number))) for number in range(count)]
    for one in slices:
        one.ImageType, one.StudyDate, one.StudyTime = ["ORIGINAL", "PRIMARY", "AXIAL"], "20200101", "120000"
    whole = highdicom.legacy.LegacyConvertedEnhancedCTImage(slices, generate_uid(), 1, generate_uid(), 1)
    data = io.BytesIO()
    whole.save_as(data)
    return data.getvalue()


@pytest.mark.filterwarnings("ignore")
def test_frames_of_dicom_get_one_seg_that_refers_to_them(tmp_path: Path) -> None:
    source, out = tmp_path / "ct.dcm", tmp_path / "out"
    source.write_bytes(enhanced_ct(3))
    assert predict(small_predictor(), find_images([source]), out, save="mask,nifti,dicom-seg") == (3, [])
    assert sorted(path.name for path in out.glob("*.seg.dcm")) == ["ct.seg.dcm"]
    seg = highdicom.seg.segread(out / "ct.seg.dcm")
    uid = dcmread(source, stop_before_pixels=True).SOPInstanceUID
    expected = masks(out, "ct", 3)
    found = seg.get_pixels_by_source_frame(uid, [1, 2, 3], combine_segments=True)
    assert all((one.astype(bool) == mask).all() for one, mask in zip(found, expected, strict=True))
    voxels = np.asarray(nibabel.load(out / "ct.nii.gz").dataobj)
    assert (voxels == np.stack([mask.T for mask in expected], axis=-1)).all()
    predict(small_predictor(), find_images([source], plane="2"), tmp_path / "one", save="dicom-seg")
    one = highdicom.seg.segread(tmp_path / "one" / "ct.seg.dcm")
    found = one.get_pixels_by_source_frame(uid, [1, 2, 3], combine_segments=True)
    assert not found[0].any() and (found[1].astype(bool) == expected[1]).all() and not found[2].any()


@pytest.mark.filterwarnings("ignore")
def test_frames_may_have_several_segments_and_are_ground_truth_again(tmp_path: Path) -> None:
    source = tmp_path / "ct.dcm"
    source.write_bytes(enhanced_ct(3))
    masks_of = {
        plane: {name: noise((30, 41, 2), plane)[..., k] > 99 for k, name in enumerate("ab")} for plane in (2, 0)
    }
    segmentations = Segmentations(Algorithm("any", "", OTHER))
    for plane, own in masks_of.items():
        segmentations.add(Case("ct", "", source, plane=plane, planes=3), own)
    assert segmentations.write(tmp_path, {str(source / "0001"): "", str(source / "0003"): "", str(source): "ct"}) == []
    seg = highdicom.seg.segread(tmp_path / "ct.seg.dcm")
    uid = dcmread(source, stop_before_pixels=True).SOPInstanceUID
    found = seg.get_pixels_by_source_frame(uid, [1, 2, 3]).astype(bool)
    assert not found[1].any()
    for plane, own in masks_of.items():
        assert (found[plane] == np.stack(list(own.values()), axis=-1)).all()
        case = Case("ct", "", source, (tmp_path / "ct.seg.dcm",), plane=plane, planes=3)
        assert all((part.mask == own[part.name]).all() for part in reading.each_part(case, (30, 41)))


def lungs_of(out: Path, cases: list[Case], save: str) -> list[dict[str, str]]:
    assert predict(lungs(), cases, out, save=save) == (3, [])
    rows = files.read_csv(out / "anatomy.csv")
    assert all(float(row["area_mm2"]) > 0 for row in rows)
    return rows


@pytest.mark.filterwarnings("ignore")
def test_lungs_in_slices_are_measured_and_reported(tmp_path: Path) -> None:
    source, out = tmp_path / "scan.nii.gz", tmp_path / "out"
    nibabel.save(nibabel.Nifti1Image(noise((30, 20, 3)), np.diag([-0.5, -0.5, 4, 1])), source)
    rows = lungs_of(out, find_images([source]), "mask,csv")
    (volume,) = files.read_csv(out / "series.csv")
    assert (volume["slices"], volume["slice_spacing_mm"], volume["reason"]) == ("3", "4.0", "")
    total = sum(float(row["area_mm2"]) for row in rows) * 4 / 1000
    assert float(volume["volume_ml"]) == pytest.approx(total, abs=0.002)
    frames = tmp_path / "ct.dcm"
    frames.write_bytes(enhanced_ct(3))
    lungs_of(tmp_path / "frames", find_images([frames]), "dicom-sr,csv")
    report = dcmread(tmp_path / "frames" / "ct.sr.dcm")
    assert report.SOPClassUID.name == "Comprehensive SR Storage"


def test_a_stack_of_tiff_is_its_planes(tmp_path: Path) -> None:
    source, stack = tmp_path / "stack.tif", np.moveaxis(noise((20, 30, 4)), -1, 0)
    source.write_bytes(imagej(stack, axes="ZYX"))
    cases = find_images([tmp_path], plane="2-3")
    assert [case.id for case in cases] == ["stack.tif-0002", "stack.tif-0003"]
    assert all((reading.read_image(case).pixels == stack[case.plane]).all() for case in cases)
    assert predict(small_predictor(), cases, tmp_path / "out", save="mask,nifti") == (2, [])
    assert nibabel.load(tmp_path / "out" / "stack.nii.gz").shape == (30, 20, 4)


@pytest.mark.slow
def test_a_volume_is_trained_on_slice_by_slice(tmp_path: Path) -> None:
    for number in range(4):
        for folder, voxels in (("images", noise((32, 32, 3), number)), ("masks", np.zeros((32, 32, 3), np.uint8))):
            (tmp_path / "data" / folder).mkdir(parents=True, exist_ok=True)
            voxels[8:20, 8:24] = 255 if folder == "masks" else voxels[8:20, 8:24]
            nibabel.save(
                nibabel.Nifti1Image(voxels, np.diag([-1, -1, 3, 1])), tmp_path / "data" / folder / f"{number}.nii.gz"
            )
    result = train(TrainJob(small_recipe("split.test=0"), tmp_path / "data", tmp_path / "run", plane="1-2"))
    assert not result.problems and result.summary["cases"] == 2  # the two slices of one of four patients
    summary, problems = evaluate(EvaluateJob(tmp_path / "run", tmp_path / "data", tmp_path / "scores", plane="2"))
    assert (summary["cases"], summary["seen"], problems) == (4, {"train": 3, "validation": 1}, [])
