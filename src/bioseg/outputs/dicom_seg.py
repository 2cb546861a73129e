"""DICOM Segmentation objects: one per series, each frame with its source image, for PACS viewers and 3D Slicer."""

import io
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import metadata
from itertools import zip_longest
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.datadict import dictionary_VR
from pydicom.uid import generate_uid
from pydicom.valuerep import DA, TM

from bioseg import files
from bioseg.outputs.dicom_header import number, numbers, read_header
from bioseg.outputs.names import REPORT, SEG, printable
from bioseg.outputs.structures import Code, Structure, structure_named
from bioseg.types import BiosegError, Case, Mask, Problem

REQUIRED = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "SOPClassUID")
MAY_BE_EMPTY = (
    "PatientID", "PatientName", "PatientBirthDate", "PatientSex", "AccessionNumber", "StudyID", "StudyDate", "StudyTime",
)  # fmt: skip
"""Elements of the patient and study that every DICOM object has; what an image lacks, or has wrong, is left empty."""
PLANE = (("ImagePositionPatient", 3), ("ImageOrientationPatient", 6), ("PixelSpacing", 2))
"""Where an image lies in the patient, and how many numbers each element has."""

_AGE = re.compile(r"\d{3}[DWMY]")


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

    def segment(self, name: str) -> Structure:
        """What the mask of this name shows: "" the whole foreground, else a class."""
        return self.structure if name in ("", self.structure.name) else structure_named(name)


@dataclass(frozen=True, eq=False)
class Frame:
    """The masks of one DICOM image.

    Attributes:
        path: Of the image.
        header: All of it but its pixels.
        names: What each mask shows.
        packed: The masks [segments, rows, cols], a bit per pixel.
        shape: (rows, cols).
        plane: Which frame of a file that holds several, from 0; None: the file holds one.
    """

    path: Path
    header: Dataset
    names: tuple[str, ...]
    packed: NDArray[np.uint8]
    shape: tuple[int, int]
    plane: int | None = None

    @property
    def masks(self) -> NDArray[np.bool_]:
        """[segments, rows, cols]."""
        shape = (len(self.names), *self.shape)
        return np.unpackbits(self.packed, count=int(np.prod(shape))).reshape(shape).astype(np.bool_)


Report = Callable[[Dataset, Sequence[Frame], str, int], Dataset]
"""A measurement report: (the SEG, its images in the order of its frames, UID of the series of reports, number in it)."""


