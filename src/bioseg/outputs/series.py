"""Volumes over the slices of a series: the sum of the slices' areas times the distance between slices."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any

from bioseg.outputs.structures import LEFT_VENTRICLE, LUNG

COLUMNS = ("series", "phase", "phases", "slices", "first_file", "slice_spacing_mm", "slice_spacing_from")
VOLUMES = {
    LUNG.name: {"right_volume_ml": "right_area_mm2", "left_volume_ml": "left_area_mm2", "volume_ml": "area_mm2"},
    LEFT_VENTRICLE.name: {"volume_ml": "area_mm2"},
}
"""Columns of volumes by the name of the structure, each with the column of areas it is the sum of."""

TOLERANCE = 0.05
"""Distances between slices may differ from their median by this share of it."""

Row = Mapping[str, Any]
"""A row of ``anatomy.csv``; numbers may be text, "" is unknown."""


def volumes(structure: str, rows: Iterable[Row]) -> list[dict[str, Any]]:
    """A row for every stack of parallel slices, and for every phase of the heart cycle of a stack.

    Slices at the same place are phases: the first by trigger time, then by number, of every place is phase 1, and so on. A
    volume is empty, and ``reason`` says why, where slices are missing, overlap or do not say where they lie, or where the size
    of a pixel is not known. A single image without a place, such as an X-ray, has no row.

    Args:
        structure: Name.
        rows: Of ``anatomy.csv``.
    """
    stacks = defaultdict[tuple[str, str], list[Row]](list)
    for row in rows:
        if row["series"]:
            stacks[row["series"], row["plane"]].append(row)
    return [
        found
        for (series, _), stack in stacks.items()
        if len(stack) > 1 or stack[0]["slice_position_mm"] != ""
        for found in _phases(structure, series, stack)
    ]


def phases_of(stack: Sequence[Row]) -> list[list[Row]]:
    """The slices of each phase by position; none where the places do not all hold as many images.

    Args:
        stack: Slices that say where they lie.
    """
    places = defaultdict[float, list[Row]](list)
    for row in stack:
        places[round(float(row["slice_position_mm"]), 2)].append(row)
    ordered = [sorted(places[position], key=_moment) for position in sorted(places)]
    if len({len(place) for place in ordered}) > 1:
        return []
    return [list(phase) for phase in zip(*ordered, strict=True)]


def _phases(structure: str, series: str, stack: Sequence[Row]) -> list[dict[str, Any]]:
    phases, reason = [list(stack)], _unplaced(stack)
    if not reason and not (phases := phases_of(stack)):
        phases, reason = [list(stack)], "some places hold more images than others: a phase or a slice is missing"
    found = []
    for number, slices in enumerate(phases, 1):
        spacing, why = (None, reason) if reason else spacing_of([float(row["slice_position_mm"]) for row in slices])
        totals = {name: _volume(slices, column, spacing) for name, column in VOLUMES[structure].items()}
        if not why and totals["volume_ml"] == "":
            why = "the size of a pixel is not known in every slice"
        numbers = (number if len(phases) > 1 else "", len(phases), len(slices))
        where = (
            slices[0]["file"],
            "" if spacing is None else spacing,
            slices[0]["slice_position_from"] if spacing else "",
        )
        found.append(dict(zip(COLUMNS, (series, *numbers, *where), strict=True)) | totals | {"reason": why})
    return found


def spacing_of(positions_mm: Sequence[float]) -> tuple[float | None, str]:
    """The distance between the slices at these positions, ascending, or None and why there is none."""
    if len(positions_mm) < 2:
        return None, "one slice: its thickness is not taken for a distance"
    gaps = sorted(after - before for before, after in pairwise(positions_mm))
    middle = gaps[len(gaps) // 2]
    if gaps[-1] - middle > TOLERANCE * middle or middle - gaps[0] > TOLERANCE * middle:
        return None, f"slices are missing or irregular: {gaps[0]:g} to {gaps[-1]:g} mm apart"
    return round((positions_mm[-1] - positions_mm[0]) / len(gaps), 4), ""


def _unplaced(stack: Sequence[Row]) -> str:
    sources = {row["slice_position_from"] for row in stack}
    if "" in sources:
        return "no ImagePositionPatient or SliceLocation in every slice"
    return "slices say in different ways where they lie: " + ", ".join(sorted(sources)) if len(sources) > 1 else ""


def _volume(slices: Sequence[Row], column: str, spacing_mm: float | None) -> float | str:
    areas = [row[column] for row in slices]
    if spacing_mm is None or "" in areas:
        return ""
    return round(sum(map(float, areas)) * spacing_mm / 1000, 3)


def _moment(row: Row) -> tuple[float, float]:
    time, number = (float(row[name]) if row[name] != "" else 0.0 for name in ("trigger_time_ms", "instance"))
    return time, number
