"""Tables of a prediction: every row belongs to a mask that is there, and is found again."""

import csv
from pathlib import Path

import pytest

from bioseg.outputs.tables import Tables, prediction_string, read_tables
from bioseg.postprocess.boxes import Boxes
from bioseg.postprocess.instances import Instances
from bioseg.postprocess.masks import Postprocess
from bioseg.types import BiosegError, Box

HOW = Postprocess(instances=Instances(), boxes=Boxes())
MEASURED = (4, 5, 6, "", "", "", 1, 0.5, "", "", "p", "1.2", "1.2.3", "1.2.3.4")
OBJECT = (1, 6, "", "", "", 1.0, 2.0, 0, 0, 3, 2, 7.5, 0.1)


def filled(out: Path) -> Tables:
    tables = Tables(HOW, ["in/b.png", "in/a.png"])
    for path, name in (("in/a.png", "a"), ("in/b.png", "b")):
        tables.add(path, name, MEASURED, [OBJECT, OBJECT], [Box(1, 2, 3, 4, 0.9)])
        (out / f"{name}.png").touch()
    return tables


def cells(path: Path) -> list[list[str]]:
    with open(path) as file:
        return list(csv.reader(file))


def test_rows_are_in_the_order_of_the_images_and_read_again(tmp_path: Path) -> None:
    assert filled(tmp_path).write(tmp_path) == []
    assert [row[:2] for row in cells(tmp_path / "measurements.csv")[1:]] == [
        ["in/b.png", "b.png"],
        ["in/a.png", "a.png"],
    ]
    assert [row[0] for row in cells(tmp_path / "objects.csv")[1:]] == ["in/b.png"] * 2 + ["in/a.png"] * 2
    assert cells(tmp_path / "submission.csv")[1:] == [["b", "0.9000 1.0 2.0 3.0 4.0"], ["a", "0.9000 1.0 2.0 3.0 4.0"]]
    names = {"in/b.png": "b", "in/a.png": "a"}
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    again = read_tables(tmp_path, names, [], HOW)
    assert again.write(tmp_path) == []
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_mask_that_is_gone_has_no_rows(tmp_path: Path) -> None:
    tables = filled(tmp_path)
    (tmp_path / "a.png").unlink()
    tables.write(tmp_path)
    for name in ("measurements.csv", "objects.csv", "submission.csv"):
        assert {row[0] for row in cells(tmp_path / name)[1:]} in ({"in/b.png"}, {"b"}), name


def test_a_mask_without_a_row_is_refused_unless_it_is_made_again(tmp_path: Path) -> None:
    (tmp_path / "a.png").touch()
    assert read_tables(tmp_path, {"in/a.png": "a"}, ["in/a.png"], HOW).images == {}
    with pytest.raises(BiosegError, match=r"1 images have files and no row .*\(a\.png\).*give its command again"):
        read_tables(tmp_path, {"in/a.png": "a"}, [], HOW)


@pytest.mark.parametrize("table", ["file,mask\na,b\n", "\x00\na\n", "file\n\xff\n", "file,mask\na\n"])
def test_a_table_that_is_not_ours_is_one_line(table: str, tmp_path: Path) -> None:
    (tmp_path / "measurements.csv").write_bytes(table.encode("latin-1"))
    with pytest.raises(BiosegError, match=r"measurements\.csv") as refused:
        read_tables(tmp_path, {}, [], HOW)
    assert "\n" not in str(refused.value)


def test_boxes_as_the_challenge_wants_them() -> None:
    assert prediction_string([]) == ""
    assert (
        prediction_string([Box(1, 2, 3, 4, 0.5), Box(5, 6, 7, 8, 0.25)])
        == "0.5000 1.0 2.0 3.0 4.0 0.2500 5.0 6.0 7.0 8.0"
    )
