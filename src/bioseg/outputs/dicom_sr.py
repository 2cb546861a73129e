"""DICOM measurement reports (TID 1500): what ``anatomy.csv`` and ``series.csv`` say, with references to SEG and images."""

from collections.abc import Mapping, Sequence
from importlib import metadata
from typing import Any

from pydicom import Dataset
from pydicom.uid import generate_uid

from bioseg.outputs import anatomy, series
from bioseg.outputs.anatomy import Measures
from bioseg.outputs.dicom_seg import Algorithm, Frame, concept
from bioseg.outputs.place import Place, place_in
from bioseg.outputs.structures import LEFT_LUNG, PRIVATE, RIGHT_LUNG, Code, Structure

MM: Code = ("mm", "UCUM", "mm")
MM2: Code = ("mm2", "UCUM", "square millimeter")
ML: Code = ("cm3", "UCUM", "cubic centimeter")
PIXELS: Code = ("{pixels}", "UCUM", "pixels")
RATIO: Code = ("{ratio}", "UCUM", "ratio")
AREA: Code = ("42798000", "SCT", "Area")
VOLUME: Code = ("118565006", "SCT", "Volume")

OF_MASK: Mapping[str, tuple[Code, Code]] = {
    "area_mm2": (AREA, MM2),
    "width_mm": (("103355008", "SCT", "Width"), MM),
    "height_mm": (("121207", "DCM", "Height"), MM),
    "mean_diameter_mm": (("81827009", "SCT", "Diameter"), MM),
}
"""Columns of ``anatomy.csv`` (of a lung, without the side in front) with the concept and unit of each."""

OF_IMAGE: Mapping[str, tuple[Code, Code]] = {
    "thorax_width_mm": (("thorax-width", PRIVATE, "Internal thorax width"), MM),
    "area_per_thorax_width_mm": (("area-per-width", PRIVATE, "Lung area per thorax width"), MM),
    "cardiothoracic_ratio": (("cardiothoracic", PRIVATE, "Cardiothoracic ratio"), RATIO),
    "left_to_right_area": (("left-to-right", PRIVATE, "Left to right lung area ratio"), RATIO),
}
"""The same of both lungs together."""

FrameNumbers = dict[tuple[int, str, int | None], int]
"""(segment, SOPInstanceUID of the image, its frame from 1 if it has several) → which frame of the SEG holds its mask, from 1."""


def make(algorithm: Algorithm, segmentation: Dataset, frames: Sequence[Frame], series_uid: str, number: int) -> Dataset:
    """The report of one SEG: areas and lengths for each image and segment, volumes where the slices give one.

    Args:
        algorithm: Made the masks.
        segmentation: The SEG.
        frames: Its images.
        series_uid: Of the series of reports that it belongs to.
        number: Which of that series it is, from 1.
    """
    from highdicom import sr

    places, numbers = [place_in(frame.header) for frame in frames], _frame_numbers(segmentation)
    groups = [
        group
        for index, (frame, place) in enumerate(zip(frames, places, strict=True), 1)
        for group in _of_image(algorithm, (segmentation, numbers), frame, place, index if len(frames) > 1 else 0)
    ]
    report = sr.MeasurementReport(
        observation_context=sr.ObservationContext(observer_device_context=_observer(algorithm)),
        procedure_reported=concept(("363679005", "SCT", "Imaging procedure")),
        imaging_measurements=[*groups, *_volumes(algorithm, segmentation, frames, places)],
    )
    return sr.ComprehensiveSR(
        evidence=[*{frame.header.SOPInstanceUID: frame.header for frame in frames}.values(), segmentation],
        content=report,
        series_instance_uid=series_uid,
        series_number=2,
        sop_instance_uid=generate_uid(None),
        instance_number=number,
        manufacturer="bioseg",
        is_complete=True,
        series_description=f"measurements by bioseg {algorithm.name}"[:64],
    )


def _of_image(
    algorithm: Algorithm, found: tuple[Dataset, FrameNumbers], frame: Frame, place: Place, index: int
) -> list[Any]:
    """A group for every mask, in a series for those that are not empty, and one for what is measured of both lungs.

    Args:
        algorithm: Made the masks.
        found: The SEG with the numbers of its frames.
        frame: One of its images.
        place: Where that lies.
        index: Its number in the series from 1; 0: there is no other.
    """
    from highdicom import sr

    segmentation, numbers = found
    groups: list[Any] = []
    masks = dict(zip(frame.names, frame.masks, strict=True))
    image = f" in image {index}" if index else ""
    frame_number = None if frame.plane is None else frame.plane + 1
    which = None if frame_number is None else [frame_number]
    source = sr.SourceImageForSegmentation.from_source_image(frame.header, which)
    for number, (name, mask) in enumerate(masks.items(), 1):
        structure = algorithm.segment(name)
        measured = anatomy.measure_mask(structure, mask, place)
        if not measured["area_px"] and index:
            continue
        groups.append(
            sr.PlanarROIMeasurementsAndQualitativeEvaluations(
                referenced_segment=_frame_alone(
                    sr.ReferencedSegmentationFrame(
                        segmentation.SOPClassUID,
                        segmentation.SOPInstanceUID,
                        numbers[number, frame.header.SOPInstanceUID, frame_number],
                        number,
                        source,
                    )
                ),
                measurements=_measured(OF_MASK, measured) or [_measurement(AREA, measured["area_px"], PIXELS)],
                **_about(algorithm, structure, structure.name + image),
            )
        )
    if anatomy.columns_of(algorithm.structure, frame.names):
        together = _measured(OF_IMAGE, anatomy.measure_masks(algorithm.structure, masks, place))
        if together:
            groups.append(
                sr.MeasurementsAndQualitativeEvaluations(
                    source_images=[sr.SourceImageForMeasurementGroup.from_source_image(frame.header, which)],
                    measurements=together,
                    **_about(algorithm, algorithm.structure, f"thorax{image}"),
                )
            )
    return groups


