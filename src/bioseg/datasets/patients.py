"""Which images show the same patient: from a table, the layout's file names, or DICOM headers; else it is unknown."""

import hashlib
import hmac
import os
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from bioseg import files
from bioseg.datasets.tree import escaped
from bioseg.images import formats
from bioseg.types import BiosegError, Case

if TYPE_CHECKING:
    from pydicom import Dataset

TABLE = "patients.csv"
SALT = "BIOSEG_SALT"
"""Environment variable: a secret that hashes of patients are keyed with."""
REMEDY = f"add {TABLE} with the columns id and patient"
_TABLE, _NAMES, _DICOM, _UNKNOWN = TABLE, "the file names of the layout", "DICOM PatientID", "unknown"


@dataclass(frozen=True)
class Patients:
    """Cases with their patients.

    Attributes:
        cases: In the order given; the patient is "" where it is unknown.
        source: Where the patients are known from, in words.
        warnings: What a person should know, a line each.
    """

    cases: tuple[Case, ...]
    source: str
    warnings: tuple[str, ...]


def identify(folder: Path, cases: Sequence[Case]) -> Patients:
    """Say of every case which patient it shows.

    ``patients.csv`` in ``folder`` comes first, then what the layout knows (the case's own patient), then the DICOM header.

    Raises:
        BiosegError: ``patients.csv`` cannot be read or matches no case.
    """
    table, warnings = _from_table(folder, cases)
    named = [table.get(case.id, case.patient) for case in cases]
    hashes, more = _from_headers([case for case, name in zip(cases, named, strict=True) if not name])
    known = [name or hashes.get(case.id, "") for case, name in zip(cases, named, strict=True)]
    sources = [
        _TABLE if case.id in table else _NAMES if case.patient else _DICOM if case.id in hashes else _UNKNOWN
        for case in cases
    ]
    warnings += more
    unknown = known.count("")
    if unknown:
        what = "image" if all(case.plane is None for case in cases) else "file"
        warnings.append(
            f"patients unknown for {unknown} of {len(cases)} images: each {what} counts as its own patient, scores may be "
            f"optimistic; {REMEDY}"
        )
    return Patients(
        tuple(replace(case, patient=name) for case, name in zip(cases, known, strict=True)),
        _in_words(sources),
        tuple(warnings),
    )


def from_table(folder: Path, cases: Sequence[Case]) -> list[Case]:
    """The cases with the patients that ``patients.csv`` in ``folder`` names; the others as they are.

    Raises:
        BiosegError: It cannot be read or matches no case.
    """
    table, _ = _from_table(folder, cases)
    return [replace(case, patient=table.get(case.id, case.patient)) for case in cases]


def hashed(patient_id: bytes) -> str:
    """Twelve hexadecimal digits in the place of a PatientID.

    With a secret in the environment variable :data:`SALT` they are keyed with it (HMAC). Without, who knows how PatientIDs
    look can find them by trying all.
    """
    secret = os.environ.get(SALT, "").encode("utf-8", "surrogateescape")
    return (hmac.new(secret, patient_id, "sha256") if secret else hashlib.sha256(patient_id)).hexdigest()[:12]


def patient_id_of(header: "Dataset") -> bytes:
    """The PatientID of a header as stored, so that nothing is validated; empty where there is none."""
    try:
        value = header.get_item("PatientID").value if "PatientID" in header else b""
    except Exception:  # a damaged header may fail in any way
        return b""
    return (value or b"").strip(b" \0") if isinstance(value, bytes | None) else str(value).strip().encode()


def _in_words(sources: Sequence[str]) -> str:
    counts = Counter(sources)
    if len(counts) <= 1:
        return next(iter(counts), _UNKNOWN)
    return ", ".join(f"{name} ({counts[name]} images)" for name in (_TABLE, _NAMES, _DICOM, _UNKNOWN) if counts[name])


