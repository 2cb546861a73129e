"""DICOM Segmentation: frames of segments that refer to images by their SOP Instance UID, or by their place."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from bioseg.datasets.annotations import dicom, shared
from bioseg.datasets.annotations.annotation import AGAIN, Annotation, Unusable, check_size, class_name, of_mask, united
from bioseg.types import Array, Mask

if TYPE_CHECKING:
    from pydicom import Dataset

SAME_PLACE_MM = 0.01


@dataclass(frozen=True, eq=False)
class _Frame:
    """Which segment a frame shows of which images (UID, and frame from 1); without images, where it lies."""

    segment: int
    images: frozenset[tuple[str, int]]
    position: NDArray[np.float64] | None


@dataclass(frozen=True, eq=False)
class _Object:
    whole: "Dataset"
    names: dict[int, str]
    frames: list[_Frame]
    images: frozenset[str]


def images_of(path: Path) -> frozenset[str]:
    """SOP Instance UIDs of all images that a file refers to; empty where it cannot be read."""
    return shared.images_of(path, _parse)


def read(path: Path, shape: tuple[int, int], image: Path, frame: int = 1) -> list[Annotation]:
    """The segments that the object shows of a frame of ``image``, by number, called by their labels; none where it shows none.

    Raises:
        Unusable: It is damaged, packed in a way that is not read, of another size, or refers to other images only.
    """
    here, found = dicom.plane(image), shared.understood(path, _parse)
    own = [number for number, one in enumerate(found.frames) if _shows(one, here, frame)]
    if not own:
        if here.uid in found.images:
            return []
        raise Unusable(f"refers to {len(found.images)} other images, not to {image.name}; put it beside its own images")
    check_size((found.whole.get("Rows"), found.whole.get("Columns")), shape)
    parts: dict[int, list[Annotation]] = {}
    for number in own:
        pixels = _pixels(found.whole, number, len(found.frames))
        check_size(pixels.shape, shape)
        for segment, mask in _segments(pixels, found, number):
            parts.setdefault(segment, []).append(of_mask(found.names[segment], mask))
    return [
        of_mask(found.names[segment], united(masks, shape)) if len(masks) > 1 else masks[0]
        for segment, masks in sorted(parts.items())
    ]


def _segments(pixels: Array, found: _Object, number: int) -> list[tuple[int, Mask]]:
    kind = found.whole.get("SegmentationType")
    if kind == "LABELMAP":
        return [(segment, pixels == segment) for segment in found.names if segment and (pixels == segment).any()]
    half = float(found.whole.get("MaximumFractionalValue", 255)) / 2 if kind == "FRACTIONAL" else 0
    segment = found.frames[number].segment
    if segment not in found.names:
        raise Unusable(f"frame {number + 1} shows segment {segment}, which it does not describe; {AGAIN}")
    return [(segment, pixels > half)]


def _parse(path: Path) -> _Object:
    whole = dicom.open_object(path)
    try:
        names = {int(one.SegmentNumber): class_name(one.get("SegmentLabel", "")) for one in whole.SegmentSequence}
        shared_groups = dicom.sequence(whole, "SharedFunctionalGroupsSequence")[:1]
        frames = [_frame(groups, *shared_groups) for groups in whole.PerFrameFunctionalGroupsSequence]
        if len(frames) != int(whole.get("NumberOfFrames", 1)) or not names:
            raise ValueError(f"{len(frames)} of {whole.get('NumberOfFrames')} frames described, {len(names)} segments")
        return _Object(whole, names, frames, frozenset(dicom.referenced(whole)))
    except Exception as fault:  # pydicom may raise anything for a value that is not of its type
        raise Unusable(f"damaged or of another version ({str(fault)[:80]}); {AGAIN}") from None


def _frame(own: "Dataset", *common: "Dataset") -> _Frame:
    images, position, segment = set[tuple[str, int]](), None, 0
    for groups in (own, *common):
        for derivation in dicom.sequence(groups, "DerivationImageSequence"):
            for source in dicom.sequence(derivation, "SourceImageSequence"):
                frame = source.get("ReferencedFrameNumber") or 1
                numbers = [frame] if isinstance(frame, int) else frame
                images |= {(str(source.ReferencedSOPInstanceUID), int(number)) for number in numbers}
        for place in dicom.sequence(groups, "PlanePositionSequence"):
            position = dicom.numbers(place, "ImagePositionPatient", 3)
        for identification in dicom.sequence(groups, "SegmentIdentificationSequence"):
            segment = int(identification.ReferencedSegmentNumber)
    return _Frame(segment, frozenset(images), position)


def _shows(frame: _Frame, here: dicom.Plane, number: int) -> bool:
    """Whether a frame is of an image: it refers to it, or refers to none and lies in the same place."""
    if frame.images:
        return (here.uid, number) in frame.images
    if frame.position is None or here.position is None:
        return False
    return bool(np.abs(frame.position - here.position).max() < SAME_PLACE_MM)


def _pixels(whole: "Dataset", number: int, frames: int) -> Array:
    from pydicom.pixels.utils import pixel_array
    from pydicom.uid import RLELossless

    syntax = whole.file_meta.TransferSyntaxUID
    if syntax.is_compressed and syntax != RLELossless:
        raise Unusable(f"frames packed as {syntax.name}, which is not read; convert it with 'gdcmconv --raw'")
    try:
        if whole.BitsAllocated == 1 and not syntax.is_compressed:
            return _bits(whole, number)
        return np.asarray(pixel_array(whole, index=number))
    except Exception as fault:
        raise Unusable(f"frame {number + 1} of {frames} is damaged ({str(fault)[:80]}); {AGAIN}") from None


def _bits(whole: "Dataset", number: int) -> Array:
    """A frame of one bit per pixel; frames follow each other without a gap, within a byte too, where pydicom loses bits."""
    rows, cols = int(whole.Rows), int(whole.Columns)
    first = number * rows * cols
    packed = np.frombuffer(whole.PixelData, np.uint8)[first // 8 : (first + rows * cols + 7) // 8]
    bits = np.unpackbits(packed, bitorder="little")[first % 8 : first % 8 + rows * cols]
    return bits.reshape(rows, cols)
