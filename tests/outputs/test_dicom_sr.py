"""DICOM SR: the values are those of the tables, and every reference leads to the SEG and its source."""

import io
from functools import partial
from pathlib import Path
from typing import Any

import highdicom
import numpy as np
import pytest
from pydicom import config, dcmread

from bioseg.datasets import phantom_layouts
from bioseg.outputs import dicom_sr
from bioseg.outputs.anatomy import divided, measure_image
from bioseg.outputs.dicom_seg import Algorithm, Segmentations
from bioseg.outputs.place import place_in
from bioseg.outputs.series import volumes
from bioseg.outputs.structures import segment_names, structure_of
from bioseg.types import Case, Mask

from .segmented_images import ct_slice
from .test_anatomy import ellipse
from .test_dicom_seg import edited

SHAPE = (30, 41)
LUNGS = ellipse(15, 10, 20, 12, SHAPE) | ellipse(14, 30, 16, 10, SHAPE)
CT = Algorithm("ct-lungs", "0123456789abcdef", structure_of("lungs in axial CT slices"))
LV = Algorithm("cardiac-lv", "", structure_of("left ventricle in short-axis MR"))
X_RAY = edited(
    phantom_layouts.dicom_bytes(np.zeros(SHAPE, np.uint8)), StudyInstanceUID="1.2", SeriesInstanceUID="1.3",
    PatientOrientation=["R", "F"], PatientAge="78",
)  # fmt: skip


def write(out: Path, algorithm: Algorithm, images: list[bytes], masks: list[Mask]) -> list[dict[str, Any]]:
    """Write SEG and SR; the rows of ``anatomy.csv``."""
    segmentations, rows = Segmentations(algorithm, partial(dicom_sr.make, algorithm)), []
    for number, (image, mask) in enumerate(zip(images, masks, strict=True)):
        place = place_in(dcmread(io.BytesIO(image)))
        segmentations.add(Case(f"{number}.dcm", "", image), divided({algorithm.structure.name: mask}, place)[0])
        if algorithm.structure.name != "foreground":
            rows.append(
                {"file": str(number), **measure_image(algorithm.structure, {algorithm.structure.name: mask}, place)}
            )
    assert segmentations.write(out, {f"{number}.dcm": str(number) for number in range(len(images))}) == []
    return rows


def values(group: Any) -> dict[str, float]:
    """Measurements of a group by name and unit."""
    return {f"{one.name.meaning} {one.unit.value}": one.value for one in group.get_measurements()}


def uid(image: bytes) -> str:
    return str(dcmread(io.BytesIO(image)).SOPInstanceUID)


def test_a_series_of_lungs(tmp_path: Path) -> None:
    images = [ct_slice(number) for number in range(3)]
    masks = [LUNGS, LUNGS, np.zeros_like(LUNGS)]
    rows = write(tmp_path, CT, images, masks)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["0.seg.dcm", "0.sr.dcm"]
    seg, report = highdicom.seg.segread(tmp_path / "0.seg.dcm"), highdicom.sr.srread(tmp_path / "0.sr.dcm")
    assert [one.SegmentLabel for one in seg.SegmentSequence] == ["right lung", "left lung"]
    sides = [
        one.SegmentedPropertyTypeCodeSequence[0].SegmentedPropertyTypeModifierCodeSequence[0].CodeMeaning
        for one in seg.SegmentSequence
    ]
    assert sides == ["Right", "Left"]
    groups = report.content.get_planar_roi_measurement_groups()
    assert len(groups) == 4  # two lungs in two slices; the third is empty
    frames = seg.PerFrameFunctionalGroupsSequence
    for group in groups:
        side = group.finding_sites[0].laterality.meaning.lower()
        reference = group.referenced_segmentation_frame
        frame = frames[int(reference.referenced_frame_numbers[0]) - 1]
        assert reference.referenced_sop_instance_uid == seg.SOPInstanceUID
        assert frame.SegmentIdentificationSequence[0].ReferencedSegmentNumber == 1 + (side == "left")
        source = frame.DerivationImageSequence[0].SourceImageSequence[0].ReferencedSOPInstanceUID
        assert reference.source_image_for_segmentation.referenced_sop_instance_uid == source
        row = rows[[uid(image) for image in images].index(source)]
        assert values(group) == {
            "Area mm2": row[f"{side}_area_mm2"], "Width mm": row[f"{side}_width_mm"], "Height mm": row[f"{side}_height_mm"],
        }  # fmt: skip
        assert group.finding_type.meaning == "Lung"
    together = [values(group) for group in report.content.get_image_measurement_groups()]
    names = ("thorax_width_mm", "area_per_thorax_width_mm", "left_to_right_area")
    assert [tuple(group.values()) for group in together] == [tuple(row[name] for name in names) for row in rows[:2]]
    (stack,) = volumes("lung", rows)
    found = report.content.get_volumetric_roi_measurement_groups()
    assert [values(group) for group in found] == [
        {"Volume cm3": stack["right_volume_ml"]}, {"Volume cm3": stack["left_volume_ml"]},
    ]  # fmt: skip
    assert [group.referenced_segment.referenced_segment_numbers for group in found] == [[1], [2]]
    assert {
        one.referenced_sop_instance_uid for one in found[0].referenced_segment.source_images_for_segmentation
    } == set(map(uid, images))
    evidence = {
        item.ReferencedSOPInstanceUID
        for study in report.CurrentRequestedProcedureEvidenceSequence
        for series in study.ReferencedSeriesSequence
        for item in series.ReferencedSOPSequence
    }
    assert evidence == {*map(uid, images), seg.SOPInstanceUID}
    assert report.StudyInstanceUID == "1.2.4" and report.Modality == "SR"


