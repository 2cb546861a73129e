"""DICOM SEG: refers to its sources, says what it is and by whom, and opens again with the same masks."""

import io
from pathlib import Path

import highdicom
import numpy as np
import pytest
from pydicom import Dataset, dcmread
from pydicom.pixels import pixel_array

from bioseg.datasets import phantom_layouts
from bioseg.outputs.dicom_seg import Algorithm, Segmentations
from bioseg.outputs.structures import OTHER, structure_of
from bioseg.types import Case, Mask

from .segmented_images import SPACING, ct_slice, hard_labels

LUNGS = Algorithm("ct-lungs", "0123456789abcdef", structure_of("lungs in axial CT slices"))
HARD = hard_labels() > 0


def write(
    out: Path, sources: dict[str, bytes], masks: dict[str, Mask] | None = None, algorithm: Algorithm = LUNGS
) -> list[str]:
    """Write the SEGs of these images; the problems' reasons."""
    segmentations = Segmentations(algorithm)
    for name in reversed(sources):  # threads add them in any order
        segmentations.add(Case(name, "", sources[name]), {"": (masks or {}).get(name, HARD)})
    return [problem.reason for problem in segmentations.write(out, {name: Path(name).stem for name in sources})]


def edited(content: bytes, **elements: object) -> bytes:
    """The same file with other elements; None removes one."""
    file = dcmread(io.BytesIO(content))
    for keyword, value in elements.items():
        if value is None:
            del file[keyword]
        else:
            setattr(file, keyword, value)
    data = io.BytesIO()
    file.save_as(data)
    return data.getvalue()


def sources_of(seg: Dataset) -> list[str]:
    """The instance that each frame is derived from."""
    return [
        str(frame.DerivationImageSequence[0].SourceImageSequence[0].ReferencedSOPInstanceUID)
        for frame in seg.PerFrameFunctionalGroupsSequence
    ]


def test_a_series_is_one_object_whose_frames_are_the_masks_of_their_sources(tmp_path: Path) -> None:
    sources = {f"{number}.dcm": ct_slice(number) for number in (2, 0, 1)}
    rng = np.random.default_rng(0)
    masks: dict[str, Mask] = {"2.dcm": HARD, "0.dcm": np.zeros_like(HARD), "1.dcm": rng.random(HARD.shape) > 0.5}
    assert write(tmp_path, sources, masks) == []
    assert [path.name for path in tmp_path.iterdir()] == ["2.seg.dcm"]  # called after the first
    content = dcmread(tmp_path / "2.seg.dcm")
    by_instance = {str(dcmread(io.BytesIO(sources[name])).SOPInstanceUID): masks[name] for name in sources}
    frames = dict(zip(sources_of(content), pixel_array(content), strict=True))
    assert frames.keys() == by_instance.keys()
    assert all((frames[uid] == mask).all() for uid, mask in by_instance.items())
    seg = highdicom.seg.segread(tmp_path / "2.seg.dcm")
    read = seg.get_pixels_by_source_instance(list(by_instance), combine_segments=True)
    assert (read == np.stack(list(by_instance.values()))).all()
    places = [
        frame.PlanePositionSequence[0].ImagePositionPatient[2] for frame in content.PerFrameFunctionalGroupsSequence
    ]
    assert sorted(places) in (places, places[::-1]) and len(set(places)) == 3
    measures = content.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0]
    assert list(measures.PixelSpacing) == list(SPACING)


def test_it_says_what_of_whom_and_by_what(tmp_path: Path) -> None:
    assert write(tmp_path, {"a.dcm": ct_slice()}) == []
    source, content = dcmread(io.BytesIO(ct_slice())), dcmread(tmp_path / "a.seg.dcm")
    for keyword in ("PatientID", "PatientName", "StudyInstanceUID", "FrameOfReferenceUID"):
        assert content[keyword].value == source[keyword].value
    assert content.SeriesInstanceUID != source.SeriesInstanceUID and content.Modality == "SEG"
    (segment,) = highdicom.seg.segread(tmp_path / "a.seg.dcm").SegmentSequence
    assert segment.SegmentLabel == "lung" and segment.SegmentAlgorithmType == "AUTOMATIC"
    assert segment.segmented_property_type == highdicom.sr.CodedConcept("39607008", "SCT", "Lung")
    assert segment.segmented_property_category.meaning == "Anatomical Structure"
    (algorithm,) = segment.SegmentationAlgorithmIdentificationSequence
    assert (algorithm.AlgorithmName, algorithm.AlgorithmSource) == ("ct-lungs", "bioseg")
    assert algorithm.AlgorithmVersion and "0123456789abcdef" in algorithm.AlgorithmParameters
    assert "not for diagnosis" in content.ContentDescription
    assert content.BitsAllocated == 1 and content.file_meta.MediaStorageSOPInstanceUID == content.SOPInstanceUID


