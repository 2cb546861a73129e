"""DICOM Segmentation objects: one per series, each frame with its source image, for PACS viewers and 3D Slicer."""

import io
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.datadict import dictionary_VR
from pydicom.uid import generate_uid
from pydicom.valuerep import DA, TM

from bioseg import files
from bioseg.outputs.dicom_header import numbers, read_header
from bioseg.outputs.names import SEG, printable
from bioseg.outputs.structures import Code, Structure
from bioseg.types import BiosegError, Case, Mask, Problem

REQUIRED = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "SOPClassUID")
MAY_BE_EMPTY = (
    "PatientID", "PatientName", "PatientBirthDate", "PatientSex", "AccessionNumber", "StudyID", "StudyDate", "StudyTime",
)  # fmt: skip
"""Elements of the patient and study that every DICOM object has; what an image lacks, or has wrong, is left empty."""
PLANE = (("ImagePositionPatient", 3), ("ImageOrientationPatient", 6), ("PixelSpacing", 2))
"""Where an image lies in the patient, and how many numbers each element has."""


@dataclass(frozen=True)
class Algorithm:
    """What made the segmentation.

    Attributes:
        name: Of the model's recipe.
        fingerprint: Of the model; empty: unknown.
        structure: What its foreground is.
    """

    name: str
    fingerprint: str
    structure: Structure


@dataclass(frozen=True, eq=False)
class _Frame:
    path: Path
    header: Dataset
    packed: NDArray[np.uint8]
    shape: tuple[int, int]
    plane: int | None = None

    @property
    def mask(self) -> Mask:
        rows, cols = self.shape
        return np.unpackbits(self.packed, count=rows * cols).reshape(self.shape).astype(np.bool_)


@dataclass
class Segmentations:
    """Masks of DICOM images until all of a series are there; threads may add to it.

    Attributes:
        algorithm: See :class:`Algorithm`.
        foreign: Images that are not DICOM.
    """

    algorithm: Algorithm
    foreign: list[Path] = field(default_factory=list)
    _frames: dict[Path, _Frame] = field(default_factory=dict)
    _headers: dict[Path, Dataset | None] = field(default_factory=dict)

    def add(self, case: Case, mask: Mask) -> None:
        """Keep the mask [rows, cols] of one image, packed to a bit per pixel."""
        header = read_header(case.image) if case.plane is None else self._header_of_many(case)
        if header is None:
            self.foreign.append(case.place)
        else:
            rows, cols = mask.shape
            self._frames[case.place] = _Frame(case.path, header, np.packbits(mask), (rows, cols), case.plane)

    def _header_of_many(self, case: Case) -> Dataset | None:
        """The header of a file with several frames, which is long, read once."""
        if case.path not in self._headers:
            self._headers[case.path] = read_header(case.image)
        return self._headers[case.path]

    def write(self, out: Path, names: Mapping[str, str]) -> list[Problem]:
        """Write one SEG for the images of each series, called after the first of them; returns those that have none.

        Images that do not say where they lie in the patient, such as X-rays, have one each, and so do slices in planes of
        their own; these are instances of one series again. An older SEG of one of these images is removed. One line names the
        images that are not DICOM.

        Args:
            out: Folder.
            names: Of the outputs, by the images' :func:`bioseg.outputs.names.printable` path.
        """
        problems, series = list[Problem](), dict[tuple[str, ...], dict[str, _Frame]]()
        order = {path: index for index, path in enumerate(names)}
        for _, frame in sorted(self._frames.items(), key=lambda item: order[printable(item[0])]):
            path = frame.path
            try:
                key, instance = _series_of(frame)
                if instance in (known := series.setdefault(key, {})):
                    raise BiosegError(f"{path}: is the same DICOM instance as {known[instance].path}; leave one out")
                known[instance] = frame
            except BiosegError as fault:
                problems.append(Problem(path, str(fault)))
        uids, counts = dict[tuple[str, str], str](), Counter[str]()
        for frames in series.values():
            header = next(iter(frames.values())).header
            uid = uids.setdefault((header.SeriesInstanceUID, header.get("FrameOfReferenceUID", "")), generate_uid(None))
            counts[uid] += 1
            places = list(dict.fromkeys(out / f"{names[printable(frame.path)]}{SEG}" for frame in frames.values()))
            try:
                for other in places[1:]:
                    other.unlink(missing_ok=True)
                files.write(places[0], encode(list(frames.values()), self.algorithm, uid, counts[uid]))
            except BiosegError as fault:
                places[0].unlink(missing_ok=True)  # an older one
                problems.append(Problem(next(iter(frames.values())).path, str(fault)))
        if self.foreign:
            first = min(self.foreign)
            count, total = len(self.foreign), len(self.foreign) + len(self._frames)
            reason = f"dicom-seg: {count} of {total} images are not DICOM ({first.name}) and got none"
            problems.append(Problem(first, f"{reason}; take them as rois, geojson or nifti"))
        return problems


