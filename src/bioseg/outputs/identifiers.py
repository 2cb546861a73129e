"""Which patient, study, series and instance a row of a table belongs to."""

from dataclasses import astuple, dataclass

from pydicom import Dataset

from bioseg.datasets.patients import hashed, patient_id_of
from bioseg.outputs.dicom_header import read_header
from bioseg.types import Case, printable

COLUMNS = ("patient", "study_uid", "series_uid", "sop_uid")


@dataclass(frozen=True)
class Identifiers:
    """Empty where unknown.

    Attributes:
        patient: What the data set calls the patient, or a hash of the PatientID, or that itself.
        study: StudyInstanceUID.
        series: SeriesInstanceUID.
        instance: SOPInstanceUID.
    """

    patient: str = ""
    study: str = ""
    series: str = ""
    instance: str = ""

    @property
    def values(self) -> tuple[str, ...]:
        """In the order of :data:`COLUMNS`."""
        return tuple(astuple(self))


def identify(case: Case, *, plain: bool = False) -> Identifiers:
    """The identifiers of an image: of a DICOM file those of its header, of others the case's patient.

    Args:
        case: A patient it names comes before the header's.
        plain: Give the PatientID itself, not a hash of it.
    """
    header = read_header(case.image)
    if header is None:
        return Identifiers(case.patient)
    patient_id = patient_id_of(header)
    known = patient_id.decode("utf-8", "replace") if plain else hashed(patient_id)
    uids = (_uid(header, keyword) for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"))
    return Identifiers(case.patient or (printable(known) if patient_id else ""), *uids)


def _uid(header: Dataset, keyword: str) -> str:
    try:
        value = header.get(keyword)
    except Exception:  # pydicom may raise anything for a value that is not of its type
        return ""
    return printable(value)[:64] if isinstance(value, str) else ""