@pytest.mark.parametrize(
    ("task", "name", "code"),
    [
        ("lungs in frontal chest X-rays", "lung", "39607008"),
        ("left ventricle in short-axis MR", "left ventricle", "87878005"),
        ("pneumonia in frontal chest X-rays", "pneumonia", "233604007"),
        ("cell nuclei in microscopy", "nucleus", "84640000"),
        ("whatever the masks show", "foreground", "85756007"),
    ],
)
def test_codes_follow_from_the_task(task: str, name: str, code: str, tmp_path: Path) -> None:
    structure = structure_of(task)
    assert (structure.name, structure.type[0]) == (name, code)
    assert (structure == OTHER) == (name == "foreground")
    assert write(tmp_path, {"a.dcm": ct_slice()}, algorithm=Algorithm("x", "", structure)) == []


def test_series_and_planes_are_kept_apart(tmp_path: Path) -> None:
    sources = {
        "a0.dcm": ct_slice(0), "b0.dcm": ct_slice(0, series="1.2.5"), "a1.dcm": ct_slice(1), "b1.dcm": ct_slice(1, series="1.2.5"),
        "a2.dcm": ct_slice(2, orientation=(1, 0, 0, 0, 0, -1)),
    }  # fmt: skip
    assert write(tmp_path, sources) == []
    found = {path.name: dcmread(path) for path in tmp_path.iterdir()}
    assert {name: int(seg.NumberOfFrames) for name, seg in found.items()} == {
        "a0.seg.dcm": 2, "b0.seg.dcm": 2, "a2.seg.dcm": 1,
    }  # fmt: skip
    first, again, other = (found[f"{name}.seg.dcm"] for name in ("a0", "a2", "b0"))
    assert first.SeriesInstanceUID == again.SeriesInstanceUID != other.SeriesInstanceUID
    assert {first.InstanceNumber, again.InstanceNumber} == {1, 2} and first.SOPInstanceUID != again.SOPInstanceUID


def test_x_rays_and_incomplete_headers_have_a_seg_of_their_own(tmp_path: Path) -> None:
    plain = edited(
        phantom_layouts.dicom_bytes(np.zeros(HARD.shape, np.uint8)), StudyInstanceUID="1.2", SeriesInstanceUID="1.3",
        StudyDate="00000000", PatientSex="U",
    )  # fmt: skip
    sources = {
        "a.dcm": plain, "b.dcm": edited(plain, SOPInstanceUID="1.2.77"),
        "half.dcm": edited(ct_slice(), ImageOrientationPatient=None), "thin.dcm": edited(ct_slice(1), SliceThickness=None),
    }  # fmt: skip
    assert write(tmp_path, sources) == []
    for name in ("a", "b", "half", "thin"):
        content = dcmread(tmp_path / f"{name}.seg.dcm")
        assert (pixel_array(content) == HARD).all()
        assert sources_of(content) == [dcmread(io.BytesIO(sources[f"{name}.dcm"])).SOPInstanceUID]


def test_what_cannot_be_referred_to_is_one_line_each_and_costs_no_other(tmp_path: Path) -> None:
    png = b"\x89PNG and so on"
    sources = {
        "good.dcm": ct_slice(0), "twice.dcm": ct_slice(0), "nobody.dcm": edited(ct_slice(1), StudyInstanceUID=None),
        "other.dcm": edited(ct_slice(2), Rows=31), "lost.dcm": edited(ct_slice(3, series="1.8"), FrameOfReferenceUID=None),
        "x.png": png, "y.png": png,
    }  # fmt: skip
    reasons = write(tmp_path, sources)
    assert [path.name for path in tmp_path.iterdir()] == ["good.seg.dcm"]
    assert len(reasons) == 5 and all("\n" not in reason for reason in reasons)
    for words in (
        "twice.dcm: is the same DICOM instance as good.dcm; leave one out",
        "nobody.dcm: has no StudyInstanceUID",
        "other.dcm: says 31×41, its mask is 30×41",
        "lost.dcm: no DICOM SEG can refer to it (Source images have no Frame Of Reference UID",
        "dicom-seg: 2 of 7 images are not DICOM (x.png) and got none",
    ):
        assert any(words in reason for reason in reasons), words


def test_an_older_one_of_the_same_series_goes(tmp_path: Path) -> None:
    write(tmp_path, {"1.dcm": ct_slice(1), "2.dcm": ct_slice(2)})
    write(tmp_path, {"0.dcm": ct_slice(0), "1.dcm": ct_slice(1), "2.dcm": ct_slice(2)})
    assert [path.name for path in tmp_path.iterdir()] == ["0.seg.dcm"]