def test_an_x_ray_without_spacing_has_areas_in_pixels(tmp_path: Path) -> None:
    (row,) = write(tmp_path, CT, [X_RAY], [LUNGS])
    report = highdicom.sr.srread(tmp_path / "0.sr.dcm").content
    by_side = {
        group.finding_sites[0].laterality.meaning: values(group) for group in report.get_planar_roi_measurement_groups()
    }
    assert by_side == {
        "Right": {"Area {pixels}": row["right_area_px"]}, "Left": {"Area {pixels}": row["left_area_px"]},
    }  # fmt: skip
    assert row["left_area_px"] == ellipse(15, 10, 20, 12, SHAPE).sum()  # the image is hung the other way round
    (together,) = report.get_image_measurement_groups()
    assert values(together) == {"Left to right lung area ratio {ratio}": row["left_to_right_area"]}
    seg = dcmread(tmp_path / "0.seg.dcm")
    assert list(seg.PatientOrientation) == ["R", "F"] and "PatientAge" not in seg  # 78 is no age in DICOM


def test_phases_of_the_heart_have_an_object_each(tmp_path: Path) -> None:
    images = [
        edited(ct_slice(place), SOPInstanceUID=f"1.2.9.{place}.{time}", TriggerTime=time, InstanceNumber=1)
        for place in (0, 1) for time in (300, 1)
    ]  # fmt: skip
    masks = [ellipse(15, 20, size, size, SHAPE) for size in (12, 20, 12, 20)]
    rows = write(tmp_path, LV, images, masks)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["0.seg.dcm", "0.sr.dcm", "1.seg.dcm", "1.sr.dcm"]
    reports = [highdicom.sr.srread(tmp_path / f"{name}.sr.dcm") for name in (1, 0)]
    for report, stack in zip(reports, volumes("left ventricle", rows), strict=True):
        (group,) = report.content.get_volumetric_roi_measurement_groups()
        assert values(group) == {"Volume cm3": stack["volume_ml"]}
    sources = reports[1].content.get_volumetric_roi_measurement_groups()[0].referenced_segment
    assert [one.referenced_sop_instance_uid for one in sources.source_images_for_segmentation] == [
        "1.2.9.0.300", "1.2.9.1.300",
    ]  # fmt: skip
    areas = [values(group)["Diameter mm"] for group in reports[1].content.get_planar_roi_measurement_groups()]
    assert areas == [rows[0]["mean_diameter_mm"], rows[2]["mean_diameter_mm"]]


def test_classes_are_segments_with_codes_of_their_own(tmp_path: Path) -> None:
    algorithm = Algorithm("mine", "", structure_of("whatever"))
    segmentations = Segmentations(algorithm, partial(dicom_sr.make, algorithm))
    masks = {"heart": LUNGS, "left_lung": ~LUNGS, "bronchus of some kind": LUNGS}  # they overlap
    segmentations.add(Case("a.dcm", "", ct_slice()), masks)
    assert segmentations.write(tmp_path, {"a.dcm": "a"}) == []
    seg = highdicom.seg.segread(tmp_path / "a.seg.dcm")
    types = [one.segmented_property_type for one in seg.SegmentSequence]
    assert [(one.scheme_designator, one.meaning) for one in types] == [
        ("SCT", "Heart"), ("SCT", "Lung"), ("99BIOSEG", "bronchus of some kind"),
    ]  # fmt: skip
    read = seg.get_pixels_by_source_instance([uid(ct_slice())])[0]
    assert (read == np.stack(list(masks.values()), axis=-1)).all()
    groups = highdicom.sr.srread(tmp_path / "a.sr.dcm").content.get_planar_roi_measurement_groups()
    assert [values(group)["Area mm2"] for group in groups] == [
        pytest.approx(mask.sum() * 0.35) for mask in masks.values()
    ]


def test_both_objects_hold_valid_values_and_say_a_segment_once(tmp_path: Path) -> None:
    write(tmp_path, CT, [ct_slice()], [LUNGS])
    write(tmp_path, CT, [X_RAY], [LUNGS])
    old = config.settings.reading_validation_mode
    config.settings.reading_validation_mode = config.RAISE
    try:
        for path in tmp_path.iterdir():
            for element in dcmread(path).iterall():
                assert element.value is not None or element.is_empty
                if element.keyword == "ReferencedSOPSequence":
                    assert not any(
                        "ReferencedFrameNumber" in one and "ReferencedSegmentNumber" in one for one in element
                    )
    finally:
        config.settings.reading_validation_mode = old


def test_a_report_that_cannot_be_made_costs_no_seg(tmp_path: Path) -> None:
    def fails(*arguments: object) -> Any:
        raise ValueError("no\nsuch code")

    segmentations = Segmentations(CT, fails)
    segmentations.add(Case("a.dcm", "", ct_slice()), {"lung": LUNGS})
    (problem,) = segmentations.write(tmp_path, {"a.dcm": "a"})
    assert problem.reason.startswith("a.dcm: no DICOM SR can refer to it (no such code)")
    assert [path.name for path in tmp_path.iterdir()] == ["a.seg.dcm"]


def test_names_of_classes_stay_different() -> None:
    assert segment_names(["Left_Lung", "LV cavity", "mine"]) == ("left lung", "left ventricle", "mine")
    assert segment_names(["lung", "lungs"]) == ("lung", "lungs")
