"""``--save`` from end to end: files of every format belong to an image, and one bad image costs no other."""

import csv
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
from PIL import Image
from pydicom import dcmread
from pydicom.pixels import pixel_array
from roifile import ImagejRoi
from tifffile import imread

from bioseg import files
from bioseg.outputs import saving
from bioseg.pipelines import predict as predicting
from bioseg.pipelines.predict import find_images, predict
from bioseg.types import BiosegError, Callbacks, Case
from tests.outputs.segmented_images import ct_slice
from tests.pipelines.models import small_predictor

EVERYTHING = ",".join(saving.WORDS)


def image(path: Path, seed: int = 0) -> Case:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(seed).integers(0, 255, (20, 30), dtype=np.uint8)).save(path, "PNG")
    return Case(path.stem, "", path)


def dicom(path: Path, number: int = 0) -> Case:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(ct_slice(number))
    return Case(path.stem, "", path)


@pytest.mark.data
@pytest.mark.parametrize(("name", "pattern"), [("sunnybrook-dicom", "*.dcm"), ("rsna-sample", "*.dcm")])
def test_real_dicom_files_get_a_seg_with_their_mask(
    name: str, pattern: str, archive: Callable[[str], Path], tmp_path: Path
) -> None:
    """Headers as anonymisation leaves them: dates of zeros, a frame of reference for each slice, UIDs that are none."""
    cases = [Case(path.stem, "", path) for path in sorted(archive(name).rglob(pattern))[:4]]
    assert predict(small_predictor(), cases, tmp_path, save="mask,nifti,dicom-seg") == (4, [])
    found = {}
    for path in tmp_path.glob("*.seg.dcm"):
        seg = dcmread(path)
        for frame, pixels in zip(
            seg.PerFrameFunctionalGroupsSequence,
            pixel_array(seg).reshape(-1, seg.Rows, seg.Columns),
            strict=True,
        ):
            found[frame.DerivationImageSequence[0].SourceImageSequence[0].ReferencedSOPInstanceUID] = pixels
    for case in cases:
        mask = np.asarray(Image.open(tmp_path / f"{case.path.stem}.png")) > 0
        assert (found[dcmread(case.path, stop_before_pixels=True).SOPInstanceUID] == mask).all()


def written(out: Path, name: str = "") -> set[str]:
    return {path.name for path in out.iterdir() if path.name.startswith(name) and path.suffix not in (".csv", ".json")}


def rows(out: Path) -> list[tuple[str, str]]:
    with open(out / "measurements.csv", encoding="utf-8") as file:
        return [(Path(row["file"]).name, row["mask"]) for row in csv.DictReader(file)]


def test_all_formats_hold_the_same_mask(tmp_path: Path) -> None:
    cases = [dicom(tmp_path / "in" / f"шаг {number}.dcm", number) for number in range(2)]
    out = tmp_path / "out"
    assert predict(small_predictor(), cases, out, save=EVERYTHING) == (2, [])
    per_image = {f"шаг {number}{one.suffix}" for number in range(2) for one in saving.IMAGES.values()}
    assert written(out) == per_image | {"шаг 0.seg.dcm", "шаг 0.sr.dcm"}
    masks = [np.asarray(Image.open(out / f"шаг {number}.png")) > 0 for number in range(2)]
    labels = imread(out / "шаг 0.labels.tif")
    assert (
        masks[0].any()
        and ((labels > 0) == masks[0]).all()
        and (np.asarray(Image.open(out / "шаг 0.labels.png")) == labels).all()
    )
    assert (labels == np.asarray(nibabel.load(out / "шаг 0.nii.gz").dataobj)[..., 0].T).all()
    assert len(ImagejRoi.fromfile(out / "шаг 0.rois.zip")) == labels.max()  # type: ignore[arg-type]
    frames = pixel_array(dcmread(out / "шаг 0.seg.dcm"))
    assert sorted(frame.tobytes() for frame in frames) == sorted(mask.astype(np.uint8).tobytes() for mask in masks)
    assert len(rows(out)) == 2


def test_only_what_is_asked_for_is_written(tmp_path: Path) -> None:
    a, out = image(tmp_path / "a.png"), tmp_path / "out"
    predict(small_predictor(), [a], out, save="rois,csv")
    assert written(out) == {"a.rois.zip"} and rows(out) == [("a.png", "")]
    b = image(tmp_path / "b.png", 1)
    predict(small_predictor(), [b], out, save="mask")  # the table lies there, and stays whole
    assert written(out) == {"a.rois.zip", "b.png"} and rows(out) == [("a.png", ""), ("b.png", "b.png")]
    other = tmp_path / "other"
    predict(small_predictor(), [a], other, save=["geojson"])
    assert {path.name for path in other.iterdir()} == {"a.geojson", "prediction.json"}
    with pytest.raises(BiosegError, match=r"1 images have files and no row .*a\.geojson.*ran without csv"):
        predict(small_predictor(), [b], other, save="mask,csv")
    assert predict(small_predictor(), [a, b], other, save="mask,csv") == (2, [])