@dataclass
class Segmentations:
    """Masks of DICOM images until all of a series are there; threads may add to it.

    Attributes:
        algorithm: See :class:`Algorithm`.
        report: Makes a report that is written beside every SEG; None: none is.
        foreign: Images that are not DICOM.
    """

    algorithm: Algorithm
    report: Report | None = None
    foreign: list[Path] = field(default_factory=list)
    _frames: dict[Path, Frame] = field(default_factory=dict)
    _headers: dict[Path, Dataset | None] = field(default_factory=dict)

    def add(self, case: Case, masks: Mapping[str, Mask]) -> None:
        """Keep the masks [rows, cols] of one image, packed to a bit per pixel.

        Args:
            case: The image.
            masks: By the name of what they show, see :meth:`Algorithm.segment`; each becomes a segment. They may overlap.
        """
        header = read_header(case.image) if case.plane is None else self._header_of_many(case)
        if header is None:
            self.foreign.append(case.place)
        else:
            packed = np.stack(list(masks.values()))
            self._frames[case.place] = Frame(
                case.path, header, tuple(masks), np.packbits(packed), packed.shape[1:], case.plane
            )

    def _header_of_many(self, case: Case) -> Dataset | None:
        """The header of a file with several frames, which is long, read once."""
        if case.path not in self._headers:
            self._headers[case.path] = read_header(case.image)
        return self._headers[case.path]

    def write(self, out: Path, names: Mapping[str, str]) -> list[Problem]:
        """Write one SEG for the images of each series, called after the first of them; returns those that have none.

        Images that do not say where they lie in the patient, such as X-rays, have one each, and so do slices in planes of
        their own and the phases of the heart; these are instances of one series again. An older SEG of one of these images is
        removed, and its report. One line names the images that are not DICOM.

        Args:
            out: Folder.
            names: Of the outputs, by the images' :func:`bioseg.outputs.names.printable` path.
        """
        problems, series = list[Problem](), dict[tuple[str, ...], dict[str, Frame]]()
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
        uids, counts = dict[tuple[str, str], tuple[str, str]](), Counter[str]()
        for frames in [phase for one in series.values() for phase in _phases(one.values())]:
            header = frames[0].header
            own = (header.SeriesInstanceUID, header.get("FrameOfReferenceUID", ""))
            uid, report_uid = uids.setdefault(own, (generate_uid(None), generate_uid(None)))
            counts[uid] += 1
            stems = list(dict.fromkeys(out / names[printable(frame.path)] for frame in frames))
            for old in [_named(stem, SEG) for stem in stems[1:]] + [_named(stem, REPORT) for stem in stems]:
                old.unlink(missing_ok=True)
            try:
                self._write(stems[0], frames, (uid, report_uid), counts[uid])
            except BiosegError as fault:
                problems.append(Problem(frames[0].path, str(fault)))
        if self.foreign:
            first = min(self.foreign)
            count, total = len(self.foreign), len(self.foreign) + len(self._frames)
            reason = f"dicom-seg: {count} of {total} images are not DICOM ({first.name}) and got none"
            problems.append(Problem(first, f"{reason}; take them as rois, geojson or nifti"))
        return problems

    def _write(self, stem: Path, frames: Sequence[Frame], series_uids: tuple[str, str], number: int) -> None:
        place = _named(stem, SEG)
        try:
            segmentation = make(frames, self.algorithm, series_uids[0], number)
            files.write(place, content(segmentation))
        except BiosegError:
            place.unlink(missing_ok=True)  # an older one
            raise
        if self.report:
            try:
                report = content(self.report(segmentation, frames, series_uids[1], number))
            except Exception as fault:  # of pydicom and highdicom, for whatever is wrong with the headers
                reason = f"no DICOM SR can refer to it ({_one_line(fault)}); complete its header, or leave dicom-sr out"
                raise BiosegError(f"{frames[0].path}: {reason}") from None
            files.write(_named(stem, REPORT), report)


def make(frames: Sequence[Frame], algorithm: Algorithm, series_uid: str, number: int) -> Any:
    """A DICOM SEG with a frame for every image and segment, empty masks too.

    Args:
        frames: Of one series and size, or of one file with several frames; with masks of the same names.
        algorithm: Goes into the segments' algorithm identification.
        series_uid: Of the series of SEG objects that it belongs to.
        number: Which of that series it is, from 1.

    Raises:
        BiosegError: The images lack what a SEG must say of them.
    """
    import highdicom

    names = frames[0].names
    shown = algorithm.structure.name if len(names) == 1 else ", ".join(names)
    try:
        segmentation = highdicom.seg.Segmentation(
            source_images=[frame.header for frame in frames] if frames[0].plane is None else [frames[0].header],
            pixel_array=_masks(frames),
            segmentation_type="BINARY",
            segment_descriptions=[
                _segment(algorithm, number, algorithm.segment(name)) for number, name in enumerate(names, 1)
            ],
            series_instance_uid=series_uid,
            series_number=1,
            sop_instance_uid=generate_uid(None),
            instance_number=number,
            manufacturer="bioseg",
            manufacturer_model_name=algorithm.name[:64],
            software_versions=metadata.version("bioseg"),
            device_serial_number=algorithm.fingerprint[:64] or "unknown",
            series_description=f"{shown} by bioseg {algorithm.name}"[:64],
            content_description="Research use only, not for diagnosis",
            content_label="SEGMENTATION",
            omit_empty_frames=False,
        )
        if "PlaneOrientationSequence" not in segmentation.SharedFunctionalGroupsSequence[0]:
            segmentation.PatientOrientation = frames[0].header.get("PatientOrientation")  # may be empty, not missing
        return segmentation
    except Exception as fault:  # of pydicom and highdicom, for whatever is wrong with the headers
        raise BiosegError(
            f"{frames[0].path}: no DICOM SEG can refer to it ({_one_line(fault)}); complete its header, or leave dicom-seg out"
        ) from None


