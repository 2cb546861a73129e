"""Measurements by study and by patient, from those by image."""

from collections.abc import Iterable, Mapping, Sequence

BY_STUDY, BY_PATIENT = "measurements_by_study.csv", "measurements_by_patient.csv"
_SUMMARY = ("images", "segmented", "flagged", "area_px_mean", "area_mm2_mean", "area_mm2_max", "area_mm2_sum")
COLUMNS = {BY_STUDY: ("patient", "study_uid", "series", *_SUMMARY), BY_PATIENT: ("patient", "studies", *_SUMMARY)}

Row = Mapping[str, object]
"""A row of ``measurements.csv`` by the names of its columns."""


def by_study(rows: Iterable[Row]) -> list[tuple[object, ...]]:
    """A row of ``measurements_by_study.csv`` for each study, in the order in which they appear; images without one are left out."""
    return [
        (own[0]["patient"], study, _different(own, "series_uid"), *_summary(own))
        for study, own in _grouped(rows, "study_uid").items()
    ]


def by_patient(rows: Iterable[Row]) -> list[tuple[object, ...]]:
    """The same for ``measurements_by_patient.csv``."""
    return [
        (patient, _different(own, "study_uid"), *_summary(own)) for patient, own in _grouped(rows, "patient").items()
    ]


def _grouped(rows: Iterable[Row], column: str) -> dict[object, list[Row]]:
    groups: dict[object, list[Row]] = {}
    for row in rows:
        if row[column]:
            groups.setdefault(row[column], []).append(row)
    return groups


def _different(rows: Sequence[Row], column: str) -> int:
    return len({row[column] for row in rows} - {""})


def _summary(rows: Sequence[Row]) -> tuple[object, ...]:
    """Number of images, of those with foreground, of those flagged; areas, in mm² only where the spacing of all is known."""
    pixels = [float(str(row["area_px"])) for row in rows]
    known = [float(str(row["area_mm2"])) for row in rows if row["area_mm2"] != ""]
    total = round(sum(known), 3)
    return (
        len(rows),
        sum(value > 0 for value in pixels),
        sum(bool(row["flag"]) for row in rows),
        round(sum(pixels) / len(rows), 1),
        *((round(total / len(rows), 3), max(known), total) if len(known) == len(rows) else ("", "", "")),
    )