def test_refused_words_and_missing_packages_leave_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    a, out = image(tmp_path / "a.png"), tmp_path / "out"
    with pytest.raises(BiosegError, match=r"--save 'roi': unknown; choose of"):
        predict(small_predictor(), [a], out, save="mask,roi")
    monkeypatch.setattr(saving, "installed", lambda package: False)
    with pytest.raises(BiosegError, match=r"needs the package highdicom; pip install 'bioseg\[formats\]'"):
        predict(small_predictor(), [a], out, save="dicom-seg")
    assert not out.exists()


def test_images_that_are_not_dicom_get_the_rest_and_one_line(tmp_path: Path) -> None:
    cases = [image(tmp_path / "in" / "a.png"), dicom(tmp_path / "in" / "b.dcm"), image(tmp_path / "in" / "c.png", 1)]
    out = tmp_path / "out"
    count, problems = predict(small_predictor(), cases, out, save="mask,dicom-seg,csv")
    assert count == 3 and written(out) == {"a.png", "b.png", "c.png", "b.seg.dcm"}
    assert [problem.reason.split(";")[0] for problem in problems] == [
        "dicom-seg: 2 of 3 images are not DICOM (a.png) and got none"
    ]


def test_files_that_lie_there_are_made_again_with_the_mask(tmp_path: Path) -> None:
    case, other, out = dicom(tmp_path / "a.dcm"), image(tmp_path / "b.png"), tmp_path / "out"
    predict(small_predictor(), [case], out, save="mask,nifti,rois,dicom-seg")
    before = {name: (out / name).read_bytes() for name in written(out)}
    case.path.write_bytes(ct_slice(7))
    assert predict(small_predictor(), [case, other], out, save="mask") == (2, [])  # nobody asked for b's SEG
    assert written(out, "a") == set(before) and written(out, "b") == {"b.png"}
    assert all((out / name).read_bytes() != content for name, content in before.items())
    assert (pixel_array(dcmread(out / "a.seg.dcm")) == (np.asarray(Image.open(out / "a.png")) > 0)).all()


def test_a_user_s_own_file_of_any_format_is_never_overwritten(tmp_path: Path) -> None:
    a, out = image(tmp_path / "a.png"), tmp_path / "out"
    for suffix in (".rois.zip", ".geojson", ".nii.gz", ".seg.dcm", ".overlay.png", ".labels.tif"):
        files.write(out / f"a{suffix}", "mine")
        with pytest.raises(BiosegError, match="lies there already and is not this model's"):
            predict(small_predictor(), [a], out)
        assert (out / f"a{suffix}").read_text() == "mine"
        (out / f"a{suffix}").unlink()


def test_an_image_whose_files_cannot_be_written_has_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cases, out, real = (
        [dicom(tmp_path / f"{name}.dcm", index) for index, name in enumerate("abc")],
        tmp_path / "out",
        files.write,
    )

    def full(path: Path, data: Any) -> None:
        if path.name == "b.geojson":
            raise BiosegError(f"{path}: the disk is full; free some space")
        real(path, data)

    predict(small_predictor(), cases, out, save=EVERYTHING)
    monkeypatch.setattr(files, "write", full)
    count, problems = predict(small_predictor(), cases, out, save=EVERYTHING)
    assert count == 2 and [problem.path.name for problem in problems] == ["b.dcm"]
    assert not written(out, "b") and rows(out) == [("a.dcm", "a.png"), ("c.dcm", "c.png")]
    assert int(dcmread(out / "a.seg.dcm").NumberOfFrames) == 2


def test_an_interruption_leaves_whole_files_and_the_seg_of_what_is_done(tmp_path: Path) -> None:
    cases, out = [dicom(tmp_path / f"{index:02d}.dcm", index) for index in range(16)], tmp_path / "out"

    def progress(name: str, done: int, total: int, note: str) -> None:
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        predict(small_predictor(), cases, out, save="mask,rois,dicom-seg,csv", callbacks=Callbacks(progress))
    done = {name.removesuffix(".rois.zip") for name in written(out) if name.endswith(".rois.zip")}
    assert 3 <= len(done) < 16 and written(out) == {f"{one}{end}" for one in done for end in (".png", ".rois.zip")} | {
        "00.seg.dcm"
    }
    assert int(dcmread(out / "00.seg.dcm").NumberOfFrames) == len(done) == len(rows(out))


def test_results_beside_their_images_are_no_images(tmp_path: Path) -> None:
    for index, name in enumerate(("a.tif", "b.tif")):
        Image.fromarray(np.random.default_rng(index).integers(0, 255, (20, 30), dtype=np.uint8)).save(tmp_path / name)
    found = find_images([tmp_path])
    assert predict(small_predictor(), found, tmp_path, save="overlay,labels-tiff,rois") == (2, [])
    assert [case.path.name for case in find_images([tmp_path])] == ["a.tif", "b.tif"]
    (tmp_path / "prediction.json").write_text("{")
    assert len(find_images([tmp_path])) > 2  # what is whose is not known any more


def test_an_output_folder_without_tables_is_no_data(tmp_path: Path) -> None:
    a = image(tmp_path / "in" / "a.png")
    predict(small_predictor(), [a], tmp_path / "in" / "out", save="mask,overlay")
    assert [case.path.name for case in find_images([tmp_path / "in"])] == ["a.png"]
    assert "prediction.json" in os.listdir(tmp_path / "in" / "out") and predicting.LEDGER == "prediction.json"