def content(dataset: Dataset) -> bytes:
    """A DICOM file of it."""
    file = io.BytesIO()
    dataset.save_as(file, enforce_file_format=True)
    return file.getvalue()


def _masks(frames: Sequence[Frame]) -> NDArray[np.bool_]:
    """[frames, rows, cols, segments]; of a file with several frames all of them, empty where one was not predicted."""
    masks = np.stack([frame.masks for frame in frames]).transpose(0, 2, 3, 1)
    planes = [frame.plane for frame in frames if frame.plane is not None]
    if not planes:
        return masks
    whole = np.zeros((int(frames[0].header.NumberOfFrames), *masks.shape[1:]), np.bool_)
    whole[planes] = masks
    return whole


def _named(stem: Path, suffix: str) -> Path:
    return stem.with_name(stem.name + suffix)


def _one_line(fault: Exception) -> str:
    return " ".join(str(fault).split())


def _segment(algorithm: Algorithm, number: int, structure: Structure) -> Any:
    from highdicom import AlgorithmIdentificationSequence
    from highdicom.seg import SegmentDescription

    description = SegmentDescription(
        segment_number=number,
        segment_label=structure.name[:64],
        segmented_property_category=concept(structure.category),
        segmented_property_type=concept(structure.type),
        algorithm_type="AUTOMATIC",
        algorithm_identification=AlgorithmIdentificationSequence(
            name=algorithm.name,
            family=concept(("123110", "DCM", "Artificial Intelligence")),
            version=metadata.version("bioseg"),
            source="bioseg",
            parameters={"fingerprint": algorithm.fingerprint or "unknown"},
        ),
    )
    if structure.laterality:
        shown = description.SegmentedPropertyTypeCodeSequence[0]
        shown.SegmentedPropertyTypeModifierCodeSequence = [concept(structure.laterality)]
    return description


def concept(code: Code) -> Any:
    """A code as highdicom takes it."""
    from highdicom.sr import CodedConcept

    value, scheme, meaning = code
    return CodedConcept(value, scheme, meaning)


def _series_of(frame: Frame) -> tuple[tuple[str, ...], str]:
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
    if not _AGE.fullmatch(str(header.get("PatientAge", ""))):
        header.pop("PatientAge", None)
    own = (header.StudyInstanceUID, header.SeriesInstanceUID, *map(str, frame.shape), *frame.names)
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


def _phases(frames: Iterable[Frame]) -> list[list[Frame]]:
    """The first image of every place, the second, and so on, by trigger time: a SEG holds one mask of a place, or of a frame."""
    places = defaultdict[str, list[Frame]](list)
    for frame in frames:
        place = frame.header.get("ImagePositionPatient", "") if frame.plane is None else frame.plane
        places[str(place)].append(frame)
    phases = zip_longest(*(sorted(place, key=_moment) for place in places.values()))
    return [[frame for frame in phase if frame is not None] for phase in phases]


def _moment(frame: Frame) -> tuple[float, float]:
    return number(frame.header, "TriggerTime") or 0.0, number(frame.header, "InstanceNumber") or 0.0


def _usable(header: Dataset, keyword: str) -> bool:
    """Whether an element is there, and a date, a time or a sex where it should be one."""
    try:
        value = header[keyword].value
        parse = {"DA": DA, "TM": TM}.get(dictionary_VR(keyword), str)
        parse(value or "")
    except Exception:  # missing, or anonymised to what is no date
        return False
    return keyword != "PatientSex" or value in ("M", "F", "O", "", None)
