"""Ground truth that may be wrong is named; ground truth that is only varied is not."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bioseg.datasets import folders, inspection, phantoms, suspicious
from bioseg.types import Mask
from tests.datasets.folder_files import write_pair

Pair = tuple[np.ndarray, Mask]


def chests(count: int, size: int = 96) -> dict[str, Pair]:
    pairs = {}
    for number in range(count):
        values, left, right = phantoms.chest(np.random.default_rng(number), (size, size))
        pairs[f"c{number:02}"] = (values, left | right)
    return pairs


def found(pairs: dict[str, Pair], patients: dict[str, str] | None = None) -> dict[tuple[str, ...], str]:
    described = {name: suspicious.describe(*pair) for name, pair in pairs.items()}
    assert None not in described.values()
    known = {name: one for name, one in described.items() if one}
    return {one.cases: one.reason for one in suspicious.find(known, patients or dict.fromkeys(pairs, ""))}


@pytest.mark.parametrize("kind", ["chest", "ct", "heart", "cells"])
def test_phantoms_are_not_suspicious(kind: str) -> None:
    pairs = chests(30)
    for number in range(30):
        rng = np.random.default_rng(number)
        if kind == "ct":
            pairs[f"c{number:02}"] = phantoms.ct_slice(rng, 96)
        elif kind == "heart":
            pairs[f"c{number:02}"] = phantoms.short_axis(rng, 160)
        elif kind == "cells":
            image, labels = phantoms.nuclei(rng, 96)
            pairs[f"c{number:02}"] = (image, labels > 0)
    assert found(pairs) == {}


def wrong(pairs: dict[str, Pair], name: str, mask: Mask) -> None:
    pairs[name] = (pairs[name][0], mask)


def test_a_mask_of_nearly_everything() -> None:
    pairs = chests(3)
    mask = np.ones((96, 96), bool)
    mask[:2] = False
    wrong(pairs, "c01", mask)
    assert found(pairs) == {("c01",): "the mask covers 97.9% of the image"}


def test_a_mask_elsewhere_than_all_others() -> None:
    pairs = chests(20)
    mask = np.zeros((96, 96), bool)
    mask[80:, 5:20] = True
    wrong(pairs, "c07", mask)
    assert set(found(pairs)) == {("c07",)}
    assert "elsewhere than the others" in found(pairs)["c07",]


def test_a_missing_lung() -> None:
    pairs = chests(20)
    mask = pairs["c03"][1].copy()
    mask[:, 48:] = False
    wrong(pairs, "c03", mask)
    assert set(found(pairs)) == {("c03",)}
    assert "width" in found(pairs)["c03",]


def test_the_air_around_the_patient() -> None:
    pairs = {f"c{n:02}": phantoms.ct_slice(np.random.default_rng(n), 96) for n in range(20)}
    values, mask = pairs["c11"]
    wrong(pairs, "c11", mask | (values < -900))
    reasons = found(pairs)
    assert set(reasons) == {("c11",)}


def hearts(*, shift: tuple[int, int], size: int = 160) -> tuple[dict[str, Pair], dict[str, str]]:
    """Five patients of six slices each; the masks of P2 are moved."""
    pairs, patients = {}, {}
    for number in range(30):
        values, mask = phantoms.short_axis(np.random.default_rng(number), size)
        name, patient = f"s{number:02}", f"P{number // 6}"
        pairs[name] = (values, np.roll(mask, shift, (0, 1)) if patient == "P2" else mask)
        patients[name] = patient
    return pairs, patients


def test_a_patient_whose_contours_lie_beside_the_cavity() -> None:
    pairs, patients = hearts(shift=(4, -14))
    reasons = found(pairs, patients)
    (cases,) = (own for own in reasons if len(own) > 1)
    assert cases == tuple(f"s{n}" for n in range(12, 18))
    assert reasons[cases].startswith("the masks of patient P2 (6 images) lie beside the edges in the images")
    far_px = int(reasons[cases].split("about ")[1].split(" px")[0])
    assert abs(far_px - np.hypot(4, 14)) <= 3
    assert all(own == cases for own in reasons)
    assert found(*hearts(shift=(0, 1))) == {}


def test_a_shift_is_told_in_pixels_of_the_image_itself() -> None:
    pairs, patients = hearts(shift=(4, -14))
    large = {
        name: (pixels.repeat(4, 0).repeat(4, 1), mask.repeat(4, 0).repeat(4, 1))
        for name, (pixels, mask) in pairs.items()
    }
    (reason,) = found(large, patients).values()
    assert abs(int(reason.split("about ")[1].split(" px")[0]) - 4 * np.hypot(4, 14)) <= 12


def test_objects_without_edges_in_the_image_are_not_suspicious() -> None:
    rng = np.random.default_rng(0)
    pairs = {}
    for name, (values, mask) in chests(20).items():
        shown = np.roll(mask & (np.arange(96) < 48), tuple(rng.integers(-9, 9, 2)), (0, 1))
        pairs[name] = (values + rng.normal(0, 0.5, values.shape), shown)
    assert not [reason for reason in found(pairs).values() if "edges" in reason]


def test_what_cannot_be_described() -> None:
    pixels = np.zeros((5, 700), np.uint8)
    assert suspicious.describe(pixels, np.zeros((5, 700), bool)) is None
    for shape in ((1, 1), (3, 2000), (2000, 3)):
        whole = suspicious.describe(np.full(shape, np.nan, np.float32), np.ones(shape, bool))
        assert whole and whole.fit is None and whole.covered == 1
    assert suspicious.find({}, {}) == ()
    flat = {f"c{n}": (np.zeros((64, 64)), np.eye(64, dtype=bool)) for n in range(20)}
    assert found(flat) == {}


def test_data_check_names_them_and_stays_clean(tmp_path: Path) -> None:
    for number, (values, mask) in enumerate(chests(12, 64).values()):
        write_pair(tmp_path, f"x{number:02}")
        Image.fromarray((values * 255).astype(np.uint8)).save(tmp_path / "images" / f"x{number:02}.png")
        shown = np.ones_like(mask) if number == 5 else mask
        Image.fromarray(shown.astype(np.uint8) * 255).save(tmp_path / "masks" / f"x{number:02}.png")
    scan = inspection.inspect(folders.scan(tmp_path))
    assert scan.clean
    assert "suspicious     x05: the mask covers 100.0% of the image" in inspection.scan_lines(scan)
    assert inspection.to_json(scan)["suspicious"] == [
        {"cases": ["x05"], "reason": "the mask covers 100.0% of the image"}
    ]


@pytest.mark.data
@pytest.mark.parametrize(
    ("name", "wrong", "at_most"),
    [
        ("lv_deeplearning", set(), 0),
        *(
            pytest.param(*one, marks=pytest.mark.slow)
            for one in (
                ("montgomery", set(), 0),
                ("jsrt", set(), 0),
                ("shenzhen", set(), 0),
                ("sunnybrook-dicom", set(), 0),
                ("opacity", set(), 0),
                # Air around the patient (three times) and a lung that is missing; two patients with one small lung.
                ("finding-lungs", {"ID_0254_Z_0075", "ID_0052_Z_0108", "ID_0134_Z_0137", "ID_0079_Z_0072"}, 6),
                ("sunnybrook-png", {"SC-N-06"}, 1),
            )
        ),
    ],
)
def test_the_public_sets(name: str, wrong: set[str], at_most: int, archive: Callable[[str], Path]) -> None:
    scan = inspection.inspect(folders.scan(archive(name)))
    assert len(scan.cases) >= 30
    named = {case.split("-IM-")[0] for one in scan.suspicious for case in one.cases}
    assert named >= wrong
    assert len(scan.suspicious) <= at_most