def _volumes(
    algorithm: Algorithm, segmentation: Dataset, frames: Sequence[Frame], places: Sequence[Place]
) -> list[Any]:
    """A group for each segment that the slices give a volume of."""
    from highdicom import sr

    structure, names = algorithm.structure, frames[0].names
    if not anatomy.columns_of(structure, names):
        return []
    rows: list[dict[str, Any]] = [
        {"file": "", **anatomy.measure_masks(structure, dict(zip(frame.names, frame.masks, strict=True)), place)}
        for frame, place in zip(frames, places, strict=True)
    ]
    columns = {structure.name: "volume_ml", RIGHT_LUNG.name: "right_volume_ml", LEFT_LUNG.name: "left_volume_ml"}
    return [
        sr.VolumetricROIMeasurementsAndQualitativeEvaluations(
            referenced_segment=sr.ReferencedSegment(
                segmentation.SOPClassUID,
                segmentation.SOPInstanceUID,
                number,
                source_images=[sr.SourceImageForSegmentation.from_source_image(frame.header) for frame in frames],
            ),
            measurements=[_measurement(VOLUME, stack[columns[name]], ML)],
            **_about(algorithm, algorithm.segment(name), f"{algorithm.segment(name).name}, volume"),
        )
        for stack in series.volumes(structure.name, rows)
        for number, name in enumerate(names, 1)
        if name in columns and stack[columns[name]] != ""
    ]


def _measured(concepts: Mapping[str, tuple[Code, Code]], values: Measures) -> list[Any]:
    """Those of the values that are known."""
    known = ((name, pair) for name, pair in concepts.items() if values.get(name, "") != "")
    return [_measurement(what, values[name], unit) for name, (what, unit) in known]


def _measurement(what: Code, value: float | str, unit: Code) -> Any:
    from highdicom import sr

    return sr.Measurement(name=concept(what), value=float(value), unit=concept(unit))


def _about(algorithm: Algorithm, structure: Structure, tracking: str) -> dict[str, Any]:
    """What every group says: which structure, found by what."""
    from highdicom import sr

    side = concept(structure.laterality) if structure.laterality else None
    return {
        "tracking_identifier": sr.TrackingIdentifier(uid=generate_uid(None), identifier=tracking),
        "finding_type": concept(structure.type),
        "finding_category": concept(structure.category),
        "finding_sites": [sr.FindingSite(concept(structure.type), laterality=side)],
        "algorithm_id": sr.AlgorithmIdentification(
            name=algorithm.name,
            version=metadata.version("bioseg"),
            parameters=[f"fingerprint {algorithm.fingerprint or 'unknown'}"],
        ),
    }


def _observer(algorithm: Algorithm) -> Any:
    from highdicom import sr

    return sr.ObserverContext(
        observer_type=concept(("121007", "DCM", "Device")),
        observer_identifying_attributes=sr.DeviceObserverIdentifyingAttributes(
            uid=generate_uid(entropy_srcs=["bioseg", algorithm.name, algorithm.fingerprint]),
            name=f"bioseg {algorithm.name}",
            manufacturer_name="bioseg",
            model_name=algorithm.name,
        ),
    )


def _frame_alone(reference: Any) -> Any:
    """A reference to a frame of a SEG: that says which segment it is, and it must not be said twice (PS3.3, table 10-3)."""
    del reference[0].ReferencedSOPSequence[0].ReferencedSegmentNumber
    return reference


def _frame_numbers(segmentation: Dataset) -> FrameNumbers:
    numbers: FrameNumbers = {}
    shared = segmentation.SharedFunctionalGroupsSequence[0]
    for number, frame in enumerate(segmentation.PerFrameFunctionalGroupsSequence, 1):
        source = frame.DerivationImageSequence[0].SourceImageSequence[0]
        segment = (frame if "SegmentIdentificationSequence" in frame else shared).SegmentIdentificationSequence[0]
        which = source.get("ReferencedFrameNumber")
        numbers[segment.ReferencedSegmentNumber, str(source.ReferencedSOPInstanceUID), which] = number
    return numbers
