"""Volumes over a series: the known ones of ellipsoids and cylinders, or empty with a reason."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bioseg import files
from bioseg.outputs.anatomy import measure_image
from bioseg.outputs.anatomy_tables import AnatomyTables, read_anatomy
from bioseg.outputs.place import Place
from bioseg.outputs.series import volumes
from bioseg.outputs.structures import LEFT_VENTRICLE, LUNG, OTHER
from bioseg.types import BiosegError

from .test_anatomy import LEFT, RIGHT, ellipse

SPACING = (0.5, 0.8)


def ventricle(position_mm: float | None, diameter_mm: float = 40, **more: Any) -> dict[str, Any]:
    """The row of a slice with a round cavity."""
    mask = ellipse(64, 64, diameter_mm / SPACING[0], diameter_mm / SPACING[1], (128, 128))
    place = {"series": "1.2", "plane": "1 0 0 0 1 0", "position_mm": position_mm, "spacing_mm": SPACING, **more}
    place.setdefault("position_from", "" if position_mm is None else "ImagePositionPatient")
    return {"file": f"{position_mm} {more}", **measure_image(LEFT_VENTRICLE, {"left ventricle": mask}, Place(**place))}


def only(rows: list[dict[str, Any]]) -> dict[str, Any]:
    (found,) = volumes("left ventricle", rows)
    return found


def test_an_ellipsoid_by_the_sum_of_its_slices() -> None:
    """Half a prolate ellipsoid, 50 mm across and 80 mm long, every 4 mm."""
    rows = [ventricle(z, 50 * math.sqrt(1 - (z / 80) ** 2)) for z in np.arange(2, 80, 4)]
    found = only(rows[::-1])
    assert found["volume_ml"] == pytest.approx(2 / 3 * math.pi * 25**2 * 80 / 1000, rel=0.01)
    assert (found["slices"], found["slice_spacing_mm"], found["slice_spacing_from"]) == (20, 4, "ImagePositionPatient")
    assert (found["phase"], found["phases"], found["reason"], found["first_file"]) == ("", 1, "", rows[0]["file"])


def test_both_lungs_and_each() -> None:
    place = {"series": "1", "plane": "1 0 0 0 1 0", "position_from": "SliceLocation", "spacing_mm": SPACING}
    rows = [
        {"file": str(n), **measure_image(LUNG, {"lung": RIGHT | LEFT}, Place(position_mm=2.5 * n, **place))}  # type: ignore[arg-type]
        for n in range(3)
    ]
    (found,) = volumes("lung", rows)
    assert found["right_volume_ml"] == pytest.approx(RIGHT.sum() * 0.4 * 7.5 / 1000, abs=0.001)
    assert found["left_volume_ml"] == pytest.approx(LEFT.sum() * 0.4 * 7.5 / 1000, abs=0.001)
    assert found["volume_ml"] == pytest.approx(found["right_volume_ml"] + found["left_volume_ml"], abs=0.002)
    assert found["slice_spacing_from"] == "SliceLocation"


@pytest.mark.parametrize(
    ("rows", "reason"),
    [
        ([ventricle(z) for z in (0, 5, 15, 20)], "slices are missing or irregular: 5 to 10 mm apart"),
        ([ventricle(0), ventricle(5), ventricle(None)], "no ImagePositionPatient or SliceLocation in every slice"),
        ([ventricle(0)], "one slice: its thickness is not taken for a distance"),
        ([ventricle(0, trigger_time_ms=1), ventricle(0, trigger_time_ms=2), ventricle(5)], "some places hold more images"),
        ([ventricle(0), ventricle(5, spacing_mm=None), ventricle(10)], "the size of a pixel is not known in every slice"),
        ([ventricle(0), ventricle(5, position_from="SliceLocation")], "slices say in different ways where they lie"),
    ],
)  # fmt: skip
def test_what_gives_no_volume_says_why(rows: list[dict[str, Any]], reason: str) -> None:
    found = only(rows)
    assert found["volume_ml"] == "" and found["reason"].startswith(reason)


def test_phases_of_the_heart_are_told_apart() -> None:
    """End-diastole and end-systole at every place, in another order of numbers."""
    rows = [ventricle(z, trigger_time_ms=time, instance=z + (time == 0), diameter_mm=size)
            for z in (0, 8, 16) for time, size in ((300, 30), (0, 50))]  # fmt: skip
    first, second = volumes("left ventricle", rows)
    assert (first["phase"], second["phase"], first["phases"], first["slices"]) == (1, 2, 2, 3)
    assert first["volume_ml"] == pytest.approx(math.pi * 25**2 * 24 / 1000, rel=0.01)
    assert second["volume_ml"] == pytest.approx(math.pi * 15**2 * 24 / 1000, rel=0.01)


def test_stacks_and_x_rays() -> None:
    other = [ventricle(z, plane="0 1 0 0 0 -1") for z in (0, 5)]
    assert [
        found["slices"] for found in volumes("left ventricle", [ventricle(0), ventricle(5), ventricle(10), *other])
    ] == [3, 2]
    assert volumes("left ventricle", [ventricle(None), ventricle(0, series="")]) == []


def test_tables_are_read_again_and_keep_to_the_images_that_are_there(tmp_path: Path) -> None:
    tables = AnatomyTables(LEFT_VENTRICLE)
    for z in (0, 5, 10):
        row = ventricle(z)
        tables.add(f"{z}.dcm", {name: value for name, value in row.items() if name != "file"})
    order = ["0.dcm", "5.dcm", "10.dcm", "other.dcm"]
    assert tables.write(tmp_path, order) == []
    before = [(tmp_path / name).read_bytes() for name in ("anatomy.csv", "series.csv")]
    again = read_anatomy(tmp_path, LEFT_VENTRICLE)
    assert again.write(tmp_path, order) == []
    assert [(tmp_path / name).read_bytes() for name in ("anatomy.csv", "series.csv")] == before
    again.write(tmp_path, order[:1])
    assert [row["reason"][:9] for row in files.read_csv(tmp_path / "series.csv")] == ["one slice"]
    assert AnatomyTables(OTHER).write(tmp_path / "none", order) == [] and not (tmp_path / "none").exists()
    with pytest.raises(BiosegError, match=r"anatomy\.csv: has other columns than this version writes"):
        read_anatomy(tmp_path, LUNG)
