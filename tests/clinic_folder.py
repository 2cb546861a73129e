"""A clinic's folder as media and archives export it: patient, study and series folders, files without a suffix, other objects."""

import io
from pathlib import Path
from typing import Any

import numpy as np
from pydicom import dcmread

from bioseg import files
from bioseg.datasets import phantom_layouts
from bioseg.types import Array

AXIAL = (1, 0, 0, 0, 1, 0)


def dicom(
    pixels: Array | None = None, *, patient: str = "MRN-1", study: str = "1.2.1", series: str = "1.2.1.1", number: int = 0,
    **header: Any,
) -> bytes:  # fmt: skip
    """A DICOM file with these identifiers and elements; None leaves an element out."""
    given = np.random.default_rng(number).integers(0, 255, (20, 24)).astype(np.uint8) if pixels is None else pixels
    made = dcmread(io.BytesIO(phantom_layouts.dicom_bytes(given, spacing_mm=(0.5, 0.5), patient=patient)))
    made.StudyInstanceUID, made.SeriesInstanceUID, made.SOPInstanceUID = study, series, f"{series}.{number}"
    made.Modality = "CT"
    for keyword, value in header.items():
        if value is None:
            delattr(made, keyword)
        else:
            setattr(made, keyword, value)
    content = io.BytesIO()
    made.save_as(content, enforce_file_format=True)
    return content.getvalue()


def report(modality: str) -> bytes:
    """A DICOM object without pixels."""
    return dicom(Modality=modality, Rows=None, Columns=None, PixelData=None)


def write_clinic(root: Path) -> Path:
    """Two patients: PAT1 with two studies, one of two series; PAT2 with one; reports, a presentation state and a scout beside."""
    places = {"PAT1/ST1/SE1": ("MRN-1", "1.2.1", "1.2.1.1"), "PAT1/ST1/SE2": ("MRN-1", "1.2.1", "1.2.1.2")}
    places |= {"PAT1/ST2/SE1": ("MRN-1", "1.2.2", "1.2.2.1"), "PAT2/ST1/SE1": ("MRN-2", "1.2.3", "1.2.3.1")}
    for place, (patient, study, series) in places.items():
        for number in (1, 2):
            content = dicom(patient=patient, study=study, series=series, number=number)
            files.write(root / place / f"IM000{number}", content)
    for name, modality in (("SR1", "SR"), ("PR1", "PR"), ("KO.dcm", "KO")):
        files.write(root / "PAT1" / "ST1" / "OTHER" / name, report(modality))
    scout = dicom(ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"])
    files.write(root / "PAT2" / "ST1" / "SCOUT" / "IM0001", scout)
    files.write(root / "DICOMDIR", b"\0" * 128 + b"DICM")
    return root