def encode(frames: Sequence[_Frame], algorithm: Algorithm, series_uid: str, number: int) -> bytes:
    """A DICOM SEG file with a frame for every image, empty masks too.

    Args:
        frames: Of one series and size, or of one file with several frames.
        algorithm: Goes into the segment's algorithm identification.
        series_uid: Of the series of SEG objects that it belongs to.
        number: Which of that series it is, from 1.

    Raises:
        BiosegError: The images lack what a SEG must say of them.
    """
    import highdicom

    try:
        segmentation = highdicom.seg.Segmentation(
            source_images=[frame.header for frame in frames] if frames[0].plane is None else [frames[0].header],
            pixel_array=_masks(frames),
            segmentation_type="BINARY",
            segment_descriptions=[_segment(algorithm)],
            series_instance_uid=series_uid,
            series_number=1,
            sop_instance_uid=generate_uid(None),
            instance_number=number,
            manufacturer="bioseg",
            manufacturer_model_name=algorithm.name[:64],
            software_versions=metadata.version("bioseg"),
            device_serial_number=algorithm.fingerprint[:64] or "unknown",
            series_description=f"{algorithm.structure.name} by bioseg {algorithm.name}"[:64],
            content_description="Research use only, not for diagnosis",
            content_label="SEGMENTATION",
            omit_empty_frames=False,
        )
        content = io.BytesIO()
        segmentation.save_as(content, enforce_file_format=True)
    except Exception as fault:  # of pydicom and highdicom, for whatever is wrong with the headers
        reason = " ".join(str(fault).split())
        raise BiosegError(
            f"{frames[0].path}: no DICOM SEG can refer to it ({reason}); complete its header, or leave dicom-seg out"
        ) from None
    return content.getvalue()


def _masks(frames: Sequence[_Frame]) -> Mask:
    """[frames, rows, cols]; of a file with several frames all of them, empty where one was not predicted."""
    if frames[0].plane is None:
        return np.stack([frame.mask for frame in frames])
    masks = np.zeros((int(frames[0].header.NumberOfFrames), *frames[0].shape), np.bool_)
    for frame in frames:
        masks[frame.plane] = frame.mask
    return masks


def _segment(algorithm: Algorithm) -> Any:
    from highdicom import AlgorithmIdentificationSequence
    from highdicom.seg import SegmentDescription

    return SegmentDescription(
        segment_number=1,
        segment_label=algorithm.structure.name,
        segmented_property_category=_concept(algorithm.structure.category),
        segmented_property_type=_concept(algorithm.structure.type),
        algorithm_type="AUTOMATIC",
        algorithm_identification=AlgorithmIdentificationSequence(
            name=algorithm.name,
            family=_concept(("123110", "DCM", "Artificial Intelligence")),
            version=metadata.version("bioseg"),
            source="bioseg",
            parameters={"fingerprint": algorithm.fingerprint or "unknown"},
        ),
    )


def _concept(code: Code) -> Any:
    from highdicom.sr import CodedConcept

    value, scheme, meaning = code
    return CodedConcept(value, scheme, meaning)


def _series_of(frame: _Frame) -> tuple[tuple[str, ...], str]:
    """What frames of one SEG have in common, and the instance; the header is made complete on the way.

    Raises:
        BiosegError: The header does not identify the image, or says another size than the mask has.
    """
    header, path = frame.header, frame.path
    if missing := next((keyword for keyword in REQUIRED if not header.get(keyword)), ""):
        raise BiosegError(f"{path}: has no {missing}, by which a DICOM SEG refers to it; export it again")
    if (header.Rows, header.Columns) != frame.shape:
        raise BiosegError(f"{path}: says {header.Rows}×{header.Columns}, its mask is {frame.shape[0]}×{frame.shape[1]}")
    for keyword in MAY_BE_EMPTY:
        if not _usable(header, keyword):
            header.pop(keyword, None)
            setattr(header, keyword, "")
    own = (header.StudyInstanceUID, header.SeriesInstanceUID, *map(str, frame.shape))
    if frame.plane is not None:
        return (*own, header.SOPInstanceUID), f"{header.SOPInstanceUID} {frame.plane}"
    plane = [numbers(header, keyword, count) for keyword, count in PLANE]
    if any(values is None for values in plane) and "ImagePositionPatient" in header:
        del header.ImagePositionPatient  # half of a place is none
    placed = "FrameOfReferenceUID" in header and "ImagePositionPatient" in header
    if placed and "SliceThickness" not in header:
        header.SliceThickness = None
    lies = (header.FrameOfReferenceUID, *map(str, plane[1:])) if placed else (header.SOPInstanceUID,)
    return (*own, *lies), header.SOPInstanceUID


def _usable(header: Dataset, keyword: str) -> bool:
    """Whether an element is there, and a date, a time or a sex where it should be one."""
    try:
        value = header[keyword].value
        parse = {"DA": DA, "TM": TM}.get(dictionary_VR(keyword), str)
        parse(value or "")
    except Exception:  # missing, or anonymised to what is no date
        return False
    return keyword != "PatientSex" or value in ("M", "F", "O", "", None)