def _from_table(folder: Path, cases: Sequence[Case]) -> tuple[dict[str, str], list[str]]:
    """The patient of each case that the table names, by the case's id; and warnings."""
    path = folder / TABLE
    if not path.exists():
        return {}, []
    entries = _entries(path)
    keys: dict[str, list[Case]] = {}
    for case in cases:
        for key in _keys(case, folder):
            keys.setdefault(key, []).append(case)
    found: dict[str, str] = {}
    for name, patient in entries.items():
        for case in keys.get(name, ()):
            if found.setdefault(case.id, patient) != patient:
                raise BiosegError(
                    f"{path}: {case.id} belongs to {found[case.id]!r} and to {patient!r}; leave one of them"
                )
    if cases and not found:
        raise BiosegError(
            f"{path}: none of its {len(entries)} ids (such as {next(iter(entries), '')!r}) is one of the {len(cases)} images "
            f"(such as {cases[0].id!r}); give file names, with or without folder and suffix"
        )
    warnings = []
    if strangers := [name for name in entries if name not in keys]:
        warnings.append(f"{TABLE}: {len(strangers)} of {len(entries)} ids are no image here: {few(strangers)}")
    if absent := [case.id for case in cases if case.id not in found]:
        warnings.append(f"{TABLE}: {len(absent)} of {len(cases)} images are not in it: {few(absent)}")
    return found, warnings


def _entries(path: Path) -> dict[str, str]:
    """The table's patients by what it calls the image; lines without a patient are left out."""
    entries: dict[str, str] = {}
    for row in files.read_csv(path):
        name = row.get("id") or row.get("file")
        if name is None or "patient" not in row:
            raise BiosegError(f"{path}: columns {', '.join(row)}; it needs id (or file) and patient")
        name, patient = name.strip(), row["patient"].strip()
        if name in entries and entries[name] != patient:
            raise BiosegError(f"{path}: {name} belongs to {entries[name]!r} and to {patient!r}; leave one of them")
        if name and patient:
            entries[name] = patient
    return entries


def _keys(case: Case, folder: Path) -> set[str]:
    """What a table may call a case."""
    keys = {case.id, escaped(case.path.name), escaped(formats.stem(case.path))}
    if case.path.is_relative_to(folder):
        inner = case.path.relative_to(folder)
        keys |= {escaped(inner.as_posix()), escaped(inner.with_name(formats.stem(inner)).as_posix())}
    return keys


def _from_headers(cases: Sequence[Case]) -> tuple[dict[str, str], list[str]]:
    """The hashed PatientID of each DICOM case that has one, by the case's id; and warnings."""
    files_of = [case for case in cases if isinstance(case.image, Path) and formats.may_be_dicom(case.image)]
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        found = {
            case.id: digest for case, digest in zip(files_of, pool.map(_patient_hash, files_of), strict=True) if digest
        }
    if len(cases) > 1 and len(found) == len(cases) and len(set(found.values())) == 1:
        return {}, [
            f"all {len(cases)} images have the same DICOM PatientID, as sets that were made anonymous often have: it is "
            "not used, since it leaves nothing to split by"
        ]
    return found, []


def _patient_hash(case: Case) -> str:
    """Of the header alone; empty where there is no PatientID or the file cannot be read, which reading it will report."""
    from pydicom.filereader import read_partial
    from pydicom.tag import Tag

    last = Tag("PatientID")
    try:
        if not case.path.is_file():
            return ""
        with case.path.open("rb") as file:
            header = read_partial(file, lambda tag, vr, length: tag > last, specific_tags=[last], force=True)
    except Exception:  # a damaged file may fail in any way; it is named where its pixels are read
        return ""
    patient_id = patient_id_of(header)
    return hashed(patient_id) if patient_id else ""


def few(names: Sequence[str], most: int = 5) -> str:
    """The first names, and how many there are more."""
    return ", ".join(names[:most]) + (f" … ({len(names) - most} more)" if len(names) > most else "")
