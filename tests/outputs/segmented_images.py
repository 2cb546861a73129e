"""Predictions made by hand, with what writers find hard, and DICOM headers for them."""

import io
from pathlib import Path

import numpy as np
from pydicom import dcmread
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

from bioseg.datasets import phantom_layouts
from bioseg.images.formats import RawImage
from bioseg.outputs.segmented import Segmented
from bioseg.outputs.structures import structure_of
from bioseg.postprocess.masks import Prediction
from bioseg.types import Labels

SPACING = (0.7, 0.5)


def hard_labels() -> Labels:
    """Holes, holes and parts that touch by a corner, objects in holes, at all borders and corners, of one pixel, touching."""
    labels = np.zeros((30, 41), np.int32)
    labels[3:12, 3:14] = 1  # with holes
    labels[5:7, 5:7] = 0
    labels[7, 7] = 0  # diagonal to the first hole
    labels[9, 9:12] = 0
    labels[9, 10] = 5  # an object in a hole
    labels[15:18, 4:7], labels[18:20, 7:9] = 2, 2  # joined by a corner
    labels[20, 20] = 3
    labels[0, 0] = labels[29, 40] = 0
    labels[0, 30:41], labels[0:9, 40] = 4, 4
    labels[25:30, 0:5] = 6
    labels[25:30, 5:9] = 7  # touches 6
    labels[29, 40] = 8
    labels[14:19, 20:25] = 9  # the hole meets the outside by a corner
    labels[15:18, 21:24] = 0
    labels[14, 20] = 0
    return labels


def segmented(
    labels: Labels, *, separated: bool = True, task: str = "cell nuclei", source: Path | bytes = b""
) -> Segmented:
    """A prediction of these objects, or of their mask alone, on a random image."""
    rng, mask = np.random.default_rng(0), labels > 0
    prediction = Prediction(mask, rng.random(labels.shape, np.float32), labels if separated else None)
    pixels = rng.integers(0, 255, labels.shape, dtype=np.uint8)
    return Segmented(prediction, RawImage(pixels, SPACING, white=255), source, structure_of(task))


def ct_slice(
    number: int = 0, *, series: str = "1.2.3", shape: tuple[int, int] = (30, 41), frame_of_reference: str = "1.2.3.9",
    orientation: tuple[int, ...] = (1, 0, 0, 0, 1, 0),
) -> bytes:  # fmt: skip
    """A CT slice with everything that a SEG refers to, patient's name in Cyrillic, 5 mm above the one before."""
    pixels = np.random.default_rng(number).integers(0, 1000, shape).astype(np.uint16)
    file = dcmread(io.BytesIO(phantom_layouts.dicom_bytes(pixels, spacing_mm=SPACING, patient="p1", intercept=-500.0)))
    file.SOPClassUID, file.SOPInstanceUID, file.Modality = (
        CTImageStorage,
        generate_uid(entropy_srcs=[series, str(number)]),
        "CT",
    )
    file.file_meta.MediaStorageSOPClassUID = CTImageStorage
    file.file_meta.MediaStorageSOPInstanceUID = file.SOPInstanceUID
    file.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    file.SpecificCharacterSet = "ISO_IR 192"
    file.StudyInstanceUID, file.SeriesInstanceUID, file.PatientName = "1.2.4", series, "Иванов^Пётр"
    file.FrameOfReferenceUID, file.ImageOrientationPatient = frame_of_reference, list(orientation)
    file.ImagePositionPatient, file.SliceThickness = [-10.0, -20.0, 5.0 * number], 5.0
    data = io.BytesIO()
    file.save_as(data, enforce_file_format=True)
    return data.getvalue()
