"""What output files are called: unique, short enough, printable, and never the name of an image."""

import os
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bioseg.outputs.names import SUFFIXES, name_outputs, printable
from bioseg.types import BiosegError, Case

OUT = Path("out")


def cases(images: list[Path]) -> list[Case]:
    return [Case(path.stem, "", path) for path in images]


def test_stems_folders_and_numbers() -> None:
    images = [Path("a/x.png"), Path("b/x.png"), Path("b/x.tif"), Path("a/y.png")]
    assert name_outputs(cases(images), OUT) == ["a_x", "b_x", "b_x_2", "y"]


def test_planes_are_numbered_after_their_file() -> None:
    planes = [Case("x", "", Path(f"{folder}/x.nii.gz"), plane=plane, planes=12) for folder in "ab" for plane in (0, 11)]
    assert name_outputs(planes[:2], OUT) == ["x-0001", "x-0012"]
    assert name_outputs(planes, OUT) == ["a_x-0001", "a_x-0012", "b_x-0001", "b_x-0012"]
    assert [printable(case.place) for case in planes[1:3]] == ["a/x.nii.gz/0012", "b/x.nii.gz/0001"]


def test_an_image_keeps_its_name_and_no_other_gets_it() -> None:
    assert name_outputs(cases([Path("b/x.png"), Path("a/x.png")]), OUT, {"a/x.png": "x"}) == ["b_x", "x"]
    assert name_outputs(cases([Path("b/x.png")]), OUT, {"a/x.png": "x"}) == ["x_2"]


def test_labels_of_one_image_are_not_the_mask_of_another() -> None:
    names = name_outputs(cases([Path("a.png"), Path("a.labels.tif"), Path("A.tif")]), OUT)
    written = [(name + suffix).casefold() for name in names for suffix in SUFFIXES]
    assert len(written) == len(set(written))


def test_names_of_250_bytes_and_bytes_that_are_not_utf8(tmp_path: Path) -> None:
    images = [Path("é" * 123 + "a.png"), Path("é" * 123 + "b.png"), Path(os.fsdecode(b"caf\xe9.png")), Path("a\nb.png")]
    names = name_outputs(cases(images), tmp_path)
    assert len(set(names)) == 4 and names[2:] == ["caf%E9", "a%0Ab"]
    for name in names:
        for suffix in SUFFIXES:
            (tmp_path / f"{name}{suffix}").touch()
    assert printable(images[2]) == "caf\\udce9.png"


def test_an_image_is_never_overwritten(tmp_path: Path) -> None:
    with pytest.raises(BiosegError, match=r"a\.labels\.png: would be overwritten"):
        name_outputs(cases([tmp_path / "in" / "a.png", tmp_path / "a.labels.png"]), tmp_path)


def test_time_is_linear_in_the_images() -> None:
    def seconds(count: int) -> float:
        started = time.process_time()
        name_outputs(cases([Path(f"{index % 7}/{index // 14}.png") for index in range(count)]), OUT)
        return time.process_time() - started

    assert seconds(20_000) < 40 * max(seconds(2_000), 0.01)


@given(
    st.lists(st.binary(min_size=1, max_size=250).filter(lambda name: not {0, 47} & {*name}), unique=True, max_size=9)
)
def test_any_names_give_as_many_files(stems: list[bytes]) -> None:
    images = [Path("in") / f"{os.fsdecode(stem)}.png" for stem in stems]
    names = name_outputs(cases(images), OUT)
    assert len({name.casefold() for name in names}) == len(images)
    assert all(len((name + max(SUFFIXES, key=len)).encode()) <= 255 and "/" not in name for name in names)
